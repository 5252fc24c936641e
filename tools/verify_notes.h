/* What ml-verify says on standard error after its report. */
#ifndef TOOLS_VERIFY_NOTES_H
#define TOOLS_VERIFY_NOTES_H

#include "formats/verify/verify.h"

/* What was not compared or need not be equal, each with its number. subset: NULL without --subset; skipped: entities
 * omitted by the stream's producer. */
void verify_print_notes(const struct verify_result *r, const struct subset *subset, uint64_t skipped);

#endif

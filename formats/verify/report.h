/* What ml-verify prints of a verification: text or JSON Lines, the failures first found first, though the
 * counts stand before them. Memory is bounded whatever the number of failures. */
#ifndef VERIFY_REPORT_H
#define VERIFY_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "formats/verify/verify.h"

struct verify_report;

/* Shows at most max failures. tmpdir: as for verify_options. */
struct verify_report *verify_report_new(bool json, uint64_t max, const char *tmpdir);
/* Takes a failure: verify_options.failure, with the report as arg. */
void verify_report_add(const struct verify_failure *f, void *report);
/* Prints the whole to standard output. skipped: entities that the stream's producer has left out. false with
 * e filled when the failures could not be kept. */
bool verify_report_print(struct verify_report *report, const struct verify_result *r, uint64_t skipped,
                         struct err *e);
void verify_report_free(struct verify_report *report);

#endif

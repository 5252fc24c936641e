/* What ml-verify prints of a verification: text or JSON Lines, the failures first found first, though the
 * counts stand before them. Memory is bounded whatever the number of failures. */
#ifndef VERIFY_REPORT_H
#define VERIFY_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "formats/verify/verify.h"

struct verify_report;

/* What is known of the database's structure: the judgement is the caller's (formats/schema/). */
struct verify_structure {
    enum { VERIFY_STRUCTURE_SOUND, VERIFY_STRUCTURE_DIFFERENT, VERIFY_STRUCTURE_NOT_CHECKED } verdict;
    const char *why;          /* of NOT_CHECKED */
    const char *const *lines; /* of DIFFERENT: one for each difference */
    size_t n_lines;
};

/* Shows at most max failures. tmpdir: as for verify_options. */
struct verify_report *verify_report_new(bool json, uint64_t max, const char *tmpdir);
/* Takes a failure: verify_options.failure, with the report as arg. */
void verify_report_add(const struct verify_failure *f, void *report);
/* Prints the whole to standard output: a status of the data, one of the structure, and that of both. skipped:
 * entities that the stream's producer has left out. false with e filled when the failures could not be
 * kept. */
bool verify_report_print(struct verify_report *report, const struct verify_result *r,
                         const struct verify_structure *structure, uint64_t skipped, struct err *e);
void verify_report_free(struct verify_report *report);

#endif

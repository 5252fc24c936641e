/* The report of ml-verify, as text or JSON Lines: counts, then the failures in the order in which they were
 * found. Memory is bounded whatever the number of failures. */
#ifndef VERIFY_REPORT_H
#define VERIFY_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "formats/verify/verify.h"

struct verify_report;

/* The verdict on the database's structure, made by the caller (formats/schema/). */
struct verify_structure {
    enum { VERIFY_STRUCTURE_SOUND, VERIFY_STRUCTURE_DIFFERENT, VERIFY_STRUCTURE_NOT_CHECKED } verdict;
    const char *why;          /* of NOT_CHECKED */
    const char *const *lines; /* of DIFFERENT: one line per difference */
    size_t n_lines;
};

/* Creates a report that shows at most max failures. tmpdir: as in verify_options. */
struct verify_report *verify_report_new(bool json, uint64_t max, const char *tmpdir);
/* Adds a failure: a verify_options.failure, with the report as arg. */
void verify_report_add(const struct verify_failure *f, void *report);
/* Prints the report to standard output, with a status of the data, of the structure and of both. skipped:
 * entities omitted by the stream's producer. false with e filled if failures could not be stored. */
bool verify_report_print(struct verify_report *report, const struct verify_result *r,
                         const struct verify_structure *structure, uint64_t skipped, struct err *e);
void verify_report_free(struct verify_report *report);

/* Parts of a report's lines, for others that show failures: appends both values of a difference as they are shown, of long
 * ones an excerpt from shortly before it on. */
void verify_report_add_values(const struct verify_diff *d, struct buf *source, struct buf *target);
/* Appends the rest of an entity's key after its name, with `before` in front: ": version=3"; nothing if the name is
 * the key. */
void verify_report_add_rest_of_key(const struct record *r, const char *before, struct buf *out);

#endif

/* The report of a run as one HTML page that needs nothing else: no script, no network. It is made of the
 * journal (common/journal.h), to which the programs of the run add lines of these
 * types:
 *
 *   message     level, topic, program, where, text (err.h)
 *   loaded      kind, rows, collapsed, dropped: what ml-load has written
 *   checked     kind, total, passed: what ml-verify has compared
 *   verdict     of the data and of the structure, why that was not checked: at the end of ml-verify
 *   structure   a difference of the structure
 *   failure     kind, verdict (different, missing, extra), name, rest of the key; followed by its fields:
 *   field       name, source, target, which of them are null ("s", "t", "st" or "")
 *   runs        number, first and last start in ms; without one: 0, 0
 *   hour        hours since the epoch, runs that started in it
 *   experiments number of experiments, and of the runs in those that have no line
 *   experiment  id, name, lifecycle stage, runs, metrics, traces, models, first and last start of a run
 *   synced      kind, added, changed, equal, kept, held back, in conflict: what ml-load --sync has done
 *   tick        source, time, status, summary: of ml-sync
 *   conflict, overwritten   entity, field, source, target: of a sync
 *
 * Memory is bounded: lists are copied from the journal to the page, and cut at a number of lines and of bytes,
 * with a count of what is left out; a page stays below 5 MB. */
#ifndef FORMATS_REPORT_H
#define FORMATS_REPORT_H

#include <stdbool.h>

#include "common/err.h"
#include "formats/verify/report.h"

enum { REPORT_FAILURES = 200, REPORT_ALL_FAILURES = 3000 }; /* shown of one kind, and of all */

struct report {
    enum { REPORT_MIGRATION, REPORT_VERIFICATION, REPORT_SYNC } of;
    const char *const *sources; /* as to be shown, without passwords */
    size_t n_sources;
    const char *target; /* likewise */
    const char *use;    /* the command that makes MLflow use the target; NULL: none */
    const char *began;  /* text */
    int status;         /* exit status of the run */
    bool dry_run;
};

/* The time now as text, for `began`; malloc'ed. */
char *report_time(void);
/* Whether the page can be written, as far as that can be told before the run: false with e filled. */
bool report_may_write(const char *path, struct err *e);
/* Writes the page; an existing file is replaced once the new one is complete. */
bool report_write(const char *path, const struct report *r, struct err *e);

/* Counts failures for the journal. Zero-initialise it. */
struct report_failures {
    uint64_t of_kind[KIND_COUNT], all; /* added */
};
/* Adds a failure to the journal, up to the numbers above. */
void report_add_failure(struct report_failures *n, const struct verify_failure *f);
/* Adds the result of a verification to it. */
void report_add_result(const struct verify_result *r, const struct verify_structure *s);

#endif

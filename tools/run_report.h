/* The page that ml-migrate and ml-sync write about a run (formats/report/). */
#ifndef TOOLS_RUN_REPORT_H
#define TOOLS_RUN_REPORT_H

#include "formats/report/report.h"
#include "tools/sources.h"

struct run_report {
    const char *path; /* NULL: none is wanted, and the functions below do nothing */
    char *began;
};

/* To be called before the first program starts: from then on all of them add to the journal, which lies in `dir`. Ends the
 * program if the page cannot be written. */
void run_report_begin(struct run_report *r, const char *path, const char *dir);
/* Writes the page about sources and target (URLs or paths), of which `about` says the rest. Returns the run's exit status:
 * about->status, or EXIT_ANSWER_NO where that is EXIT_DONE and the page could not be written, which is reported. */
int run_report_end(const struct run_report *r, const struct sources *sources, const char *target,
                   struct report about);
void run_report_free(struct run_report *r);

#endif

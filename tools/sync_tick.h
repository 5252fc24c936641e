/* One tick of one source of ml-sync: dump | transform | ml-load --sync, and ml-verify --subset. */
#ifndef TOOLS_SYNC_TICK_H
#define TOOLS_SYNC_TICK_H

#include <jansson.h>
#include <stdbool.h>

#include "common/opt.h"
#include "tools/sources.h"
#include "tools/sync_files.h"

/* The user's choices for all sources. */
struct sync_choices {
    const char *argv0;
    const char *target, *relocate, *workspace, *prefer, *on_conflict, *jobs, *tmpdir;
    struct opt_list rewrite_uri;
    bool renumber_trash, no_spans, spans_in_database, acting, verify, dry_run;
};

/* The options that affect what is written, as one text; malloc'ed. */
char *sync_tick_options(const struct sync_choices *c);

/* Runs a tick; the lock must be held. Adds to the object: time, status, changed, summary, full, verified, and
 * ml-load's report (result). Returns the status: EXIT_DONE, EXIT_ANSWER_NO or EXIT_TROUBLE, with the reason
 * already printed. */
int sync_tick(const struct sync_choices *c, const struct sync_files *files, const struct source *s,
              json_t *tick);

#endif

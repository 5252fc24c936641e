/* What ml-migrate's files share. */
#ifndef TOOLS_MIGRATE_H
#define TOOLS_MIGRATE_H

#include <stdbool.h>

#include "common/opt.h"
#include "tools/programs.h"
#include "tools/run_report.h"
#include "tools/sources.h"

struct migrate_options {
    struct opt_list sources, find, rewrite_uri;
    const char *target, *release, *jobs, *tmpdir, *on_conflict, *relocate, *renumber, *report;
    bool verify, reread, dry_run, skip_malformed, drop_unsupported, renumber_trash, renumber_versions,
        no_spans, spans_in_database, yes;
};

/* One migration: its options and sources. */
struct migration {
    const char *argv0;
    struct migrate_options options;
    struct sources sources;
    char *tmpdir; /* the one asked for, or that of the target */
    struct run_report report;
};

/* A dump for each source, for migrate_free_dumps() to free. again: it is the second one, whose warnings have been printed. */
struct command *migrate_dump_commands(const struct migration *m, bool again);
void migrate_free_dumps(struct command *commands, size_t n);
/* Returns false where the stream is passed on unchanged. */
bool migrate_transform_command(const struct migration *m, const char *tmpdir, struct command *c);
struct command migrate_load_command(const struct migration *m);
struct command migrate_verify_command(const struct migration *m);

/* Says what the migration would do and asks whether it shall, where a terminal can answer. false: it shall not. Asks
 * nothing where standard input or error is not a terminal. */
bool migrate_ask(const struct migration *m);

#endif

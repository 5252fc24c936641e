/* ml-load --sync: syncs a record stream into a database in use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/io.h"
#include "common/progress.h"
#include "formats/stream/wire.h"
#include "formats/sync/sync.h"
#include "formats/transform/workspace.h"
#include "tools/ml-load.h"

static enum sync_on_conflict policy_of(const struct opt_spec *spec, const char *word)
{
    static const char *const words[] = {
        [SYNC_FAIL] = "fail", [SYNC_RENAME] = "rename", [SYNC_RENUMBER] = "renumber", [SYNC_SKIP] = "skip"};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (!word || strcmp(word, words[i]) == 0)
            return (enum sync_on_conflict)i;
    if (spec)
        opt_usage_error(spec, "--on-conflict must be fail, rename, renumber or skip, not %s", word);
    return SYNC_FAIL;
}

void load_tool_check_sync(const struct opt_spec *spec, struct load_tool_options *o)
{
    const char *alone = o->prefer        ? "--prefer"
                        : o->on_conflict ? "--on-conflict"
                        : o->workspace   ? "--workspace"
                        : o->acting      ? "--acting"
                        : o->json        ? "--json"
                        : o->promote     ? "--promote"
                                         : NULL;
    if (!o->sync && alone)
        opt_usage_error(spec, "%s requires --sync", alone);
    if (o->prefer && strcmp(o->prefer, "source") != 0 && strcmp(o->prefer, "target") != 0)
        opt_usage_error(spec, "--prefer must be source or target, not %s", o->prefer);
    policy_of(spec, o->on_conflict);
    if (o->sync && (o->target.wide_ids || o->drop_unsupported || o->export))
        opt_usage_error(spec, "%s cannot be used with --sync",
                        o->target.wide_ids    ? "--wide-experiment-ids"
                        : o->drop_unsupported ? "--drop-unsupported"
                                              : "--export");
    o->target.beside = o->sync;
    const char *equals = o->promote ? strchr(o->promote, '=') : NULL;
    if (o->promote && (!equals || equals == o->promote || !equals[1]))
        opt_usage_error(spec, "--promote must be NEW=STATE, not %s", o->promote);
}

static void add(struct sync *x, struct workspace *w, const struct record *record)
{
    struct err e;
    struct record r = *record;
    int goes_on = w ? workspace_record(w, &r, &e) : 1;
    load_tool_require(goes_on >= 0 && (!goes_on || sync_add(x, &r, &e)), &e);
}

static void read_stream(struct sync *x, struct workspace *w, const char *tmpdir)
{
    struct err e;
    struct wire_reader *r = wire_reader_new(STDIN_FILENO, "standard input");
    const struct record *record;
    struct record row;
    wire_reader_want_whole(r, tmpdir);
    wire_reader_accept_deltas(r);
    progress_start_input("reading", "records");
    for (unsigned n = 0;; n++) {
        if ((n & 1023) == 0 && err_interrupted())
            err_exit_interrupted();
        enum wire_event event = wire_next(r, &record, &e);
        if (event == WIRE_HEADER)
            load_tool_require(sync_segment(x, wire_reader_header(r), &e), &e);
        progress_add(event == WIRE_RECORD);
        if (event == WIRE_RECORD)
            add(x, w, record);
        while (event == WIRE_TRAILER && w && workspace_row(w, &row))
            load_tool_require(sync_add(x, &row, &e), &e);
        if (event == WIRE_ERROR) {
            progress_end();
            err_die(&e);
        }
        if (event == WIRE_END)
            break;
    }
    progress_end();
    wire_reader_free(r);
}

int load_tool_sync(const char *url, const struct load_tool_options *o)
{
    struct err e;
    struct load_target *t = load_tool_open_target(url, o);
    struct sync_options how = {.prefer_target = o->prefer && strcmp(o->prefer, "target") == 0,
                               .on_conflict = policy_of(NULL, o->on_conflict),
                               .acting = o->acting,
                               .spans_in_database = o->spans_in_database,
                               .dry_run = o->target.dry_run,
                               .json = o->json,
                               .tmpdir = load_target_tmpdir(t)};
    char *promote = o->promote ? xstrdup(o->promote) : NULL;
    if (promote) {
        how.promote_to = strchr(promote, '=') + 1;
        *strchr(promote, '=') = '\0';
        how.promote_new = promote;
    }
    struct workspace *w = o->workspace ? workspace_new(o->workspace, &e) : NULL;
    load_tool_require(!o->workspace || w, &e);
    struct db *db = load_target_open_beside(t, &e);
    load_tool_require(db != NULL, &e);
    struct sync *x = sync_new(db, load_target_rev(t), &how, &e);
    load_tool_require(x != NULL, &e);
    read_stream(x, w, load_target_tmpdir(t));
    progress_start("syncing", "rows", 0);
    bool done = sync_run(x, &e);
    progress_end();
    if (!done && o->json && sync_refused_base(x)) { /* for ml-sync */
        fputs("{\"refused\":\"base\"}\n", stdout);
        io_close_stdout();
    }
    load_tool_require(done, &e);
    int code = sync_left_out(x) ? EXIT_ANSWER_NO : EXIT_DONE;
    load_tool_require(load_target_publish(t, &e), &e);
    if (!o->target.dry_run)
        err_done(code, "the sync is complete");
    bool promoted = sync_promote(x, &e);
    sync_report(x); /* also where the state could not be replaced: the rows are there */
    if (o->json) {
        struct buf report = {0};
        sync_report_json(x, &report);
        fputs(buf_str(&report), stdout);
        io_close_stdout();
        buf_free(&report);
    }
    load_tool_require(promoted, &e);
    sync_free(x);
    workspace_free(w);
    free(promote);
    return code;
}

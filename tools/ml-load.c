/* ml-load: loads a record stream into an empty database, all or nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/io.h"
#include "common/opt.h"
#include "common/progress.h"
#include "formats/database/interrupt.h"
#include "formats/load/load.h"
#include "formats/load/report.h"
#include "formats/load/target.h"
#include "formats/schema/schema.h"
#include "formats/stream/wire.h"
#include "tools/ml-load.h"

static const struct opt table[] = {
    {OPT_STRING, 0, "release", "X.Y[.Z]",
     "create the schema of this MLflow release (default: that of the mlflow\n"
     "on PATH, else the newest installable one); an existing database\n"
     "keeps its schema",
     OPT_AT(struct load_tool_options, target.release)},
    {OPT_FLAG, 'n', "dry-run", NULL, "check every record against the target and count; change nothing",
     OPT_AT(struct load_tool_options, target.dry_run)},
    {OPT_FLAG, 0, "drop-unsupported", NULL,
     "leave out what the target cannot hold, count it, and exit with 1",
     OPT_AT(struct load_tool_options, drop_unsupported)},
    {OPT_FLAG, 0, "spans-in-database", NULL,
     "let MLflow 3.6 and later read spans from the database, for traces\n"
     "whose spans it returns unchanged",
     OPT_AT(struct load_tool_options, spans_in_database)},
    {OPT_FLAG, 0, "wide-experiment-ids", NULL,
     "PostgreSQL: make the columns of experiment ids 64 bits wide; from\n"
     "then on only ml-schema can upgrade the database",
     OPT_AT(struct load_tool_options, target.wide_ids)},
    {OPT_FLAG, 0, "export", NULL,
     "also print the command that makes MLflow use the database to\n"
     "standard output",
     OPT_AT(struct load_tool_options, export)},
    {OPT_FLAG, 0, "sync", NULL,
     "sync new and changed data into a database that may be in use, by the\n"
     "rules in the manual; the options below require it",
     OPT_AT(struct load_tool_options, sync)},
    {OPT_STRING, 0, "prefer", "source|target",
     "where source and target differ and neither is known to be newer: the\n"
     "value of the source (default) or of the target",
     OPT_AT(struct load_tool_options, prefer)},
    {OPT_STRING, 0, "on-conflict", "fail|rename|renumber|skip",
     "fail (default) writes nothing; skip leaves out what is in conflict;\n"
     "rename and renumber resolve taken names and version numbers",
     OPT_AT(struct load_tool_options, on_conflict)},
    {OPT_STRING, 0, "promote", "NEW=STATE",
     "after the commit rename NEW, which mlruns-dump --next-state wrote, to\n"
     "STATE, for the next --since",
     OPT_AT(struct load_tool_options, promote)},
    {OPT_STRING, 0, "workspace", "NAME", "put everything into this workspace",
     OPT_AT(struct load_tool_options, workspace)},
    {OPT_FLAG, 0, "acting", NULL, "include rows that trigger actions: webhooks, jobs and others",
     OPT_AT(struct load_tool_options, acting)},
    {OPT_FLAG, 0, "json", NULL, "print the report to standard output as JSON",
     OPT_AT(struct load_tool_options, json)},
    {OPT_STRING, 0, "tmpdir", "DIR", "directory for temporary files (default: that of the target)",
     OPT_AT(struct load_tool_options, target.tmpdir)},
    {.type = OPT_END},
};

static const struct opt_spec spec = {
    .synopsis = "ml-load [--release X.Y[.Z]] [-n|--dry-run] [--drop-unsupported] [--wide-experiment-ids]\n"
                "        [--spans-in-database] [--export] [--tmpdir DIR] [URL]\n"
                "ml-load --sync [--prefer source|target] [--on-conflict fail|rename|renumber|skip]\n"
                "        [--promote NEW=STATE] [--workspace NAME] [--acting] [--spans-in-database] [--json]\n"
                "        [--release X.Y[.Z]] [-n|--dry-run] [--tmpdir DIR] [URL]",
    .about = "Loads the record stream on standard input into a database: all of it, or nothing.\n"
             "URL is sqlite:///file.db or postgresql://… (default: $MLFLOW_BACKEND_STORE_URI, "
             "$MLFLOW_TRACKING_URI where it\n"
             "names a database, else sqlite:///mlflow.db). An existing database must be empty,\n"
             "unless --sync is given.",
    .options = table,
    .epilog = "Example: mlruns-dump ./mlruns | ml-load sqlite:///mlflow.db",
};

void load_tool_require(bool ok, const struct err *e)
{
    if (!ok)
        err_die(e);
}

static void free_target(void *t)
{
    load_target_free(t);
}

struct load_target *load_tool_open_target(const char *url, const struct load_tool_options *o)
{
    struct err e;
    struct buf why = {0};
    struct load_target *t = load_target_new(url ? url : db_default_url(), &o->target, &e);
    load_tool_require(t, &e);
    err_cleanup_push(free_target, t);
    const struct db_url *u = load_target_url(t);
    if (o->target.wide_ids && u->dialect == DIALECT_SQLITE)
        die(u->display, "--wide-experiment-ids: SQLite's ids are 64 bits wide already");
    if (!url)
        err_note("no URL given: %s", u->display);
    db_url_warn(u);
    if (isatty(STDIN_FILENO))
        die_hint("mlruns-dump ./mlruns | ml-load sqlite:///mlflow.db", "standard input",
                 "record stream not read from a terminal");
    load_tool_require(load_target_look(t, &why, &e), &e);
    if (why.len)
        err_note("schema: that of %s", buf_str(&why));
    buf_free(&why);
    load_tool_require(load_target_begin(t, &e), &e);
    return t;
}

static void read_stream(struct load *s, const char *tmpdir)
{
    struct err e;
    struct wire_reader *r = wire_reader_new(STDIN_FILENO, "standard input");
    const struct record *record;
    wire_reader_want_whole(r, tmpdir);
    progress_start_input("reading", "records");
    for (unsigned n = 0;; n++) {
        if ((n & 1023) == 0 && err_interrupted())
            err_exit_interrupted();
        switch (wire_next(r, &record, &e)) {
        case WIRE_HEADER:
            load_segment(s, wire_reader_header(r));
            continue;
        case WIRE_RECORD:
            progress_add(1);
            load_tool_require(load_add(s, record, &e), &e);
            continue;
        case WIRE_TRAILER:
            continue;
        case WIRE_ERROR:
            progress_end();
            err_die(&e);
        case WIRE_END:
            break;
        }
        break;
    }
    progress_end();
    wire_reader_free(r);
    load_tool_require(load_check(s, &e), &e);
}

static void say_how_to_open(const struct load_target *t, const struct load_tool_options *o)
{
    struct buf releases = {0}, uri = {0};
    int rev = load_target_rev(t);
    char *plain = load_target_uri(t);
    buf_add_shell_word(&uri, plain);
    schema_releases_of(rev, &releases);
    err_topic_set(ERR_NEXT);
    err_note("schema %s: only MLflow %s can open this database (ml-schema upgrade makes it newer)",
             schema_revisions[rev].revision, buf_str(&releases));
    buf_free(&releases);
    if (o->target.wide_ids)
        err_note("experiment ids are 64 bits wide: upgrade this database with ml-schema only; MLflow's own "
                 "`db upgrade` fails on it");
    err_topic_set(ERR_COUNTS);
    err_note("to make MLflow use this database:");
    err_note("  export MLFLOW_TRACKING_URI=%s", buf_str(&uri));
    if (o->export) {
        printf("export MLFLOW_TRACKING_URI=%s\n", buf_str(&uri));
        io_close_stdout();
    }
    buf_free(&uri);
    free(plain);
}

int main(int argc, char **argv)
{
    struct err e;
    static struct load_tool_options o = {.export = false};
    malloc_setup();
    err_program_set(argv[0]);
    io_claim_standard_files();
    int first = opt_parse(&spec, argc, argv, &o);
    if (argc - first > 1)
        opt_usage_error(&spec, "extra operand '%s'", argv[first + 1]);
    if (o.export && !io_stdout_has_reader())
        die("standard output", "cannot write: closed, or a pipe without a reader");
    err_catch_signals();
    load_tool_check_sync(&spec, &o);
    if (o.sync)
        return load_tool_sync(argv[first], &o);
    struct load_target *t = load_tool_open_target(argv[first], &o);
    struct load *s = load_target_store(t,
                                       &(struct load_options){.drop_unsupported = o.drop_unsupported,
                                                              .spans_in_database = o.spans_in_database},
                                       &e);
    load_tool_require(s, &e);
    read_stream(s, load_target_tmpdir(t));
    load_tool_require(load_target_write(t, s, &e), &e);
    err_verbose("%llu MiB were written to a temporary file", (unsigned long long)(load_spilled(s) >> 20));
    load_tool_require(load_target_publish(t, &e), &e);
    int code = load_report_dropped(load_report(s)) ? EXIT_ANSWER_NO : EXIT_DONE;
    if (!o.target.dry_run)
        err_done(code, "the database is complete");

    err_topic_set(ERR_COUNTS);
    err_note(o.target.dry_run ? "dry run: nothing was written; would be loaded into %s:" : "loaded into %s:",
             load_target_url(t)->display);
    load_report_print(load_report(s));
    if (!o.target.dry_run)
        say_how_to_open(t, &o);
    load_free(s);
    return code;
}

/* ml-verify: holds a record stream against a database, field by field, both ways. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/opt.h"
#include "common/progress.h"
#include "formats/database/interrupt.h"
#include "formats/verify/report.h"
#include "formats/verify/verify.h"
#include "formats/stream/wire.h"

struct options {
    bool exact, json;
    uint64_t max_failures;
    const char *tmpdir;
};

static const struct opt table[] = {
    {OPT_FLAG, 0, "exact", NULL, "compare floats bit for bit, not within a relative 1e-9",
     OPT_AT(struct options, exact)},
    {OPT_FLAG, 0, "json", NULL, "print a JSON object per failure, then one with the counts",
     OPT_AT(struct options, json)},
    {OPT_SIZE, 0, "max-failures", "N", "show at most N failures; all are counted (default: show all)",
     OPT_AT(struct options, max_failures)},
    {OPT_STRING, 0, "tmpdir", "DIR", "folder of temporary files (default: that of the database)",
     OPT_AT(struct options, tmpdir)},
    {.type = OPT_END},
};
static const struct opt_spec spec = {
    .synopsis = "ml-verify [--exact] [--json] [--max-failures N] [--tmpdir DIR] [URL]",
    .about =
        "Reads a record stream from standard input and compares it with MLflow's tracking database, every\n"
        "field of every entity, in both directions: what is missing, what differs, what is there beside it.\n"
        "URL is sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database; by\n"
        "default $MLFLOW_BACKEND_STORE_URI, $MLFLOW_TRACKING_URI or sqlite:///mlflow.db.",
    .options = table,
    .epilog =
        "Exit status: 0 all is equal, 1 something differs, 2 the stream or the database could not be read.",
};

static void print_notes(const struct verify_result *r, uint64_t skipped)
{
    if (skipped)
        err_warn("the stream", "its producer left %" PRIu64 " entities out; those are not verified", skipped);
    if (r->duplicates)
        err_note("%" PRIu64 " points of the stream are exact duplicates, which a database holds once",
                 r->duplicates);
    if (r->unplaced)
        err_note("%" PRIu64 " values of trace metadata have no form that this schema keeps", r->unplaced);
    if (r->underived)
        err_note("this schema is older than latest_metrics: %" PRIu64 " of them are not compared",
                 r->underived);
    if (r->server_tables)
        err_note("%" PRIu64
                 " tables that MLflow's server fills by itself, or of secrets, are not the stream's",
                 r->server_tables);
    if (r->default_experiment)
        err_note(
            "the database has an empty experiment Default, which MLflow's server adds; the stream has none");
}

/* -- reading */

static void add_record(struct verify *v, const struct record *r, uint64_t *skipped, struct err *e)
{
    if (r->kind->kind == KIND_skipped) {
        struct buf path = {0};
        value_describe(&r->v[F_skipped_path], &path);
        err_verbose("left out by the producer: %s", buf_str(&path));
        buf_free(&path);
        ++*skipped;
    } else if (!verify_add(v, r, e)) {
        err_die(e);
    }
    progress_add(1);
    if (err_interrupted())
        err_exit_interrupted();
}

static uint64_t read_stream(struct verify *v)
{
    struct wire_reader *r = wire_reader_new(STDIN_FILENO, "standard input");
    const struct record *record;
    uint64_t skipped = 0;
    struct err e;
    wire_reader_want_whole(r);
    progress_start("reading", "records", 0);
    for (;;) {
        switch (wire_next(r, &record, &e)) {
        case WIRE_ERROR:
            db_die(&e);
        case WIRE_END:
            progress_end();
            wire_reader_free(r);
            return skipped;
        case WIRE_HEADER:
            verify_segment(v, wire_reader_header(r));
            break;
        case WIRE_RECORD:
            add_record(v, record, &skipped, &e);
            break;
        case WIRE_TRAILER:
            break;
        }
    }
}

static struct db *open_database(int argc, char **argv, int first, struct options *o, struct db_url *u)
{
    struct err e;
    if (argc - first > 1)
        opt_usage_error(&spec, "one database URL is enough: %s", argv[first + 1]);
    struct db *db = db_open_for_program(argv[first], &o->tmpdir, u, &e);
    if (!db)
        db_die(&e);
    return db;
}

int main(int argc, char **argv)
{
    static struct db_url u; /* for as long as the program runs, like what follows */
    static struct options o = {.max_failures = UINT64_MAX};
    struct err e;
    struct verify_result result;
    malloc_setup();
    err_program_set(argv[0]);
    io_claim_standard_files();
    int first = opt_parse(&spec, argc, argv, &o);
    if (isatty(STDIN_FILENO))
        opt_usage_error(&spec, "a record stream is expected on standard input, as from mlruns-dump");
    err_catch_signals();
    struct db *db = open_database(argc, argv, first, &o, &u);
    struct verify_report *report = verify_report_new(o.json, o.max_failures, o.tmpdir);
    struct verify_options how = {
        .exact = o.exact, .tmpdir = o.tmpdir, .failure = verify_report_add, .arg = report};
    struct verify *v = verify_new(db, &how, &e);
    if (!v) {
        err_report(&e);
        return EXIT_TROUBLE;
    }
    uint64_t skipped = read_stream(v);
    progress_start("comparing", "records", 0);
    if (!verify_compare(v, &result, &e))
        db_die(&e);
    progress_end();
    if (!verify_report_print(report, &result, skipped, &e))
        err_die(&e);
    print_notes(&result, skipped);
    verify_free(v);
    verify_report_free(report);
    db_url_free(&u);
    io_close_stdout();
    return result.failures ? EXIT_ANSWER_NO : EXIT_DONE;
}

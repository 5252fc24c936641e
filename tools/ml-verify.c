/* ml-verify: compares a record stream with a database, field by field, in both directions. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/journal.h"
#include "common/opt.h"
#include "common/progress.h"
#include "formats/database/interrupt.h"
#include "formats/report/report.h"
#include "formats/report/summary.h"
#include "formats/schema/schema.h"
#include "formats/state/state.h"
#include "formats/stream/wire.h"
#include "formats/verify/report.h"
#include "formats/verify/verify.h"
#include "tools/database.h"
#include "tools/structure.h"
#include "tools/verify_notes.h"

struct options {
    struct others others; /* of an unknown revision */
    struct buf warning;
    bool exact, json, data_only, subset;
    const char *use_state, *html;
    uint64_t max_failures;
    const char *tmpdir;
};

static const struct opt table[] = {
    {OPT_FLAG, 0, "exact", NULL, "compare floats bit for bit, not within a relative 1e-9",
     OPT_AT(struct options, exact)},
    {OPT_FLAG, 0, "json", NULL, "print a JSON object per failure, then one with the counts",
     OPT_AT(struct options, json)},
    {OPT_STRING, 0, "html", "FILE", "also write the report to FILE, as a page for a browser",
     OPT_AT(struct options, html)},
    {OPT_FLAG, 0, "data-only", NULL, "do not check the database's structure",
     OPT_AT(struct options, data_only)},
    {OPT_FLAG, 0, "subset", NULL,
     "the database may hold more than the stream, and by the rules of\n"
     "ml-load --sync also other values",
     OPT_AT(struct options, subset)},
    {OPT_STRING, 0, "use-state", "STATE",
     "with --subset: the state of the ticks that sent the stream; ids as\n"
     "it has them, and edits of the database stay",
     OPT_AT(struct options, use_state)},
    {OPT_SIZE, 0, "max-failures", "N", "show at most N failures; all are counted (default: show all)",
     OPT_AT(struct options, max_failures)},
    {OPT_STRING, 0, "tmpdir", "DIR", "directory for temporary files (default: that of the database)",
     OPT_AT(struct options, tmpdir)},
    {.type = OPT_END},
};
static const struct opt_spec spec = {
    .synopsis = "ml-verify [--exact] [--json] [--html FILE] [--data-only] [--subset [--use-state STATE]]\n"
                "          [--max-failures N] [--tmpdir DIR] [URL]",
    .about =
        "Reads a record stream from standard input and compares it with MLflow's tracking database, every\n"
        "field of every entity, in both directions: what is missing, what differs, what is only in the "
        "database.\n"
        "The database's structure is checked too, against its own revision: whatever MLflow would refuse or\n"
        "lose rows to. This needs no privilege but SELECT and writes nothing.\n"
        "URL is sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database; by\n"
        "default $MLFLOW_BACKEND_STORE_URI, $MLFLOW_TRACKING_URI or sqlite:///mlflow.db.",
    .options = table,
    .epilog = "Exit status: 0 all is equal, 1 data or structure differ, 2 the stream or the database could "
              "not be read.",
};

/* -- reading */

/* What the stream is read into. */
struct reading {
    struct verify *v;
    struct summary *summary; /* NULL: there is no report */
    uint64_t records, skipped;
};

/* In a pipeline the report has it from its producer. */
static void add_skipped(const struct record *r)
{
    struct buf path = {0}, reason = {0};
    value_describe(&r->v[F_skipped_path], &path);
    value_describe(&r->v[F_skipped_reason], &reason);
    err_verbose("left out by the producer: %s", buf_str(&path));
    if (journal_is_own())
        journal_message("warning", "left out", err_program(), buf_str(&path), buf_str(&reason));
    buf_free(&path);
    buf_free(&reason);
}

static void add_record(struct reading *to, const struct record *r, struct err *e)
{
    if (r->kind->kind == KIND_skipped) {
        add_skipped(r);
        to->skipped++;
    } else if (!verify_add(to->v, r, e)) {
        err_die(e);
    } else if (to->summary) {
        summary_add(to->summary, r, 0);
    }
    to->records++;
    progress_add(1);
    if (err_interrupted())
        err_exit_interrupted();
}

static void read_stream(struct reading *to, const struct options *o)
{
    struct wire_reader *r = wire_reader_new(STDIN_FILENO, "standard input");
    const struct record *record;
    struct err e = {.what = ""};
    wire_reader_want_whole(r, o->tmpdir);
    if (o->subset)
        wire_reader_accept_deltas(r);
    progress_start_input("reading", "records");
    for (;;) {
        switch (wire_next(r, &record, &e)) {
        case WIRE_ERROR:
            err_die(&e);
        case WIRE_END:
            progress_end();
            wire_reader_free(r);
            return;
        case WIRE_HEADER:
            verify_segment(to->v, wire_reader_header(r));
            break;
        case WIRE_RECORD:
            add_record(to, record, &e);
            break;
        case WIRE_TRAILER:
            break;
        }
    }
}

/* What a sync may leave to the database; NULL without --subset. */
static struct subset *make_subset(struct db *db, const struct options *o)
{
    struct err e;
    struct subset *s = o->subset ? subset_new(db, o->use_state, o->tmpdir) : NULL;
    struct state *state = o->use_state ? state_open(o->use_state, NULL, &e) : NULL;
    struct state_cursor c;
    struct state_map_entry m;
    int got = 0;
    if (o->use_state && !state)
        err_die(&e);
    if (!state)
        return s;
    state_cursor_init(&c, state);
    while ((got = state_map_next(&c, &m, &e)) == 1) {
        const struct kind_desc *k = kind_by_name(m.kind.s, m.kind.len);
        struct value key = value_strn(m.key.s, m.key.len), value = value_strn(m.value.s, m.value.len);
        if (k)
            subset_know(s, k->kind, &key, &value);
    }
    if (got < 0)
        err_die(&e);
    state_cursor_free(&c);
    state_close(state);
    return s;
}

static struct db *open_database(char **operands, struct options *o, struct db_url *u)
{
    struct err e = {.what = ""};
    if (o->html && !report_may_write(o->html, &e))
        err_die(&e);
    struct db *db = database_open_operand(&spec, operands, &o->tmpdir, u);
    if (o->html && !journal_create(o->tmpdir, &e))
        err_die(&e);
    /* an error here shows up in the report */
    if (schema_read_unknown(db, false, &o->others, &o->warning, &e) && o->warning.len)
        err_warn(u->display, "%s", buf_str(&o->warning));
    return db;
}

/* -- the reports */

struct reports {
    struct verify_report *text;
    struct report_failures journaled;
};

static void add_failure(const struct verify_failure *f, void *arg)
{
    struct reports *r = arg;
    verify_report_add(f, r->text);
    report_add_failure(&r->journaled, f);
}

/* What is read of the stream for the page only; NULL where there is none. */
static struct summary *make_summary(struct spill *spill)
{
    struct summary *s = journal_wanted() ? summary_new(spill) : NULL;
    if (s)
        summary_count_hours(s);
    return s;
}

static void end_summary(struct summary *s)
{
    struct err e;
    if (s && !summary_journal(s, &e))
        err_die(&e);
    summary_free(s);
}

static void write_page(const struct options *o, const char *target, int status, const char *began)
{
    static const char *const stream = "a record stream on standard input";
    struct report r = {.of = REPORT_VERIFICATION,
                       .sources = &stream,
                       .n_sources = 1,
                       .target = target,
                       .began = began,
                       .status = status};
    struct err e;
    if (o->html && !report_write(o->html, &r, &e))
        err_die(&e);
}

int main(int argc, char **argv)
{
    static struct db_url u; /* these live as long as the program */
    static struct options o = {.max_failures = UINT64_MAX};
    struct err e = {.what = ""};
    struct verify_result result;
    struct judgement structure = {0};
    malloc_setup();
    err_program_set(argv[0]);
    io_claim_standard_files();
    int first = opt_parse(&spec, argc, argv, &o);
    if (o.use_state && !o.subset)
        opt_usage_error(&spec, "--use-state requires --subset");
    if (isatty(STDIN_FILENO))
        opt_usage_error(&spec, "standard input: record stream not read from a terminal");
    err_catch_signals();
    struct db *db = open_database(argv + first, &o, &u);
    static struct reports reports; /* an error ends the program with them */
    reports.text = verify_report_new(o.json, o.max_failures, o.tmpdir);
    char *began = report_time();
    struct spill *spill = spill_new(o.tmpdir);
    struct reading reading = {.summary = make_summary(spill)};
    struct verify_options how = {.others = o.others.n ? &o.others : NULL,
                                 .subset = make_subset(db, &o),
                                 .exact = o.exact,
                                 .tmpdir = o.tmpdir,
                                 .failure = add_failure,
                                 .arg = &reports};
    struct verify *v = reading.v = verify_new(db, &how, &e);
    if (!v) {
        err_report(&e);
        return EXIT_TROUBLE;
    }
    read_stream(&reading, &o);
    end_summary(reading.summary);
    spill_free(spill);
    progress_start("comparing", "records", reading.records);
    if (!verify_compare(v, &result, &e))
        err_die(&e);
    progress_end();
    judgement_make(db, o.data_only, &structure);
    report_add_result(&result, &structure.structure);
    if (!verify_report_print(reports.text, &result, &structure.structure, reading.skipped, &e))
        err_die(&e);
    verify_print_notes(&result, how.subset, reading.skipped);
    verify_free(v);
    subset_free(how.subset);
    verify_report_free(reports.text);
    others_free(&o.others);
    buf_free(&o.warning);
    io_close_stdout();
    bool failed = result.failures || structure.structure.verdict == VERIFY_STRUCTURE_DIFFERENT;
    judgement_free(&structure);
    int status = failed ? EXIT_ANSWER_NO : EXIT_DONE;
    write_page(&o, u.display, status, began);
    db_url_free(&u);
    free(began);
    return status;
}

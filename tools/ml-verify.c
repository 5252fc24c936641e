/* ml-verify: compares a record stream with a database, field by field, in both directions. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/opt.h"
#include "common/progress.h"
#include "formats/database/interrupt.h"
#include "formats/verify/report.h"
#include "formats/state/state.h"
#include "formats/verify/verify.h"
#include "formats/schema/schema.h"
#include "formats/stream/wire.h"
#include "tools/database.h"

struct options {
    struct others others; /* of an unknown revision */
    struct buf warning;
    bool exact, json, data_only, subset;
    const char *use_state;
    uint64_t max_failures;
    const char *tmpdir;
};

static const struct opt table[] = {
    {OPT_FLAG, 0, "exact", NULL, "compare floats bit for bit, not within a relative 1e-9",
     OPT_AT(struct options, exact)},
    {OPT_FLAG, 0, "json", NULL, "print a JSON object per failure, then one with the counts",
     OPT_AT(struct options, json)},
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
    .synopsis = "ml-verify [--exact] [--json] [--data-only] [--subset [--use-state STATE]]\n"
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

static void print_notes(const struct verify_result *r, const struct subset *subset, uint64_t skipped)
{
    if (skipped)
        err_warn("the stream", "%" PRIu64 " entities were left out by its producer and are not verified",
                 skipped);
    if (r->duplicates)
        err_note("%" PRIu64 " points of the stream are exact duplicates, of which a database stores one",
                 r->duplicates);
    if (r->unplaced)
        err_note("%" PRIu64 " values of trace metadata cannot be stored in this schema", r->unplaced);
    if (r->underived)
        err_note("this schema is older than latest_metrics: %" PRIu64 " of them are not compared",
                 r->underived);
    if (r->server_tables)
        err_note("%" PRIu64
                 " tables that MLflow's server fills itself, or that hold secrets, are not in the stream",
                 r->server_tables);
    if (r->besides || subset)
        err_note("%" PRIu64 " records of the database are not the stream's; %" PRIu64
                 " values differ as the rules of a sync leave them",
                 r->besides, subset ? subset_kept(subset) : 0);
    if (r->version_models)
        err_note("MLflow's databases have no column for the model_id of a model version: %" PRIu64
                 " of them are not compared",
                 r->version_models);
    if (r->spans_left)
        err_note("this schema has no table for spans: %" PRIu64 " of them are not compared", r->spans_left);
    if (r->spans_besides)
        err_note("the stream was written without spans: %" PRIu64 " of the database are not compared",
                 r->spans_besides);
    if (r->spans_located)
        err_note(
            "%" PRIu64
            " traces of the stream say nothing of where their spans are, the database says that it has them",
            r->spans_located);
    if (r->waiting)
        err_note("%" PRIu64 " aliases wait for their version", r->waiting);
    if (r->default_experiment)
        err_note(
            "the database has an empty experiment Default, as MLflow's server adds it; the stream has none");
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

static uint64_t read_stream(struct verify *v, bool subset)
{
    struct wire_reader *r = wire_reader_new(STDIN_FILENO, "standard input");
    const struct record *record;
    uint64_t skipped = 0;
    struct err e = {.what = ""};
    wire_reader_want_whole(r);
    if (subset)
        wire_reader_accept_deltas(r);
    progress_start("reading", "records", 0);
    for (;;) {
        switch (wire_next(r, &record, &e)) {
        case WIRE_ERROR:
            err_die(&e);
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

/* -- structure */

struct judgement {
    struct verify_structure structure;
    char **lines;
    struct buf why;
};

static void take_difference(const char *line, void *arg)
{
    struct judgement *j = arg;
    j->lines = xrealloc(j->lines, (j->structure.n_lines + 1) * sizeof *j->lines);
    j->lines[j->structure.n_lines++] = xstrdup(line);
}

static void take_tolerated(const char *line, void *arg)
{
    (void)arg;
    err_verbose("%s", line);
}

static void judge(struct db *db, bool data_only, struct judgement *j)
{
    static const int verdicts[] = {
        [SCHEMA_SOUND] = VERIFY_STRUCTURE_SOUND,
        [SCHEMA_DIFFERENT] = VERIFY_STRUCTURE_DIFFERENT,
        [SCHEMA_NOT_JUDGED] = VERIFY_STRUCTURE_NOT_CHECKED,
    };
    struct schema_findings f = {.difference = take_difference, .tolerated = take_tolerated, .arg = j};
    if (data_only) {
        j->structure.verdict = VERIFY_STRUCTURE_NOT_CHECKED;
        buf_adds(&j->why, "--data-only");
    } else {
        struct err e;
        enum schema_verdict verdict = schema_judge(db, &f, &j->why, &e);
        if (verdict == SCHEMA_FAILED)
            err_die(&e);
        j->structure.verdict = verdicts[verdict];
    }
    if (err_interrupted())
        err_exit_interrupted();
    j->structure.lines = (const char *const *)j->lines;
    j->structure.why = buf_str(&j->why);
}

static void free_judgement(struct judgement *j)
{
    for (size_t i = 0; i < j->structure.n_lines; i++)
        free(j->lines[i]);
    free(j->lines);
    buf_free(&j->why);
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
    struct db *db = database_open_operand(&spec, operands, &o->tmpdir, u);
    /* an error here shows up in the report */
    if (schema_read_unknown(db, false, &o->others, &o->warning, &e) && o->warning.len)
        err_warn(u->display, "%s", buf_str(&o->warning));
    return db;
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
        opt_usage_error(&spec, "--use-state needs --subset");
    if (isatty(STDIN_FILENO))
        opt_usage_error(&spec, "standard input: record stream not read from a terminal");
    err_catch_signals();
    struct db *db = open_database(argv + first, &o, &u);
    static struct verify_report *report; /* an error ends the program with it */
    report = verify_report_new(o.json, o.max_failures, o.tmpdir);
    struct verify_options how = {.others = o.others.n ? &o.others : NULL,
                                 .subset = make_subset(db, &o),
                                 .exact = o.exact,
                                 .tmpdir = o.tmpdir,
                                 .failure = verify_report_add,
                                 .arg = report};
    struct verify *v = verify_new(db, &how, &e);
    if (!v) {
        err_report(&e);
        return EXIT_TROUBLE;
    }
    uint64_t skipped = read_stream(v, o.subset);
    progress_start("comparing", "records", 0);
    if (!verify_compare(v, &result, &e))
        err_die(&e);
    progress_end();
    judge(db, o.data_only, &structure);
    if (!verify_report_print(report, &result, &structure.structure, skipped, &e))
        err_die(&e);
    print_notes(&result, how.subset, skipped);
    verify_free(v);
    subset_free(how.subset);
    verify_report_free(report);
    others_free(&o.others);
    buf_free(&o.warning);
    db_url_free(&u);
    io_close_stdout();
    bool failed = result.failures || structure.structure.verdict == VERIFY_STRUCTURE_DIFFERENT;
    free_judgement(&structure);
    return failed ? EXIT_ANSWER_NO : EXIT_DONE;
}

/* mldb-dump: MLflow's tracking database as a record stream. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/opt.h"
#include "common/progress.h"
#include "formats/database/db.h"
#include "formats/database/interrupt.h"
#include "formats/database/dump.h"
#include "formats/database/experiment_list.h"
#include "formats/schema/schema.h"
#include "formats/stream/wire.h"
#include "formats/database/tick.h"
#include "tools/database.h"
#include "tools/tick.h"

struct options {
    struct others others; /* of an unknown revision */
    struct buf warning;
    struct opt_list experiments, workspaces;
    bool registry, list, with_secrets, skip_malformed, no_warnings;
    const char *tmpdir, *since, *next_state;
};

static const struct opt table[] = {
    {OPT_LIST, 0, "experiment", "ID", "only this experiment (may be repeated), without the model registry",
     OPT_AT(struct options, experiments)},
    {OPT_FLAG, 0, "registry", NULL, "also the model registry, with --experiment",
     OPT_AT(struct options, registry)},
    {OPT_LIST, 0, "workspace", "NAME", "only what is in this workspace (may be repeated)",
     OPT_AT(struct options, workspaces)},
    {OPT_FLAG, 0, "list", NULL,
     "print the ids of all experiments, including deleted ones, and exit;\nwith --verbose also their names",
     OPT_AT(struct options, list)},
    {OPT_FLAG, 0, "with-secrets", NULL, "include secrets and webhooks' passwords, as stored",
     OPT_AT(struct options, with_secrets)},
    {OPT_FLAG, 0, "skip-malformed", NULL,
     "leave out records with values of the wrong type, and say so in the stream",
     OPT_AT(struct options, skip_malformed)},
    {OPT_FLAG, 0, "no-warnings", NULL, "print no warnings, as for a second dump of the same source",
     OPT_AT(struct options, no_warnings)},
    {OPT_STRING, 0, "since", "STATE",
     "SQLite: only what has changed since the tick of STATE;\neverything if STATE does not exist yet",
     OPT_AT(struct options, since)},
    {OPT_STRING, 0, "next-state", "FILE", "SQLite: write the state for the next tick to FILE",
     OPT_AT(struct options, next_state)},
    {OPT_STRING, 0, "tmpdir", "DIR", "directory for temporary files (default: that of the database)",
     OPT_AT(struct options, tmpdir)},
    {.type = OPT_END},
};
static const struct opt_spec spec = {
    .synopsis = "mldb-dump [OPTION]... [URL]",
    .about = "Writes MLflow's tracking database, of any release, as a record stream to standard output.\n"
             "URL is sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database; by\n"
             "default $MLFLOW_BACKEND_STORE_URI, $MLFLOW_TRACKING_URI or sqlite:///mlflow.db.",
    .options = table,
    .epilog =
        "Exit status: 0 everything was written; 1 something was left out (--skip-malformed); 2 trouble, and\n"
        "the stream has no trailer.",
};

static void take_problem(const struct record *r, const char *name, const char *reason, void *arg)
{
    const struct options *o = arg;
    (void)r;
    err_topic_set(o->skip_malformed ? ERR_LEFT_OUT : ERR_GENERAL);
    if (o->skip_malformed)
        err_warn(name, "left out: %s", reason);
    else
        err_print(name, "%s", reason);
    err_topic_set(ERR_GENERAL);
}

static struct db *open_database(char **operands, struct options *o, struct db_url *u)
{
    struct err e = {.what = ""};
    struct db *db = database_open_operand(&spec, operands, &o->tmpdir, u);
    if (!schema_read_unknown(db, true, &o->others, &o->warning, &e))
        err_die(&e);
    if (o->warning.len)
        err_warn(u->display, "%s", buf_str(&o->warning));
    return db;
}

static void print_list(char **operands, struct options *o, struct db_url *u)
{
    struct err e;
    if (!experiment_list_write(open_database(operands, o, u), err_level() > 0, stdout, &e))
        err_die(&e);
    io_close_stdout();
}

static void print_notes(const struct dbdump_result *r)
{
    err_topic_set(ERR_LEFT_OUT);
    if (r->foreign.len)
        err_note("left out these tables, which are not in MLflow's tracking schema: %s",
                 buf_str(&r->foreign));
    if (r->unscoped.len)
        err_note("left out these tables, whose rows belong to no experiment or workspace: %s",
                 buf_str(&r->unscoped));
    if (r->secrets) {
        err_warn(NULL, "%" PRIu64 " secrets were left out", r->secrets);
        err_print_hint("--with-secrets writes them to the stream, as stored");
    }
    err_topic_set(ERR_GENERAL);
}

static void check_options(const struct options *o)
{
    if (!o->list && isatty(STDOUT_FILENO))
        opt_usage_error(&spec, "standard output: record stream not written to a terminal");
    if (o->since && !o->next_state)
        opt_usage_error(&spec, "--since requires --next-state");
    if (o->list && (o->next_state || o->experiments.len || o->workspaces.len))
        opt_usage_error(&spec, "--list cannot be combined with --next-state, --experiment or --workspace");
    if (o->since && strcmp(o->since, o->next_state) == 0)
        opt_usage_error(&spec, "--since and --next-state must be two files");
}

/* What every tick of a state must have been asked alike; malloc'ed. */
static char *text_of(const struct options *o)
{
    struct buf text = {0};
    for (size_t i = 0; i < o->experiments.len; i++)
        buf_addf(&text, "--experiment %s ", o->experiments.items[i]);
    for (size_t i = 0; i < o->workspaces.len; i++)
        buf_addf(&text, "--workspace %s ", o->workspaces.items[i]);
    buf_addf(&text, "%s%s", o->registry ? "--registry " : "", o->with_secrets ? "--with-secrets " : "");
    return text.data ? text.data : xstrdup("");
}

/* Begins a tick once its header's source is known. */
static void start_tick(struct tick *t, const struct db_url *u, const struct options *o, struct wire_header *h)
{
    char *options = text_of(o), *real = xrealpath(u->path);
    tick_start(t, u->display, real ? real : u->path, options, h->source);
    tick_header(t, h);
    free(options);
    free(real);
}

static void finish(struct wire_writer *w)
{
    struct err e;
    if (!wire_write_trailer(w))
        err_die(wire_writer_error(w));
    if (!wire_writer_close(w, &e))
        err_die(&e);
}

/* A tick of a file that has not changed: nothing is read. */
static void write_idle(struct tick *t, struct dbtick *d, const struct db_url *u, const struct options *o)
{
    struct wire_header h;
    struct err e;
    wire_header_init(&h, state_head(t->old)->stream, 0, 1);
    start_tick(t, u, o, &h);
    struct wire_writer *w = wire_writer_new(STDOUT_FILENO, "standard output");
    if (!wire_write_header_copy(w, &h))
        err_die(wire_writer_error(w));
    if (!dbtick_keep(d, t->next, &e))
        err_die(&e);
    tick_commit(t);
    finish(w);
}

static void print_gone(const struct dbtick *t, const struct db_url *u)
{
    struct buf text = {0};
    for (int k = 0; k < KIND_COUNT; k++)
        if (dbtick_gone(t, (enum kind)k))
            buf_addf(&text, "%s%s %" PRIu64, text.len ? ", " : "", kinds[k].plural,
                     dbtick_gone(t, (enum kind)k));
    if (text.len)
        err_note("%s: gone since the last tick; the target keeps them: %s", u->display, buf_str(&text));
    buf_free(&text);
}

static void write_all(struct dbdump *d, struct tick *t, struct dbtick *changes, const struct db_url *u,
                      const struct options *o)
{
    struct wire_header h;
    struct err e;
    dbdump_header(d, &h);
    if (t)
        start_tick(t, u, o, &h);
    struct wire_writer *w = wire_writer_new(STDOUT_FILENO, "standard output");
    if ((t && !dbtick_settle(changes, t->next, &e)) || !dbdump_write(d, &h, w, &e))
        err_die(&e);
    if (t) {
        tick_commit(t);
        print_gone(changes, u);
    }
    finish(w);
}

/* Reads the database and writes it, or what of it has changed. Returns the number of problems. */
static uint64_t dump(char **operands, struct options *o, struct db_url *u, struct tick *t,
                     struct dbtick **changes)
{
    struct dbdump_result result;
    struct err e;
    struct db *db = open_database(operands, o, u);
    if (t && u->dialect != DIALECT_SQLITE)
        opt_usage_error(&spec,
                        "--next-state requires a SQLite file: a server does not record what has changed");
    if (t && !(*changes = dbtick_new(u->path, t->old, t->reading.began, o->tmpdir, &e)))
        err_die(&e);
    if (t && dbtick_is_idle(*changes)) {
        write_idle(t, *changes, u, o);
        return 0;
    }
    struct dbdump_options how = {
        .experiments = o->experiments.items,
        .n_experiments = o->experiments.len,
        .workspaces = o->workspaces.items,
        .n_workspaces = o->workspaces.len,
        .registry = o->registry,
        .with_secrets = o->with_secrets,
        .tmpdir = o->tmpdir,
        .problem = take_problem,
        .arg = o,
        .others = &o->others,
        .skip_malformed = o->skip_malformed,
        .tick = *changes,
    };
    char *what = xasprintf("reading %s", u->display);
    progress_start(what, "records", 0);
    struct dbdump *d = dbdump_read(db, &how, &result, &e);
    progress_end();
    free(what);
    if (!d)
        err_die(&e);
    if (result.problems && !o->skip_malformed) {
        err_print(u->display, "%" PRIu64 " records have values of the wrong type", result.problems);
        err_print_hint("repair them, or leave them out with --skip-malformed");
        exit(EXIT_TROUBLE);
    }
    write_all(d, t, *changes, u, o);
    print_notes(&result);
    uint64_t problems = result.problems;
    dbdump_free(d);
    dbdump_result_free(&result);
    return problems;
}

int main(int argc, char **argv)
{
    static struct options o = {.tmpdir = NULL};
    static struct tick tick;
    struct dbtick *changes = NULL;
    struct db_url u;
    malloc_setup();
    err_program_set(argv[0]);
    io_claim_standard_files();
    int first = opt_parse(&spec, argc, argv, &o);
    err_warnings_set(!o.no_warnings);
    check_options(&o);
    err_catch_signals();
    if (o.next_state) {
        tick_open(&tick, o.since, o.next_state);
        o.skip_malformed = true; /* stops no tick */
    }
    uint64_t problems = 0;
    if (o.list)
        print_list(argv + first, &o, &u);
    else
        problems = dump(argv + first, &o, &u, o.next_state ? &tick : NULL, &changes);
    dbtick_free(changes);
    tick_close(&tick);
    others_free(&o.others);
    buf_free(&o.warning);
    db_url_free(&u);
    return problems ? EXIT_ANSWER_NO : EXIT_DONE;
}

/* mldb-dump: MLflow's tracking database as a record stream. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/opt.h"
#include "common/progress.h"
#include "formats/database/db.h"
#include "formats/database/interrupt.h"
#include "formats/database/dump.h"
#include "formats/schema/schema.h"
#include "formats/stream/wire.h"
#include "tools/database.h"

struct options {
    struct others others; /* of a revision that is not known */
    struct buf warning;
    struct opt_list experiments, workspaces;
    bool registry, with_secrets, skip_malformed, no_warnings;
    const char *tmpdir;
};

static const struct opt table[] = {
    {OPT_LIST, 0, "experiment", "ID", "only this experiment (may be repeated); no model registry then",
     OPT_AT(struct options, experiments)},
    {OPT_FLAG, 0, "registry", NULL, "the model registry besides the experiments named",
     OPT_AT(struct options, registry)},
    {OPT_LIST, 0, "workspace", "NAME", "only what is in this workspace (may be repeated)",
     OPT_AT(struct options, workspaces)},
    {OPT_FLAG, 0, "with-secrets", NULL, "secrets and webhooks' passwords too, as they are",
     OPT_AT(struct options, with_secrets)},
    {OPT_FLAG, 0, "skip-malformed", NULL,
     "leave out what is against MLflow's types, and say so in the stream",
     OPT_AT(struct options, skip_malformed)},
    {OPT_FLAG, 0, "no-warnings", NULL, "errors only: for a second reading of what was warned of",
     OPT_AT(struct options, no_warnings)},
    {OPT_STRING, 0, "tmpdir", "DIR", "folder of temporary files (default: that of the database)",
     OPT_AT(struct options, tmpdir)},
    {.type = OPT_END},
};
static const struct opt_spec spec = {
    .synopsis = "mldb-dump [OPTION]... [URL]",
    .about = "Writes MLflow's tracking database, of any release, as a record stream to standard output.\n"
             "URL is sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database; by\n"
             "default $MLFLOW_BACKEND_STORE_URI, $MLFLOW_TRACKING_URI or sqlite:///mlflow.db.",
    .options = table,
    .epilog = "Exit status: 0 all was written; 1 something was left out (--skip-malformed); 2 trouble, the\n"
              "stream has no trailer then.",
};

static void take_problem(const struct record *r, const char *name, const char *reason, void *arg)
{
    const struct options *o = arg;
    (void)r;
    if (o->skip_malformed)
        err_warn(name, "left out: %s", reason);
    else
        err_print(name, "%s", reason);
}

static struct db *open_database(char **operands, struct options *o, struct db_url *u)
{
    struct err e = {.what = ""};
    struct db *db = open_operand(&spec, operands, &o->tmpdir, u);
    if (!schema_read_unknown(db, true, &o->others, &o->warning, &e))
        err_die(&e);
    if (o->warning.len)
        err_warn(u->display, "%s", buf_str(&o->warning));
    return db;
}

static void print_notes(const struct dbdump_result *r)
{
    if (r->foreign.len)
        err_note("left out, as they are not MLflow's tracking schema: the tables %s", buf_str(&r->foreign));
    if (r->unscoped.len)
        err_note("left out, as nothing in them tells an experiment or workspace: the tables %s",
                 buf_str(&r->unscoped));
    if (r->secrets) {
        err_warn(NULL, "%" PRIu64 " secrets were left out", r->secrets);
        err_print_hint("--with-secrets writes them, as they are, into the stream");
    }
}

int main(int argc, char **argv)
{
    static struct options o = {.tmpdir = NULL};
    struct db_url u;
    struct err e;
    struct dbdump_result result;
    malloc_setup();
    err_program_set(argv[0]);
    io_claim_standard_files();
    int first = opt_parse(&spec, argc, argv, &o);
    err_warnings_set(!o.no_warnings);
    if (isatty(STDOUT_FILENO))
        opt_usage_error(&spec, "the record stream is binary: redirect standard output");
    err_catch_signals();
    struct db *db = open_database(argv + first, &o, &u);
    struct dbdump_options how = {
        .experiments = o.experiments.items,
        .n_experiments = o.experiments.len,
        .workspaces = o.workspaces.items,
        .n_workspaces = o.workspaces.len,
        .registry = o.registry,
        .with_secrets = o.with_secrets,
        .tmpdir = o.tmpdir,
        .problem = take_problem,
        .arg = &o,
        .others = &o.others,
        .skip_malformed = o.skip_malformed,
    };
    progress_start("reading", "records", 0);
    struct dbdump *d = dbdump_read(db, &how, &result, &e);
    progress_end();
    if (!d)
        err_die(&e);
    if (result.problems && !o.skip_malformed) {
        err_print(u.display, "%" PRIu64 " records are against MLflow's types", result.problems);
        err_print_hint("mend them, or leave them out with --skip-malformed");
        exit(EXIT_TROUBLE);
    }
    struct wire_writer *w = wire_writer_new(STDOUT_FILENO, "standard output");
    if (!dbdump_write(d, w, &e) || !wire_writer_close(w, &e))
        err_die(&e);
    print_notes(&result);
    dbdump_free(d);
    dbdump_result_free(&result);
    others_free(&o.others);
    buf_free(&o.warning);
    db_url_free(&u);
    return result.problems ? EXIT_ANSWER_NO : EXIT_DONE;
}

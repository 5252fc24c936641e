/* mlruns-dump: a file store of MLflow (mlruns/) as a record stream. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/opt.h"
#include "common/progress.h"
#include "formats/filestore/store.h"
#include "formats/record/record.h"
#include "formats/record/value.h"
#include "formats/stream/wire.h"
#include "tools/mlruns-dump-roots.h"

struct options {
    struct opt_list experiments;
    bool registry, list, check, skip_malformed, renumber_trash, no_warnings;
    const char *shard, *relocate;
    uint64_t jobs;
};

static const struct opt table[] = {
    {OPT_LIST, 0, "experiment", "ID", "only this experiment (may be repeated); no model registry then",
     OPT_AT(struct options, experiments)},
    {OPT_FLAG, 0, "registry", NULL, "the model registry alone, or besides the experiments named",
     OPT_AT(struct options, registry)},
    {OPT_STRING, 0, "shard", "I/N", "the I-th of N parts, I from 0; all parts together are the whole",
     OPT_AT(struct options, shard)},
    {OPT_FLAG, 0, "list", NULL, "print the experiments' ids, deleted ones among them, and end",
     OPT_AT(struct options, list)},
    {OPT_FLAG, 0, "check", NULL, "read everything, write no records, name every problem",
     OPT_AT(struct options, check)},
    {OPT_FLAG, 0, "skip-malformed", NULL, "leave out what can't be read, and say so in the stream",
     OPT_AT(struct options, skip_malformed)},
    {OPT_FLAG, 0, "renumber-trash", NULL,
     "give deleted experiments whose id is that of an active one an id of their own",
     OPT_AT(struct options, renumber_trash)},
    {OPT_OPTARG, 0, "relocate", "URI",
     "artifact URIs that say where the tree lies say URI (default: where DIR is)",
     OPT_AT(struct options, relocate)},
    {OPT_FLAG, 0, "no-warnings", NULL, "errors only: for a second reading of what was warned of",
     OPT_AT(struct options, no_warnings)},
    {OPT_SIZE, 'j', "jobs", "N", "reader threads (default: the number of cores)",
     OPT_AT(struct options, jobs)},
    {.type = OPT_END},
};

static const struct opt_spec spec = {
    .synopsis = "mlruns-dump [OPTION]... [DIR]",
    .about = "Writes the file store of MLflow in DIR, or in DIR/mlruns, as a record stream to\n"
             "standard output. DIR is a path or a file: URL; by default ./mlruns.",
    .options = table,
    .epilog = "Exit status: 0 all was written; 1 something was left out (--skip-malformed), or\n"
              "--check found problems; 2 trouble, the stream has no trailer then.",
};

/* What the readers hand over, one at a time. */
struct dump {
    const struct options *options;
    const struct mlruns *store;
    struct wire_writer *out; /* NULL: --check */
    struct wire_counts counts;
    uint64_t problems;
    bool same_names; /* among the problems */
    struct roots roots;
};

static bool is_writing(const struct dump *d)
{
    /* after the first problem the stream can't become a whole any more; the rest is read for its problems */
    return d->out && (d->options->skip_malformed || d->problems == 0);
}

static void on_records(void *ctx, const char *data, size_t len, const struct wire_counts *counts)
{
    struct dump *d = ctx;
    uint64_t n = 0;

    for (int i = 0; i < KIND_COUNT; i++) {
        d->counts.n[i] += counts->n[i];
        n += counts->n[i];
    }
    if (is_writing(d) && !wire_write_encoded(d->out, data, len, counts))
        err_die(wire_writer_error(d->out));
    progress_add(n);
}

static char *full_path(const struct dump *d, const char *path)
{
    return xasprintf("%s/%s", mlruns_path(d->store), path);
}

static void on_problem(void *ctx, const char *path, const char *reason)
{
    struct dump *d = ctx;
    char *where = full_path(d, path);

    d->problems++;
    if (d->options->skip_malformed)
        err_warn(where, "left out: %s", reason);
    else
        err_print(where, "%s", reason);
    free(where);
}

static void on_warning(void *ctx, const char *path, const char *reason)
{
    char *where = full_path(ctx, path);

    err_warn(where, "%s", reason);
    free(where);
}

/* Only --check: a stream can hold them, and a transform cure them. */
static void on_same_name(void *ctx, const char *path, const char *other, const char *name)
{
    struct dump *d = ctx;
    char *where = full_path(d, path), *other_path = full_path(d, other);

    d->problems++;
    d->same_names = true;
    err_print(where, "its name '%s' is that of the experiment in %s too", name, other_path);
    free(where);
    free(other_path);
}

static void on_renumbered(void *ctx, const char *path, const char *id)
{
    err_note("%s/%s: the experiment becomes %s; its files stay here, as its URIs say with --relocate alone",
             mlruns_path(ctx), path, id);
}

static void on_root(void *ctx, const char *root, uint64_t n, bool here)
{
    struct dump *d = ctx;

    roots_add(&d->roots, root, n, here);
}

static void on_relocated(void *ctx, const struct kind_desc *kind, int field, uint64_t n, uint64_t left)
{
    const struct dump *d = ctx;

    roots_print_field(&d->roots, kind, field, n, left);
}

static void on_folder(const char *path, const char *text)
{
    err_warn(path, "%s", text);
}

static void parse_shard(const char *shard, struct mlruns_selection *s)
{
    const char *slash = strchr(shard, '/');
    int64_t i, n;

    if (!slash || !value_parse_int(shard, (size_t)(slash - shard), &i) ||
        !value_parse_int(slash + 1, strlen(slash + 1), &n) || i < 0 || n < 1 || i >= n)
        opt_usage_error(&spec, "--shard wants I/N with I from 0 to N-1, not %s", shard);
    s->shard = (uint64_t)i;
    s->shards = (uint64_t)n;
}

static void print_list(const struct mlruns *store)
{
    for (size_t i = 0; i < mlruns_experiment_count(store); i++) {
        const char *id = mlruns_experiment_id(store, i);

        if (i == 0 || strcmp(id, mlruns_experiment_id(store, i - 1)) != 0)
            puts(id);
    }
    io_close_stdout();
}

/* "3 experiments, 12 runs, ...": what was read, by kind. */
static void print_summary(const struct dump *d)
{
    struct buf text = {0};

    for (int i = 0; i < KIND_COUNT; i++) {
        if (d->counts.n[i] && kind_is_entity(&kinds[i]))
            buf_addf(&text, "%s%s %llu", text.len ? ", " : "", kinds[i].plural,
                     (unsigned long long)d->counts.n[i]);
    }
    err_note("%s: %s", mlruns_path(d->store), text.len ? buf_str(&text) : "no records");
    buf_free(&text);
}

static int finish(struct dump *d)
{
    bool whole = is_writing(d);
    struct err e;

    if (whole)
        wire_write_trailer(d->out); /* what fails shows at the end */
    if (d->out && !wire_writer_close(d->out, &e))
        err_die(&e);
    print_summary(d);
    roots_print(&d->roots, d->store);
    if (d->problems == 0) {
        if (!d->out)
            err_note("%s: no problems", mlruns_path(d->store));
        return EXIT_DONE;
    }
    if (whole)
        err_note("%s: %llu left out", mlruns_path(d->store), (unsigned long long)d->problems);
    else
        err_print(mlruns_path(d->store), "%llu problem%s", (unsigned long long)d->problems,
                  d->problems == 1 ? "" : "s");
    if (d->same_names)
        err_print_hint("ml-transform --merge --on-conflict rename, before ml-load, gives all but one of each "
                       "name another one, deleted experiments first");
    if (mlruns_has_twins(d->store))
        err_print_hint(
            "--renumber-trash gives deleted experiments with the id of an active one an id of their own");
    if (whole || !d->out)
        return EXIT_ANSWER_NO;
    err_print_hint("mend them, or leave them out with --skip-malformed; the stream was not completed");
    return EXIT_TROUBLE;
}

static int run(struct mlruns *store, const struct options *o)
{
    struct mlruns_selection selection = {
        .experiments = o->experiments.items,
        .n_experiments = o->experiments.len,
        .tracking = o->experiments.len || !o->registry,
        .registry = o->registry || !o->experiments.len,
        .jobs =
            o->jobs ? (unsigned)(o->jobs > 1024 ? 1024 : o->jobs) : (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
    };
    struct dump d = {.options = o, .store = store, .roots.relocating = o->relocate};
    struct mlruns_sink sink = {.records = on_records,
                               .problem = on_problem,
                               .warning = on_warning,
                               .root = on_root,
                               .relocated = on_relocated,
                               .ctx = &d};
    struct err e;

    parse_shard(o->shard, &selection);
    if (o->check)
        sink.same_name = on_same_name;
    if (!o->check) {
        if (isatty(STDOUT_FILENO))
            die_hint("redirect it to a file, or pipe it to ml-load, ml-verify or ml-transform --json",
                     "standard output", "a record stream is not for terminals");
        d.out = wire_writer_new(STDOUT_FILENO, "standard output");
        char source[33];
        mlruns_source(store, &selection, source);
        wire_write_header(d.out, source, (int64_t)selection.shard, (int64_t)selection.shards);
    }
    progress_start(mlruns_path(store), "records", 0);
    if (!mlruns_read(store, &selection, &sink, &e))
        err_die(&e);
    progress_end();
    return finish(&d);
}

int main(int argc, char **argv)
{
    static struct options o = {.shard = "0/1"};
    const char *dir = "./mlruns";
    struct mlruns *store;
    struct err e;
    int first, status;

    malloc_setup();
    err_program_set(argv[0]);
    io_claim_standard_files();
    first = opt_parse(&spec, argc, argv, &o);
    err_warnings_set(!o.no_warnings);
    if (argc - first > 1)
        opt_usage_error(&spec, "more than one folder");
    if (argc - first == 1)
        dir = argv[first];
    store = mlruns_open(dir, &e);
    if (!store) {
        err_report(&e);
        return EXIT_TROUBLE;
    }
    err_note("reading the file store %s", mlruns_path(store));
    if (o.list || (!o.registry && !o.experiments.len)) /* who asks for a part has been told of the rest */
        mlruns_warnings(store, on_folder);
    if (o.renumber_trash && !mlruns_renumber_trash(store, on_renumbered, store, &e))
        err_die(&e);
    if (o.relocate && !mlruns_relocate(store, o.relocate, &e))
        err_die(&e);
    if (o.list) {
        print_list(store);
        status = EXIT_DONE;
    } else {
        status = run(store, &o);
    }
    mlruns_close(store);
    return status;
}

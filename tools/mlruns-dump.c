/* mlruns-dump: writes an MLflow file store (mlruns/) as a record stream. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/printable.h"
#include "common/progress.h"
#include "formats/filestore/store.h"
#include "formats/record/record.h"
#include "formats/record/value.h"
#include "formats/stream/wire.h"
#include "tools/mlruns-dump-options.h"
#include "tools/mlruns-dump-roots.h"
#include "tools/mlruns-dump-spans.h"
#include "tools/tick.h"

/* State of the callbacks, which mlruns_read() calls one at a time. */
struct dump {
    const struct options *options;
    const struct mlruns *store;
    struct wire_writer *out; /* NULL: --check */
    struct wire_counts counts;
    uint64_t problems;
    bool same_names;   /* a problem is experiments of one name */
    struct tick *tick; /* NULL: all is written, and no state */
    struct span_counts spans;
    struct roots roots;
};

static bool is_writing(const struct dump *d)
{
    /* after the first problem the stream cannot be completed; the rest is read to report its problems */
    return d->out && (d->options->skip_malformed || d->tick || d->problems == 0);
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
    progress_add_parts(counts->n[KIND_experiment] + counts->n[KIND_run] + counts->n[KIND_trace] +
                       counts->n[KIND_logged_model]);
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
    err_topic_set(d->options->skip_malformed || d->tick ? ERR_LEFT_OUT : ERR_GENERAL);
    if (d->options->skip_malformed || d->tick)
        err_warn(where, "left out: %s", reason);
    else
        err_print(where, "%s", reason);
    err_topic_set(ERR_GENERAL);
    free(where);
}

static void on_spans(void *ctx, enum mlruns_spans what, const char *path, const char *reason)
{
    struct dump *d = ctx;
    spans_add(&d->spans, mlruns_path(d->store), what, path, reason);
}

static void on_warning(void *ctx, const char *path, const char *reason)
{
    char *where = full_path(ctx, path);
    err_warn(where, "%s", reason);
    free(where);
}

/* For --check only: a stream can hold them, and ml-transform can rename them. */
static void on_same_name(void *ctx, const char *path, const char *other, const char *name)
{
    struct dump *d = ctx;
    char *where = full_path(d, path), *other_path = full_path(d, other);
    d->problems++;
    d->same_names = true;
    err_print(where, "its name '%s' is also that of the experiment in %s", name, other_path);
    free(where);
    free(other_path);
}

static void on_renumbered(void *ctx, const char *path, const char *id)
{
    err_note(
        "%s/%s: the experiment gets the id %s; its files stay here, but its URIs say so only with --relocate",
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

static void on_dir(void *ctx, const char *path, const char *text)
{
    (void)ctx;
    err_warn(path, "%s", text);
}

/* As mldb-dump --list does; ctx is a buffer. */
static void print_experiment(void *ctx, const char *id, const char *name, size_t len)
{
    struct buf *line = ctx;

    buf_reset(line);
    buf_adds(line, id);
    if (name) {
        buf_addc(line, '\t');
        printable_add(line, name, len);
    }
    puts(buf_str(line));
}

static void print_list(const struct mlruns *store)
{
    struct buf line = {0};

    mlruns_experiment_list(store, err_level() > 0, print_experiment, &line);
    buf_free(&line);
    io_close_stdout();
}

/* Prints the number of records of each kind: "Experiments 3, Runs 12, ...". */
static void print_summary(const struct dump *d)
{
    struct buf text = {0};
    for (int i = 0; i < KIND_COUNT; i++) {
        if (d->counts.n[i] && kind_is_entity(&kinds[i]))
            buf_addf(&text, "%s%s %llu", text.len ? ", " : "", kinds[i].plural,
                     (unsigned long long)d->counts.n[i]);
    }
    err_topic_set(ERR_COUNTS);
    err_note("%s: %s", mlruns_path(d->store), text.len ? buf_str(&text) : "no records");
    err_topic_set(ERR_GENERAL);
    buf_free(&text);
}

static int finish(struct dump *d)
{
    bool whole = is_writing(d);
    if (d->tick)
        tick_commit(d->tick);
    if (whole)
        wire_write_trailer(d->out); /* what fails shows at the end */
    struct err e;
    if (d->out && !wire_writer_close(d->out, &e))
        err_die(&e);
    print_summary(d);
    spans_print(&d->spans, mlruns_path(d->store));
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
        err_print_hint("`ml-transform --merge --on-conflict rename`, before ml-load, renames all but one of "
                       "each name, deleted experiments first");
    if (mlruns_has_twins(d->store))
        err_print_hint(
            "--renumber-trash gives deleted experiments that share an id with an active one a new id");
    if (whole || !d->out)
        return EXIT_ANSWER_NO;
    err_print_hint("repair them, or leave them out with --skip-malformed; the stream is incomplete");
    return EXIT_TROUBLE;
}

/* Begins the stream. */
static void start(struct dump *d, const struct mlruns_selection *selection)
{
    if (isatty(STDOUT_FILENO))
        die_hint("redirect it to a file, or pipe it to ml-load, ml-verify or ml-transform --json",
                 "standard output", "record stream not written to a terminal");
    d->out = wire_writer_new(STDOUT_FILENO, "standard output");
    char source[33];
    mlruns_source(d->store, selection, source);
    struct wire_header h;
    wire_header_init(&h, source, (int64_t)selection->shard, (int64_t)selection->shards);
    if (d->options->no_spans)
        snprintf(h.without, sizeof h.without, "%s", kinds[KIND_span].name);
    if (d->tick) {
        char *options = options_text(d->options), *real = mlruns_real_path(d->store);
        tick_start(d->tick, mlruns_path(d->store), real, options, source);
        tick_header(d->tick, &h);
        free(options);
        free(real);
    }
    wire_write_header_copy(d->out, &h);
}

static int run(struct mlruns *store, const struct options *o, struct tick *tick)
{
    struct mlruns_selection selection = options_selection(o);
    struct dump d = {.options = o, .store = store, .roots.relocating = o->relocate, .tick = tick};
    struct mlruns_sink sink = {.records = on_records,
                               .problem = on_problem,
                               .warning = on_warning,
                               .spans = on_spans,
                               .root = tick && tick->old && !o->relocate ? NULL : on_root,
                               .relocated = on_relocated,
                               .ctx = &d};
    selection.tick = tick ? &tick->reading : NULL;
    if (o->check)
        sink.same_name = on_same_name;
    else
        start(&d, &selection);
    if (tick)
        tick_sink(tick, &sink);
    char *what = xasprintf("reading %s", mlruns_path(store));
    progress_start(what, "records", 0);
    if (progress_is_running() && !tick && !selection.n_experiments && selection.shards < 2 &&
        selection.tracking)
        progress_set_parts(mlruns_count_units(store));
    struct err e;
    if (!mlruns_read(store, &selection, &sink, &e))
        err_die(&e);
    progress_end();
    free(what);
    return finish(&d);
}

int main(int argc, char **argv)
{
    static struct options o;
    static struct tick tick;
    int status = EXIT_DONE;
    malloc_setup();
    err_program_set(argv[0]);
    io_claim_standard_files();
    const char *dir = dump_options_parse(&o, argc, argv);
    err_warnings_set(!o.no_warnings);
    if (o.next_state)
        tick_open(&tick, o.since, o.next_state);
    struct err e;
    struct mlruns *store =
        tick.old ? mlruns_open_known(dir, o.tmpdir, tick.old, &e) : mlruns_open(dir, o.tmpdir, &e);
    if (!store) {
        err_report(&e);
        return EXIT_TROUBLE;
    }
    err_topic_set(ERR_COUNTS);
    err_note("reading the file store %s", mlruns_path(store));
    err_topic_set(ERR_GENERAL);
    if (o.list || (!o.registry && !o.experiments.len)) /* for a part of the store these would be repeated */
        mlruns_warnings(store, on_dir, NULL);
    if (o.renumber_trash && !mlruns_renumber_trash(store, on_renumbered, store, &e))
        err_die(&e);
    if (o.relocate && !mlruns_relocate(store, o.relocate, &e))
        err_die(&e);
    if (o.no_spans)
        mlruns_leave_out_spans(store);
    if (o.list)
        print_list(store);
    else
        status = run(store, &o, o.next_state ? &tick : NULL);
    tick_close(&tick);
    mlruns_close(store);
    return status;
}

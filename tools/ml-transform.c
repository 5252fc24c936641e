/* ml-transform: shows, checks and changes a record stream, and converts it to JSON Lines and back. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "formats/transform/pipeline.h"
#include "tools/ml-transform-options.h"

static void report_reference(const char *where, const char *what)
{
    err_print(where, "%s", what);
}

/* Returns the exit code. */
static int report_references(const struct pipeline *p)
{
    struct err e;
    uint64_t wrong = ref_check_end(p->refs, report_reference);
    if (!spill_check(p->spill, &e))
        err_die(&e);
    if (wrong > 0)
        err_print(NULL, "%" PRIu64 " entities are missing or duplicate", wrong);
    else
        err_note("%" PRIu64 " records in %" PRIu64 " segments: %s", p->records, p->segments,
                 ref_check_has_delta(p->refs) ? "complete, a delta, whose references are not checked"
                                              : "complete, all references resolve");
    return wrong > 0 ? EXIT_ANSWER_NO : EXIT_DONE;
}

static void report_numbers(struct renumber *x, const char *id_map)
{
    struct err e;
    if (id_map && !renumber_save(x, id_map, &e))
        err_die(&e);
    if (renumber_count(x) == 0)
        return;
    err_note("%" PRIu64 " experiments got a new id%s%s", renumber_count(x), id_map ? ", see " : "",
             id_map ? id_map : "");
    err_note("permissions in a server's auth database refer to experiments by id: grant them again");
}

/* Reports what was done and found; returns the exit code. */
static int finish(struct pipeline *p, const struct options *o)
{
    int code = EXIT_DONE;
    struct err e;
    if (p->summary && !summary_print(p->summary, stdout, &e))
        err_die(&e);
    if (p->merge)
        merge_report(p->merge);
    if (p->renumber)
        report_numbers(p->renumber, o->id_map);
    if (p->delta && p->select && select_needs_runs(p->select))
        err_note("of a delta's registry only versions whose runs are in it, and their models, are kept");
    if (p->rename && !p->delta && rename_report(p->rename) > 0)
        code = EXIT_ANSWER_NO;
    if (p->rewriter && rewrite_uri_report(p->rewriter, p->delta) > 0 && o->strict_uri)
        code = EXIT_ANSWER_NO;
    if (p->workspace && strcmp(o->workspace, "default") != 0)
        err_note(
            "with more than the default workspace, MLflow's server must be started with --enable-workspaces");
    if (p->fit)
        fit_report(p->fit);
    if (p->refs && report_references(p) != EXIT_DONE)
        code = EXIT_ANSWER_NO;
    if (p->fit && fit_problems(p->fit) > 0) {
        pipeline_give_up(p);
        die(NULL, "%" PRIu64 " values do not fit MLflow %s on %s: the stream was left without a trailer",
            fit_problems(p->fit), o->release, o->fit);
    }
    if (!pipeline_close(p, &e))
        err_die(&e);
    if (p->output == PIPELINE_NOTHING)
        io_close_stdout();
    return code;
}

int main(int argc, char **argv)
{
    static struct options o; /* lives as long as the program */
    static struct pipeline p;
    struct err e;
    malloc_setup();
    err_program_set(argv[0]);
    io_claim_standard_files();
    err_catch_signals();
    transform_options_parse(&o, &p, argc, argv);
    if (!pipeline_run(&p, &e))
        err_die(&e);
    int code = finish(&p, &o);
    pipeline_free(&p);
    return code;
}

/* What ml-verify says on standard error after its report. */
#include "tools/verify_notes.h"

#include <inttypes.h>

#include "common/err.h"

void verify_print_notes(const struct verify_result *r, const struct subset *subset, uint64_t skipped)
{
    err_topic_set(ERR_COUNTS);
    if (skipped)
        err_warn("the stream", "%" PRIu64 " entities were left out by its producer and are not verified",
                 skipped);
    err_topic_set(ERR_GENERAL);
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
        err_note("%" PRIu64
                 " traces have their spans in the database according to a tag that the stream does not have",
                 r->spans_located);
    if (r->waiting)
        err_note("%" PRIu64 " aliases wait for their version", r->waiting);
    if (r->default_experiment)
        err_note(
            "the database has an empty experiment Default, as MLflow's server adds it; the stream has none");
}

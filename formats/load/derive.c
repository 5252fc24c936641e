/* Sets columns that depend on several fields, and counts what the report shows. */
#include <string.h>
#include <xxhash.h>

#include "formats/load/conversion.h"
#include "formats/load/row_bytes.h"
#include "formats/record/references.h"

/* In the form of a UUID (version 8: custom), hashed from the values. */
struct value load_derived_uuid(struct load_conversion *c, const char *what, const struct value *v, int n)
{
    static const char hex[] = "0123456789abcdef";
    struct buf *b = &c->text;
    buf_reset(b);
    buf_adds(b, what);
    for (int i = 0; i < n; i++)
        load_put_key(b, &v[i]);
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(b->data, b->len));
    hash.digest[6] = (hash.digest[6] & 0x0f) | 0x80;
    hash.digest[8] = (hash.digest[8] & 0x3f) | 0x80;
    char *text = arena_alloc(&c->scratch, 32);
    for (int i = 0; i < 16; i++) {
        text[2 * i] = hex[hash.digest[i] >> 4];
        text[2 * i + 1] = hex[hash.digest[i] & 15];
    }
    return value_strn(text, 32);
}

static void set_column(const struct load_plan *p, const char *column, struct value *row, struct value v)
{
    int i = load_table_find(p->table, column);
    if (i >= 0)
        row[i] = v;
}

/* The uuid of a dataset that has none, derived from its experiment, name and digest. */
static struct value dataset_uuid(struct load_conversion *c, const struct value *experiment,
                                 const struct value *name, const struct value *digest)
{
    struct value v[] = {*experiment, *name, *digest};
    return load_derived_uuid(c, "dataset", v, 3);
}

static struct value input_uuid(struct load_conversion *c, const struct record *r)
{
    struct value v[RECORD_MAX_FIELDS];
    int n = 0;
    /* The key of an input_tag begins with that of its input. */
    for (int i = 0; i < r->kind->n_fields; i++)
        if ((r->kind->fields[i].flags & FIELD_K) && strcmp(r->kind->fields[i].name, "key") != 0)
            v[n++] = r->v[i];
    return load_derived_uuid(c, r->kind->kind == KIND_input_tag ? "input" : r->kind->name, v, n);
}

/* The words of MLflow's V2 and V3 traces for an unset state: each version reads only its own. */
static struct value trace_state(const struct load_conversion *c, const struct value *state)
{
    static const char v2[] = "TRACE_STATUS_UNSPECIFIED", v3[] = "STATE_UNSPECIFIED";
    if (value_eqs(state, v2) || value_eqs(state, v3))
        return value_str(c->tables->rev >= REV_TRACES_V3 ? v3 : v2);
    return *state;
}

static void derive_assessment(struct load_conversion *c, const struct record *r, const struct load_plan *p,
                              struct value *row)
{
    if (c->tables->rev < REV_TRACE_ANALYTICS)
        return;
    struct value aggregate;
    bool is_numeric;
    assessment_aggregate(&c->json, &r->v[F_assessment_value], &aggregate, &is_numeric);
    set_column(p, "aggregate_value", row, aggregate);
    set_column(p, "is_numeric_value", row, value_bool(is_numeric));
    if (load_refs_current(c->references, REF_TRACE, &r->v[F_assessment_trace_id], 1)) {
        set_column(p, "experiment_id", row, value_int(c->trace_experiment));
        set_column(p, "trace_timestamp_ms", row, value_int(c->trace_time));
    }
}

/* Whether the location is in .trash itself: then the experiment need not be moved back before it is
 * restored. */
static bool is_in_trash(const struct value *location)
{
    return memmem(location->s, location->len, "/.trash/", strlen("/.trash/")) != NULL;
}

static void note_experiment(struct load_conversion *c, const struct record *r)
{
    bool deleted = value_eqs(&r->v[F_experiment_lifecycle_stage], "deleted");
    limits_note_experiment(c->tables->limits, r);
    const struct value *location = &r->v[F_experiment_artifact_location];
    c->problems->report.deleted_experiments +=
        deleted && c->from_file_store && load_place_is_local(location) && !is_in_trash(location);
}

void load_derive(struct load_conversion *c, const struct record *r, const struct load_plan *p,
                 struct value *row)
{
    const struct value *v = r->v;
    load_note_place(c->places, r);
    switch (r->kind->kind) {
    case KIND_experiment:
        note_experiment(c, r);
        break;
    case KIND_dataset:
        if (value_is_null(&v[F_dataset_dataset_id]))
            set_column(
                p, "dataset_uuid", row,
                dataset_uuid(c, &v[F_dataset_experiment_id], &v[F_dataset_name], &v[F_dataset_digest]));
        break;
    case KIND_run:
        c->problems->report.undated_deleted_runs +=
            value_eqs(&v[F_run_lifecycle_stage], "deleted") && value_is_null(&v[F_run_deleted_time]);
        break;
    case KIND_input:
        if (value_is_null(&v[F_input_dataset_id]))
            set_column(p, "source_id", row,
                       dataset_uuid(c, &v[F_input_experiment_id], &v[F_input_dataset_name],
                                    &v[F_input_dataset_digest]));
        if (value_is_null(&v[F_input_input_id]))
            set_column(p, "input_uuid", row, input_uuid(c, r));
        break;
    case KIND_input_tag:
        if (value_is_null(&v[F_input_tag_input_id]))
            set_column(p, "input_uuid", row, input_uuid(c, r));
        break;
    case KIND_model_input:
        if (value_is_null(&v[F_model_input_input_id]))
            set_column(p, "input_uuid", row, input_uuid(c, r));
        break;
    case KIND_model_output:
        if (value_is_null(&v[F_model_output_input_id]))
            set_column(p, "input_uuid", row, input_uuid(c, r));
        break;
    case KIND_model_version:
        c->problems->report.version_models += ref_has_no_column(r);
        break;
    case KIND_trace:
        set_column(p, "status", row, trace_state(c, &v[F_trace_state]));
        c->trace_experiment = row[p->column[F_trace_experiment_id]].i;
        c->trace_time = v[F_trace_request_time].i;
        break;
    case KIND_assessment:
        derive_assessment(c, r, p, row);
        break;
    case KIND_span:
        load_derive_span(c, r, p, row);
        break;
    default:
        break;
    }
}

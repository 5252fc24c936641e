/* What a target from revision 75868b020152 on should have for a source from before it: rows of span_metrics
 * and trace_metrics become parts of the span or trace metadata whose columns hold their values. Written from
 * MLflow's migration; shares no code with formats/load/. */
#include <math.h>

#include "formats/verify/internal.h"

/* Part of a key, after the record's own. */
enum { PART_METRIC = 1, PART_GATEWAY, PART_COST };

static int index_of(const char *const *names, const struct value *v)
{
    for (int i = 0; names[i]; i++)
        if (value_eqs(v, names[i]))
            return i;
    return -1;
}

/* -- staging */

/* Stages r as the part of the record whose key is v->key. */
static bool stage(struct verify *v, const struct record *r, char part, const struct value *name,
                  struct err *e)
{
    size_t identity_len = v->key.len;
    buf_addc(&v->key, part);
    value_sort_key(name, &v->key);
    return verify_stage_record(v, r, identity_len, e);
}

/* The same for a trace's metadata. */
static bool stage_of_metadata(struct verify *v, const struct record *r, const struct value *trace,
                              const char *metadata, char part, const struct value *name, struct err *e)
{
    struct record whole;
    record_init(&whole, KIND_trace_request_metadata);
    whole.v[F_trace_request_metadata_trace_id] = *trace;
    whole.v[F_trace_request_metadata_key] = value_str(metadata);
    verify_key(v, &whole, &v->key);
    return stage(v, r, part, name, e);
}

static int stage_row(struct verify *v, const struct record *r, struct err *e)
{
    const struct row_table *t = row_table_of(r);
    bool of_span = t && strcmp(t->name, "span_metrics") == 0;
    const struct row_entry *entries;
    if (!of_span && (!t || strcmp(t->name, "trace_metrics") != 0))
        return 0;
    int n = row_decode(v->row_decoder, r, &entries, e);
    if (n < 0)
        return -1;
    struct value key = row_entry_value(entries, n, "key"),
                 trace = row_entry_value(entries, n, of_span ? "trace_id" : "request_id");
    if (index_of(of_span ? equality_cost_keys : equality_token_keys, &key) < 0)
        return 0;
    if (!of_span)
        return stage_of_metadata(v, r, &trace, "mlflow.trace.tokenUsage", PART_METRIC, &key, e) ? 1 : -1;
    struct value span = row_entry_value(entries, n, "span_id");
    if (value_eqs(&key, "total_cost") &&
        !stage_of_metadata(v, r, &trace, "mlflow.trace.cost", PART_COST, &span, e))
        return -1;
    struct record whole;
    record_init(&whole, KIND_span);
    whole.v[F_span_trace_id] = trace;
    whole.v[F_span_span_id] = span;
    verify_key(v, &whole, &v->key);
    return stage(v, r, PART_METRIC, &key, e) ? 1 : -1;
}

int verify_stage_part(struct verify *v, const struct record *r, struct err *e)
{
    struct value none = value_null();
    if (r->kind->kind == KIND_row)
        return stage_row(v, r, e);
    if (r->kind->kind != KIND_trace_request_metadata ||
        !value_eqs(&r->v[F_trace_request_metadata_key], "mlflow.gateway.endpointId"))
        return 0;
    return stage_of_metadata(v, r, &r->v[F_trace_request_metadata_trace_id], "mlflow.trace.cost",
                             PART_GATEWAY, &none, e)
               ? 0
               : -1;
}

/* -- gathering */

bool verify_has_parts(const struct verify *v, const struct section *section)
{
    return v->converts &&
           (section->kind->kind == KIND_trace_request_metadata || section->kind->kind == KIND_span);
}

static bool take_metric(struct verify *v, const struct section *section, const struct record *part,
                        struct err *e)
{
    struct gathered *g = &v->gathered;
    const struct row_entry *entries;
    int n = row_decode(v->row_decoder, part, &entries, e);
    if (n < 0)
        return false;
    struct value key = row_entry_value(entries, n, "key"), number = row_entry_value(entries, n, "value");
    bool is_number = number.type == VALUE_INT || number.type == VALUE_FLOAT;
    double f = number.type == VALUE_FLOAT ? number.f : is_number ? (double)number.i : NAN;
    bool of_trace = strcmp(row_table_of(part)->name, "trace_metrics") == 0;
    if (section->kind->kind != KIND_span && !of_trace) { /* a span's cost, in addition to its trace's */
        g->costs += isfinite(f);
        g->sum += isfinite(f) ? f : 0;
        return true;
    }
    int i = index_of(of_trace ? equality_token_keys : equality_cost_keys, &key);
    g->has[i] = true;
    g->numbers[i] = of_trace      ? (is_number ? number : value_null())
                    : isfinite(f) ? value_float(f)
                                  : value_null();
    return true;
}

static bool take(struct verify *v, const struct section *section, const struct staged *head,
                 const struct record *r, size_t key_len, struct err *e)
{
    if (key_len == head->identity_len) /* the record itself */
        return true;
    if (r->kind->kind == KIND_row)
        return take_metric(v, section, r, e);
    v->gathered.gateway = true;
    return true;
}

/* Whether the item's key is the record's, or begins with it. */
static bool is_of_record(const struct verify *v)
{
    const struct buf *key = &v->gathered.key;
    return v->item.key_len >= key->len && memcmp(v->item.key, key->data, key->len) == 0;
}

/* Takes the parts that follow the current item. */
static bool take_parts(struct verify *v, const struct section *section, struct err *e)
{
    struct staged head;
    struct record r;
    for (;;) {
        if (!verify_item_done(v, e))
            return false;
        int more = verify_item(v, section, e);
        if (more <= 0 || !is_of_record(v))
            return more >= 0;
        if (!verify_item_decode(v, &head, &r, e))
            return false;
        if (v->item.key_len == v->before_key.len &&
            memcmp(v->item.key, v->before_key.data, v->item.key_len) == 0 &&
            verify_item_again(v, &head, &r, e) < 0)
            return false;
        if (!take(v, section, &head, &r, v->item.key_len, e))
            return false;
    }
}

/* Keeps the item whose record was decoded while the next one is read. */
static bool keep_item(struct verify *v, size_t identity_len, struct err *e)
{
    struct gathered *g = &v->gathered;
    bool elsewhere = v->item.data == v->item_data.data;
    g->item = v->item;
    buf_reset(&g->key);
    buf_add(&g->key, v->item.key, identity_len);
    if (elsewhere) {
        g->item.data = NULL;
        buf_trim(&g->data);
        return true;
    }
    return sorter_read(v->stage, &v->item, 0, v->item.data_len, &g->data, e);
}

/* Decodes the kept record. */
static bool decode_kept(struct verify *v, struct record *out, struct err *e)
{
    struct gathered *g = &v->gathered;
    enum { HEAD = sizeof(struct staged) };
    if (!g->item.data && !sorter_read(v->stage, &g->item, 0, g->item.data_len, &g->data, e))
        return false;
    return wire_decode(v->decoder, g->data.data + HEAD, g->data.len - HEAD, out, e);
}

/* Builds the expected trace metadata from a part without a record. */
static void metadata_of_part(struct verify *v, struct record *r)
{
    const struct row_entry *entries;
    struct value trace = r->v[F_trace_request_metadata_trace_id];
    bool usage = false;
    if (r->kind->kind == KIND_row) {
        int n = row_decode(v->row_decoder, r, &entries, NULL);
        usage = strcmp(row_table_of(r)->name, "trace_metrics") == 0;
        trace = row_entry_value(entries, n, usage ? "request_id" : "trace_id");
    }
    record_init(r, KIND_trace_request_metadata);
    r->v[F_trace_request_metadata_trace_id] = trace;
    r->v[F_trace_request_metadata_key] = value_str(usage ? "mlflow.trace.tokenUsage" : "mlflow.trace.cost");
}

/* Sets the expected value of token usage or cost. */
static bool finish_metadata(struct verify *v, struct record *r, bool whole)
{
    struct gathered *g = &v->gathered;
    if (!whole)
        metadata_of_part(v, r);
    struct value *value = &r->v[F_trace_request_metadata_value];
    const struct value *key = &r->v[F_trace_request_metadata_key];
    if (value_eqs(key, "mlflow.trace.tokenUsage"))
        equality_lay_counts(&v->source_form, value, g->has, g->numbers, &g->text);
    else if (value_eqs(key, "mlflow.trace.cost") && g->gateway && g->costs)
        g->summed = equality_add_total(&v->source_form, value, g->sum, &g->text);
    else if (whole)
        return true;
    return !value_is_null(value);
}

int verify_gather(struct verify *v, const struct section *section, const struct staged *head, struct err *e)
{
    struct gathered *g = &v->gathered;
    struct side *side = &v->source;
    bool whole = v->item.key_len == head->identity_len;
    memset(g->has, 0, sizeof g->has);
    g->gateway = g->summed = false;
    g->costs = 0;
    g->sum = 0;
    if (!keep_item(v, head->identity_len, e) || !take(v, section, head, &side->record, v->item.key_len, e) ||
        !take_parts(v, section, e) || !decode_kept(v, &side->record, e))
        return -1;
    side->key = g->key.data;
    side->key_len = side->identity_len = g->key.len;
    if (section->kind->kind != KIND_span)
        return finish_metadata(v, &side->record, whole);
    if (!whole) /* metrics of a missing span */
        verify_missing(v, &side->record);
    for (int i = 0; whole && i < EQUALITY_COSTS; i++)
        if (g->has[i])
            side->record.v[(int)F_span_input_cost + i] = g->numbers[i];
    return whole;
}

/* Computes keys of the stream's records and sorts them into the order of comparison. */
#include "formats/record/references.h"
#include "formats/record/sort_key.h"
#include "formats/verify/internal.h"

struct section verify_section(const struct kind_desc *k, const struct row_table *t)
{
    struct section s = {.kind = k,
                        .table = t,
                        .prefix = {(char)(k->report_rank >> 8), (char)k->report_rank},
                        .prefix_len = 2};
    if (k->kind == KIND_row)
        s.prefix[s.prefix_len++] = t ? (char)(t - row_tables) : UNKNOWN_TABLE;
    return s;
}

size_t verify_key(const struct verify *v, const struct record *r, struct buf *out)
{
    const struct order *o = &v->order[r->kind->kind];
    struct section s = verify_section(r->kind, NULL);
    buf_reset(out);
    buf_add(out, s.prefix, s.prefix_len);
    record_sort_key(r, o->fields, o->identity, out);
    size_t identity_len = out->len;
    record_sort_key(r, o->fields + o->identity, o->n - o->identity, out);
    return identity_len;
}

size_t verify_row_key(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out)
{
    struct section s = verify_section(&kinds[KIND_row], t);
    buf_reset(out);
    buf_add(out, s.prefix, s.prefix_len);
    row_key(t, entries, n, out);
    return out->len;
}

void verify_segment(struct verify *v, const struct wire_header *h)
{
    v->segment.source = (uint32_t)h->source_number;
    v->segment.shard = (uint32_t)h->shard & INT32_MAX;
    v->segment.from_file_store = wire_is_by(h, "mlruns-dump");
    v->without_spans |= wire_is_without(h, KIND_span);
}

void verify_whole_key(const struct record *r, struct buf *out)
{
    struct section s = verify_section(r->kind, NULL);
    buf_reset(out);
    buf_add(out, s.prefix, s.prefix_len);
    for (int i = 0; i < r->kind->n_fields; i++)
        value_sort_key(&r->v[i], out);
}

/* The key of a source's row; all its values for an unknown table. */
static bool make_source_row_key(struct verify *v, const struct record *r, struct buf *out, size_t *len,
                                struct err *e)
{
    const struct row_table *t = row_table_of(r);
    const struct row_entry *entries;
    int n = row_decode(v->row_decoder, r, &entries, e);
    if (n < 0)
        return false;
    if (t) {
        *len = verify_row_key(t, entries, n, out);
        return true;
    }
    verify_whole_key(r, out);
    *len = out->len;
    return true;
}

bool verify_stage_record(struct verify *v, const struct record *r, size_t identity_len, struct err *e)
{
    struct staged head = v->segment;
    head.identity_len = (uint32_t)identity_len;
    buf_reset(&v->data);
    buf_add(&v->data, &head, sizeof head);
    wire_encode(r, &v->data);
    bool ok = sorter_add(v->stage, v->key.data, v->key.len, v->data.data, v->data.len, e);
    buf_trim(&v->data);
    buf_trim(&v->key);
    return ok;
}

bool verify_stage_expected(struct verify *v, const char *table, const struct row_entry *entries, int n,
                           uint32_t rank, struct err *e)
{
    const struct row_table *t = row_table_by_name(table, strlen(table));
    struct buf values = {0};
    struct record r;
    record_init(&r, KIND_row);
    row_encode(entries, n, &values);
    r.v[F_row_table] = value_str(t->name);
    r.v[F_row_values] = (struct value){.type = VALUE_MAP, .len = (uint32_t)values.len, .s = values.data};
    size_t identity_len = verify_row_key(t, entries, n, &v->key);
    buf_addc(&v->key, EXPECTED);
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_addc(&v->key, (char)(rank >> shift));
    bool ok = verify_stage_record(v, &r, identity_len, e);
    buf_free(&values);
    return ok;
}

bool verify_add(struct verify *v, const struct record *r, struct err *e)
{
    struct record form = *r, mapped;
    bool is_row = r->kind->kind == KIND_row;
    if (!kind_is_entity(r->kind) && !is_row)
        return true;
    if (v->options.subset) {
        int goes_on = subset_map(v->options.subset, &form, e);
        if (goes_on <= 0)
            return goes_on == 0;
        mapped = form;
        r = &mapped;
    }
    int part = v->converts ? verify_stage_part(v, r, e) : 0;
    if (part != 0)
        return part > 0;
    if (v->converts_issues && !verify_stage_categories(v, r, e))
        return false;
    if (form.kind->kind == KIND_span && v->spans.form == VERIFY_NO_SPANS && v->segment.from_file_store) {
        v->spans_left++;
        return true;
    }
    v->version_models += ref_has_no_column(r);
    if (!verify_stage_beside(v, r, e))
        return false;
    if (form.kind->kind == KIND_span)
        verify_expect_span(v, &form);
    if (!equality_normalise(&v->source_form, &form)) {
        v->unplaced++;
        return true;
    }
    size_t identity_len;
    if (!is_row)
        identity_len = verify_key(v, &form, &v->key);
    else if (!make_source_row_key(v, &form, &v->key, &identity_len, e))
        return false;
    return verify_stage_record(v, &form, identity_len, e);
}

/* Reads both sides of the comparison: the staged records, and the rows of the target. */
#include "common/progress.h"
#include "formats/verify/internal.h"

static bool is_of_section(const struct sort_entry *item, const struct section *s)
{
    return item->key_len >= s->prefix_len && memcmp(item->key, s->prefix, s->prefix_len) == 0;
}

static bool decode_staged(struct wire_decoder *d, const char *data, size_t len, struct staged *head,
                          struct record *out, struct err *e)
{
    memcpy(head, data, sizeof *head);
    return wire_decode(d, data + sizeof *head, len - sizeof *head, out, e);
}

static bool same_record(const struct record *a, const struct record *b)
{
    for (int i = 0; i < a->kind->n_fields; i++)
        if (!value_same(&a->v[i], &b->v[i]))
            return false;
    return true;
}

/* Appends a record's name in reports; a row is named by its table and key. */
void verify_describe(struct verify *v, const struct record *r, struct buf *out)
{
    const struct row_table *t = r->kind->kind == KIND_row ? row_table_of(r) : NULL;
    const struct row_entry *entries;
    int n = t ? row_decode(v->failure_decoder, r, &entries, NULL) : -1;
    if (n < 0) {
        record_describe(r, out);
        return;
    }
    buf_adds(out, "Row ");
    row_describe(t, entries, n, out);
}

static bool twice(struct verify *v, const struct record *r, const struct staged *a, const struct staged *b,
                  struct err *e)
{
    struct buf name = {0};
    verify_describe(v, r, &name);
    if (a->source == b->source) {
        err_set(e, buf_str(&name), "duplicate in the stream, in %s",
                a->shard == b->shard ? "one segment" : "two shards, with differences");
    } else {
        err_set(e, buf_str(&name), "duplicate in the stream, from two sources");
        err_hint(e, "verify each source against its own database");
    }
    buf_free(&name);
    return false;
}

int verify_item_again(struct verify *v, const struct staged *head, const struct record *r, struct err *e)
{
    struct staged head_before;
    struct record before;
    if (v->before_data.len == 0 &&
        !sorter_read(v->stage, &v->before, 0, v->before.data_len, &v->before_data, e))
        return -1;
    if (!decode_staged(v->decoder_before, v->before_data.data, v->before_data.len, &head_before, &before, e))
        return -1;
    if (kind_has_trait(r->kind->kind, TRAIT_POINT)) {
        bool same = equality_duplicate(r, &before);
        v->result->duplicates += same;
        return !same;
    }
    /* The key of a row of an unknown table is all its values: the table may have no key, and equal rows. */
    if (r->kind->kind == KIND_row && !row_table_of(r))
        return 1;
    if (kind_has_trait(r->kind->kind, TRAIT_SHARED) && head_before.source == head->source &&
        head_before.shard != head->shard && same_record(r, &before))
        return 0;
    twice(v, r, &head_before, head, e);
    return -1;
}

/* What the sorter has in its file can be read there again. */
bool verify_item_done(struct verify *v, struct err *e)
{
    bool elsewhere = v->item.data == v->item_data.data;
    buf_fit(&v->before_key, v->item.key_len);
    memcpy(v->before_key.data, v->item.key, v->item.key_len);
    v->before = v->item;
    v->before.data = NULL;
    v->have_item = v->item_used = false;
    if (elsewhere) {
        buf_trim(&v->before_data);
        return true;
    }
    return sorter_read(v->stage, &v->item, 0, v->item.data_len, &v->before_data, e);
}

int verify_item(struct verify *v, const struct section *section, struct err *e)
{
    if (!v->have_item) {
        int more = sorter_next(v->stage, &v->item, e);
        if (more < 0)
            return -1;
        v->have_item = more > 0;
    }
    return v->have_item && is_of_section(&v->item, section);
}

bool verify_item_decode(struct verify *v, struct staged *head, struct record *out, struct err *e)
{
    if (!v->item.data) {
        if (!sorter_read(v->stage, &v->item, 0, v->item.data_len, &v->item_data, e))
            return false;
        v->item.data = v->item_data.data;
    }
    return decode_staged(v->decoder, v->item.data, v->item.data_len, head, out, e);
}

/* Advances to the source's next distinct record of the section. */
bool verify_source_next(struct verify *v, const struct section *section, struct err *e)
{
    struct side *side = &v->source;
    for (;;) {
        struct staged head;
        if (v->item_used && !verify_item_done(v, e))
            return false;
        side->have = false;
        int more = verify_item(v, section, e);
        if (more <= 0)
            return more == 0;
        if (!verify_item_decode(v, &head, &side->record, e))
            return false;
        v->item_used = true;
        side->identity_len = head.identity_len;
        side->from_file_store = head.from_file_store;
        if (verify_is_expected_again(v, section, &head))
            continue;
        if (v->item.key_len == v->before_key.len &&
            memcmp(v->item.key, v->before_key.data, v->item.key_len) == 0)
            more = verify_item_again(v, &head, &side->record, e);
        side->key = v->item.key;
        side->key_len = v->item.key_len;
        if (more > 0 && verify_has_parts(v, section))
            more = verify_gather(v, section, &head, e);
        if (more < 0)
            return false;
        side->have = more > 0;
        if (!side->have)
            continue;
        progress_add(1);
        return true;
    }
}

/* Returns 1, 0 or -1 like fetch_next. */
static int target_record(struct verify *v, struct side *s, struct err *e)
{
    int more, n;
    if (v->rows) {
        more = rows_next(v->rows, &s->record, e);
        if (more > 0) {
            const struct row_entry *entries = rows_entries(v->rows, &n);
            s->identity_len = verify_row_key(row_table_of(&s->record), entries, n, &v->target_key);
        }
        return more;
    }
    do {
        more = fetch_next(v->cursor, &s->record, e);
    } while (more > 0 && !equality_normalise(&v->target_form, &s->record));
    if (more > 0)
        s->identity_len = verify_key(v, &s->record, &v->target_key);
    return more;
}

bool verify_target_next(struct verify *v, struct err *e)
{
    struct side *s = &v->target;
    if (err_interrupted())
        return err_set_interrupted(e);
    int more = target_record(v, s, e);
    s->have = more > 0;
    s->key = v->target_key.data;
    s->key_len = v->target_key.len;
    return more >= 0;
}

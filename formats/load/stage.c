/* Sorts rows by table and primary key, preceded by names and followed by references. */
#include "formats/load/stage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/load/problems.h"
#include "formats/load/row_bytes.h"
#include "formats/load/sink.h"

struct load_stage {
    const struct load_tables *tables;
    struct load_problems *problems;
    struct load_sink *sink; /* of the streamed table */
    struct sorter *sorter;
    struct buf key, data;    /* of the entry being added; later data: of the fetched one */
    uint32_t source, shard;  /* of the current segment, as in struct load_row_head */
    struct sort_entry entry; /* fetched last */
    bool have;
    unsigned fetched;
    uint64_t n_rows;
};

struct load_stage *load_stage_new(const struct load_tables *tables, struct load_problems *problems,
                                  const char *tmpdir)
{
    struct load_stage *s = xcalloc(1, sizeof *s);
    s->tables = tables;
    s->problems = problems;
    s->sorter = sorter_new(tmpdir, LOAD_MEMORY);
    return s;
}

void load_stage_free(struct load_stage *s)
{
    if (!s)
        return;
    sorter_free(s->sorter);
    buf_free(&s->key);
    buf_free(&s->data);
    free(s);
}

void load_stage_segment(struct load_stage *s, const struct wire_header *h)
{
    s->source = (uint32_t)h->source_number + 1;
    s->shard = (uint32_t)h->shard;
}

void load_stage_stream_to(struct load_stage *s, struct load_sink *sink)
{
    s->sink = sink;
}

/* -- while records come */

static void begin_key(struct load_stage *s, const struct load_table *t)
{
    buf_reset(&s->key);
    buf_addc(&s->key, (char)(SORT_TABLES + (t - s->tables->items)));
}

static void begin_data(struct load_stage *s, enum kind kind, unsigned flags)
{
    struct load_row_head h = {(uint8_t)flags, (uint8_t)kind, s->source, s->shard};
    buf_reset(&s->data);
    buf_add(&s->data, &h, sizeof h);
}

static bool add(struct load_stage *s, const struct buf *data, struct err *e)
{
    return sorter_add(s->sorter, s->key.data, s->key.len, data->data, data->len, e);
}

static bool add_row(struct load_stage *s, enum kind kind, const struct load_table *t, const struct value *row,
                    unsigned flags, struct err *e)
{
    begin_key(s, t);
    for (int i = 0; i < t->n_key; i++) {
        const struct value *v = &row[t->key[i]];
        if (v->type == VALUE_FLOAT && v->f == 0 && signbit(v->f))
            flags |= ROW_NEGATIVE_ZERO;
        load_put_key(&s->key, v);
    }
    begin_data(s, kind, flags);
    s->n_rows++;
    for (int i = 0; i < t->n_columns; i++)
        if (!t->columns[i].in_key)
            load_put_value(&s->data, &row[i]);
    return add(s, &s->data, e);
}

bool load_stage_row(struct load_stage *s, enum kind kind, enum record_part part, struct load_table *t,
                    const struct value *row, struct err *e)
{
    t->filled = true;
    if (t->streamed) {
        s->problems->report.rows[kind]++;
        return s->problems->report.problems || s->sink->ops->put_streamed(s->sink, row, e);
    }
    return add_row(s, kind, t, row, (unsigned)part << ROW_PART, e);
}

bool load_stage_converted(struct load_stage *s, struct load_table *t, const struct value *row, struct err *e)
{
    t->filled = true;
    return add_row(s, KIND_row, t, row, ROW_CONVERTED, e);
}

bool load_stage_patch(struct load_stage *s, const struct load_patch *patch, struct err *e)
{
    begin_key(s, patch->table);
    for (int i = 0; i < patch->n_key; i++)
        load_put_key(&s->key, &patch->key[i]);
    begin_data(s, patch->kind, ROW_PATCH | (patch->metric ? ROW_METRIC : 0));
    buf_addc(&s->data, (char)patch->n);
    for (int i = 0; i < patch->n; i++) {
        buf_addc(&s->data, (char)patch->items[i].column);
        load_put_value(&s->data, &patch->items[i].value);
    }
    return add(s, &s->data, e);
}

bool load_stage_name(struct load_stage *s, const struct record *r, struct err *e)
{
    struct value ws = record_workspace(r);
    buf_reset(&s->key);
    buf_addc(&s->key, SORT_NAMES);
    load_put_key(&s->key, &ws);
    load_put_key(&s->key, &r->v[F_experiment_name]);
    const struct value *id = &r->v[F_experiment_experiment_id];
    return sorter_add(s->sorter, s->key.data, s->key.len, id->s, id->len, e);
}

bool load_stage_ref(struct load_stage *s, enum load_ref ref, const struct buf *key, const struct buf *who,
                    struct err *e)
{
    buf_reset(&s->key);
    buf_addc(&s->key, (char)(SORT_REFS + ref));
    buf_add(&s->key, key->data, key->len);
    return add(s, who, e);
}

bool load_stage_gateway(struct load_stage *s, const struct value *trace, char part, struct err *e)
{
    buf_reset(&s->key);
    buf_addc(&s->key, (char)SORT_GATEWAY);
    load_put_key(&s->key, trace);
    buf_addc(&s->key, part);
    return sorter_add(s->sorter, s->key.data, s->key.len, "", 0, e);
}

uint64_t load_stage_rows(const struct load_stage *s)
{
    return s->n_rows;
}

/* -- after the last record */

bool load_stage_finish(struct load_stage *s, struct err *e)
{
    return sorter_finish(s->sorter, e);
}

bool load_stage_fetch(struct load_stage *s, struct err *e)
{
    if ((++s->fetched & 1023) == 0 && err_interrupted())
        return err_set_interrupted(e);
    buf_trim(&s->data);
    int got = sorter_next(s->sorter, &s->entry, e);
    s->have = got == 1;
    return got >= 0;
}

const struct sort_entry *load_stage_entry(const struct load_stage *s)
{
    return s->have ? &s->entry : NULL;
}

const char *load_stage_data(struct load_stage *s, size_t len, struct err *e)
{
    if (s->entry.data)
        return s->entry.data;
    if (!sorter_read(s->sorter, &s->entry, 0, len, &s->data, e))
        return NULL;
    if (len == s->entry.data_len)
        s->entry.data = s->data.data;
    return s->data.data;
}

bool load_stage_copy(struct load_stage *s, struct buf *out, struct err *e)
{
    return sorter_read(s->sorter, &s->entry, 0, s->entry.data_len, out, e);
}

const struct load_table *load_stage_table(const struct load_stage *s)
{
    int i = s->have ? (unsigned char)*s->entry.key - SORT_TABLES : -1;
    return i >= 0 && i < s->tables->n ? &s->tables->items[i] : NULL;
}

bool load_stage_is_of(const struct load_stage *s, const struct load_table *t)
{
    return s->have && (unsigned char)*s->entry.key == SORT_TABLES + (t - s->tables->items);
}

bool load_stage_are_shards(const struct load_row_head *a, const struct load_row_head *b)
{
    return a->source && a->source == b->source && a->shard != b->shard;
}

uint64_t load_stage_spilled(const struct load_stage *s)
{
    return sorter_spilled(s->sorter);
}

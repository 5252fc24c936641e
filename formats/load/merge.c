/* Merges the staged entries of one key: a row, patches, and duplicates. */
#include "formats/load/merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/progress.h"
#include "formats/load/row_bytes.h"

/* The row to be returned when all entries of its key have been read. */
struct pending {
    struct buf key, data;
    struct load_row_head head;
    struct value row[LOAD_MAX_COLUMNS];
    struct arena scratch;      /* for row's strings that are not in key or data */
    uint32_t patched, metrics; /* bits of columns filled by tags or metadata, and by metrics */
};

struct load_merge {
    struct load_row_source source; /* returns the rows of `table` */
    const struct load_table *table;
    const struct load_tables *tables;
    struct load_problems *problems;
    struct load_stage *stage;
    struct pending p;
};

/* -- messages about a row */

/* Restores as much of the record as its row has. Strings are in the row or in scratch. */
static void record_of_row(const struct load_tables *tables, enum kind kind, const struct value *row,
                          struct arena *scratch, struct record *r)
{
    const struct load_plan *p = &tables->plans[kind];
    record_init(r, kind);
    for (int i = 0; i < r->kind->n_fields; i++) {
        const struct field_desc *f = &r->kind->fields[i];
        if (p->column[i] < 0)
            continue;
        r->v[i] = row[p->column[i]];
        if (f->codec == CODEC_ID && r->v[i].type == VALUE_INT) {
            char text[24];
            int n = snprintf(text, sizeof text, "%lld", (long long)r->v[i].i);
            r->v[i] = value_strn(arena_strndup(scratch, text, (size_t)n), (size_t)n);
        }
    }
}

/* The name of a row of a table without a kind: table and key. */
static const char *describe_other(struct load_merge *m, const struct value *row)
{
    struct buf *out = &m->problems->text;
    buf_reset(out);
    buf_addf(out, "Row in %s (", m->table->name);
    for (int i = 0; i < m->table->n_key; i++) {
        buf_addf(out, "%s%s ", i ? ", " : "", m->table->columns[m->table->key[i]].name);
        value_describe(&row[m->table->key[i]], out);
    }
    buf_addc(out, ')');
    return buf_str(out);
}

/* Whether the row has the full identity of its record; that of an input has only its dataset's id, that of an
 * input's tag not even the run. */
static bool has_identity(const struct kind_desc *k)
{
    for (int i = 0; i < k->n_fields; i++)
        if ((k->fields[i].flags & FIELD_K) && k->fields[i].column[0] == '\0')
            return false;
    return true;
}

/* Describes a record by the ids it has: "Input (run_id r, dataset_id d, input_id i)". */
static void describe_ids(const struct record *r, struct buf *out)
{
    const char *before = " (";
    buf_adds(out, r->kind->singular);
    for (int i = 0; i < r->kind->n_fields; i++) {
        const struct field_desc *f = &r->kind->fields[i];
        bool is_id =
            (f->flags & FIELD_K) || strcmp(f->name, "dataset_id") == 0 || strcmp(f->name, "input_id") == 0;
        if (!is_id || value_is_null(&r->v[i]))
            continue;
        buf_addf(out, "%s%s ", before, f->name);
        value_describe(&r->v[i], out);
        before = ", ";
    }
    buf_addc(out, ')');
}

static const char *describe_row(struct load_merge *m, enum kind kind, const struct value *row)
{
    struct record r;
    if (kind == KIND_row)
        return describe_other(m, row);
    record_of_row(m->tables, kind, row, &m->p.scratch, &r);
    buf_reset(&m->problems->text);
    if (has_identity(&kinds[kind]))
        record_describe(&r, &m->problems->text);
    else
        describe_ids(&r, &m->problems->text);
    return buf_str(&m->problems->text);
}

/* -- rows */

static void decode_row(const struct load_table *t, const struct sort_entry *x, struct arena *scratch,
                       struct value *row)
{
    struct load_row_head head;
    size_t at = 1;
    memcpy(&head, x->data, sizeof head);
    for (int i = 0; i < t->n_key; i++) {
        struct value *v = &row[t->key[i]];
        at += load_get_key(x->key + at, x->key_len - at, v, scratch);
        if ((head.flags & ROW_NEGATIVE_ZERO) && v->type == VALUE_FLOAT)
            v->f = -0.0;
    }
    at = sizeof head;
    for (int i = 0; i < t->n_columns; i++)
        if (!t->columns[i].in_key)
            at += load_get_value(x->data + at, &row[i]);
}

/* Begins a row with the entry, which is copied so that the next one can be fetched. */
static bool begin_pending(struct load_merge *m, struct err *e)
{
    struct pending *p = &m->p;
    const struct sort_entry *x = load_stage_entry(m->stage);
    buf_fit(&p->key, x->key_len);
    memcpy(p->key.data, x->key, x->key_len);
    if (!load_stage_copy(m->stage, &p->data, e))
        return false;
    arena_reset(&p->scratch);
    memcpy(&p->head, p->data.data, sizeof p->head);
    p->patched = p->metrics = 0;
    const struct sort_entry kept = {p->key.data, p->data.data, (uint32_t)p->key.len, (uint32_t)p->data.len,
                                    0};
    decode_row(m->table, &kept, &p->scratch, p->row);
    return true;
}

/* Sets a column of the pending row. A metric takes precedence over other sources of the column, whichever
 * comes first. False if there was one of the same sort before. */
static bool lay_over(struct load_merge *m, int column, const struct value *v, bool metric)
{
    struct pending *p = &m->p;
    uint32_t bit = 1u << column;
    uint32_t *mine = metric ? &p->metrics : &p->patched, others = metric ? p->patched : p->metrics;
    bool first = !(*mine & bit);
    *mine |= bit;
    if (others & bit)
        m->problems->report.other_counts += !value_same(&p->row[column], v);
    if (metric || !(others & bit))
        p->row[column] = *v;
    return first;
}

/* Applies a trace's tag or metadata, or a metric, to its row. */
static void apply_patch(struct load_merge *m, const struct sort_entry *x, const struct load_row_head *head)
{
    struct pending *p = &m->p;
    const char *at = x->data + sizeof *head, *end = x->data + x->data_len;
    bool twice = false;
    m->problems->report.rows[head->kind]++;
    for (at++; at < end;) {
        int column = *at++;
        struct value v;
        at += load_get_value(at, &v);
        if (v.type == VALUE_STR)
            v.s = arena_strndup(&p->scratch, v.s, v.len);
        twice |= !lay_over(m, column, &v, head->flags & ROW_METRIC);
    }
    if (!twice)
        return;
    struct err e;
    err_set(&e, describe_row(m, p->head.kind, p->row), "duplicate among its %s", kinds[head->kind].plural);
    load_problem(m->problems, &e);
}

static void show_differences(const struct load_merge *m, const struct value *other, struct buf *out)
{
    for (int i = 0; i < m->table->n_columns; i++) {
        if (value_same(&m->p.row[i], &other[i]))
            continue;
        buf_addf(out, "%s%s ", out->len ? ", " : "", m->table->columns[i].name);
        value_describe(&m->p.row[i], out);
        buf_adds(out, " and ");
        value_describe(&other[i], out);
    }
}

/* Handles a second row of one key: a duplicate point, a shard's copy, or a conflict. */
static void meet_duplicate(struct load_merge *m, const struct sort_entry *x, const struct load_row_head *head)
{
    struct pending *p = &m->p;
    struct load_report *report = &m->problems->report;
    enum kind k = head->kind;
    bool point = kind_has_trait(k, TRAIT_POINT);
    bool equal = k == p->head.kind && x->data_len == p->data.len &&
                 memcmp(x->data + sizeof *head, p->data.data + sizeof *head, x->data_len - sizeof *head) == 0;
    if (equal && point) {
        report->collapsed[k]++;
        return;
    }
    if (equal && kind_has_trait(k, TRAIT_SHARED) && load_stage_are_shards(&p->head, head))
        return;
    if (point && m->problems->drop_unsupported) {
        report->dropped[k]++;
        return;
    }
    struct err e;
    struct buf differences = {0};
    if (!equal) {
        struct value row[LOAD_MAX_COLUMNS];
        decode_row(m->table, x, &p->scratch, row);
        show_differences(m, row, &differences);
    }
    const char *where = describe_row(m, p->head.kind, p->row);
    if (point)
        err_set(&e, where,
                "two points with the same step and time, of which a database can hold only one: %s",
                buf_str(&differences));
    else if (equal)
        err_set(&e, where, "duplicate record");
    else
        err_set(&e, where, "duplicate record, with differences: %s", buf_str(&differences));
    if (point)
        err_hint(&e, "--drop-unsupported keeps the first and counts the others");
    buf_free(&differences);
    load_problem(m->problems, &e);
}

/* Handles a second row of one key if at least one of them is converted. */
static bool meet_converted(struct load_merge *m, const struct load_row_head *head, struct err *e)
{
    bool gives_way = (head->flags & ROW_CONVERTED) && !(m->p.head.flags & ROW_CONVERTED);
    return gives_way || begin_pending(m, e);
}

/* Whether the stage's entry has the pending row's table and key. */
static bool is_of_pending(const struct load_merge *m)
{
    const struct sort_entry *x = load_stage_entry(m->stage);
    return x && x->key_len == m->p.key.len && memcmp(x->key, m->p.key.data, x->key_len) == 0;
}

/* Reports a metric of a missing span. */
static void report_missing_span(struct load_merge *m)
{
    struct err e;
    struct value row[LOAD_MAX_COLUMNS] = {{.type = VALUE_NULL}};
    const struct sort_entry *x = load_stage_entry(m->stage);
    size_t at = 1;
    for (int i = 0; i < m->table->n_key; i++)
        at += load_get_key(x->key + at, x->key_len - at, &row[m->table->key[i]], &m->p.scratch);
    err_set(&e, describe_other(m, row), "it has rows in span_metrics, but is not in the stream");
    load_problem(m->problems, &e);
}

/* Processes an entry of the pending row's key. */
static bool take_same_key(struct load_merge *m, struct err *e)
{
    const struct sort_entry *x = load_stage_entry(m->stage);
    struct load_row_head head;
    const char *data = load_stage_data(m->stage, x->data_len, e);
    if (!data)
        return false;
    memcpy(&head, data, sizeof head);
    if (head.flags & ROW_PATCH)
        apply_patch(m, x, &head);
    else if (!((head.flags | m->p.head.flags) & ROW_CONVERTED))
        meet_duplicate(m, x, &head);
    else
        return meet_converted(m, &head, e);
    return true;
}

/* Returns the next row of the table, merged from all entries of its key. */
static int next_row(struct load_row_source *from, const struct value **row, struct err *e)
{
    struct load_merge *m = (struct load_merge *)(void *)from;
    struct load_row_head head;
    while (load_stage_is_of(m->stage, m->table)) {
        const char *data = load_stage_data(m->stage, sizeof head, e);
        if (!data)
            return -1;
        memcpy(&head, data, sizeof head);
        if (head.flags & ROW_PATCH) { /* the check of references reports the missing trace */
            if (m->table == m->tables->plans[KIND_span].table)
                report_missing_span(m);
            if (!load_stage_fetch(m->stage, e))
                return -1;
            continue;
        }
        if (!begin_pending(m, e) || !load_stage_fetch(m->stage, e))
            return -1;
        while (is_of_pending(m))
            if (!take_same_key(m, e) || !load_stage_fetch(m->stage, e))
                return -1;
        m->problems->report.rows[m->p.head.kind] += !(m->p.head.flags & ROW_CONVERTED);
        progress_add(1);
        if (m->problems->report
                .problems) /* nothing will be loaded, but there may be more problems to report */
            continue;
        *row = m->p.row;
        from->kind = m->p.head.kind;
        from->part = (enum record_part)(m->p.head.flags >> ROW_PART);
        return 1;
    }
    return 0;
}

struct load_merge *load_merge_new(const struct load_tables *tables, struct load_problems *problems,
                                  struct load_stage *stage)
{
    struct load_merge *m = xcalloc(1, sizeof *m);
    m->source.next = next_row;
    m->tables = tables;
    m->problems = problems;
    m->stage = stage;
    return m;
}

void load_merge_free(struct load_merge *m)
{
    if (!m)
        return;
    buf_free(&m->p.key);
    buf_free(&m->p.data);
    arena_free(&m->p.scratch);
    free(m);
}

struct load_row_source *load_merge_table(struct load_merge *m, const struct load_table *t)
{
    m->table = t;
    return &m->source;
}

const char *load_merge_describe(struct load_merge *m)
{
    return describe_row(m, m->p.head.kind, m->p.row);
}

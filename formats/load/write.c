/* From the sorter into the database: rows of one key meet here, and references are followed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/progress.h"
#include "formats/load/internal.h"

/* The row that is written once no more entries of its key come. */
struct pending {
    struct buf key, data;
    struct row_head head;
    struct value row[LOAD_MAX_COLUMNS];
    struct arena scratch;      /* of row's strings that do not lie in key and data */
    uint32_t patched, metrics; /* bits of columns that a tag or metadata, and that a metric has filled */
};

struct writer {
    struct load_row_source source; /* gives the rows of `table` */
    const struct load_table *table;
    struct load *s;
    struct db *db;
    struct load_sink *sink;
    struct pending p;
    struct sort_entry x; /* the entry that has been fetched and not used */
    struct buf data;     /* its data, where the sorter has them in a file */
    bool have;
    unsigned fetched;
    bool rows_ended;
    uint64_t row_problems;    /* those told before references were followed */
    struct buf name, name_id; /* the experiment name that came last, and whose it is */
    bool hinted_at_names;
    struct db_stmt *find[REF_COUNT];
    struct db_stmt *gateway;
    struct buf found; /* the reference that was followed last, if it led somewhere */
};

static struct load_table *table_of(struct writer *w, const char *key)
{
    return &w->s->tables[(unsigned char)*key - SORT_TABLES];
}

/* ---- messages about a row */

/* As much of the record as its row tells. Strings lie in the row or in scratch. */
static void record_of_row(const struct load *s, enum kind kind, const struct value *row,
                          struct arena *scratch, struct record *r)
{
    const struct load_plan *p = &s->plans[kind];
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

/* Of a table without a kind: its name and key. */
static const char *describe_other(struct writer *w, const struct value *row)
{
    struct buf *out = &w->s->text;
    buf_reset(out);
    buf_addf(out, "Row in %s (", w->table->name);
    for (int i = 0; i < w->table->n_key; i++) {
        buf_addf(out, "%s%s ", i ? ", " : "", w->table->columns[w->table->key[i]].name);
        value_describe(&row[w->table->key[i]], out);
    }
    buf_addc(out, ')');
    return buf_str(out);
}

/* True when the row tells all that identifies its record; that of an input has its dataset's id alone, that
 * of an input's tag not even the run. */
static bool tells_identity(const struct kind_desc *k)
{
    for (int i = 0; i < k->n_fields; i++)
        if ((k->fields[i].flags & FIELD_K) && k->fields[i].column[0] == '\0')
            return false;
    return true;
}

/* By what there is: "Input (run_id r, dataset_id d, input_id i)". */
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

static const char *describe_row(struct writer *w, enum kind kind, const struct value *row)
{
    struct record r;
    if (kind == KIND_row)
        return describe_other(w, row);
    record_of_row(w->s, kind, row, &w->p.scratch, &r);
    buf_reset(&w->s->text);
    if (tells_identity(&kinds[kind]))
        record_describe(&r, &w->s->text);
    else
        describe_ids(&r, &w->s->text);
    return buf_str(&w->s->text);
}

/* ---- rows */

static void decode_row(const struct load_table *t, const struct sort_entry *x, struct arena *scratch,
                       struct value *row)
{
    struct row_head head;
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

/* Fetches the next entry; w->have is false after the last one. */
static bool fetch(struct writer *w, struct err *e)
{
    if ((++w->fetched & 1023) == 0 && err_interrupted())
        return err_set(e, "", "interrupted");
    buf_trim(&w->data);
    int got = sorter_next(w->s->sorter, &w->x, e);
    w->have = got == 1;
    return got >= 0;
}

/* Makes the fetched entry's first len bytes of data lie in memory. */
static bool need_data(struct writer *w, size_t len, struct err *e)
{
    if (w->x.data || len == 0)
        return true;
    if (!sorter_read(w->s->sorter, &w->x, 0, len, &w->data, e))
        return false;
    if (len == w->x.data_len)
        w->x.data = w->data.data;
    return true;
}

static bool read_head(struct writer *w, struct row_head *head, struct err *e)
{
    if (!need_data(w, sizeof *head, e))
        return false;
    memcpy(head, w->x.data ? w->x.data : w->data.data, sizeof *head);
    return true;
}

/* Makes a row of the entry, which is kept beyond the fetch of the next. */
static bool begin_pending(struct writer *w, struct err *e)
{
    struct pending *p = &w->p;
    buf_fit(&p->key, w->x.key_len);
    memcpy(p->key.data, w->x.key, w->x.key_len);
    if (!sorter_read(w->s->sorter, &w->x, 0, w->x.data_len, &p->data, e))
        return false;
    arena_reset(&p->scratch);
    memcpy(&p->head, p->data.data, sizeof p->head);
    p->patched = p->metrics = 0;
    const struct sort_entry kept = {p->key.data, p->data.data, (uint32_t)p->key.len, (uint32_t)p->data.len,
                                    0};
    decode_row(w->table, &kept, &p->scratch, p->row);
    return true;
}

/* Lays a value over its column of the pending row. A metric counts before what else fills the column, in
 * whichever order they come. False when one of its sort was there already. */
static bool lay_over(struct writer *w, int column, const struct value *v, bool metric)
{
    struct pending *p = &w->p;
    uint32_t bit = 1u << column;
    uint32_t *mine = metric ? &p->metrics : &p->patched, others = metric ? p->patched : p->metrics;
    bool first = !(*mine & bit);
    *mine |= bit;
    if (others & bit)
        w->s->report.other_counts += !value_same(&p->row[column], v);
    if (metric || !(others & bit))
        p->row[column] = *v;
    return first;
}

/* Lays a trace's tag or metadata, or a metric, over its row. */
static void apply_patch(struct writer *w, const struct sort_entry *x, const struct row_head *head)
{
    struct pending *p = &w->p;
    const char *at = x->data + sizeof *head, *end = x->data + x->data_len;
    bool twice = false;
    w->s->report.rows[head->kind]++;
    for (at++; at < end;) {
        int column = *at++;
        struct value v;
        at += load_get_value(at, &v);
        if (v.type == VALUE_STR)
            v.s = arena_strndup(&p->scratch, v.s, v.len);
        twice |= !lay_over(w, column, &v, head->flags & ROW_METRIC);
    }
    if (!twice)
        return;
    struct err e;
    err_set(&e, describe_row(w, p->head.kind, p->row), "one of its %s is there twice",
            kinds[head->kind].plural);
    load_problem(w->s, &e);
}

static bool other_shard(const struct load *s, uint32_t a, uint32_t b)
{
    return a != b && a && b && strcmp(s->sources[a - 1], s->sources[b - 1]) == 0;
}

static void show_differences(struct writer *w, const struct load_table *t, const struct value *other,
                             struct buf *out)
{
    for (int i = 0; i < t->n_columns; i++) {
        if (value_same(&w->p.row[i], &other[i]))
            continue;
        buf_addf(out, "%s%s ", out->len ? ", " : "", t->columns[i].name);
        value_describe(&w->p.row[i], out);
        buf_adds(out, " and ");
        value_describe(&other[i], out);
    }
}

/* A second row of one key: a point that was written twice, a shard's copy, or a clash. */
static void meet_duplicate(struct writer *w, const struct sort_entry *x, const struct row_head *head)
{
    struct pending *p = &w->p;
    struct load *s = w->s;
    enum kind k = head->kind;
    bool point = kind_has_trait(k, TRAIT_POINT);
    bool equal = k == p->head.kind && x->data_len == p->data.len &&
                 memcmp(x->data + sizeof *head, p->data.data + sizeof *head, x->data_len - sizeof *head) == 0;
    if (equal && point) {
        s->report.collapsed[k]++;
        return;
    }
    if (equal && kind_has_trait(k, TRAIT_SHARED) && other_shard(s, p->head.segment, head->segment))
        return;
    if (point && s->drop_unsupported) {
        s->report.dropped[k]++;
        return;
    }
    struct err e;
    struct buf differences = {0};
    if (!equal) {
        struct value row[LOAD_MAX_COLUMNS];
        decode_row(table_of(w, x->key), x, &p->scratch, row);
        show_differences(w, table_of(w, x->key), row, &differences);
    }
    const char *where = describe_row(w, p->head.kind, p->row);
    if (point)
        err_set(&e, where, "two points of one step and time, which a database cannot hold both: %s",
                buf_str(&differences));
    else if (equal)
        err_set(&e, where, "it is there twice");
    else
        err_set(&e, where, "it is there twice, and differs: %s", buf_str(&differences));
    if (point)
        err_hint(&e, "--drop-unsupported keeps the first and counts the others");
    buf_free(&differences);
    load_problem(s, &e);
}

/* A second row of one key, of which at least one is of a conversion. */
static bool meet_converted(struct writer *w, const struct row_head *head, struct err *e)
{
    bool gives_way = (head->flags & ROW_CONVERTED) && !(w->p.head.flags & ROW_CONVERTED);
    return gives_way || begin_pending(w, e);
}

/* True when the fetched entry is of the table and, where a key is given, has it. */
static bool is_next(const struct writer *w, const struct buf *key)
{
    return w->have && (unsigned char)*w->x.key == SORT_TABLES + (w->table - w->s->tables) &&
           (!key || (key->len == w->x.key_len && memcmp(key->data, w->x.key, key->len) == 0));
}

/* A metric of a span has come, and no span. */
static void tell_missing_span(struct writer *w)
{
    struct err e;
    struct value row[LOAD_MAX_COLUMNS] = {{.type = VALUE_NULL}};
    size_t at = 1;
    for (int i = 0; i < w->table->n_key; i++)
        at += load_get_key(w->x.key + at, w->x.key_len - at, &row[w->table->key[i]], &w->p.scratch);
    err_set(&e, describe_other(w, row), "it has rows in span_metrics, and is not in the stream");
    load_problem(w->s, &e);
}

/* The next row of the table, with all that the stream says of its key. */
static int next_row(struct load_row_source *from, const struct value **row, struct err *e)
{
    struct writer *w = (struct writer *)(void *)from;
    struct row_head head;
    while (is_next(w, NULL)) {
        if (!read_head(w, &head, e))
            return -1;
        if (head.flags & ROW_PATCH) { /* the check of references tells that its trace is missing */
            if (!w->table->of_kind)
                tell_missing_span(w);
            if (!fetch(w, e))
                return -1;
            continue;
        }
        if (!begin_pending(w, e) || !fetch(w, e))
            return -1;
        while (is_next(w, &w->p.key)) {
            if (!need_data(w, w->x.data_len, e))
                return -1;
            memcpy(&head, w->x.data, sizeof head);
            if (head.flags & ROW_PATCH)
                apply_patch(w, &w->x, &head);
            else if (!((head.flags | w->p.head.flags) & ROW_CONVERTED))
                meet_duplicate(w, &w->x, &head);
            else if (!meet_converted(w, &head, e))
                return -1;
            if (!fetch(w, e))
                return -1;
        }
        w->s->report.rows[w->p.head.kind] += !(w->p.head.flags & ROW_CONVERTED);
        progress_add(1);
        if (w->s->report.problems) /* nothing will come of it, but there may be more to tell */
            continue;
        *row = w->p.row;
        from->kind = w->p.head.kind;
        return 1;
    }
    return 0;
}

static bool fill_table(struct writer *w, struct err *e)
{
    const struct value *row;
    int got;
    w->table = table_of(w, w->x.key);
    switch (w->sink->ops->fill(w->sink, w->table, &w->source, e)) {
    case SINK_STORED:
        return true;
    case SINK_REFUSED:
        snprintf(e->where, sizeof e->where, "%s", describe_row(w, w->p.head.kind, w->p.row));
        load_problem(w->s, e);
        while ((got = next_row(&w->source, &row, e)) == 1)
            continue;
        return got == 0;
    case SINK_FAILED:
        break;
    }
    return false;
}

/* ---- names of experiments */

static void take_name(struct writer *w, const struct sort_entry *x)
{
    bool same_name = w->name.len == x->key_len && memcmp(w->name.data, x->key, x->key_len) == 0;
    bool same_id = w->name_id.len == x->data_len && memcmp(w->name_id.data, x->data, x->data_len) == 0;
    if (same_name && same_id)
        return;
    if (same_name) {
        struct err e;
        char where[64];
        struct value ws, name;
        struct buf shown = {0};
        size_t at = 1 + load_get_key(x->key + 1, x->key_len - 1, &ws, &w->p.scratch);
        load_get_key(x->key + at, x->key_len - at, &name, &w->p.scratch);
        value_describe(&name, &shown);
        snprintf(where, sizeof where, "Experiment %.*s", (int)x->data_len, x->data);
        err_set(&e, where, "its name '%s' is that of experiment %s too", buf_str(&shown),
                buf_str(&w->name_id));
        if (!w->hinted_at_names)
            err_hint(&e,
                     "ml-transform --merge --on-conflict rename, before ml-load, gives all but one of each "
                     "name another one, deleted experiments first");
        w->hinted_at_names = true;
        buf_free(&shown);
        load_problem(w->s, &e);
        return;
    }
    buf_reset(&w->name);
    buf_add(&w->name, x->key, x->key_len);
    buf_reset(&w->name_id);
    buf_add(&w->name_id, x->data, x->data_len);
}

/* ---- references */

static struct db_stmt *prepare_find(struct writer *w, enum load_ref ref, int n, struct err *e)
{
    const struct load_ref_desc *d = &load_refs[ref];
    struct buf sql = {0};
    buf_addf(&sql, "SELECT 1 FROM %s%s WHERE ", w->s->staged ? w->s->staged : "", d->table);
    for (int i = 0; i < n; i++)
        buf_addf(&sql, "%s%s = ?%d", i ? " AND " : "", d->columns[i], i + 1);
    buf_adds(&sql, " LIMIT 1");
    struct db_stmt *q = db_prepare(w->db, buf_str(&sql), e);
    buf_free(&sql);
    return q;
}

static void tell_missing(struct writer *w, enum load_ref ref, const struct value *v, int n,
                         const struct sort_entry *x)
{
    struct err e;
    struct buf shown = {0};
    char where[sizeof e.where];
    for (int i = 0; i < n; i++) {
        if (i && strcmp(load_refs[ref].columns[i], "workspace") == 0 && value_eqs(&v[i], "default"))
            continue;
        buf_adds(&shown, i ? ", " : " ");
        value_describe(&v[i], &shown);
    }
    snprintf(where, sizeof where, "%.*s", (int)x->data_len, x->data);
    err_set(&e, where, "the %s%s, to which it belongs, is not in the stream", load_refs[ref].what,
            ref == REF_INPUT ? "" : buf_str(&shown));
    buf_free(&shown);
    load_problem(w->s, &e);
}

static bool take_ref(struct writer *w, const struct sort_entry *x, struct err *e)
{
    enum load_ref ref = (enum load_ref)((unsigned char)*x->key - SORT_REFS);
    struct value v[REF_MAX_COLUMNS];
    int n = 0;
    if (w->found.len == x->key_len && memcmp(w->found.data, x->key, x->key_len) == 0)
        return true;
    for (size_t at = 1; at < x->key_len && n < REF_MAX_COLUMNS;)
        at += load_get_key(x->key + at, x->key_len - at, &v[n++], &w->p.scratch);
    if (!w->find[ref] && !(w->find[ref] = prepare_find(w, ref, n, e)))
        return false;
    for (int i = 0; i < n; i++)
        db_bind(w->find[ref], i + 1, &v[i]);
    int row = db_step(w->find[ref], e);
    if (row == 1) {
        db_reset(w->find[ref]);
        buf_reset(&w->found);
        buf_add(&w->found, x->key, x->key_len);
    } else if (row == 0) {
        tell_missing(w, ref, v, n, x);
    }
    return row >= 0;
}

/* ---- all of it */

static bool end_rows(struct writer *w, struct err *e)
{
    if (w->rows_ended)
        return true;
    w->rows_ended = true;
    progress_end();
    w->row_problems = w->s->report.problems;
    uint64_t collapsed = 0;
    bool ok = w->row_problems || w->sink->ops->end(w->sink, &collapsed, e);
    w->s->report.rows[KIND_metric] -= collapsed;
    w->s->report.collapsed[KIND_metric] += collapsed;
    return ok;
}

/* What comes after the rows. */
static bool take_last(struct writer *w, const struct sort_entry *x, struct err *e)
{
    return (unsigned char)*x->key == SORT_GATEWAY ? load_add_gateway_cost(w->s, w->db, &w->gateway, x, e)
                                                  : take_ref(w, x, e);
}

static bool take_all(struct writer *w, struct err *e)
{
    bool ok = fetch(w, e);
    while (ok && w->have) {
        unsigned char first = (unsigned char)*w->x.key;
        if (first >= SORT_TABLES && first < SORT_REFS) {
            ok = fill_table(w, e);
            continue;
        }
        if (!need_data(w, w->x.data_len, e))
            return false;
        if (first < SORT_TABLES)
            take_name(w, &w->x);
        else /* after problems rows are missing for that reason alone */
            ok = end_rows(w, e) && (w->row_problems || take_last(w, &w->x, e));
        ok = ok && fetch(w, e);
    }
    return ok && end_rows(w, e);
}

bool load_write(struct load *s, struct db *db, struct err *e)
{
    struct writer w = {.source = {.next = next_row}, .s = s, .db = db};
    bool ok = load_end_streamed(s, e);
    w.sink = s->sink = s->sink ? s->sink : load_new_sink(s, db);
    progress_start("Loading", "rows", 0);
    ok = ok && load_finish_untyped(s, db, e) && sorter_finish(s->sorter, e) &&
         w.sink->ops->begin(w.sink, e) && take_all(&w, e);
    progress_end();
    db_finalize(w.gateway);
    ok = ok && load_check(s, e) && w.sink->ops->finish(w.sink, e) &&
         (s->staged || load_add_workspaces(s, db, e));
    for (int i = 0; i < REF_COUNT; i++)
        db_finalize(w.find[i]);
    w.sink->ops->free(w.sink);
    s->sink = NULL;
    buf_free(&w.data);
    buf_free(&w.p.key);
    buf_free(&w.p.data);
    buf_free(&w.found);
    buf_free(&w.name);
    buf_free(&w.name_id);
    arena_free(&w.p.scratch);
    return ok;
}

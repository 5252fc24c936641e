/* Merges tags that contain lists: maps the stream's ids to the target's, and adds other items of the target's
 * list. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "formats/record/references.h"
#include "formats/stream/json.h"
#include "formats/sync/internal.h"

struct mapping {
    struct sync *x;
    struct err *e;
    bool failed;
};

/* Rows of a table that have such lists in a column: where `by` is the text. */
struct lists {
    const struct sync_table *t;
    const char *column, *by, *text;
    int64_t first, last; /* sync_id */
    bool mapped;         /* the ids in the stage are the target's already */
    bool lock;           /* only of rows that are about to be changed, which stay locked */
};

static bool map_listed(void *arg, const struct value *id, struct buf *out)
{
    struct mapping *m = arg;
    int64_t number, dst = -1;
    if (!value_decimal_id(id, &number))
        return false;
    if (!sync_int(m->x, &dst, m->e, "SELECT coalesce(max(dst), -1) FROM @@m_exp WHERE src = %lld",
                  (long long)number))
        m->failed = true;
    if (m->failed || dst < 0)
        return false;
    buf_addf(out, "%lld", (long long)dst);
    return true;
}

/* Whether a list ",1,2," or "1,2" contains the id. */
static bool lists(const struct buf *list, const char *id, size_t len)
{
    for (const char *at = buf_str(list); *at; at += strcspn(at, ",")) {
        at += strspn(at, ",");
        if (strcspn(at, ",") == len && memcmp(at, id, len) == 0 && len)
            return true;
    }
    return false;
}

/* The target's list plus other items of the stream's, in the target's format. */
static void unite_ids(const struct buf *theirs, const struct value *target, struct buf *out)
{
    if (!value_is_text(target)) {
        buf_add(out, theirs->data, theirs->len);
        return;
    }
    buf_add(out, target->s, target->len);
    for (const char *at = buf_str(theirs); *at; at += strcspn(at, ",")) {
        at += strspn(at, ",");
        size_t len = strcspn(at, ",");
        if (!len || lists(out, at, len))
            continue;
        bool closed = out->len && out->data[out->len - 1] == ',';
        buf_addf(out, "%s%.*s%s", closed || !out->len ? "" : ",", (int)len, at, closed ? "," : "");
    }
}

static bool has_item(const json_t *list, const json_t *item)
{
    size_t i;
    json_t *have;
    json_array_foreach((json_t *)list, i, have) if (json_equal(have, item)) return true;
    return false;
}

/* The same for JSON lists; the stream's text if one is not a list. */
static void unite_json(const struct value *theirs, const struct value *target, struct buf *out)
{
    json_t *a = value_is_text(target) ? json_parse(target->s, target->len, 0, NULL) : NULL;
    json_t *b = json_parse(theirs->s, theirs->len, 0, NULL);
    if (!json_is_array(a) || !json_is_array(b)) {
        buf_add(out, theirs->s, theirs->len);
    } else {
        size_t i, before = json_array_size(a);
        json_t *item;
        json_array_foreach(b, i, item) if (!has_item(a, item)) json_array_append(a, item);
        char *text = json_array_size(a) > before ? json_dumps(a, 0) : NULL;
        if (text)
            buf_adds(out, text);
        else
            buf_add(out, target->s, target->len);
        free(text);
    }
    json_decref(a);
    json_decref(b);
}

static bool set_value(struct sync *x, const struct sync_table *t, const char *column, int64_t id,
                      const struct buf *value, struct err *e)
{
    struct db_stmt *q = sync_query(x, e, "UPDATE @@s_%s SET %s = ?1 WHERE sync_id = ?2", t->t->name, column);
    if (!q)
        return false;
    struct value v[] = {value_text(buf_str(value), value->len), value_int(id)};
    db_bind(q, 1, &v[0]);
    db_bind(q, 2, &v[1]);
    bool ok = db_step(q, e) >= 0;
    db_finalize(q);
    return ok;
}

/* Merges one row of the query below: sync_id, the stream's value, the target's. */
static bool unite_row(struct sync *x, const struct lists *l, struct db_stmt *q, struct err *e)
{
    struct mapping m = {x, e, false};
    struct value id, theirs, target;
    struct buf mapped = {0}, out = {0};
    db_column(q, 0, &id);
    db_column(q, 1, &theirs);
    db_column(q, 2, &target);
    if (!value_is_text(&theirs))
        return true;
    char *copy = xstrndup(theirs.s, theirs.len),
         *other = value_is_text(&target) ? xstrndup(target.s, target.len) : NULL;
    theirs = value_text(copy, theirs.len);
    if (other)
        target = value_text(other, target.len);
    int64_t row = id.i;
    db_reset(q);
    if (l->t->kind == KIND_registered_model_tag) {
        if (l->mapped)
            buf_add(&mapped, theirs.s, theirs.len);
        else
            ref_map_list(&theirs, map_listed, &m, &mapped);
        unite_ids(&mapped, &target, &out);
    } else {
        unite_json(&theirs, &target, &out);
    }
    bool same = out.len == theirs.len && memcmp(buf_str(&out), theirs.s, out.len) == 0;
    bool ok = !m.failed && (same || set_value(x, l->t, l->column, row, &out, e));
    free(copy);
    free(other);
    buf_free(&mapped);
    buf_free(&out);
    return ok;
}

static bool unite_lists(struct sync *x, const struct lists *l, struct err *e)
{
    const char *table = l->t->t->name;
    struct buf join = {0};
    sync_add_join(l->t, "s", "t", &join);
    struct db_stmt *q = sync_query(
        x, e,
        "SELECT s.sync_id, s.%s, t.%s FROM @@s_%s s %sJOIN %s t ON %s WHERE "
        "s.%s = '%s' AND s.sync_id > ?1 AND s.sync_id <= %lld%s%s%s "
        "ORDER BY s.sync_id LIMIT 1%s",
        l->column, l->column, table, l->lock ? "" : "LEFT ", table, buf_str(&join), l->by, l->text,
        (long long)l->last, l->lock ? " AND s.sync_id IN (SELECT sync_id FROM @@d_" : "",
        l->lock ? table : "", l->lock ? " WHERE changed <> 0)" : "", l->lock ? " FOR UPDATE OF t" : "");
    buf_free(&join);
    if (!q)
        return false;
    int64_t after = l->first - 1;
    int got = -1;
    for (;;) {
        struct value v = value_int(after);
        db_reset(q);
        db_bind(q, 1, &v);
        if ((got = db_step(q, e)) != 1)
            break;
        db_column(q, 0, &v);
        after = v.i;
        if (!unite_row(x, l, q, e)) {
            got = -1;
            break;
        }
    }
    db_finalize(q);
    return got == 0;
}

/* All lists of l's table. */
static bool unite_table(struct sync *x, struct lists *l, struct err *e)
{
    for (int u = 0; u < l->t->n_units; u++) {
        const struct sync_unit *unit = &l->t->units[u];
        l->column = l->t->t->columns[unit->leader].name;
        for (int c = 0; c < unit->n_cases; c++) {
            l->by = l->t->t->columns[unit->cases[c].by].name;
            l->text = unit->cases[c].text;
            if (unit->cases[c].rule == MERGE_RULE_UNION && !unite_lists(x, l, e))
                return false;
        }
    }
    return true;
}

bool sync_unite_range(struct sync *x, const struct sync_table *t, int64_t first, int64_t last, struct err *e)
{
    struct lists l = {.t = t, .first = first, .last = last, .mapped = true, .lock = !x->dialect->slices};
    return unite_table(x, &l, e);
}

bool sync_unite(struct sync *x, struct err *e)
{
    for (int i = 0; i < x->n_tables; i++) {
        struct lists l = {.t = x->tables[i], .first = 1, .last = (int64_t)x->tables[i]->n};
        if (!unite_table(x, &l, e))
            return false;
    }
    return true;
}

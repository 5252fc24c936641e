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
static bool unite_row(struct sync *x, const struct sync_table *t, const char *column, struct db_stmt *q,
                      struct err *e)
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
    if (t->kind == KIND_registered_model_tag) {
        ref_map_list(&theirs, map_listed, &m, &mapped);
        unite_ids(&mapped, &target, &out);
    } else {
        unite_json(&theirs, &target, &out);
    }
    bool same = out.len == theirs.len && memcmp(buf_str(&out), theirs.s, out.len) == 0;
    bool ok = !m.failed && (same || set_value(x, t, column, row, &out, e));
    free(copy);
    free(other);
    buf_free(&mapped);
    buf_free(&out);
    return ok;
}

static bool unite_table(struct sync *x, const struct sync_table *t, const char *column, const char *by,
                        const char *text, struct err *e)
{
    struct buf join = {0};
    sync_add_join(t, "s", "t", &join);
    struct db_stmt *q = sync_query(x, e,
                                   "SELECT s.sync_id, s.%s, t.%s FROM @@s_%s s LEFT JOIN %s t ON %s WHERE "
                                   "s.%s = '%s' AND s.sync_id > ?1 "
                                   "ORDER BY s.sync_id LIMIT 1",
                                   column, column, t->t->name, t->t->name, buf_str(&join), by, text);
    buf_free(&join);
    if (!q)
        return false;
    int64_t after = 0;
    int got = -1;
    for (;;) {
        struct value v = value_int(after);
        db_reset(q);
        db_bind(q, 1, &v);
        if ((got = db_step(q, e)) != 1)
            break;
        db_column(q, 0, &v);
        after = v.i;
        if (!unite_row(x, t, column, q, e)) {
            got = -1;
            break;
        }
    }
    db_finalize(q);
    return got == 0;
}

bool sync_unite(struct sync *x, struct err *e)
{
    for (int i = 0; i < x->n_tables; i++)
        for (int u = 0; u < x->tables[i]->n_units; u++) {
            const struct sync_table *t = x->tables[i];
            const struct sync_unit *unit = &t->units[u];
            for (int c = 0; c < unit->n_cases; c++)
                if (unit->cases[c].rule == MERGE_RULE_UNION &&
                    !unite_table(x, t, t->t->columns[unit->leader].name,
                                 t->t->columns[unit->cases[c].by].name, unit->cases[c].text, e))
                    return false;
        }
    return true;
}

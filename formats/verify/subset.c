/* --subset: compares a stream with a database that may contain more, by the merge rules
 * (formats/record/merge_rules.h). The stream's ids are mapped to the target's before records are staged;
 * differences that the rules allow do not count. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "formats/record/references.h"
#include "formats/record/row_references.h"
#include "formats/stream/json.h"
#include "formats/verify/subset.h"

struct subset {
    struct db *db;
    bool edited; /* edits in the target are kept unless a tick brought another value */
    struct spill *spill;
    struct idmap *experiments; /* id in the stream -> id in the target */
    struct idmap *known;       /* key in a state's map -> id or number */
    struct row_editor *rows;
    struct row_decoder *decoder;
    struct buf values;      /* of the last mapped row */
    struct idmap *links;    /* table and id in the stream -> index in ids */
    struct spill_array ids; /* in the target, of rows found by a natural key under another id */
    struct finder *finders; /* one for each table of row_tables */
    struct buf id;
    struct arena scratch; /* of the last mapped record */
    struct db_stmt *by_name, *alive;
    uint64_t kept;
};

enum { SPACE_EXPERIMENT, SPACE_VERSION };

/* The query for the target's row with a natural key. */
struct finder {
    struct db_stmt *q;
    unsigned columns; /* of the key, that it asks for: bit i for the one at place i */
};

struct subset *subset_new(struct db *db, bool edited, const char *tmpdir)
{
    struct subset *s = xcalloc(1, sizeof *s);
    s->db = db;
    s->edited = edited;
    s->spill = spill_new(tmpdir);
    s->experiments = idmap_new(s->spill);
    s->known = idmap_new(s->spill);
    s->links = idmap_new(s->spill);
    s->ids.size = sizeof(struct spill_text);
    s->finders = xcalloc((size_t)row_tables_count, sizeof *s->finders);
    s->rows = row_editor_new();
    s->decoder = row_decoder_new();
    return s;
}

void subset_free(struct subset *s)
{
    if (!s)
        return;
    db_finalize(s->by_name);
    db_finalize(s->alive);
    row_editor_free(s->rows);
    row_decoder_free(s->decoder);
    buf_free(&s->values);
    idmap_free(s->links);
    for (int i = 0; i < row_tables_count; i++)
        db_finalize(s->finders[i].q);
    free(s->finders);
    buf_free(&s->id);
    idmap_free(s->experiments);
    idmap_free(s->known);
    spill_free(s->spill);
    arena_free(&s->scratch);
    free(s);
}

uint64_t subset_kept(const struct subset *s)
{
    return s->kept;
}

void subset_know(struct subset *s, enum kind kind, const struct value *key, const struct value *value)
{
    int64_t number;
    if ((kind == KIND_experiment || kind == KIND_model_version) && value_is_text(value) &&
        value_parse_int(value->s, value->len, &number))
        idmap_set(s->known, id_key(kind == KIND_experiment ? SPACE_EXPERIMENT : SPACE_VERSION, key, 1),
                  (uint64_t)number);
}

/* -- ids */

/* Finds the target's experiment with this workspace and name: 1 with *id, 0, -1. */
static int find_by_name(struct subset *s, const struct record *r, int64_t *id, struct err *e)
{
    if (!s->by_name) {
        struct db_columns have;
        if (!db_table_columns(s->db, "experiments", &have, e))
            return -1;
        bool ws = db_columns_find(&have, "workspace") != NULL;
        db_columns_free(&have);
        s->by_name =
            db_prepare(s->db,
                       ws ? "SELECT experiment_id FROM experiments WHERE name = ?1 AND workspace = ?2"
                          : "SELECT experiment_id FROM experiments WHERE name = ?1 AND '' <> ?2",
                       e);
        if (!s->by_name)
            return -1;
    }
    struct value workspace = record_workspace(r), found;
    db_bind(s->by_name, 1, &r->v[F_experiment_name]);
    db_bind(s->by_name, 2, &workspace);
    int got = db_step(s->by_name, e);
    if (got == 1) {
        db_column(s->by_name, 0, &found);
        *id = found.i;
        db_reset(s->by_name);
    }
    return got;
}

/* Records which experiment of the target r is. */
static bool note_experiment(struct subset *s, const struct record *r, struct err *e)
{
    const struct value *id = &r->v[F_experiment_experiment_id], *made = &r->v[F_experiment_creation_time];
    int64_t source;
    uint64_t known;
    if (!value_decimal_id(id, &source))
        return true;
    char *text = made->type == VALUE_INT ? xasprintf("%lld/%lld", (long long)source, (long long)made->i)
                                         : xasprintf("%lld/", (long long)source);
    struct value key = value_str(text);
    bool there = idmap_get(s->known, id_key(SPACE_EXPERIMENT, &key, 1), &known);
    free(text);
    int64_t target = there ? (int64_t)known : source;
    struct value workspace = record_workspace(r);
    bool zero = source == 0 && value_eqs(&workspace, "default");
    int got = there || zero ? 1 : find_by_name(s, r, &target, e);
    if (got == 1)
        idmap_set(s->experiments, id_key(0, id, 1), (uint64_t)target);
    return got >= 0;
}

static bool map_experiment(void *arg, unsigned flags, struct value *v, struct err *e)
{
    struct subset *s = arg;
    uint64_t target;
    (void)flags, (void)e;
    if (!value_is_text(v) || !idmap_get(s->experiments, id_key(0, v, 1), &target))
        return true;
    char *text = xasprintf("%lld", (long long)target);
    *v = value_str(arena_strndup(&s->scratch, text, strlen(text)));
    free(text);
    return true;
}

static void map_version(struct subset *s, struct record *r)
{
    int field = r->kind->kind == KIND_registered_model_alias ? (int)F_registered_model_alias_version
                : r->kind->kind == KIND_model_version_tag    ? (int)F_model_version_tag_version
                : r->kind->kind == KIND_model_version        ? (int)F_model_version_version
                                                             : -1;
    if (field < 0)
        return;
    struct value ws = record_workspace(r);
    char *text =
        xasprintf("%.*s/%.*s/%lld", (int)ws.len, ws.s, (int)r->v[0].len, r->v[0].s, (long long)r->v[field].i);
    struct value key = value_str(text);
    uint64_t number;
    if (idmap_get(s->known, id_key(SPACE_VERSION, &key, 1), &number))
        r->v[field] = value_int((int64_t)number);
    free(text);
}

/* -- rows found by a natural key */

static struct row_entry *entry_of(struct row_entry *entries, int n, const char *column, size_t len)
{
    return (struct row_entry *)row_entry_find(entries, n, column, len);
}

static struct id_key link_key(const char *table, const struct value *id)
{
    struct value parts[] = {value_str(table), *id};
    return id_key(1, parts, 2);
}

/* Lives as long as the record that is mapped. */
static struct value id_at(struct subset *s, uint64_t place)
{
    struct spill_text text;
    spill_get_item(s->spill, &s->ids, place, &text);
    spill_read_text(s->spill, text, &s->id);
    return value_text(arena_strndup(&s->scratch, buf_str(&s->id), s->id.len), s->id.len);
}

static bool map_links(struct subset *s, const char *table, struct row_entry *entries, int n)
{
    bool any = false;
    for (int i = 0; i < merge_links_count; i++) {
        const struct merge_link *l = &merge_links[i];
        struct row_entry *entry =
            strcmp(l->table, table) == 0 ? entry_of(entries, n, l->column, strlen(l->column)) : NULL;
        uint64_t place;
        if (!entry || !idmap_get(s->links, link_key(l->to, &entry->v), &place))
            continue;
        entry->v = id_at(s, place);
        any = true;
    }
    return any;
}

enum { MAX_NATURAL = 8 };

/* The query for rows with these columns of the natural key, which most rows of a table have alike. */
static struct db_stmt *find_by(struct subset *s, const struct row_table *t, const char *natural,
                               unsigned columns, struct err *e)
{
    struct finder *f = &s->finders[t - row_tables];
    if (f->q && f->columns == columns)
        return f->q;
    db_finalize(f->q);
    struct buf sql = {0};
    int n = 0;
    buf_addf(&sql, "SELECT %s FROM %s WHERE 1 = 1", t->key, t->name);
    for (size_t i = 0, len; i < MAX_NATURAL && (len = row_next_column(&natural)); i++, natural += len)
        if (columns & 1u << i)
            buf_addf(&sql, " AND %.*s = ?%d", (int)len, natural, ++n);
    f->q = db_prepare(s->db, buf_str(&sql), e);
    f->columns = columns;
    buf_free(&sql);
    return f->q;
}

/* Finds the id of the target's row with the natural key of these entries: 1, 0, -1. */
static int find_id(struct subset *s, const struct row_table *t, const char *natural,
                   struct row_entry *entries, int n, struct buf *id, struct err *e)
{
    struct value bound[MAX_NATURAL], found;
    unsigned columns = 0;
    int n_bound = 0;
    const char *next = natural;
    for (size_t i = 0, len; i < MAX_NATURAL && (len = row_next_column(&next)); i++, next += len) {
        const struct row_entry *entry = entry_of(entries, n, next, len);
        if (!entry)
            continue;
        bound[n_bound++] = entry->v;
        columns |= 1u << i;
    }
    struct db_stmt *q = find_by(s, t, natural, columns, e);
    for (int i = 0; q && i < n_bound; i++)
        db_bind(q, i + 1, &bound[i]);
    int got = q ? db_step(q, e) : -1;
    if (got == 1) {
        db_column(q, 0, &found);
        if (value_is_text(&found))
            buf_add(id, found.s, found.len);
        db_reset(q);
    }
    return got;
}

/* Notes the target's id of a row, and returns it. */
static struct value keep_id(struct subset *s, const char *table, const struct value *old,
                            const struct buf *id)
{
    struct spill_text text = spill_text(s->spill, id->data, id->len);
    uint64_t place = spill_append(s->spill, &s->ids, &text);
    idmap_set(s->links, link_key(table, old), place);
    return id_at(s, place);
}

/* Replaces ids of rows by those in the target. */
static bool map_row(struct subset *s, const struct row_table *t, struct record *r, struct err *e)
{
    const struct row_entry *decoded;
    struct row_entry entries[ROW_MAX_COLUMNS];
    int n = row_decode(s->decoder, r, &decoded, e);
    if (n < 0)
        return false;
    memcpy(entries, decoded, (size_t)n * sizeof *entries);
    bool changed = map_links(s, t->name, entries, n);
    const char *natural = merge_natural_key(t->name);
    struct row_entry *own = natural ? entry_of(entries, n, t->key, strlen(t->key)) : NULL;
    struct buf id = {0};
    int got = own ? find_id(s, t, natural, entries, n, &id, e) : 0;
    if (got == 1 && id.len && !value_eqs(&own->v, buf_str(&id))) {
        own->v = keep_id(s, t->name, &own->v, &id);
        changed = true;
    }
    buf_free(&id);
    if (changed) {
        buf_reset(&s->values);
        row_encode(entries, n, &s->values);
        r->v[F_row_values] =
            (struct value){.type = VALUE_MAP, .len = (uint32_t)s->values.len, .s = s->values.data};
    }
    return got >= 0;
}

static int map_record(struct subset *s, struct record *r, struct err *e)
{
    const struct row_table *t = r->kind->kind == KIND_row ? row_table_of(r) : NULL;
    arena_reset(&s->scratch);
    if (t && (t->flags & (ROW_SERVER | ROW_ACTING)))
        return 0;
    if (r->kind->kind == KIND_row)
        return row_edit(s->rows, r, FIELD_EXP, map_experiment, s, e) && (!t || map_row(s, t, r, e)) ? 1 : -1;
    if (r->kind->kind == KIND_experiment && !note_experiment(s, r, e))
        return -1;
    for (int f = 0; f < r->kind->n_fields; f++)
        if (r->kind->fields[f].flags & FIELD_EXP)
            map_experiment(s, FIELD_EXP, &r->v[f], e);
    map_version(s, r);
    return 1;
}

int subset_map(struct subset *s, struct record *r, struct err *e)
{
    int goes_on = map_record(s, r, e);
    return spill_check(s->spill, e) ? goes_on : -1;
}

/* -- rules */

static bool is_word(const struct value *v, const char *word)
{
    return v->type == VALUE_STR && value_eqs(v, word);
}

/* Whether a > b; null is less than anything. */
static bool greater(const struct value *a, const struct value *b)
{
    if (value_is_null(a) || value_is_null(b))
        return !value_is_null(a);
    double x = a->type == VALUE_FLOAT ? a->f : (double)a->i, y = b->type == VALUE_FLOAT ? b->f : (double)b->i;
    return a->type == VALUE_INT && b->type == VALUE_INT ? a->i > b->i : x > y;
}

/* Whether the target's latest metric is the same as or later than the source's. */
static bool latest_is_as_great(const struct record *source, const struct record *target)
{
    static const int order[] = {F_latest_metric_step, F_latest_metric_timestamp, F_latest_metric_value};
    for (int i = 0; i < 3; i++) {
        struct value a = source->v[order[i]], b = target->v[order[i]];
        if (a.type == VALUE_FLOAT && a.f != a.f)
            a.f = 0;
        if (b.type == VALUE_FLOAT && b.f != b.f)
            b.f = 0;
        if (greater(&b, &a) || greater(&a, &b))
            return greater(&b, &a);
    }
    return true;
}

/* Whether each item of the source's JSON list is in the target's. */
static bool holds_items(const struct value *source, const struct value *target)
{
    json_t *a = value_is_text(source) ? json_parse(source->s, source->len, 0, NULL) : NULL;
    json_t *b = value_is_text(target) ? json_parse(target->s, target->len, 0, NULL) : NULL;
    bool all = json_is_array(a) && json_is_array(b);
    for (size_t i = 0; all && i < json_array_size(a); i++) {
        all = false;
        for (size_t k = 0; k < json_array_size(b); k++)
            all |= json_equal(json_array_get(a, i), json_array_get(b, k));
    }
    json_decref(a);
    json_decref(b);
    return all;
}

struct listing {
    struct subset *s;
    const struct value *target;
    bool all;
};

static bool is_listed(void *arg, const struct value *id, struct buf *out)
{
    struct listing *l = arg;
    struct value mapped = *id;
    map_experiment(l->s, 0, &mapped, NULL);
    char *text = xasprintf(",%.*s,", (int)mapped.len, mapped.s),
         *list = xasprintf(",%.*s,", (int)l->target->len, l->target->s);
    l->all &= strstr(list, text) != NULL;
    free(text);
    free(list);
    (void)out;
    return true;
}

static bool holds_ids(struct subset *s, const struct value *source, const struct value *target)
{
    struct listing l = {s, target, true};
    struct buf out = {0};
    if (!value_is_text(source) || !value_is_text(target))
        return false;
    ref_map_list(source, is_listed, &l, &out);
    buf_free(&out);
    return l.all;
}

/* The merge rule of the field's unit in this record. */
static enum merge_rule rule_of(const struct record *r, int unit)
{
    enum merge_rule rule = merge_fields(r->kind->kind)[unit].rule;
    for (int i = 0; i < merge_exceptions_count; i++) {
        const struct merge_exception *x = &merge_exceptions[i];
        if (x->kind == r->kind->kind && x->what == MERGE_CASE_WHERE && x->field == unit &&
            is_word(&r->v[x->by], x->text))
            rule = x->rule;
    }
    return rule;
}

/* Exceptions to the rule of a unit: 1: the target's value is kept; -1: the source's is taken; 0: the rule
 * applies. */
static int judge_exceptions(const struct record *source, const struct record *target, int unit)
{
    for (int i = 0; i < merge_exceptions_count; i++) {
        const struct merge_exception *x = &merge_exceptions[i];
        if (x->kind != source->kind->kind || x->field != unit)
            continue;
        const struct value *a = &source->v[unit], *b = &target->v[unit];
        if (x->what == MERGE_CASE_NEVER && is_word(a, x->text) && merge_listed(x->over, b))
            return 1;
        if (x->what == MERGE_CASE_ABSORB && is_word(b, x->text))
            return 1;
        if (x->what == MERGE_CASE_ABSORB && is_word(a, x->text))
            return -1;
        if (x->what == MERGE_CASE_MAKER && !value_same(&source->v[x->by], &target->v[x->by]))
            return 1;
    }
    return 0;
}

/* Whether a null of the source is taken for this field. */
static bool null_counts(const struct record *source, int field)
{
    for (int i = 0; i < merge_exceptions_count; i++) {
        const struct merge_exception *x = &merge_exceptions[i];
        if (x->kind == source->kind->kind && x->what == MERGE_CASE_NULL && x->field == field &&
            merge_listed(x->text, &source->v[x->by]))
            return true;
    }
    return false;
}

static bool allows(struct subset *s, const struct record *source, const struct record *target, int field)
{
    enum kind k = source->kind->kind;
    int unit = merge_fields(k)[field].unit, time = merge_time(k);
    const struct value *a = &source->v[field], *b = &target->v[field];
    if (value_is_null(a) && !null_counts(source, field))
        return true;
    int exception = judge_exceptions(source, target, unit);
    if (exception)
        return exception > 0;
    bool older = time >= 0 && !greater(&source->v[time], &target->v[time]);
    switch (rule_of(source, unit)) {
    case MERGE_RULE_KEEP:
    case MERGE_RULE_TABLE:
        return true;
    case MERGE_RULE_SRC:
        return s->edited || (k == KIND_assessment && field == F_assessment_valid);
    case MERGE_RULE_NEWER:
        return older;
    case MERGE_RULE_NEWER_OR_EQUAL:
        return time >= 0 && greater(&target->v[time], &source->v[time]);
    case MERGE_RULE_GREATEST:
        return greater(b, a);
    case MERGE_RULE_LATEST:
        return latest_is_as_great(source, target);
    case MERGE_RULE_UNION:
        return k == KIND_registered_model_tag ? holds_ids(s, a, b) : holds_items(a, b);
    default:
        return false;
    }
}

bool subset_allows(struct subset *s, const struct record *source, const struct record *target, int field)
{
    bool allowed = allows(s, source, target, field);
    s->kept += allowed;
    return allowed;
}

bool subset_allows_row(struct subset *s, const struct row_table *t, const struct value *source_time,
                       const struct value *target_time)
{
    bool allowed =
        !merge_updated(t->name) || !source_time || !target_time || !greater(source_time, target_time);
    s->kept += allowed;
    return allowed;
}

/* -- aliases: one waits until its version exists and is not deleted */

bool subset_waits(struct subset *s, const struct record *r)
{
    struct err e;
    if (r->kind->kind != KIND_registered_model_alias)
        return false;
    if (!s->alive)
        s->alive = db_prepare(
            s->db,
            "SELECT 1 FROM model_versions WHERE name = ?1 AND version = ?2 AND coalesce(current_stage, '') "
            "<> 'Deleted_Internal'",
            &e);
    if (!s->alive)
        return false;
    db_bind(s->alive, 1, &r->v[F_registered_model_alias_name]);
    db_bind(s->alive, 2, &r->v[F_registered_model_alias_version]);
    bool alive = db_step(s->alive, &e) == 1;
    db_reset(s->alive);
    return !alive;
}

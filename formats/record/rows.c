/* The table of tables without a kind, expanded from entities.def, and the maps of their values. */
#include "formats/record/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/array.h"
#include "formats/record/msgpack.h"

/* The flags as entities.def spells them. */
enum {
    EXP = FIELD_EXP,
    RUN = FIELD_RUN,
    TRACE = FIELD_TRACE,
    MODEL = FIELD_MODEL,
    REG = FIELD_REG,
    URI = FIELD_URI,
    WS = FIELD_WS,
    SECRET = ROW_SECRET,
    SERVER = ROW_SERVER,
    SECRETS = ROW_SECRETS,
    REST = ROW_REST,
    ACTING = ROW_ACTING,
    OLD = ROW_OLD,
};

const struct row_table row_tables[] = {
#define TABLE(table_, key_, parent_, link_, flags_) {#table_, key_, parent_, link_, "", flags_},
#define TABLE_OF_KINDS(table_, key_, parent_, link_, flags_, needed_)                                        \
    {#table_, key_, parent_, link_, needed_, flags_},
#include "formats/entities.def"
};
const int row_tables_count = ARRAY_LENGTH(row_tables);

const struct row_ref row_refs[] = {
#define REF(table_, column_, flags_, by_, text_) {#table_, #column_, flags_, by_, text_},
#include "formats/entities.def"
};
const int row_refs_count = ARRAY_LENGTH(row_refs);

static bool text_is(const char *s, size_t len, const char *wanted)
{
    return strlen(wanted) == len && memcmp(s, wanted, len) == 0;
}

const struct row_table *row_table_by_name(const char *name, size_t len)
{
    for (int i = 0; i < row_tables_count; i++)
        if (text_is(name, len, row_tables[i].name))
            return &row_tables[i];
    return NULL;
}

bool row_is_of_kinds(const struct row_table *t)
{
    return t->flags & (ROW_REST | ROW_OLD);
}

/* Whether a record's values have all columns that no row of the table lacks. */
static bool is_whole(const struct row_table *t, const struct value *values)
{
    char name[64];
    const char *p = t->key;
    for (size_t len; (len = row_next_column(&p)) > 0; p += len) {
        snprintf(name, sizeof name, "%.*s", (int)len, p);
        if (!unpack_has_key(values->s, values->len, name))
            return false;
    }
    return unpack_has_key(values->s, values->len, t->needed);
}

const struct row_table *row_table_of(const struct record *r)
{
    const struct value *name = &r->v[F_row_table];
    const struct row_table *t = value_is_text(name) ? row_table_by_name(name->s, name->len) : NULL;
    return t && row_is_of_kinds(t) && !is_whole(t, &r->v[F_row_values]) ? NULL : t;
}

void row_record_describe(struct row_decoder *d, const struct record *r, struct buf *out)
{
    const struct row_table *t = r->kind->kind == KIND_row ? row_table_of(r) : NULL;
    const struct row_entry *entries;
    struct err e;
    int n = t ? row_decode(d, r, &entries, &e) : -1;
    if (n < 0) {
        record_describe(r, out);
        return;
    }
    buf_adds(out, "Row ");
    row_describe(t, entries, n, out);
}

bool row_is_secret(const struct row_table *t, const char *column, size_t len)
{
    if (t->flags & ROW_SECRETS)
        return true;
    for (int i = 0; i < row_refs_count; i++)
        if ((row_refs[i].flags & ROW_SECRET) && strcmp(row_refs[i].table, t->name) == 0 &&
            text_is(column, len, row_refs[i].column))
            return true;
    return false;
}

/* -- maps */

void row_encode(const struct row_entry *entries, int n, struct buf *out)
{
    msgpack_packer pk;
    size_t present = 0;
    pack_begin(&pk, out);
    for (int i = 0; i < n; i++)
        present += !value_is_null(&entries[i].v);
    msgpack_pack_map(&pk, present);
    for (int i = 0; i < n; i++) {
        if (value_is_null(&entries[i].v))
            continue;
        pack_text(&pk, entries[i].column, entries[i].column_len);
        pack_value(&pk, &entries[i].v);
    }
}

struct row_decoder {
    struct row_entry entries[ROW_MAX_COLUMNS];
    msgpack_zone zone;
    msgpack_object root;
};

struct row_decoder *row_decoder_new(void)
{
    struct row_decoder *d = xcalloc(1, sizeof *d);
    unpack_zone_init(&d->zone);
    return d;
}

void row_decoder_free(struct row_decoder *d)
{
    if (d)
        msgpack_zone_destroy(&d->zone);
    free(d);
}

int row_decode(struct row_decoder *d, const struct record *r, const struct row_entry **out, struct err *e)
{
    const struct value *map = &r->v[F_row_values];
    const struct value *table = &r->v[F_row_table];
    char where[128];
    snprintf(where, sizeof where, "Row of %.*s", (int)(table->len < 64 ? table->len : 64), table->s);
    msgpack_zone_clear(&d->zone);
    if (!unpack_object(map->s, map->len, &d->zone, &d->root) || d->root.type != MSGPACK_OBJECT_MAP ||
        d->root.via.map.size > ROW_MAX_COLUMNS) {
        err_set(e, where, "its values are not a map of at most %d columns", ROW_MAX_COLUMNS);
        return -1;
    }
    const msgpack_object_map *m = &d->root.via.map;
    for (uint32_t i = 0; i < m->size; i++) {
        const msgpack_object_str *key = &m->ptr[i].key.via.str;
        d->entries[i].column = key->ptr;
        d->entries[i].column_len = key->size;
        if (m->ptr[i].key.type == MSGPACK_OBJECT_STR && unpack_scalar(&m->ptr[i].val, &d->entries[i].v))
            continue;
        err_set(e, where, "column %.*s must be a number, text, bytes or a boolean", (int)key->size, key->ptr);
        return -1;
    }
    *out = d->entries;
    return (int)m->size;
}

const struct row_entry *row_entry_find(const struct row_entry *entries, int n, const char *column, size_t len)
{
    for (int i = 0; i < n; i++)
        if (entries[i].column_len == len && memcmp(entries[i].column, column, len) == 0)
            return &entries[i];
    return NULL;
}

struct value row_entry_value(const struct row_entry *entries, int n, const char *column)
{
    const struct row_entry *entry = row_entry_find(entries, n, column, strlen(column));
    return entry ? entry->v : value_null();
}

struct row_entry row_entry_of(const char *column, struct value v)
{
    return (struct row_entry){column, strlen(column), v};
}

size_t row_next_column(const char **list)
{
    *list += **list == ',';
    return strcspn(*list, ",");
}

static struct value value_of(const struct row_entry *entries, int n, const char *column, size_t len)
{
    const struct row_entry *entry = row_entry_find(entries, n, column, len);
    return entry ? entry->v : value_null();
}

void row_key(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out)
{
    const char *p = t->key;
    for (size_t len; (len = row_next_column(&p)) > 0; p += len) {
        struct value v = value_of(entries, n, p, len);
        value_sort_key(&v, out);
    }
}

void row_describe(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out)
{
    const char *p = t->key, *before = " (";
    buf_adds(out, t->name);
    for (size_t len; (len = row_next_column(&p)) > 0; p += len) {
        struct value v = value_of(entries, n, p, len);
        buf_adds(out, before);
        buf_add(out, p, len);
        buf_addc(out, '=');
        value_describe(&v, out);
        before = ", ";
    }
    buf_addc(out, ')');
}

/* -- rows of tables whose rows are of a kind since */

/* A column of a row as the field that it is. False where it is none, or holds something else. */
static bool take_column(struct record *span, const struct row_entry *entry, char id[24])
{
    int f = field_by_name(span->kind, entry->column, entry->column_len);
    if (f < 0)
        return false;
    struct value *v = &span->v[f];
    *v = entry->v;
    if (f == F_span_experiment_id && v->type == VALUE_INT) {
        snprintf(id, 24, "%" PRId64, v->i);
        *v = value_str(id);
    }
    if (span->kind->fields[f].type == FIELD_FLOAT && v->type == VALUE_INT)
        *v = value_float((double)v->i);
    return true;
}

bool row_as_span(struct row_decoder *d, struct record *r, char id[24])
{
    const struct row_table *t = r->kind->kind == KIND_row ? row_table_of(r) : NULL;
    const struct row_entry *entries;
    struct record span;
    struct err e;
    if (!t || strcmp(t->name, kinds[KIND_span].table) != 0)
        return false;
    int n = row_decode(d, r, &entries, &e);
    record_init(&span, KIND_span);
    for (int i = 0; i < n; i++)
        if (!take_column(&span, &entries[i], id))
            return false;
    if (n < 0 || !record_validate(&span, &e))
        return false;
    *r = span;
    return true;
}

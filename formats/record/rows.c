#include "formats/record/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "formats/record/msgpack.h"

/* The words that entities.def uses for flags. */
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
};

const struct row_table row_tables[] = {
#define TABLE(table_, key_, parent_, link_, flags_) {#table_, key_, parent_, link_, flags_},
#include "formats/entities.def"
};
const int row_tables_count = sizeof row_tables / sizeof *row_tables;

const struct row_ref row_refs[] = {
#define REF(table_, column_, flags_, by_, text_) {#table_, #column_, flags_, by_, text_},
#include "formats/entities.def"
};
const int row_refs_count = sizeof row_refs / sizeof *row_refs;

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

const struct row_table *row_table_of(const struct record *r)
{
    const struct value *name = &r->v[F_row_table];
    return value_is_text(name) ? row_table_by_name(name->s, name->len) : NULL;
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
    msgpack_unpacked unpacked;
};

struct row_decoder *row_decoder_new(void)
{
    struct row_decoder *d = xcalloc(1, sizeof *d);
    msgpack_unpacked_init(&d->unpacked);
    return d;
}

void row_decoder_free(struct row_decoder *d)
{
    if (d)
        msgpack_unpacked_destroy(&d->unpacked);
    free(d);
}

int row_decode(struct row_decoder *d, const struct record *r, const struct row_entry **out, struct err *e)
{
    const struct value *map = &r->v[F_row_values];
    const struct value *table = &r->v[F_row_table];
    char where[128];
    size_t at = 0;
    snprintf(where, sizeof where, "Row of %.*s", (int)(table->len < 64 ? table->len : 64), table->s);
    if (msgpack_unpack_next(&d->unpacked, map->s, map->len, &at) != MSGPACK_UNPACK_SUCCESS ||
        d->unpacked.data.type != MSGPACK_OBJECT_MAP || d->unpacked.data.via.map.size > ROW_MAX_COLUMNS) {
        err_set(e, where, "its values are no map of at most %d columns", ROW_MAX_COLUMNS);
        return -1;
    }
    const msgpack_object_map *m = &d->unpacked.data.via.map;
    for (uint32_t i = 0; i < m->size; i++) {
        const msgpack_object_str *key = &m->ptr[i].key.via.str;
        d->entries[i].column = key->ptr;
        d->entries[i].column_len = key->size;
        if (m->ptr[i].key.type == MSGPACK_OBJECT_STR && unpack_scalar(&m->ptr[i].val, &d->entries[i].v))
            continue;
        err_set(e, where, "column %.*s holds neither a number, a text, bytes nor a boolean", (int)key->size,
                key->ptr);
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

/* Walks a list of columns split by commas: the next one's length, 0 at the end. */
static size_t next_column(const char **list)
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
    for (size_t len; (len = next_column(&p)) > 0; p += len) {
        struct value v = value_of(entries, n, p, len);
        value_sort_key(&v, out);
    }
}

void row_describe(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out)
{
    const char *p = t->key, *before = " (";
    buf_adds(out, t->name);
    for (size_t len; (len = next_column(&p)) > 0; p += len) {
        struct value v = value_of(entries, n, p, len);
        buf_adds(out, before);
        buf_add(out, p, len);
        buf_addc(out, '=');
        value_describe(&v, out);
        before = ", ";
    }
    buf_addc(out, ')');
}

/* -- reading */

struct rows_cursor {
    const struct row_table *table;
    struct db_columns columns;
    int of[ROW_MAX_COLUMNS]; /* the column that an entry of the result is */
    int n;                   /* columns of the result */
    bool with_secrets;
    struct db_stmt *stmt; /* NULL: there is no table */
    struct row_entry entries[ROW_MAX_COLUMNS];
    int n_entries;
    struct buf numbers; /* text of numbers in JSON columns */
    struct buf values;
    uint64_t secrets;
    bool untyped;       /* columns may hold anything: SQLite */
    const char *misfit; /* column of the current row */
};

static bool type_begins(const struct db_column_info *c, const char *type)
{
    return c->type && strncasecmp(c->type, type, strlen(type)) == 0;
}

static bool is_text_type(const struct db_column_info *c)
{
    return type_begins(c, "VARCHAR") || type_begins(c, "TEXT") || type_begins(c, "CHAR");
}

/* The rows of a table of kinds that are none of these kinds. */
static const char *rest_condition(const struct row_table *t)
{
    if (strcmp(t->name, "inputs") == 0)
        return "NOT (x.source_type = 'DATASET' AND x.destination_type = 'RUN' AND"
               " EXISTS (SELECT 1 FROM datasets d WHERE d.dataset_uuid = x.source_id))"
               " AND NOT (x.source_type = 'RUN_INPUT' AND x.destination_type = 'MODEL_INPUT')"
               " AND NOT (x.source_type = 'RUN_OUTPUT' AND x.destination_type = 'MODEL_OUTPUT')";
    return "NOT EXISTS (SELECT 1 FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id"
           " WHERE i.input_uuid = x.input_uuid AND i.source_type = 'DATASET' AND i.destination_type = 'RUN')";
}

static void add_order(struct buf *sql, const struct rows_cursor *c, enum dialect dialect)
{
    const char *p = c->table->key, *before = " ORDER BY ";
    for (size_t len; (len = next_column(&p)) > 0; p += len) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)len, p);
        const struct db_column_info *column = db_columns_find(&c->columns, name);
        if (!column)
            continue;
        bool collate = dialect == DIALECT_POSTGRESQL && is_text_type(column);
        buf_addf(sql, "%sx.\"%s\"%s", before, name, collate ? " COLLATE \"C\"" : "");
        before = ", ";
    }
}

static void add_columns(struct buf *sql, struct rows_cursor *c)
{
    for (int i = 0; i < c->columns.n && c->n < ROW_MAX_COLUMNS; i++) {
        if (c->columns.items[i].generated)
            continue;
        buf_addf(sql, "%sx.\"%s\"", c->n ? ", " : "SELECT ", c->columns.items[i].name);
        c->of[c->n++] = i;
    }
    buf_addf(sql, " FROM %s x", c->table->name);
}

struct rows_cursor *rows_open(struct db *db, const struct row_table *t, unsigned flags, const char *where,
                              struct err *e)
{
    struct rows_cursor *c = xcalloc(1, sizeof *c);
    struct buf sql = {0};
    c->table = t;
    c->with_secrets = flags & ROWS_WITH_SECRETS;
    c->untyped = db_dialect(db) == DIALECT_SQLITE;
    bool ok = db_table_columns(db, t->name, &c->columns, e);
    if (ok && c->columns.n > 0) {
        add_columns(&sql, c);
        if (t->flags & ROW_REST)
            buf_addf(&sql, " WHERE (%s)", rest_condition(t));
        if (where)
            buf_addf(&sql, " %s (%s)", t->flags & ROW_REST ? "AND" : "WHERE", where);
        if (flags & ROWS_ORDERED)
            add_order(&sql, c, db_dialect(db));
        c->stmt = db_prepare(db, buf_str(&sql), e);
        ok = c->stmt != NULL;
    }
    buf_free(&sql);
    if (ok)
        return c;
    rows_close(c);
    return NULL;
}

void rows_close(struct rows_cursor *c)
{
    if (!c)
        return;
    db_finalize(c->stmt);
    db_columns_free(&c->columns);
    buf_free(&c->numbers);
    buf_free(&c->values);
    free(c);
}

/* SQLite gives the text "5" in a JSON column back as a number; it is text all the same. */
static void number_as_text(struct rows_cursor *c, struct value *v)
{
    char text[32];
    if (v->type == VALUE_INT)
        snprintf(text, sizeof text, "%" PRId64, v->i);
    else if (v->type == VALUE_FLOAT)
        value_format_float(v->f, text);
    else
        return;
    size_t at = c->numbers.len;
    buf_adds(&c->numbers, text);
    *v = value_strn(c->numbers.data + at, c->numbers.len - at);
}

static bool is_real_type(const struct db_column_info *c)
{
    return type_begins(c, "FLOAT") || type_begins(c, "DOUBLE") || type_begins(c, "REAL");
}

/* The value is one that a column of this type is for; blob: it is no text. */
static bool suits(const struct db_column_info *column, const struct value *v, bool blob)
{
    if (type_begins(column, "BLOB"))
        return blob;
    if (type_begins(column, "BOOL"))
        return v->type == VALUE_BOOL;
    if (is_real_type(column))
        return v->type == VALUE_FLOAT;
    if (type_begins(column, "INT") || type_begins(column, "BIGINT"))
        return v->type == VALUE_INT;
    return value_is_text(v) && !blob; /* JSON and dates are text too */
}

static void check_type(struct rows_cursor *c, int i, struct row_entry *entry)
{
    const struct db_column_info *column = &c->columns.items[c->of[i]];
    if (suits(column, &entry->v, db_column_is_blob(c->stmt, i)))
        return;
    if (value_is_text(&entry->v))
        entry->v.type = VALUE_ALIEN;
    if (!c->misfit)
        c->misfit = column->name;
}

static void convert(struct rows_cursor *c, const struct db_column_info *column, struct value *v)
{
    if (type_begins(column, "BOOL") && v->type == VALUE_INT && (v->i == 0 || v->i == 1))
        *v = value_bool(v->i == 1);
    else if (is_real_type(column) && v->type == VALUE_INT)
        *v = value_float((double)v->i);
    else if (type_begins(column, "JSON"))
        number_as_text(c, v);
}

int rows_next(struct rows_cursor *c, struct record *out, struct err *e)
{
    int more = c->stmt ? db_step(c->stmt, e) : 0;
    if (more <= 0)
        return more;
    c->n_entries = 0;
    c->misfit = NULL;
    buf_reset(&c->numbers);
    buf_reserve(&c->numbers, (size_t)32 * (size_t)c->n); /* so that it does not move */
    for (int i = 0; i < c->n; i++) {
        const struct db_column_info *column = &c->columns.items[c->of[i]];
        struct row_entry *entry = &c->entries[c->n_entries];
        *entry = (struct row_entry){.column = column->name, .column_len = strlen(column->name)};
        db_column(c->stmt, i, &entry->v);
        if (value_is_null(&entry->v))
            continue;
        if (!c->with_secrets && row_is_secret(c->table, entry->column, entry->column_len)) {
            c->secrets++;
            continue;
        }
        convert(c, column, &entry->v);
        if (c->untyped)
            check_type(c, i, entry);
        c->n_entries++;
    }
    buf_reset(&c->values);
    row_encode(c->entries, c->n_entries, &c->values);
    record_init(out, KIND_row);
    out->v[F_row_table] = value_str(c->table->name);
    out->v[F_row_values] =
        (struct value){.type = VALUE_MAP, .len = (uint32_t)c->values.len, .s = c->values.data};
    return 1;
}

const struct row_entry *rows_entries(const struct rows_cursor *c, int *n)
{
    *n = c->n_entries;
    return c->entries;
}

const char *rows_misfit(const struct rows_cursor *c)
{
    return c->misfit;
}

bool rows_is_json(const struct rows_cursor *c, const char *column, size_t len)
{
    for (int i = 0; i < c->columns.n; i++)
        if (text_is(column, len, c->columns.items[i].name))
            return type_begins(&c->columns.items[i], "JSON");
    return false;
}

bool rows_has_table(const struct rows_cursor *c)
{
    return c->stmt != NULL;
}

uint64_t rows_secrets(const struct rows_cursor *c)
{
    return c->secrets;
}

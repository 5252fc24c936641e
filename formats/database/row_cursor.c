/* Reads rows of tables without a kind as records of kind row. */
#include "formats/database/row_cursor.h"
#include "formats/database/others.h"
#include "formats/database/sql_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct rows_cursor {
    const struct row_table *table;
    struct db_columns columns;
    int of[ROW_MAX_COLUMNS]; /* column of each entry of the result */
    int n;                   /* columns of the result */
    bool with_secrets;
    struct db_stmt *stmt; /* NULL: there is no table */
    struct row_entry entries[ROW_MAX_COLUMNS];
    int n_entries;
    struct buf numbers; /* numbers in JSON columns, as text */
    struct buf values;
    uint64_t secrets;
    const struct other_table *other; /* of an unknown table, or unknown columns; else NULL */
    struct row_table other_rows;     /* that table */
    bool untyped;                    /* columns may hold any type: SQLite */
    const char *misfit;              /* column of the current row with a value of the wrong type */
};

static bool type_begins(const struct db_column_info *c, const char *type)
{
    return c->type && strncasecmp(c->type, type, strlen(type)) == 0;
}

static bool is_text_type(const struct db_column_info *c)
{
    return type_begins(c, "VARCHAR") || type_begins(c, "TEXT") || type_begins(c, "CHAR");
}

/* Condition on rows of a table with kinds that belong to none of these kinds. */
static const char *rest_condition(const struct row_table *t)
{
    if (t->flags & ROW_OLD)
        return "0 = 1";
    if (!(t->flags & ROW_REST))
        return NULL;
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
    for (size_t len; (len = row_next_column(&p)) > 0; p += len) {
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

/* Whether it is among the columns of c->other from the given index on. */
static bool is_other(const struct rows_cursor *c, const char *column, size_t from)
{
    for (size_t i = from; i < c->other->n_columns; i++)
        if (strcmp(c->other->columns[i], column) == 0)
            return true;
    return false;
}

static bool is_wanted(const struct rows_cursor *c, const char *column)
{
    return !c->other || !c->other->columns || is_other(c, column, 0);
}

static void add_columns(struct buf *sql, struct rows_cursor *c)
{
    for (int i = 0; i < c->columns.n && c->n < ROW_MAX_COLUMNS; i++) {
        const char *name = c->columns.items[i].name;
        if (c->columns.items[i].generated || !is_wanted(c, name))
            continue;
        buf_adds(sql, c->n ? ", x." : "SELECT x.");
        sql_add_quoted(sql, '"', name);
        c->of[c->n++] = i;
    }
    buf_adds(sql, " FROM ");
    sql_add_quoted(sql, '"', c->table->name);
    buf_adds(sql, " x");
}

/* Adds the condition that one of the unknown columns is not null, for a table of kinds only of rows that belong to one: its
 * others are read with all their columns. */
static void add_not_null(struct buf *sql, const struct rows_cursor *c)
{
    const struct row_table *t = row_table_by_name(c->other->name, strlen(c->other->name));
    const char *before = " WHERE (x.";
    for (int i = 0; i < c->n; i++) {
        const char *name = c->columns.items[c->of[i]].name;
        if (!is_other(c, name, c->other->n_key))
            continue;
        buf_adds(sql, before);
        sql_add_quoted(sql, '"', name);
        buf_adds(sql, " IS NOT NULL");
        before = " OR x.";
    }
    buf_addc(sql, ')');
    if (t)
        buf_addf(sql, " AND NOT (%s)", rest_condition(t));
}

/* Opens the prepared c; on failure frees it and returns NULL. Conditions may be NULL. */
static struct rows_cursor *open_cursor(struct rows_cursor *c, struct db *db, const char *rest,
                                       const char *where, bool ordered, struct err *e)
{
    struct buf sql = {0};
    bool ok = db_table_columns(db, c->table->name, &c->columns, e);
    if (ok && c->columns.n > 0) {
        add_columns(&sql, c);
        if (rest)
            buf_addf(&sql, " WHERE (%s)", rest);
        if (where)
            buf_addf(&sql, " %s (%s)", rest ? "AND" : "WHERE", where);
        if (c->other && c->other->columns)
            add_not_null(&sql, c);
        if (ordered)
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

struct rows_cursor *rows_open(struct db *db, const struct row_table *t, unsigned flags, const char *where,
                              struct err *e)
{
    struct rows_cursor *c = xcalloc(1, sizeof *c);
    c->table = t;
    c->with_secrets = flags & ROWS_WITH_SECRETS;
    c->untyped = db_dialect(db) == DIALECT_SQLITE;
    return open_cursor(c, db, rest_condition(t), where, flags & ROWS_ORDERED, e);
}

struct rows_cursor *rows_open_other(struct db *db, const struct other_table *t, struct err *e)
{
    struct rows_cursor *c = xcalloc(1, sizeof *c);
    c->other = t;
    c->other_rows = (struct row_table){.name = t->name, .key = "", .parent = "", .link = ""};
    c->table = &c->other_rows;
    c->with_secrets = true;
    return open_cursor(c, db, NULL, NULL, false, e);
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

/* SQLite returns the text "5" in a JSON column as a number; converts it back to text. */
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

/* Whether the value is valid for the column's type; blob: the value is not text. */
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
    buf_reserve(&c->numbers, (size_t)32 * (size_t)c->n); /* so that it is not reallocated */
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

static const struct db_column_info *find_column(const struct rows_cursor *c, const char *column, size_t len)
{
    for (int i = 0; i < c->columns.n; i++)
        if (strncmp(c->columns.items[i].name, column, len) == 0 && !c->columns.items[i].name[len])
            return &c->columns.items[i];
    return NULL;
}

bool rows_is_json(const struct rows_cursor *c, const char *column, size_t len)
{
    const struct db_column_info *found = find_column(c, column, len);
    return found && type_begins(found, "JSON");
}

bool rows_has_table(const struct rows_cursor *c)
{
    return c->stmt != NULL;
}

uint64_t rows_secrets(const struct rows_cursor *c)
{
    return c->secrets;
}

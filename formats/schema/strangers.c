/* Finds tables and columns of a database that no known revision has. */
#include <stdlib.h>
#include <string.h>

#include "formats/schema/model.h"
#include "formats/schema/shape.h"

struct column {
    const char *table;
    char *name;
    bool known;
};

/* Marks the columns that a revision has. */
static void mark(struct column *columns, size_t n, const struct schema_shape *revision)
{
    for (size_t i = 0; i < n; i++)
        columns[i].known =
            columns[i].known || schema_shape_column(revision, columns[i].table, columns[i].name);
}

static bool mark_all(struct column *columns, size_t n, struct err *e)
{
    struct db *model = schema_model(0, e);
    bool ok = model != NULL;
    for (int i = 0; ok && i <= schema_head; i++) {
        struct schema_shape revision = {0};
        ok = (i == 0 || schema_step(model, i, NULL, e)) && schema_shape_read(model, &revision, e);
        if (ok)
            mark(columns, n, &revision);
        schema_shape_free(&revision);
    }
    db_close(model);
    return ok;
}

struct found {
    struct db *db;
    struct others *others;
    struct buf *read; /* names of what is read as rows, and of what is not read */
    struct buf *unread;
    struct err *e;
};

static void name_columns(struct buf *names, const char *table, const char *const *columns, size_t n)
{
    buf_addf(names, "%s%s", names->len ? ", " : "", table);
    for (size_t i = 0; i < n; i++)
        buf_addf(names, "%s%s", i ? "," : " (", columns[i]);
    buf_adds(names, n ? ")" : "");
}

/* Reports columns beyond the ROW_MAX_COLUMNS that fit into a row. */
static bool name_beyond(struct found *f, const char *table)
{
    struct db_columns all;
    if (!db_table_columns(f->db, table, &all, f->e))
        return false;
    const char **beyond = xcalloc((size_t)all.n + 1, sizeof *beyond);
    size_t n = 0, n_beyond = 0;
    for (int i = 0; i < all.n; i++)
        if (!all.items[i].generated && n++ >= ROW_MAX_COLUMNS)
            beyond[n_beyond++] = all.items[i].name;
    if (n_beyond)
        name_columns(f->unread, table, beyond, n_beyond);
    free(beyond);
    db_columns_free(&all);
    return true;
}

static bool key_has(const struct db_column_info *const *key, int n, const char *column, size_t len)
{
    for (int i = 0; i < n; i++)
        if (strncmp(key[i]->name, column, len) == 0 && key[i]->name[len] == '\0')
            return true;
    return false;
}

/* Whether the primary key of a table of kinds has all columns by which its own rows are recognized: unknown
 * columns, which go with their row's key, would pass for such a row. */
static bool has_ambiguous_key(struct found *f, const struct row_table *t, bool *out)
{
    struct db_columns all;
    const struct db_column_info *key[DB_MAX_KEY];
    if (!db_table_columns(f->db, t->name, &all, f->e))
        return false;
    int n = db_columns_key(&all, key);
    n = n < DB_MAX_KEY ? n : DB_MAX_KEY;
    const char *p = t->key;
    *out = key_has(key, n, t->needed, strlen(t->needed));
    for (size_t len; (len = row_next_column(&p)) > 0; p += len)
        *out = *out && key_has(key, n, p, len);
    db_columns_free(&all);
    return true;
}

/* Handles n unknown columns of a table. Rows of a table without a kind include them anyway. */
static bool give_columns(struct found *f, const char *table, const char *const *columns, size_t n)
{
    const struct row_table *t = row_table_by_name(table, strlen(table));
    size_t room = ROW_MAX_COLUMNS - DB_MAX_KEY;
    bool ambiguous = false;
    if (n == 0)
        return true;
    if (t && !name_beyond(f, table))
        return false;
    if (t && !row_is_of_kinds(t))
        return true;
    if (t && !has_ambiguous_key(f, t, &ambiguous))
        return false;
    size_t fit = ambiguous ? 0 : n < room ? n : room;
    if (fit < n)
        name_columns(f->unread, table, columns + fit, n - fit);
    if (fit == 0)
        return true;
    name_columns(f->read, table, columns, fit);
    return others_add(f->others, f->db, table, columns, fit, f->e);
}

/* Whether the table is a partition, whose rows also belong to another table. */
static bool is_partition(struct db *db, const char *table, bool *out, struct err *e)
{
    *out = false;
    if (db_dialect(db) == DIALECT_SQLITE)
        return true;
    struct value name = value_str(table);
    struct db_stmt *s = db_prepare(db,
                                   "SELECT 1 FROM pg_class WHERE relispartition AND relname = :'table'"
                                   " AND relnamespace = quote_ident(current_schema())::regnamespace",
                                   e);
    if (s)
        db_bind(s, 1, &name);
    int row = s ? db_step(s, e) : -1;
    db_finalize(s);
    *out = row > 0;
    return row >= 0;
}

static bool give_whole(struct found *f, const char *table)
{
    bool partition;
    if (!is_partition(f->db, table, &partition, f->e))
        return false;
    if (partition)
        return true;
    name_columns(f->read, table, NULL, 0);
    return name_beyond(f, table) && others_add(f->others, f->db, table, NULL, 0, f->e);
}

/* Handles a table's columns, which are adjacent: as an unknown table if none is known. */
static bool give_table(const struct column *columns, size_t n, struct found *f)
{
    const char **besides = xcalloc(n, sizeof *besides);
    size_t n_besides = 0;
    for (size_t i = 0; i < n; i++)
        if (!columns[i].known)
            besides[n_besides++] = columns[i].name;
    const char *table = columns[0].table;
    bool ok = n_besides == n ? give_whole(f, table) : give_columns(f, table, besides, n_besides);
    free(besides);
    return ok;
}

static bool find_strangers(struct found *f)
{
    struct schema_shape real;
    if (!schema_shape_read(f->db, &real, f->e))
        return false;
    struct column *columns = xcalloc((size_t)real.n + 1, sizeof *columns);
    size_t n = 0, end;
    for (int i = 0; i < real.n; i++)
        if (schema_fact_is(&real.facts[i], "column"))
            columns[n++] = (struct column){real.facts[i].table, schema_fact_name(&real.facts[i]), false};
    bool ok = mark_all(columns, n, f->e);
    for (size_t begin = 0; ok && begin < n; begin = end) {
        for (end = begin + 1; end < n && strcmp(columns[end].table, columns[begin].table) == 0; end++)
            ;
        ok = give_table(columns + begin, end - begin, f);
    }
    for (size_t i = 0; i < n; i++)
        free(columns[i].name);
    free(columns);
    schema_shape_free(&real);
    return ok;
}

bool schema_read_unknown(struct db *db, bool strict, struct others *others, struct buf *warning,
                         struct err *e)
{
    struct schema_state s;
    struct buf read = {0}, unread = {0};
    struct found f = {db, others, &read, &unread, e};
    int rev;
    bool ok = schema_state_read(db, &s, strict ? e : NULL), unknown = ok && s.kind == SCHEMA_STATE_UNKNOWN;
    if (unknown) {
        ok = find_strangers(&f);
        schema_state_describe(&s, warning);
        buf_adds(warning, "; its known tables and columns are read as usual");
        if (read.len)
            buf_addf(warning, ", and as rows: %s", buf_str(&read));
        if (unread.len)
            buf_addf(warning, "; not read: %s", buf_str(&unread));
    }
    schema_state_free(&s);
    buf_free(&read);
    buf_free(&unread);
    if (unknown)
        return ok;
    return !strict || (ok && schema_rev_of(db, &rev, e));
}

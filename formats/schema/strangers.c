/* What a database has besides the tables and columns of all known revisions. */
#include <stdlib.h>
#include <string.h>

#include "formats/schema/model.h"
#include "formats/schema/shape.h"

struct column {
    const char *table;
    char *name;
    bool known;
};

/* Marks what a revision has. */
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
    struct buf *names;
    struct err *e;
};

static bool give(struct found *f, const char *table, const char *columns)
{
    buf_addf(f->names, "%s%s", f->names->len ? ", " : "", table);
    if (columns)
        buf_addf(f->names, " (%s)", columns);
    return others_add(f->others, f->db, table, columns, f->e);
}

/* Gives a table's columns, which stand side by side: all of them where none is known. */
static bool give_table(const struct column *columns, size_t n, struct found *f)
{
    struct buf names = {0};
    bool known = false;
    for (size_t i = 0; i < n; i++) {
        known |= columns[i].known;
        if (!columns[i].known)
            buf_addf(&names, "%s%s", names.len ? "," : "", columns[i].name);
    }
    /* rows of a table that is no kind's have all columns anyway */
    bool whole = row_table_by_name(columns[0].table, strlen(columns[0].table)) != NULL;
    bool ok = true;
    if (!known)
        ok = give(f, columns[0].table, NULL);
    else if (names.len && !whole)
        ok = give(f, columns[0].table, buf_str(&names));
    buf_free(&names);
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
    struct buf names = {0};
    struct found f = {db, others, &names, e};
    int rev;
    bool ok = schema_state_read(db, &s, strict ? e : NULL), unknown = ok && s.kind == SCHEMA_STATE_UNKNOWN;
    if (unknown) {
        ok = find_strangers(&f);
        schema_state_describe(&s, warning);
        buf_adds(warning, "; what that has is read as always");
        if (names.len)
            buf_addf(warning, ", and as rows: %s", buf_str(&names));
    }
    schema_state_free(&s);
    buf_free(&names);
    if (unknown)
        return ok;
    return !strict || (ok && schema_rev_of(db, &rev, e));
}

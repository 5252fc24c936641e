/* A database's structure against that of its revision. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "formats/schema/create_text.h"
#include "formats/schema/shape.h"

/* Shapes that releases of MLflow have made and that an upgrade makes like all others. */
static const struct legacy {
    enum dialect dialect;
    int first, last; /* the orders at which it may be */
    const char *table;
    const char *fact;
    const char *instead; /* what is there otherwise, or NULL */
} legacies[] = {
    /* 0.9.1, the last release without revisions, against 0.9.0. */
    {DIALECT_SQLITE, 0, 0, "metrics", "primary key (key, timestamp, run_uuid, value)",
     "primary key (key, timestamp, run_uuid)"},
    {DIALECT_POSTGRESQL, 0, 0, "metrics", "primary key (key, timestamp, run_uuid, value)",
     "primary key (key, timestamp, run_uuid)"},
    /* SQLAlchemy 1.3 gives a boolean column this check, as revision 39d1c3be5f05 does for all. */
    {DIALECT_SQLITE, REV_LATEST_METRICS, REV_IS_NAN_CHECK - 1, "latest_metrics", "check (is_nan IN (0, 1))",
     NULL},
    /* 1.5.0 left the old list beside the one with KILLED. Where it has outlived revision 0a8213491aaa, which
     * was to drop it, no run can be KILLED. */
    {DIALECT_POSTGRESQL, REV_KILLED_RUNS, REV_KILLED_RUNS, "runs",
     "check ((status = ANY (ARRAY['SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING'])))", NULL},
};

struct checker {
    enum dialect dialect;
    int order;
    const struct schema_shape *expected, *real;
    schema_report *report;
    void *arg;
    int findings;
};

static void find(struct checker *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void find(struct checker *c, const char *fmt, ...)
{
    struct buf line = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&line, fmt, ap);
    va_end(ap);
    c->report(buf_str(&line), c->arg);
    c->findings++;
    buf_free(&line);
}

/* Whether a fact that is there too much, or that is missing, is so by the way a release has made the
 * database. */
static bool is_legacy(const struct checker *c, const struct schema_fact *f, bool missing)
{
    for (size_t i = 0; i < sizeof legacies / sizeof *legacies; i++) {
        const struct legacy *l = &legacies[i];
        const char *text = missing ? l->instead : l->fact;
        if (l->dialect == c->dialect && l->first <= c->order && c->order <= l->last &&
            strcmp(l->table, f->table) == 0 && text && strcmp(text, f->text) == 0)
            return !missing || schema_shape_find(c->real, l->table, l->fact);
    }
    return false;
}

/* The columns of a key. */
static bool key_columns(const struct schema_fact *f, struct schema_text *columns)
{
    struct schema_text rest;
    return schema_text_brackets((struct schema_text){f->text, f->text + strlen(f->text)}, columns, &rest);
}

/* The length of the words that tell one fact of a kind from the others of its table: "index NAME",
 * "foreign key (a, b)". */
static size_t identity_length(const struct schema_fact *f)
{
    static const char *const named[] = {"column", "index", "trigger"};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (schema_fact_is(f, named[i])) {
            const char *name = f->text + strlen(named[i]) + 1;
            return (size_t)(name - f->text) + strcspn(name, " ");
        }
    if (schema_fact_is(f, "primary key"))
        return strlen("primary key");
    struct schema_text columns;
    return key_columns(f, &columns) ? (size_t)(columns.end - f->text) + 1 : strlen(f->text);
}

/* Another definition in `s` of what the fact defines, which is none of those in `without`. */
static const struct schema_fact *find_other(const struct schema_shape *s, const struct schema_shape *without,
                                            const struct schema_fact *f)
{
    size_t n = identity_length(f);
    for (int i = 0; i < s->n; i++) {
        const struct schema_fact *other = &s->facts[i];
        if (strcmp(other->table, f->table) == 0 && identity_length(other) == n &&
            memcmp(other->text, f->text, n) == 0 && !schema_shape_find(without, other->table, other->text))
            return other;
    }
    return NULL;
}

/* A trigger's text is long, and of use to nobody in a line. */
static void report_difference(struct checker *c, const struct schema_fact *f, const struct schema_fact *other)
{
    if (!schema_fact_is(f, "trigger")) {
        find(c, "table %s: %s, should be: %s", f->table, other->text, f->text);
        return;
    }
    char *name = schema_fact_name(f);
    char *disabled = xasprintf("trigger %s disabled", name);
    find(c, "table %s: trigger %s %s", f->table, name,
         strcmp(other->text, disabled) == 0 ? "is disabled" : "is not as MLflow makes it");
    free(disabled);
    free(name);
}

static void report_missing(struct checker *c, const struct schema_fact *f)
{
    if (!schema_fact_is(f, "trigger")) {
        find(c, "table %s: missing: %s", f->table, f->text);
        return;
    }
    char *name = schema_fact_name(f);
    find(c, "table %s: missing: trigger %s", f->table, name);
    free(name);
}

static void check_missing(struct checker *c)
{
    const char *missing = "";
    for (int i = 0; i < c->expected->n; i++) {
        const struct schema_fact *f = &c->expected->facts[i];
        if (strcmp(f->table, missing) == 0 || schema_shape_find(c->real, f->table, f->text) ||
            is_legacy(c, f, true))
            continue;
        if (!schema_shape_has_table(c->real, f->table)) {
            missing = f->table;
            find(c, "table %s is missing", f->table);
            continue;
        }
        const struct schema_fact *other = find_other(c->real, c->expected, f);
        if (other)
            report_difference(c, f, other);
        else
            report_missing(c, f);
    }
}

/* A key, or a unique index. */
static bool is_unique(const struct schema_fact *f)
{
    char *name = schema_fact_name(f);
    bool unique = schema_fact_is(f, "unique") || schema_fact_is(f, "primary key") ||
                  (schema_fact_is(f, "index") && strncmp(f->text + 6 + strlen(name), " unique ", 8) == 0);
    free(name);
    return unique;
}

/* Whether the column is one of those, in whatever order, and compared as usual. */
static bool has_column(struct schema_text columns, struct schema_text column)
{
    struct schema_text one;
    size_t n = (size_t)(column.end - column.at);
    while (schema_text_next(&columns, &one)) {
        size_t len = (size_t)(one.end - one.at);
        if (len >= n && memcmp(one.at, column.at, n) == 0 &&
            (len == n || (one.at[n] == ' ' && !memmem(one.at, len, " COLLATE ", 9))))
            return true;
    }
    return false;
}

/* Rows that one unique key holds apart another cannot refuse that has all its columns. */
static bool has_key_of(const struct schema_fact *f, const struct schema_fact *key)
{
    struct schema_text columns, wanted, column;
    if (!is_unique(key) || strcmp(key->table, f->table) != 0 || !key_columns(f, &columns) ||
        !key_columns(key, &wanted) || strstr(key->text, " partial") || strstr(key->text, " WHERE ") ||
        strstr(f->text, "NULLS NOT DISTINCT"))
        return false;
    while (schema_text_next(&wanted, &column))
        if (!has_column(columns, column))
            return false;
    return true;
}

static bool has_key_of_any(const struct schema_shape *s, const struct schema_fact *f)
{
    for (int i = 0; i < s->n; i++)
        if (has_key_of(f, &s->facts[i]))
            return true;
    return false;
}

static bool has_value(const struct schema_fact *column)
{
    return strstr(column->text, " DEFAULT ") || strstr(column->text, " GENERATED ");
}

/* A column of others that is NULL in MLflow's rows keeps them out of unique and foreign keys. */
static bool has_null_column(const struct checker *c, const struct schema_fact *f)
{
    struct schema_text columns, one;
    if (!key_columns(f, &columns) || strstr(f->text, "NULLS NOT DISTINCT"))
        return false;
    while (schema_text_next(&columns, &one)) {
        char *name = xstrndup(one.at, (size_t)(one.end - one.at));
        name[strcspn(name, " ")] = '\0';
        const struct schema_fact *column = schema_shape_column(c->real, f->table, name);
        bool null = column && !schema_shape_column(c->expected, f->table, name) && !has_value(column);
        free(name);
        if (null)
            return true;
    }
    return false;
}

/* Of what is there beside MLflow's own only what can refuse MLflow's rows, or swallow them, is drift. */
static bool may_refuse_rows(const struct checker *c, const struct schema_fact *f)
{
    static const char *const kinds[] = {"check", "exclude", "definition", "options", "row"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (schema_fact_is(f, kinds[i]))
            return true;
    if (schema_fact_is(f, "column"))
        return strstr(f->text, " NOT NULL") && !has_value(f);
    if (schema_fact_is(f, "foreign key"))
        return !has_null_column(c, f);
    return is_unique(f) && !has_null_column(c, f) && !has_key_of_any(c->expected, f);
}

/* Whether a fact is MLflow's own, or was named as another definition of what is. */
static bool is_known(const struct checker *c, const struct schema_fact *f)
{
    return schema_shape_find(c->expected, f->table, f->text) || is_legacy(c, f, false) ||
           find_other(c->expected, c->real, f);
}

static void check_extra(struct checker *c)
{
    for (int i = 0; i < c->real->n; i++) {
        const struct schema_fact *f = &c->real->facts[i];
        if (!is_known(c, f) && schema_shape_has_table(c->expected, f->table) && may_refuse_rows(c, f))
            find(c, "table %s: not MLflow's: %s", f->table, f->text);
    }
}

bool schema_check(struct db *db, int order, schema_report *report, void *arg, int *findings, struct err *e)
{
    struct schema_shape expected, real;
    if (!schema_shape_read(db, &real, e))
        return false;
    bool ok = schema_shape_expected(db, order, &expected, e);
    if (ok) {
        struct checker c = {db_dialect(db), order, &expected, &real, report, arg, 0};
        check_missing(&c);
        check_extra(&c);
        *findings = c.findings;
        schema_shape_free(&expected);
    }
    schema_shape_free(&real);
    return ok;
}

/* Compares a database's structure with that of its revision. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/database/sql_text.h"
#include "formats/schema/model.h"
#include "formats/schema/queries.h"
#include "formats/schema/shape.h"
#include "formats/schema/trigger.h"

/* Structures created by some releases of MLflow, which an upgrade makes like all others. */
static const struct legacy {
    enum dialect dialect;
    int first, last; /* the revisions that may have it */
    const char *table;
    const char *fact;
    const char *instead; /* what others have instead, or NULL */
} legacies[] = {
    /* 0.9.1, the last release without revisions, against 0.9.0. */
    {DIALECT_SQLITE, 0, 0, "metrics", "primary key (key, timestamp, run_uuid, value)",
     "primary key (key, timestamp, run_uuid)"},
    {DIALECT_POSTGRESQL, 0, 0, "metrics", "primary key (key, timestamp, run_uuid, value)",
     "primary key (key, timestamp, run_uuid)"},
    /* SQLAlchemy 1.3 gives a boolean column this check, as revision 39d1c3be5f05 does for all. */
    {DIALECT_SQLITE, REV_LATEST_METRICS, REV_IS_NAN_CHECK - 1, "latest_metrics", "check (is_nan IN (0, 1))",
     NULL},
    /* 1.5.0 left the old check in addition to the one with KILLED. If revision 0a8213491aaa failed to drop
     * it, no run can be KILLED. */
    {DIALECT_POSTGRESQL, REV_KILLED_RUNS, REV_KILLED_RUNS, "runs",
     "check ((status = ANY (ARRAY['SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING'])))", NULL},
};

/* An index that MLflow's maintainers call safe to drop, since another one has its columns first. */
static const struct {
    const char *table, *index, *instead;
} needless[] = {
    {"metrics", "index_metrics_run_uuid", "index_metrics_run_uuid_key_step"},
};

struct checker {
    struct db *db;
    enum dialect dialect;
    int rev;
    const struct schema_shape *expected, *real;
    struct schema_findings *found;
    struct err *e;
};

static void find(struct checker *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void find(struct checker *c, const char *fmt, ...)
{
    struct buf line = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&line, fmt, ap);
    va_end(ap);
    c->found->difference(buf_str(&line), c->found->arg);
    c->found->differences++;
    buf_free(&line);
}

/* Whether an extra or missing fact is due to the release that created the database. */
static bool is_legacy(const struct checker *c, const struct schema_fact *f, bool missing)
{
    for (size_t i = 0; i < ARRAY_LENGTH(legacies); i++) {
        const struct legacy *l = &legacies[i];
        const char *text = missing ? l->instead : l->fact;
        if (l->dialect == c->dialect && l->first <= c->rev && c->rev <= l->last &&
            strcmp(l->table, f->table) == 0 && text && strcmp(text, f->text) == 0)
            return !missing || schema_shape_find(c->real, l->table, l->fact);
    }
    return false;
}

/* The columns of a key. */
static bool key_columns(const struct schema_fact *f, struct sql_text *columns)
{
    struct sql_text rest;
    return sql_brackets(sql_text(f->dialect, f->text), columns, &rest);
}

/* The length of the words that identify a fact within its table: "index NAME", "foreign key (a, b)". */
static size_t identity_length(const struct schema_fact *f)
{
    static const char *const named[] = {"column", "index", "trigger"};
    for (size_t i = 0; i < ARRAY_LENGTH(named); i++)
        if (schema_fact_is(f, named[i])) {
            const char *name = f->text + strlen(named[i]) + 1;
            return (size_t)(name - f->text) + strcspn(name, " ");
        }
    if (schema_fact_is(f, "primary key"))
        return strlen("primary key");
    struct sql_text columns;
    return key_columns(f, &columns) ? (size_t)(columns.end - f->text) + 1 : strlen(f->text);
}

/* Finds a different definition in `s` of what the fact defines, excluding those in `without`. */
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

/* The text of a trigger is omitted: it is too long for one line. */
static void report_difference(struct checker *c, const struct schema_fact *f, const struct schema_fact *other)
{
    if (!schema_fact_is(f, "trigger")) {
        find(c, "table %s: %s, should be: %s", f->table, other->text, f->text);
        return;
    }
    char *name = schema_fact_name(f);
    char *disabled = xasprintf("trigger %s disabled", name);
    find(c, "table %s: trigger %s %s", f->table, name,
         strcmp(other->text, disabled) == 0 ? "is disabled" : "differs from MLflow's");
    free(disabled);
    free(name);
}

static const struct schema_fact *find_index(const struct schema_shape *s, const char *table, const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->facts[i].table, table) == 0 && schema_fact_is(&s->facts[i], "index") &&
            strncmp(s->facts[i].text + 6, name, n) == 0 && s->facts[i].text[6 + n] == ' ')
            return &s->facts[i];
    return NULL;
}

/* Reports a missing index that nothing needs; false for any other fact. */
static bool is_needless(struct checker *c, const struct schema_fact *f)
{
    for (size_t i = 0; i < ARRAY_LENGTH(needless); i++) {
        if (find_index(c->expected, needless[i].table, needless[i].index) != f ||
            !find_index(c->real, needless[i].table, needless[i].instead))
            continue;
        struct buf line = {0};
        buf_addf(&line, "table %s: tolerated: missing: %s (%s has its columns first)", f->table, f->text,
                 needless[i].instead);
        c->found->tolerated(buf_str(&line), c->found->arg);
        buf_free(&line);
        return true;
    }
    return false;
}

static void report_missing(struct checker *c, const struct schema_fact *f)
{
    if (is_needless(c, f))
        return;
    if (!schema_fact_is(f, "trigger")) {
        find(c, "table %s: missing: %s", f->table, f->text);
        return;
    }
    char *name = schema_fact_name(f);
    find(c, "table %s: missing: trigger %s", f->table, name);
    free(name);
}

/* The type of an object with this name that is not a table; NULL if there is none. */
static const char *relation_of(struct checker *c, const char *table)
{
    static const char *const queries[] = {
        [DIALECT_SQLITE] =
            "SELECT iif(type = 'table', 'virtual table', type) FROM sqlite_schema WHERE name = ?1",
        [DIALECT_POSTGRESQL] = schema_relation_postgresql,
    };
    static const char *const known[] = {"view", "materialized view", "foreign table", "virtual table"};
    const char *found = NULL;
    struct value v = value_str(table);
    struct db_stmt *s = db_prepare(c->db, queries[c->dialect], NULL);
    if (!s)
        return NULL;
    db_bind(s, 1, &v);
    if (db_step(s, NULL) == 1) {
        db_column(s, 0, &v);
        for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
            found = value_eqs(&v, known[i]) ? known[i] : found;
    }
    db_finalize(s);
    return found;
}

static void report_missing_table(struct checker *c, const char *table)
{
    const char *relation = relation_of(c, table);
    if (relation)
        find(c, "table %s is missing: there is a %s of this name", table, relation);
    else
        find(c, "table %s is missing", table);
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
            report_missing_table(c, missing);
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

/* Whether the column is in the list, with the default collation. */
static bool has_column(struct sql_text columns, struct sql_text column)
{
    struct sql_text one;
    size_t n = (size_t)(column.end - column.at);
    while (sql_item(&columns, &one)) {
        size_t len = (size_t)(one.end - one.at);
        if (len >= n && memcmp(one.at, column.at, n) == 0 &&
            (len == n || (one.at[n] == ' ' && !memmem(one.at, len, " COLLATE ", 9))))
            return true;
    }
    return false;
}

/* A unique key that contains all columns of another cannot reject rows that the other accepts. */
static bool has_key_of(const struct schema_fact *f, const struct schema_fact *key)
{
    struct sql_text columns, wanted, column;
    if (!is_unique(key) || strcmp(key->table, f->table) != 0 || !key_columns(f, &columns) ||
        !key_columns(key, &wanted) || strstr(key->text, " partial") || strstr(key->text, " WHERE ") ||
        strstr(f->text, "NULLS NOT DISTINCT"))
        return false;
    while (sql_item(&wanted, &column))
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

/* A user-defined column that is NULL in MLflow's rows exempts them from unique and foreign keys. */
static bool has_null_column(const struct checker *c, const struct schema_fact *f)
{
    struct sql_text columns, one;
    if (!key_columns(f, &columns) || strstr(f->text, "NULLS NOT DISTINCT"))
        return false;
    while (sql_item(&columns, &one)) {
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

/* User-defined objects count as differences only if they can reject or drop MLflow's rows. */
static bool may_refuse_rows(const struct checker *c, const struct schema_fact *f)
{
    static const char *const refusing[] = {"check", "exclude", "definition", "options", "row"};
    for (size_t i = 0; i < ARRAY_LENGTH(refusing); i++)
        if (schema_fact_is(f, refusing[i]))
            return true;
    if (schema_fact_is(f, "column"))
        return strstr(f->text, " NOT NULL") && !has_value(f);
    if (schema_fact_is(f, "foreign key"))
        return !has_null_column(c, f);
    return is_unique(f) && !has_null_column(c, f) && !has_key_of_any(c->expected, f);
}

/* Whether a fact is MLflow's own, or was reported as a different definition of one. */
static bool is_known(const struct checker *c, const struct schema_fact *f)
{
    return schema_shape_find(c->expected, f->table, f->text) || is_legacy(c, f, false) ||
           find_other(c->expected, c->real, f);
}

static bool is_trigger(const struct schema_fact *f)
{
    return schema_fact_is(f, "trigger") || schema_fact_is(f, "rule");
}

/* Reports a user-defined trigger or rule with its effect on MLflow's rows. */
static void check_trigger(struct checker *c, const struct schema_fact *f)
{
    struct buf effect = {0};
    schema_trigger_effect(f, c->expected, &effect);
    char *name = schema_fact_name(f);
    if (effect.len)
        find(c, "table %s: not MLflow's: %s %s, which %s", f->table,
             schema_fact_is(f, "rule") ? "rule" : "trigger", name, buf_str(&effect));
    free(name);
    buf_free(&effect);
}

static void check_extra(struct checker *c)
{
    for (int i = 0; i < c->real->n; i++) {
        const struct schema_fact *f = &c->real->facts[i];
        if (is_known(c, f) || !schema_shape_has_table(c->expected, f->table))
            continue;
        if (is_trigger(f))
            check_trigger(c, f);
        else if (may_refuse_rows(c, f))
            find(c, "table %s: not MLflow's: %s", f->table, f->text);
    }
}

/* Whether f is a column that this revision does not have. */
static bool is_extra_column(const struct checker *c, const struct schema_fact *f)
{
    if (!schema_fact_is(f, "column"))
        return false;
    char *name = schema_fact_name(f);
    bool extra = !schema_shape_column(c->expected, f->table, name);
    free(name);
    return extra;
}

static bool has_extra_column(const struct checker *c)
{
    for (int i = 0; i < c->real->n; i++)
        if (is_extra_column(c, &c->real->facts[i]))
            return true;
    return false;
}

/* Whether there is a column, possibly of a new table, that the newest revision has but not this one. Building
 * the newest schema is expensive, so it is done only if there is an extra column. */
static bool has_newer_column(const struct checker *c, bool *has)
{
    *has = false;
    if (c->rev == schema_head || !has_extra_column(c))
        return true;
    struct db *model = schema_model(schema_head, c->e);
    struct schema_shape newest;
    if (!model || !schema_shape_read(model, &newest, c->e)) {
        db_close(model);
        return false;
    }
    for (int i = 0; i < c->real->n && !*has; i++) {
        const struct schema_fact *f = &c->real->facts[i];
        if (!is_extra_column(c, f))
            continue;
        char *name = schema_fact_name(f);
        *has = schema_shape_column(&newest, f->table, name);
        free(name);
    }
    schema_shape_free(&newest);
    db_close(model);
    return true;
}

/* Tables and columns of a later revision make its upgrade fail, so they are differences. Those missing from
 * this revision are reported one by one. */
static bool check_stamp(struct checker *c)
{
    int nearest = c->rev;
    bool has;
    if (!has_newer_column(c, &has) || (has && !schema_nearest_of(c->real, c->rev, &nearest, c->e)))
        return false;
    if (nearest > c->rev) {
        struct buf releases = {0};
        schema_releases_of(nearest, &releases);
        find(c, "table alembic_version: revision %s, but the tables and columns are those of %s (%s)",
             schema_revisions[c->rev].revision, schema_revisions[nearest].revision, buf_str(&releases));
        buf_free(&releases);
    }
    return true;
}

/* Whether a SQLite database has exactly the structure of its revision, by comparing digests: creating the
 * revision's tables for a full comparison takes longer than reading a small database. */
static bool is_as_made(const struct checker *c)
{
    char digest[SCHEMA_DIGEST];
    schema_shape_digest(c->real, digest);
    return c->dialect == DIALECT_SQLITE && strcmp(digest, schema_shapes[c->rev]) == 0;
}

static bool check_against_expected(struct checker *c)
{
    struct schema_shape expected;
    if (!schema_shape_expected(c->db, c->rev, &expected, c->e))
        return false;
    c->expected = &expected;
    check_missing(c);
    check_extra(c);
    bool ok = check_stamp(c);
    c->expected = NULL;
    schema_shape_free(&expected);
    return ok;
}

bool schema_check(struct db *db, int rev, struct schema_findings *f, struct err *e)
{
    struct schema_shape real;
    f->differences = 0;
    if (!schema_shape_read(db, &real, e))
        return false;
    struct checker c = {.db = db, .dialect = db_dialect(db), .rev = rev, .real = &real, .found = f, .e = e};
    bool ok = is_as_made(&c) || check_against_expected(&c);
    schema_shape_free(&real);
    return ok;
}

/* -- verdicts */

static void report_state(struct schema_findings *f, const struct schema_state *s)
{
    struct buf line = {0};
    schema_state_describe(s, &line);
    f->difference(buf_str(&line), f->arg);
    f->differences++;
    buf_free(&line);
}

static enum schema_verdict not_read(const struct err *e, struct buf *why)
{
    if (e->class != ERR_DENIED)
        return SCHEMA_FAILED;
    buf_adds(why, e->what);
    return SCHEMA_NOT_JUDGED;
}

static enum schema_verdict judge_state(struct db *db, const struct schema_state *s, struct schema_findings *f,
                                       struct buf *why, struct err *e)
{
    if (s->kind == SCHEMA_STATE_UNKNOWN) {
        schema_state_describe(s, why);
        return SCHEMA_NOT_JUDGED;
    }
    if (s->kind == SCHEMA_STATE_EMPTY)
        buf_adds(why, "there are no MLflow tables in this database");
    else if (s->kind != SCHEMA_STATE_KNOWN)
        report_state(f, s);
    else if (!schema_check(db, s->rev, f, e))
        return not_read(e, why);
    if (why->len)
        return SCHEMA_NOT_JUDGED;
    return f->differences ? SCHEMA_DIFFERENT : SCHEMA_SOUND;
}

enum schema_verdict schema_judge(struct db *db, struct schema_findings *f, struct buf *why, struct err *e)
{
    struct schema_state s = {0};
    f->differences = 0;
    if (!db_begin_read(db, e))
        return not_read(e, why);
    bool read = schema_state_read(db, &s, e);
    enum schema_verdict verdict = read ? judge_state(db, &s, f, why, e) : not_read(e, why);
    schema_state_free(&s);
    db_rollback(db);
    return verdict;
}

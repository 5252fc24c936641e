/* Reads properties of a table that only its CREATE statement has. */
#include "formats/schema/create_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"

/* Whether the piece is that word or quoted name, ignoring case. */
static bool is_named(struct sql_piece p, const char *name)
{
    char *found = sql_unquoted(p);
    bool is = sql_is_name(p) && strcasecmp(found, name) == 0;
    free(found);
    return is;
}

/* The word after ON CONFLICT: false for the default. */
static bool is_other_conflict(struct sql_piece p)
{
    return p.kind == SQL_WORD && !sql_is(p, "ABORT");
}

static void add_clause(struct buf *out, const char *clause, struct sql_piece p)
{
    buf_adds(out, clause);
    for (const char *s = p.inside.at; s < p.inside.end; s++)
        buf_addc(out, (char)toupper((unsigned char)*s));
}

static void add_clauses(struct sql_text definition, struct buf *out)
{
    struct sql_piece p;
    while ((p = sql_piece(&definition)).kind != SQL_NOTHING) {
        struct sql_text rest = definition;
        struct sql_piece next = sql_piece(&rest);
        if (sql_is(p, "COLLATE") && !is_named(next, "BINARY"))
            add_clause(out, " COLLATE ", next);
        else if (sql_is(p, "CONFLICT") && is_other_conflict(next))
            add_clause(out, " ON CONFLICT ", next);
        else if (sql_is(p, "DEFERRED"))
            buf_adds(out, " DEFERRED");
        else if (sql_is(p, "AS") && next.kind == SQL_GROUP) {
            buf_adds(out, " GENERATED AS (");
            sql_normal(next.inside, out);
            buf_addc(out, ')');
        }
    }
}

static bool is_constraint(struct sql_text definition)
{
    static const char *const words[] = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"};
    struct sql_piece p = sql_piece(&definition);
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (sql_is(p, words[i]))
            return true;
    return false;
}

void schema_text_column(struct sql_text create, const char *column, struct buf *out)
{
    struct sql_text inside, after, definition;
    if (!sql_brackets(create, &inside, &after))
        return;
    while (sql_item(&inside, &definition)) {
        struct sql_text rest = definition;
        if (!is_constraint(definition) && is_named(sql_piece(&rest), column)) {
            add_clauses(rest, out);
            return;
        }
    }
}

static void give_fact(const char *kind, struct sql_text t, bool brackets, schema_text_fact *give, void *arg)
{
    struct buf fact = {0};
    buf_adds(&fact, kind);
    if (brackets)
        buf_addc(&fact, '(');
    sql_normal(t, &fact);
    if (brackets)
        buf_addc(&fact, ')');
    give(buf_str(&fact), arg);
    buf_free(&fact);
}

static void give_checks(struct sql_text definition, schema_text_fact *give, void *arg)
{
    struct sql_piece p, last = {0};
    while ((p = sql_piece(&definition)).kind != SQL_NOTHING) {
        if (p.kind == SQL_GROUP && sql_is(last, "CHECK"))
            give_fact("check ", p.inside, true, give, arg);
        last = p;
    }
}

void schema_text_table(struct sql_text create, schema_text_fact *give, void *arg)
{
    struct sql_text inside, after, definition;
    if (!sql_brackets(create, &inside, &after))
        return;
    while (sql_item(&inside, &definition)) {
        struct buf clauses = {0};
        give_checks(definition, give, arg);
        if (is_constraint(definition))
            add_clauses(definition, &clauses);
        if (clauses.len)
            give_fact("definition ", definition, false, give, arg);
        buf_free(&clauses);
    }
    if (!sql_at_end(after))
        give_fact("options ", after, false, give, arg);
}

/* Collects what the PostgreSQL texts of revisions create, change and require. */
#include "formats/schema/needs.h"

#include <stdio.h>
#include <string.h>

#include "formats/database/sql_text.h"

enum { WORDS = 4 };

struct reader {
    struct schema_needs *needs;
    int rev;
    struct sql_text text;          /* after the last word */
    struct sql_piece words[WORDS]; /* the last ones, the newest first */
    struct sql_piece table;        /* that the statement creates or alters */
    bool makes, makes_if;          /* the statement creates it; only IF NOT EXISTS */
    bool index;                    /* the statement creates an index, whose table is still to come */
};

/* The next piece other than parentheses and commas. */
static struct sql_piece next_word(struct sql_text *text)
{
    struct sql_piece p;
    while ((p = sql_token(text)).kind == SQL_OPEN || p.kind == SQL_CLOSE || sql_is_sign(p, ','))
        ;
    return p;
}

static size_t length(struct sql_piece w)
{
    return (size_t)(w.text.end - w.text.at);
}

/* Whether it is an identifier. */
static bool is_name(struct sql_piece w)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    return w.kind == SQL_WORD && length(w) < 64 && strspn(w.text.at, letters) >= length(w);
}

static const struct sql_piece none = {.kind = SQL_NOTHING};

/* The lists and their first columns. */
static const struct {
    const char *name, *first, *second;
} lists[SCHEMA_NEEDS] = {
    [SCHEMA_MADE] = {"made", "name", "tab"},      [SCHEMA_FUNCTIONS] = {"functions", "name", NULL},
    [SCHEMA_KEYS] = {"keys", "tab", "name"},      [SCHEMA_ADDED] = {"added", "tab", "col"},
    [SCHEMA_CHANGED] = {"changed", "tab", "col"}, [SCHEMA_GONE] = {"gone", "tab", "name"},
    [SCHEMA_USED] = {"used", "tab", "by"},        [SCHEMA_WRITTEN] = {"written", "tab", NULL},
    [SCHEMA_PLPGSQL] = {"plpgsql", NULL, NULL},   [SCHEMA_REPLACED] = {"replaced", "tab", "col"},
};

static void add_name(struct buf *row, const char *column, struct sql_piece w)
{
    if (w.kind != SQL_NOTHING)
        buf_addf(row, "\"%s\": \"%.*s\", ", column, (int)length(w), w.text.at);
}

/* more: further columns as JSON, each with a comma after it. */
static void add_row(struct schema_needs *needs, enum schema_need list, struct sql_piece a, struct sql_piece b,
                    const char *more, int rev)
{
    struct buf *rows = &needs->rows[list];
    if ((a.kind != SQL_NOTHING && !is_name(a)) || (b.kind != SQL_NOTHING && !is_name(b)))
        return;
    buf_adds(rows, rows->len ? ",\n{" : "{");
    add_name(rows, lists[list].first, a);
    add_name(rows, lists[list].second, b);
    buf_addf(rows, "%s\"n\": %d}", more, rev);
}

static void add(const struct reader *r, enum schema_need list, struct sql_piece a, struct sql_piece b,
                const char *more)
{
    add_row(r->needs, list, a, b, more, r->rev);
}

static struct sql_piece piece_of(const char *name)
{
    struct sql_text t = sql_text(DIALECT_POSTGRESQL, name ? name : "");
    return sql_token(&t);
}

void schema_needs_add_row(struct schema_needs *needs, enum schema_need list, const char *first,
                          const char *second, const char *how, int rev)
{
    struct buf more = {0};
    if (how)
        buf_addf(&more, "\"how\": \"%s\", ", how);
    add_row(needs, list, piece_of(first), piece_of(second), buf_str(&more), rev);
    buf_free(&more);
}

static const char *truth(bool b)
{
    return b ? "true" : "false";
}

/* The words before the current one. */
static bool follows(const struct reader *r, const char *before_last, const char *last)
{
    return sql_is(r->words[2], before_last) && sql_is(r->words[1], last);
}

/* A column's type ends at the first clause. */
static void add_column(struct reader *r, struct sql_piece column, bool may_be_there)
{
    struct sql_text definition, rest = r->text, type;
    bool has_default = false, ended = false;
    struct sql_piece p;
    struct buf more = {0};
    sql_item(&rest, &definition);
    type = definition;
    type.end = type.at;
    while ((p = sql_piece(&definition)).kind != SQL_NOTHING && !sql_is_sign(p, ';')) {
        has_default |= sql_is(p, "DEFAULT");
        ended |= sql_is(p, "DEFAULT") || sql_is(p, "NOT");
        if (!ended)
            type.end = p.text.end;
    }
    buf_addf(&more, "\"type\": \"%.*s\", \"may_be_there\": %s, \"has_default\": %s, ",
             (int)(type.end - type.at), type.at, truth(may_be_there), truth(has_default));
    add(r, SCHEMA_ADDED, r->table, column, buf_str(&more));
    buf_free(&more);
}

static const char new[] = "\"may_be_there\": false, ", there[] = "\"may_be_there\": true, ";

/* Handles statements that create relations and functions. */
static void read_made(struct reader *r)
{
    struct sql_piece w = r->words[0];
    bool if_not_exists = follows(r, "NOT", "EXISTS") && sql_is(r->words[3], "IF");
    bool table = follows(r, "CREATE", "TABLE") && !sql_is(w, "IF");
    if (table || (if_not_exists && r->table.kind == SQL_NOTHING)) {
        r->table = w;
        r->makes = true;
        r->makes_if = !table;
        add(r, SCHEMA_MADE, w, w, table ? new : there);
    } else if (sql_is(r->words[1], "INDEX") && !sql_is(r->words[2], "DROP")) {
        r->index = true;
        add(r, SCHEMA_MADE, w, none, new);
    } else if (sql_is(r->words[1], "ON") && r->index) {
        r->index = false;
        add(r, SCHEMA_USED, w, none, "\"how\": \"OWN\", ");
    } else if (follows(r, "REPLACE", "FUNCTION"))
        add(r, SCHEMA_FUNCTIONS, w, none, "");
    else if (sql_is(r->words[2], "CONSTRAINT") && !sql_is(r->words[3], "DROP")) {
        char more[64];
        bool key = sql_is(w, "PRIMARY") || sql_is(w, "UNIQUE");
        snprintf(more, sizeof more, "\"has_index\": %s, \"of_new_table\": %s, ", truth(key), truth(r->makes));
        add(r, SCHEMA_KEYS, r->table, r->words[1], more);
        if (key)
            add(r, SCHEMA_MADE, r->words[1], r->table, r->makes_if ? there : new);
    }
}

/* Handles statements that change a table or drop something. */
static void read_changed(struct reader *r)
{
    struct sql_piece w = r->words[0];
    if (follows(r, "ALTER", "TABLE")) {
        r->table = w;
        add(r, SCHEMA_USED, w, none, "\"how\": \"OWN\", ");
    } else if (follows(r, "DROP", "CONSTRAINT") && !sql_is(w, "IF"))
        add(r, SCHEMA_GONE, r->table, w, "");
    else if (follows(r, "DROP", "INDEX"))
        add(r, SCHEMA_GONE, none, w, "");
    else if (follows(r, "ADD", "COLUMN") && !sql_is(w, "IF"))
        add_column(r, w, false);
    else if (follows(r, "NOT", "EXISTS") && sql_is(r->words[3], "IF") && !r->makes)
        add_column(r, w, true);
    else if (follows(r, "DROP", "COLUMN"))
        add(r, SCHEMA_CHANGED, r->table, w, "\"how\": \"drops\", ");
    else if (sql_is(w, "TYPE") && sql_is(r->words[2], "COLUMN"))
        add(r, SCHEMA_CHANGED, r->table, r->words[1], "\"how\": \"changes\", ");
    else if (sql_is(r->words[1], "TO") && sql_is(r->words[3], "COLUMN")) {
        add(r, SCHEMA_CHANGED, r->table, r->words[2], "\"how\": \"renames\", ");
        add(r, SCHEMA_ADDED, r->table, w,
            "\"type\": \"\", \"may_be_there\": false, \"has_default\": false, ");
    }
}

/* Handles statements that write rows, and foreign keys. */
static void read_rows(struct reader *r)
{
    struct sql_piece w = r->words[0];
    bool begins = r->words[2].kind == SQL_NOTHING || sql_is_sign(r->words[2], ';');
    if (sql_is(r->words[1], "REFERENCES"))
        add(r, SCHEMA_USED, w, r->table, "\"how\": \"REFERENCES\", ");
    else if (follows(r, "INSERT", "INTO"))
        add(r, SCHEMA_WRITTEN, w, none, "\"how\": \"INSERT\", ");
    else if (follows(r, "DELETE", "FROM"))
        add(r, SCHEMA_WRITTEN, w, none, "\"how\": \"DELETE\", ");
    else if (sql_is(r->words[1], "UPDATE") && begins)
        add(r, SCHEMA_WRITTEN, w, none, "\"how\": \"UPDATE\", ");
}

/* Recognizes the words that migrations/ uses. PL/pgSQL blocks are not analysed: what they do depends on the
 * database. */
void schema_needs_add(struct schema_needs *needs, int rev)
{
    struct reader r = {
        .needs = needs, .rev = rev, .text = sql_text(DIALECT_POSTGRESQL, schema_revisions[rev].postgresql)};
    struct sql_piece w;
    while ((w = next_word(&r.text)).kind != SQL_NOTHING) {
        memmove(r.words + 1, r.words, (WORDS - 1) * sizeof *r.words);
        r.words[0] = w;
        if (sql_is_sign(w, ';')) {
            r.table = none;
            r.index = r.makes = r.makes_if = false;
        } else if (w.kind == SQL_STRING && *w.text.at == '$') {
            add(&r, SCHEMA_PLPGSQL, none, none, "");
        } else {
            read_made(&r);
            read_changed(&r);
            read_rows(&r);
        }
    }
}

void schema_needs_write(const struct schema_needs *needs, enum schema_need list, const char *prefix,
                        struct buf *out)
{
    buf_addf(out, "\"%s%s\": [%s]", prefix, lists[list].name, buf_str(&needs->rows[list]));
}

void schema_needs_free(struct schema_needs *needs)
{
    for (int i = 0; i < SCHEMA_NEEDS; i++)
        buf_free(&needs->rows[i]);
}

/* Analyses the text of a trigger, its function or a rule. */
#include "formats/schema/trigger.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/database/sql_text.h"

enum { MAX_LITERALS = 8 };

struct trigger {
    const struct schema_shape *mlflow;
    const char *table;
    bool before_row; /* its function may change or drop the row */
    bool on_delete;  /* only on DELETE: a rejected row stays */
    bool executes;   /* it executes text as a statement */
    struct buf *out;
};

static void add_effect(struct trigger *g, const char *verb, const char *table)
{
    struct buf effect = {0};
    buf_addf(&effect, "%s%s%s", verb, *table ? " " : "", table);
    if (!g->out->len || !strstr(buf_str(g->out), buf_str(&effect)))
        buf_addf(g->out, "%s%s", g->out->len ? ", " : "", buf_str(&effect));
    buf_free(&effect);
}

/* Takes [SCHEMA.]NAME and returns the name, malloc'ed; NULL if something else follows. */
static char *take_table(struct sql_text *t)
{
    struct sql_piece p = sql_piece(t);
    struct sql_text rest = *t;
    while (sql_is_sign(sql_piece(&rest), '.')) {
        p = sql_piece(&rest);
        *t = rest;
    }
    return sql_is_name(p) ? sql_unquoted(p) : NULL;
}

/* Takes either of two words. */
static bool take_either(struct sql_text *t, const char *word, const char *other)
{
    return sql_take(t, word) || sql_take(t, other);
}

/* Whether the list after SET contains a column of MLflow's. */
static bool sets_column(const struct trigger *g, const char *table, struct sql_text t)
{
    struct sql_piece p;
    bool first = true, sets = false;
    while (!sets && (p = sql_piece(&t)).kind != SQL_NOTHING && p.kind != SQL_CLOSE && !sql_is(p, "WHERE") &&
           !sql_is_sign(p, ';')) {
        if (first) {
            char *column = sql_unquoted(p);
            sets = p.kind == SQL_GROUP || schema_shape_column(g->mlflow, table, column);
            free(column);
        }
        first = sql_is_sign(p, ',');
    }
    return sets;
}

/* The words after UPDATE: [OR x] [ONLY] TABLE [AS x] SET … */
static void read_update(struct trigger *g, struct sql_text t)
{
    if (sql_take(&t, "OR"))
        sql_piece(&t);
    sql_take(&t, "ONLY");
    char *table = take_table(&t);
    struct sql_text rest = t;
    for (int i = 0; i < 3 && !sql_take(&rest, "SET"); i++) /* an alias */
        sql_piece(&rest);
    if (table && schema_shape_has_table(g->mlflow, table) && sets_column(g, table, rest))
        add_effect(g, "changes", table);
    free(table);
}

static void read_target(struct trigger *g, struct sql_text t, const char *verb)
{
    sql_take(&t, "ONLY");
    char *table = take_table(&t);
    if (table && schema_shape_has_table(g->mlflow, table))
        add_effect(g, verb, table);
    free(table);
}

/* SQLite's RAISE (…), PL/pgSQL's RAISE [LEVEL] …; levels below EXCEPTION only print messages. */
static void read_raise(struct trigger *g, struct sql_text t)
{
    static const char *const levels[] = {"NOTICE", "WARNING", "INFO", "LOG", "DEBUG"};
    struct sql_piece p = sql_piece(&t);
    for (size_t i = 0; i < ARRAY_LENGTH(levels); i++)
        if (sql_is(p, levels[i]))
            return;
    if (!g->on_delete)
        add_effect(g, "may reject or drop rows of", g->table);
}

/* NEW.column := … */
static void read_new(struct trigger *g, struct sql_text t)
{
    char *column = sql_piece(&t).kind == SQL_SIGN ? take_table(&t) : NULL;
    struct sql_piece p = sql_piece(&t);
    if (column && g->before_row && sql_is_sign(p, ':') && schema_shape_column(g->mlflow, g->table, column))
        add_effect(g, "changes", g->table);
    free(column);
}

/* The function of a BEFORE row trigger returns the row to write. */
static void read_return(struct trigger *g, struct sql_text t)
{
    if (g->before_row && (sql_take(&t, "NULL") || (!g->on_delete && sql_take(&t, "OLD"))))
        add_effect(g, "may reject or drop rows of", g->table);
}

/* depth: nesting of literals. */
static void read_pieces(struct trigger *g, struct sql_text t, int depth)
{
    struct sql_piece p, last = {0};
    while ((p = sql_token(&t)).kind != SQL_NOTHING) {
        struct sql_text rest = t;
        if (p.kind == SQL_STRING && g->executes && depth < MAX_LITERALS)
            read_pieces(g, p.inside, depth + 1);
        else if (sql_is(p, "DELETE") && sql_take(&rest, "FROM"))
            read_target(g, rest, "deletes from");
        else if (sql_is(p, "TRUNCATE")) {
            sql_take(&rest, "TABLE");
            read_target(g, rest, "empties");
        } else if (sql_is(p, "REPLACE") && sql_take(&rest, "INTO"))
            read_target(g, rest, "replaces rows of");
        else if (sql_is(p, "UPDATE"))
            read_update(g, rest);
        else if (sql_is(p, "RAISE"))
            read_raise(g, rest);
        else if (sql_is(p, "NEW"))
            read_new(g, rest);
        else if (sql_is(p, "RETURN"))
            read_return(g, rest);
        else if (sql_is(p, "INSTEAD") && sql_is(last, "DO"))
            add_effect(g, "replaces operations on", g->table);
        last = p;
    }
}

/* Reads BEFORE, the events up to ON and FOR EACH ROW, and whether there is an EXECUTE other than the
 * trigger's. */
static void read_head(struct trigger *g, struct sql_text t)
{
    struct sql_piece p;
    bool before = false, row = false, other = false, head = true;
    while ((p = sql_piece(&t)).kind != SQL_NOTHING) {
        struct sql_text rest = t;
        before |= head && sql_is(p, "BEFORE");
        other |= head && (sql_is(p, "INSERT") || sql_is(p, "UPDATE"));
        g->on_delete |= head && sql_is(p, "DELETE");
        head = head && !sql_is(p, "ON");
        row |= sql_is(p, "EACH") && sql_take(&rest, "ROW");
        g->executes |= sql_is(p, "EXECUTE") && !take_either(&rest, "FUNCTION", "PROCEDURE");
    }
    g->before_row = before && row;
    g->on_delete = g->on_delete && !other;
}

void schema_trigger_effect(const struct schema_fact *f, const struct schema_shape *mlflow, struct buf *out)
{
    struct trigger g = {.mlflow = mlflow, .table = f->table, .out = out};
    const char *definition = strstr(f->text, " CREATE ");
    if (!definition) /* disabled */
        return;
    struct sql_text t = sql_text(f->dialect, definition);
    read_head(&g, t);
    read_pieces(&g, t, 0);
}

/* Reads the words of a trigger, its function or a rule. */
#include "formats/schema/trigger.h"

#include <stdlib.h>
#include <string.h>

#include "formats/schema/create_text.h"

struct trigger {
    const struct schema_shape *mlflow;
    const char *table;
    bool before_row; /* its function may change or drop the row */
    bool on_delete;  /* and for nothing else: what it refuses stays */
    bool executes;   /* text as a statement */
    struct buf *out;
};

static char *copy(struct schema_text t)
{
    return xstrndup(t.at, (size_t)(t.end - t.at));
}

static void add_effect(struct trigger *g, const char *verb, const char *table)
{
    struct buf effect = {0};
    buf_addf(&effect, "%s%s%s", verb, *table ? " " : "", table);
    if (!g->out->len || !strstr(buf_str(g->out), buf_str(&effect)))
        buf_addf(g->out, "%s%s", g->out->len ? ", " : "", buf_str(&effect));
    buf_free(&effect);
}

/* [SCHEMA.]NAME, the name malloc'ed; NULL when something else comes. */
static char *take_table(struct schema_text *t)
{
    struct schema_piece p = schema_text_piece(t);
    struct schema_text rest = *t;
    while (schema_text_piece(&rest).kind == SCHEMA_SIGN && *t->at == '.') {
        p = schema_text_piece(&rest);
        *t = rest;
    }
    return p.kind == SCHEMA_WORD || p.kind == SCHEMA_NAME ? copy(p.text) : NULL;
}

/* Takes a word; one of two where `other` is given. */
static bool take(struct schema_text *t, const char *word, const char *other)
{
    struct schema_text rest = *t;
    struct schema_piece p = schema_text_piece(&rest);
    bool is = schema_piece_is(p, word) || (other && schema_piece_is(p, other));
    if (is)
        *t = rest;
    return is;
}

/* Whether the list that follows SET names a column of MLflow's. */
static bool sets_column(const struct trigger *g, const char *table, struct schema_text t)
{
    struct schema_piece p;
    bool first = true, sets = false;
    while (!sets && (p = schema_text_piece(&t)).kind != SCHEMA_NOTHING && !schema_piece_is(p, "WHERE") &&
           !(p.kind == SCHEMA_SIGN && *p.text.at == ';')) {
        if (first) {
            char *column = copy(p.text);
            sets = p.kind == SCHEMA_BRACKETS || schema_shape_column(g->mlflow, table, column);
            free(column);
        }
        first = p.kind == SCHEMA_SIGN && *p.text.at == ',';
    }
    return sets;
}

/* The words after UPDATE: [OR x] [ONLY] TABLE [AS x] SET … */
static void read_update(struct trigger *g, struct schema_text t)
{
    if (take(&t, "OR", NULL))
        schema_text_piece(&t);
    take(&t, "ONLY", NULL);
    char *table = take_table(&t);
    struct schema_text rest = t;
    for (int i = 0; i < 3 && !take(&rest, "SET", NULL); i++) /* an alias */
        schema_text_piece(&rest);
    if (table && schema_shape_has_table(g->mlflow, table) && sets_column(g, table, rest))
        add_effect(g, "changes", table);
    free(table);
}

static void read_target(struct trigger *g, struct schema_text t, const char *verb)
{
    take(&t, "ONLY", NULL);
    char *table = take_table(&t);
    if (table && schema_shape_has_table(g->mlflow, table))
        add_effect(g, verb, table);
    free(table);
}

/* SQLite's RAISE (…), PL/pgSQL's RAISE [LEVEL] …; the levels below EXCEPTION only tell. */
static void read_raise(struct trigger *g, struct schema_text t)
{
    static const char *const tells[] = {"NOTICE", "WARNING", "INFO", "LOG", "DEBUG"};
    struct schema_piece p = schema_text_piece(&t);
    for (size_t i = 0; i < sizeof tells / sizeof *tells; i++)
        if (schema_piece_is(p, tells[i]))
            return;
    if (!g->on_delete)
        add_effect(g, "may refuse or leave out rows of", g->table);
}

/* NEW.column := … */
static void read_new(struct trigger *g, struct schema_text t)
{
    char *column = schema_text_piece(&t).kind == SCHEMA_SIGN ? take_table(&t) : NULL;
    struct schema_piece p = schema_text_piece(&t);
    if (column && g->before_row && p.kind == SCHEMA_SIGN && *p.text.at == ':' &&
        schema_shape_column(g->mlflow, g->table, column))
        add_effect(g, "changes", g->table);
    free(column);
}

/* What the function of a trigger before each row returns is the row that is written. */
static void read_return(struct trigger *g, struct schema_text t)
{
    if (g->before_row && (take(&t, "NULL", NULL) || (!g->on_delete && take(&t, "OLD", NULL))))
        add_effect(g, "may refuse or leave out rows of", g->table);
}

static void read_pieces(struct trigger *g, struct schema_text t)
{
    struct schema_piece p, last = {0};
    while ((p = schema_text_piece(&t)).kind != SCHEMA_NOTHING) {
        struct schema_text rest = t;
        if (p.kind == SCHEMA_BRACKETS)
            read_pieces(g, p.text);
        else if (p.kind == SCHEMA_STRING && g->executes && p.text.end - p.text.at > 2)
            read_pieces(g, (struct schema_text){p.text.at + 1, p.text.end - 1});
        else if (schema_piece_is(p, "DELETE") && take(&rest, "FROM", NULL))
            read_target(g, rest, "deletes from");
        else if (schema_piece_is(p, "TRUNCATE")) {
            take(&rest, "TABLE", NULL);
            read_target(g, rest, "empties");
        } else if (schema_piece_is(p, "REPLACE") && take(&rest, "INTO", NULL))
            read_target(g, rest, "replaces rows of");
        else if (schema_piece_is(p, "UPDATE"))
            read_update(g, rest);
        else if (schema_piece_is(p, "RAISE"))
            read_raise(g, rest);
        else if (schema_piece_is(p, "NEW"))
            read_new(g, rest);
        else if (schema_piece_is(p, "RETURN"))
            read_return(g, rest);
        else if (schema_piece_is(p, "INSTEAD") && schema_piece_is(last, "DO"))
            add_effect(g, "takes the place of what is done to", g->table);
        last = p;
    }
}

/* BEFORE, the events up to ON, FOR EACH ROW, and whether there is EXECUTE other than that of the trigger. */
static void read_head(struct trigger *g, struct schema_text t)
{
    struct schema_piece p;
    bool before = false, row = false, other = false, head = true;
    while ((p = schema_text_piece(&t)).kind != SCHEMA_NOTHING) {
        struct schema_text rest = t;
        before |= head && schema_piece_is(p, "BEFORE");
        other |= head && (schema_piece_is(p, "INSERT") || schema_piece_is(p, "UPDATE"));
        g->on_delete |= head && schema_piece_is(p, "DELETE");
        head = head && !schema_piece_is(p, "ON");
        row |= schema_piece_is(p, "EACH") && take(&rest, "ROW", NULL);
        g->executes |= schema_piece_is(p, "EXECUTE") && !take(&rest, "FUNCTION", "PROCEDURE");
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
    struct schema_text t = {definition, f->text + strlen(f->text)};
    read_head(&g, t);
    read_pieces(&g, t);
}

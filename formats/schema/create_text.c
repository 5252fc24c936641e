#include "formats/schema/create_text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* ---- pieces */

/* The end of white space and comments. */
static const char *skip_blank(const char *s, const char *end)
{
    while (s < end) {
        if (isspace((unsigned char)*s))
            s++;
        else if (end - s > 1 && memcmp(s, "--", 2) == 0) {
            s = memchr(s, '\n', (size_t)(end - s));
            s = s ? s : end;
        } else if (end - s > 1 && memcmp(s, "/*", 2) == 0) {
            s = memmem(s + 2, (size_t)(end - s - 2), "*/", 2);
            s = s ? s + 2 : end;
        } else
            break;
    }
    return s;
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* The end of what begins at s and no blank does. */
static const char *skip_piece(const char *s, const char *end)
{
    if (in_word(*s)) {
        while (s < end && in_word(*s))
            s++;
        return s;
    }
    if (*s && strchr("'\"`[", *s)) {
        const char *close = memchr(s + 1, *s == '[' ? ']' : *s, (size_t)(end - s - 1));
        return close ? close + 1 : end;
    }
    if (*s != '(')
        return s + 1;
    s = skip_blank(s + 1, end);
    while (s < end && *s != ')')
        s = skip_blank(skip_piece(s, end), end);
    return s < end ? s + 1 : end;
}

static enum schema_piece_kind kind_of(char c)
{
    if (in_word(c))
        return SCHEMA_WORD;
    switch (c) {
    case '\'':
        return SCHEMA_STRING;
    case '"':
    case '`':
    case '[':
        return SCHEMA_NAME;
    case '(':
        return SCHEMA_BRACKETS;
    default:
        return SCHEMA_SIGN;
    }
}

struct schema_piece schema_text_piece(struct schema_text *t)
{
    struct schema_piece p = {SCHEMA_NOTHING, {t->end, t->end}};
    t->at = skip_blank(t->at, t->end);
    if (t->at == t->end)
        return p;
    p.kind = kind_of(*t->at);
    p.text = (struct schema_text){t->at, skip_piece(t->at, t->end)};
    t->at = p.text.end;
    if (p.kind == SCHEMA_NAME || p.kind == SCHEMA_BRACKETS) {
        char close = *p.text.at == '(' ? ')' : *p.text.at == '[' ? ']' : *p.text.at;
        p.text.at++;
        p.text.end -= p.text.end > p.text.at && p.text.end[-1] == close;
    }
    return p;
}

static bool text_is(struct schema_text t, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(t.end - t.at) == n && strncasecmp(t.at, word, n) == 0;
}

bool schema_piece_is(struct schema_piece p, const char *word)
{
    return p.kind == SCHEMA_WORD && text_is(p.text, word);
}

/* ---- texts */

/* Whether there is a space before p in the normal form: words stay apart, and two strings side by side are
 * one with a quote in it. */
static bool is_apart(struct schema_piece last, struct schema_piece p)
{
    if (last.kind == SCHEMA_SIGN)
        return *last.text.at == ',';
    return last.kind != SCHEMA_NOTHING && p.kind != SCHEMA_SIGN &&
           !(last.kind == SCHEMA_STRING && p.kind == SCHEMA_STRING);
}

void schema_text_normal(struct schema_text t, struct buf *out)
{
    struct schema_piece p, last = {0};
    while ((p = schema_text_piece(&t)).kind != SCHEMA_NOTHING) {
        if (is_apart(last, p))
            buf_addc(out, ' ');
        if (p.kind == SCHEMA_BRACKETS) {
            buf_addc(out, '(');
            schema_text_normal(p.text, out);
            buf_addc(out, ')');
        } else
            buf_add(out, p.text.at, (size_t)(p.text.end - p.text.at));
        last = p;
    }
}

bool schema_text_brackets(struct schema_text t, struct schema_text *inside, struct schema_text *after)
{
    struct schema_piece p;
    while ((p = schema_text_piece(&t)).kind != SCHEMA_NOTHING && p.kind != SCHEMA_BRACKETS)
        ;
    *inside = p.text;
    *after = t;
    return p.kind == SCHEMA_BRACKETS;
}

bool schema_text_next(struct schema_text *inside, struct schema_text *definition)
{
    inside->at = skip_blank(inside->at, inside->end);
    *definition = (struct schema_text){inside->at, inside->at};
    struct schema_piece p;
    while ((p = schema_text_piece(inside)).kind != SCHEMA_NOTHING) {
        if (p.kind == SCHEMA_SIGN && *p.text.at == ',')
            return true;
        definition->end = inside->at;
    }
    return definition->end > definition->at;
}

/* What follows ON CONFLICT: false for what happens without it. */
static bool is_other_conflict(struct schema_piece p)
{
    return p.kind == SCHEMA_WORD && !text_is(p.text, "ABORT");
}

static void add_clause(struct buf *out, const char *clause, struct schema_piece p)
{
    buf_adds(out, clause);
    for (const char *s = p.text.at; s < p.text.end; s++)
        buf_addc(out, (char)toupper((unsigned char)*s));
}

static void add_clauses(struct schema_text definition, struct buf *out)
{
    struct schema_piece p;
    while ((p = schema_text_piece(&definition)).kind != SCHEMA_NOTHING) {
        struct schema_text rest = definition;
        struct schema_piece next = schema_text_piece(&rest);
        if (schema_piece_is(p, "COLLATE") && !text_is(next.text, "BINARY"))
            add_clause(out, " COLLATE ", next);
        else if (schema_piece_is(p, "CONFLICT") && is_other_conflict(next))
            add_clause(out, " ON CONFLICT ", next);
        else if (schema_piece_is(p, "DEFERRED"))
            buf_adds(out, " DEFERRED");
        else if (schema_piece_is(p, "AS") && next.kind == SCHEMA_BRACKETS) {
            buf_adds(out, " GENERATED AS (");
            schema_text_normal(next.text, out);
            buf_addc(out, ')');
        }
    }
}

static bool is_constraint(struct schema_text definition)
{
    static const char *const words[] = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"};
    struct schema_piece p = schema_text_piece(&definition);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (schema_piece_is(p, words[i]))
            return true;
    return false;
}

void schema_text_column(struct schema_text create, const char *column, struct buf *out)
{
    struct schema_text inside, after, definition;
    if (!schema_text_brackets(create, &inside, &after))
        return;
    while (schema_text_next(&inside, &definition)) {
        struct schema_text rest = definition;
        if (!is_constraint(definition) && text_is(schema_text_piece(&rest).text, column)) {
            add_clauses(rest, out);
            return;
        }
    }
}

static void give_fact(const char *kind, struct schema_text t, bool brackets, schema_text_fact *give,
                      void *arg)
{
    struct buf fact = {0};
    buf_adds(&fact, kind);
    if (brackets)
        buf_addc(&fact, '(');
    schema_text_normal(t, &fact);
    if (brackets)
        buf_addc(&fact, ')');
    give(buf_str(&fact), arg);
    buf_free(&fact);
}

static void give_checks(struct schema_text definition, schema_text_fact *give, void *arg)
{
    struct schema_piece p, last = {0};
    while ((p = schema_text_piece(&definition)).kind != SCHEMA_NOTHING) {
        if (p.kind == SCHEMA_BRACKETS && schema_piece_is(last, "CHECK"))
            give_fact("check ", p.text, true, give, arg);
        last = p;
    }
}

void schema_text_table(struct schema_text create, schema_text_fact *give, void *arg)
{
    struct schema_text inside, after, definition;
    if (!schema_text_brackets(create, &inside, &after))
        return;
    while (schema_text_next(&inside, &definition)) {
        struct buf clauses = {0};
        give_checks(definition, give, arg);
        if (is_constraint(definition))
            add_clauses(definition, &clauses);
        if (clauses.len)
            give_fact("definition ", definition, false, give, arg);
        buf_free(&clauses);
    }
    if (schema_text_piece(&(struct schema_text){after.at, after.end}).kind != SCHEMA_NOTHING)
        give_fact("options ", after, false, give, arg);
}

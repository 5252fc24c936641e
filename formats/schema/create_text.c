#include "formats/schema/create_text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* ---- pieces */

enum kind {
    NOTHING,
    WORD,
    NAME, /* quoted */
    STRING,
    BRACKETS, /* with all that is in them */
    SIGN,
};

struct piece {
    enum kind kind;
    struct schema_text text; /* of NAME without the quotes, of BRACKETS without these */
};

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

static enum kind kind_of(char c)
{
    if (in_word(c))
        return WORD;
    switch (c) {
    case '\'':
        return STRING;
    case '"':
    case '`':
    case '[':
        return NAME;
    case '(':
        return BRACKETS;
    default:
        return SIGN;
    }
}

/* The next piece of a text, which moves behind it. */
static struct piece next_piece(struct schema_text *t)
{
    struct piece p = {NOTHING, {t->end, t->end}};
    t->at = skip_blank(t->at, t->end);
    if (t->at == t->end)
        return p;
    p.kind = kind_of(*t->at);
    p.text = (struct schema_text){t->at, skip_piece(t->at, t->end)};
    t->at = p.text.end;
    if (p.kind == NAME || p.kind == BRACKETS) {
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

static bool is_word(struct piece p, const char *word)
{
    return p.kind == WORD && text_is(p.text, word);
}

/* ---- texts */

/* Whether there is a space before p in the normal form: words stay apart, and two strings side by side are
 * one with a quote in it. */
static bool is_apart(struct piece last, struct piece p)
{
    if (last.kind == SIGN)
        return *last.text.at == ',';
    return last.kind != NOTHING && p.kind != SIGN && !(last.kind == STRING && p.kind == STRING);
}

void schema_text_normal(struct schema_text t, struct buf *out)
{
    struct piece p, last = {0};
    while ((p = next_piece(&t)).kind != NOTHING) {
        if (is_apart(last, p))
            buf_addc(out, ' ');
        if (p.kind == BRACKETS) {
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
    struct piece p;
    while ((p = next_piece(&t)).kind != NOTHING && p.kind != BRACKETS)
        ;
    *inside = p.text;
    *after = t;
    return p.kind == BRACKETS;
}

bool schema_text_next(struct schema_text *inside, struct schema_text *definition)
{
    inside->at = skip_blank(inside->at, inside->end);
    *definition = (struct schema_text){inside->at, inside->at};
    struct piece p;
    while ((p = next_piece(inside)).kind != NOTHING) {
        if (p.kind == SIGN && *p.text.at == ',')
            return true;
        definition->end = inside->at;
    }
    return definition->end > definition->at;
}

/* What follows ON CONFLICT: false for what happens without it. */
static bool is_other_conflict(struct piece p)
{
    return p.kind == WORD && !text_is(p.text, "ABORT");
}

static void add_clause(struct buf *out, const char *clause, struct piece p)
{
    buf_adds(out, clause);
    for (const char *s = p.text.at; s < p.text.end; s++)
        buf_addc(out, (char)toupper((unsigned char)*s));
}

static void add_clauses(struct schema_text definition, struct buf *out)
{
    struct piece p;
    while ((p = next_piece(&definition)).kind != NOTHING) {
        struct schema_text rest = definition;
        struct piece next = next_piece(&rest);
        if (is_word(p, "COLLATE") && !text_is(next.text, "BINARY"))
            add_clause(out, " COLLATE ", next);
        else if (is_word(p, "CONFLICT") && is_other_conflict(next))
            add_clause(out, " ON CONFLICT ", next);
        else if (is_word(p, "DEFERRED"))
            buf_adds(out, " DEFERRED");
        else if (is_word(p, "AS") && next.kind == BRACKETS) {
            buf_adds(out, " GENERATED AS (");
            schema_text_normal(next.text, out);
            buf_addc(out, ')');
        }
    }
}

static bool is_constraint(struct schema_text definition)
{
    static const char *const words[] = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"};
    struct piece p = next_piece(&definition);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(p, words[i]))
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
        if (!is_constraint(definition) && text_is(next_piece(&rest).text, column)) {
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
    struct piece p, last = {0};
    while ((p = next_piece(&definition)).kind != NOTHING) {
        if (p.kind == BRACKETS && is_word(last, "CHECK"))
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
    if (next_piece(&(struct schema_text){after.at, after.end}).kind != NOTHING)
        give_fact("options ", after, false, give, arg);
}

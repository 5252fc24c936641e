/* Scans SQL text of either dialect. */
#include "formats/database/sql_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct sql_text sql_text(enum dialect dialect, const char *sql)
{
    return (struct sql_text){sql, sql + strlen(sql), dialect};
}

char *sql_copy(struct sql_text t)
{
    return xstrndup(t.at, (size_t)(t.end - t.at));
}

/* -- tokens: each function takes the beginning of an element and returns its end */

static bool begins(const char *s, const char *end, const char *with)
{
    size_t n = strlen(with);
    return (size_t)(end - s) >= n && memcmp(s, with, n) == 0;
}

/* Comments nest in PostgreSQL. */
static const char *skip_comment(const char *s, const char *end, bool nested)
{
    int depth = 0;
    while (s < end) {
        if (begins(s, end, "/*") && (nested || depth == 0)) {
            depth++;
            s += 2;
        } else if (begins(s, end, "*/")) {
            s += 2;
            if (--depth == 0)
                return s;
        } else {
            s++;
        }
    }
    return end;
}

static const char *skip_blank(const char *s, const char *end, enum dialect dialect)
{
    while (s < end) {
        if (isspace((unsigned char)*s)) {
            s++;
        } else if (begins(s, end, "--")) {
            s = memchr(s, '\n', (size_t)(end - s));
            s = s ? s : end;
        } else if (begins(s, end, "/*")) {
            s = skip_comment(s, end, dialect == DIALECT_POSTGRESQL);
        } else {
            break;
        }
    }
    return s;
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static const char *skip_word(const char *s, const char *end)
{
    while (s < end && in_word(*s))
        s++;
    return s;
}

/* s: after the opening quote. A doubled quote is part of the text, and so is a character after a backslash if
 * `escapes`. */
static const char *skip_quoted(const char *s, const char *end, char quote, bool escapes)
{
    for (; s < end; s++) {
        if (escapes && *s == '\\' && s + 1 < end)
            s++;
        else if (*s != quote)
            continue;
        else if (s + 1 < end && s[1] == quote && quote != ']')
            s++;
        else
            break;
    }
    return s;
}

/* The length of `$$` or `$tag$` at the beginning of a literal; else 0. */
static size_t dollar_length(const char *s, const char *end)
{
    const char *p = s + 1;
    while (p < end && *p != '$' && in_word(*p))
        p++;
    bool tag = p < end && *p == '$' && !isdigit((unsigned char)s[1]);
    return tag ? (size_t)(p - s) + 1 : 0;
}

/* The length of the letters before a literal's quote; 0 if there are none or no quote. */
static size_t prefix_length(struct sql_text t)
{
    bool postgres = t.dialect == DIALECT_POSTGRESQL;
    if (t.end - t.at > 1 && t.at[1] == '\'' && *t.at && strchr(postgres ? "eEbBxXnN" : "xX", *t.at))
        return 1;
    if (postgres && t.end - t.at > 2 && (*t.at == 'u' || *t.at == 'U') && t.at[1] == '&' &&
        (t.at[2] == '\'' || t.at[2] == '"'))
        return 2;
    return 0;
}

/* t begins with a prefix and a quote. */
static struct sql_piece quoted(struct sql_text t, size_t prefix)
{
    char open = t.at[prefix], close = open == '[' ? ']' : open;
    bool escapes = prefix == 1 && (*t.at == 'e' || *t.at == 'E');
    struct sql_piece p = {open == '\'' ? SQL_STRING : SQL_NAME, t, t};
    p.inside.at = t.at + prefix + 1;
    p.inside.end = skip_quoted(p.inside.at, t.end, close, escapes);
    p.text.end = p.inside.end + (p.inside.end < t.end);
    return p;
}

/* open: the length of the opening tag. */
static struct sql_piece dollar_quoted(struct sql_text t, size_t open)
{
    struct sql_piece p = {SQL_STRING, t, t};
    p.inside.at = t.at + open;
    const char *close = memmem(p.inside.at, (size_t)(t.end - p.inside.at), t.at, open);
    p.inside.end = close ? close : t.end;
    p.text.end = close ? close + open : t.end;
    return p;
}

static bool is_quote(struct sql_text t)
{
    return *t.at && strchr(t.dialect == DIALECT_SQLITE ? "'\"`[" : "'\"", *t.at);
}

static struct sql_piece scan(struct sql_text t)
{
    size_t prefix = prefix_length(t), dollar = 0;
    if (t.dialect == DIALECT_POSTGRESQL && *t.at == '$')
        dollar = dollar_length(t.at, t.end);
    if (dollar)
        return dollar_quoted(t, dollar);
    if (prefix || is_quote(t))
        return quoted(t, prefix);
    struct sql_piece p = {SQL_SIGN, t, t};
    p.text.end = t.at + 1;
    if (in_word(*t.at)) {
        p.kind = SQL_WORD;
        p.text.end = skip_word(t.at, t.end);
    } else if (*t.at == '(' || *t.at == ')') {
        p.kind = *t.at == '(' ? SQL_OPEN : SQL_CLOSE;
    }
    p.inside = p.text;
    return p;
}

struct sql_piece sql_token(struct sql_text *t)
{
    t->at = skip_blank(t->at, t->end, t->dialect);
    if (t->at == t->end)
        return (struct sql_piece){SQL_NOTHING, *t, *t};
    struct sql_piece p = scan(*t);
    t->at = p.text.end;
    return p;
}

/* -- pieces */

struct sql_piece sql_piece(struct sql_text *t)
{
    struct sql_piece p = sql_token(t), last = p;
    if (p.kind != SQL_OPEN)
        return p;
    for (int depth = 1; depth > 0 && last.kind != SQL_NOTHING;) {
        last = sql_token(t);
        depth += (last.kind == SQL_OPEN) - (last.kind == SQL_CLOSE);
    }
    p.kind = SQL_GROUP;
    p.inside.at = p.text.at + 1;
    p.inside.end = last.text.at; /* of NOTHING: the end */
    p.text.end = t->at;
    return p;
}

bool sql_is(struct sql_piece p, const char *word)
{
    size_t n = strlen(word);
    return p.kind == SQL_WORD && (size_t)(p.text.end - p.text.at) == n &&
           strncasecmp(p.text.at, word, n) == 0;
}

bool sql_is_sign(struct sql_piece p, char sign)
{
    return p.kind == SQL_SIGN && *p.text.at == sign;
}

bool sql_is_name(struct sql_piece p)
{
    return p.kind == SQL_WORD || p.kind == SQL_NAME;
}

char *sql_unquoted(struct sql_piece p)
{
    bool quoted = p.kind == SQL_NAME || p.kind == SQL_STRING;
    char *name = sql_copy(quoted ? p.inside : p.text), *out = name;
    char quote = quoted ? p.inside.at[-1] : '[';
    if (quote == '[' || quote == '$')
        return name;
    for (const char *s = name; *s; s++) {
        *out++ = *s;
        s += *s == quote; /* its second */
    }
    *out = '\0';
    return name;
}

bool sql_at_end(struct sql_text t)
{
    return sql_token(&t).kind == SQL_NOTHING;
}

bool sql_take(struct sql_text *t, const char *words)
{
    struct sql_text rest = *t, wanted = sql_text(t->dialect, words);
    while (!sql_at_end(wanted)) {
        struct sql_text want = sql_token(&wanted).text;
        struct sql_piece p = sql_token(&rest);
        size_t n = (size_t)(want.end - want.at);
        if (p.kind != SQL_WORD || (size_t)(p.text.end - p.text.at) != n ||
            strncasecmp(p.text.at, want.at, n) != 0)
            return false;
    }
    *t = rest;
    return true;
}

char *sql_take_name(struct sql_text *t)
{
    struct sql_text rest = *t;
    struct sql_piece p = sql_token(&rest);
    if (!sql_is_name(p))
        return NULL;
    *t = rest;
    return sql_unquoted(p);
}

/* -- lists and statements */

bool sql_brackets(struct sql_text t, struct sql_text *inside, struct sql_text *after)
{
    struct sql_piece p;
    while ((p = sql_piece(&t)).kind != SQL_NOTHING && p.kind != SQL_GROUP)
        ;
    *inside = p.inside;
    *after = t;
    return p.kind == SQL_GROUP;
}

bool sql_item(struct sql_text *list, struct sql_text *item)
{
    struct sql_piece p = sql_piece(list);
    *item = p.text;
    if (p.kind == SQL_NOTHING)
        return false;
    if (sql_is_sign(p, ',')) {
        item->end = item->at;
        return true;
    }
    while ((p = sql_piece(list)).kind != SQL_NOTHING && !sql_is_sign(p, ','))
        item->end = p.text.end;
    return true;
}

static bool makes_trigger(struct sql_text t)
{
    if (!sql_take(&t, "CREATE"))
        return false;
    if (!sql_take(&t, "TEMP"))
        sql_take(&t, "TEMPORARY");
    return sql_take(&t, "TRIGGER");
}

bool sql_statement(struct sql_text *t, struct sql_text *statement)
{
    struct sql_piece p, last = {0}, before = {0}; /* the two pieces before p */
    while (sql_is_sign(p = sql_piece(t), ';'))
        ;
    *statement = p.text;
    if (p.kind == SQL_NOTHING)
        return false;
    bool trigger =
        t->dialect == DIALECT_SQLITE && makes_trigger((struct sql_text){p.text.at, t->end, t->dialect});
    for (; p.kind != SQL_NOTHING; p = sql_piece(t)) {
        if (sql_is_sign(p, ';') && (!trigger || (sql_is(last, "END") && sql_is_sign(before, ';'))))
            break;
        statement->end = p.text.end;
        before = last;
        last = p;
    }
    return true;
}

/* -- texts that are compared */

/* Whether a space separates p from the last piece, as between words and literals. */
static bool is_apart(struct sql_piece last, struct sql_piece p)
{
    if (last.kind == SQL_SIGN)
        return sql_is_sign(last, ',') && p.kind != SQL_CLOSE;
    return last.kind != SQL_NOTHING && last.kind != SQL_OPEN && p.kind != SQL_SIGN && p.kind != SQL_CLOSE;
}

void sql_normal(struct sql_text t, struct buf *out)
{
    struct sql_piece p, last = {0};
    size_t open = 0;
    for (; (p = sql_token(&t)).kind != SQL_NOTHING; last = p) {
        struct sql_text shown = p.kind == SQL_NAME ? p.inside : p.text;
        if (is_apart(last, p))
            buf_addc(out, ' ');
        buf_add(out, shown.at, (size_t)(shown.end - shown.at));
        open += p.kind == SQL_OPEN;
        open -= p.kind == SQL_CLOSE && open > 0;
    }
    for (; open > 0; open--)
        buf_addc(out, ')');
}

void sql_add_quoted(struct buf *out, char quote, const char *text)
{
    buf_addc(out, quote);
    for (; *text; text++) {
        buf_addc(out, *text);
        if (*text == quote)
            buf_addc(out, quote);
    }
    buf_addc(out, quote);
}

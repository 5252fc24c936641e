/* Scans SQL text of either dialect: tokens, parentheses, lists, statements. This is the only code that parses
 * comments, quotes and literals. Texts and pieces borrow unless stated otherwise. An unclosed quote, comment
 * or parenthesis ends with the text. */
#ifndef FORMATS_SQL_TEXT_H
#define FORMATS_SQL_TEXT_H

#include <stdbool.h>

#include "common/buf.h"
#include "formats/database/url.h"

struct sql_text {
    const char *at, *end;
    enum dialect dialect;
};
struct sql_text sql_text(enum dialect dialect, const char *sql);
char *sql_copy(struct sql_text t); /* malloc'ed */

enum sql_kind {
    SQL_NOTHING, /* the end */
    SQL_WORD,    /* a keyword, a name without quotes, a number */
    SQL_NAME,    /* "x"; SQLite's `x` and [x] */
    SQL_STRING,  /* 'x', with its prefix (X'00'; PostgreSQL's E'x', U&'x', B'1'); PostgreSQL's $$x$$ */
    SQL_OPEN,    /* ( */
    SQL_CLOSE,   /* ) */
    SQL_GROUP,   /* of sql_piece: from ( to ) */
    SQL_SIGN,    /* any other character */
};
struct sql_piece {
    enum sql_kind kind;
    struct sql_text text;   /* all of it */
    struct sql_text inside; /* what is between its quotes or parentheses; else all of it */
};
/* Returns the next token and moves the text past it. White space and comments are skipped. */
struct sql_piece sql_token(struct sql_text *t);
/* The same, but ( and everything up to its ) is one piece. CLOSE: an unmatched one. */
struct sql_piece sql_piece(struct sql_text *t);

/* Whether it is that word, ignoring case, or that sign. */
bool sql_is(struct sql_piece p, const char *word);
bool sql_is_sign(struct sql_piece p, char sign);
/* Whether it may be a name: a WORD or a NAME. */
bool sql_is_name(struct sql_piece p);
/* The value of a NAME or STRING, malloc'ed: without prefix and quotes, doubled quotes replaced; escapes are
 * kept. For other pieces their text. */
char *sql_unquoted(struct sql_piece p);

/* Whether nothing but white space and comments is left. */
bool sql_at_end(struct sql_text t);
/* Moves past the words (separated by single spaces) if all follow, else not at all. */
bool sql_take(struct sql_text *t, const char *words);
/* The same for a name, returned unquoted as by sql_unquoted(); NULL if something else follows. */
char *sql_take_name(struct sql_text *t);

/* The inside of the first parentheses in a text, and what follows them; false if there are none. */
bool sql_brackets(struct sql_text t, struct sql_text *inside, struct sql_text *after);
/* The next item of a comma-separated list, from its first piece to its last; *list moves on. False if there
 * are no more. */
bool sql_item(struct sql_text *list, struct sql_text *item);
/* The next statement that is not empty, without its `;`; *t moves on. A SQLite trigger ends with END;. */
bool sql_statement(struct sql_text *t, struct sql_text *statement);

/* Appends the text in normal form for comparison: without comments, insignificant white space and quotes of
 * names; unclosed parentheses are closed. */
void sql_normal(struct sql_text t, struct buf *out);

/* Appends the text in quotes: ' for a literal, " for a name. */
void sql_add_quoted(struct buf *out, char quote, const char *text);

#endif

/* SQL as text, in the words of either dialect: tokens, brackets, lists, statements. This is the one place
 * that knows comments, quotes and literals. Nothing is copied unless it says so: texts and pieces borrow.
 * What is never closed (a quote, a comment, a bracket) ends with the text. */
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
    SQL_SIGN,    /* one character of anything else */
};
struct sql_piece {
    enum sql_kind kind;
    struct sql_text text;   /* all of it */
    struct sql_text inside; /* what stands between its quotes or brackets; of the others all of it */
};
/* The next token of a text, which moves past it. White space and comments are none. */
struct sql_piece sql_token(struct sql_text *t);
/* The same, where ( and all up to its ) is one piece. CLOSE: one that was never opened. */
struct sql_piece sql_piece(struct sql_text *t);

/* Whether it is that word, in whatever case; that sign. */
bool sql_is(struct sql_piece p, const char *word);
bool sql_is_sign(struct sql_piece p, char sign);
/* Whether it may be a name: a WORD or a NAME. */
bool sql_is_name(struct sql_piece p);
/* What a NAME or STRING stands for, malloc'ed: without prefix and quotes, and with one quote for two; escapes
 * stay. Of other pieces the text. */
char *sql_unquoted(struct sql_piece p);

/* Whether nothing but white space and comments is left. */
bool sql_at_end(struct sql_text t);
/* Moves past the words (split by one space each), all or none of them. */
bool sql_take(struct sql_text *t, const char *words);
/* The same for a name: sql_unquoted() of it, NULL when something else comes. */
char *sql_take_name(struct sql_text *t);

/* The inside of the first brackets of a text, and what follows them; false when it has none. */
bool sql_brackets(struct sql_text t, struct sql_text *inside, struct sql_text *after);
/* The next of the items that commas separate, from its first piece to its last; *list moves on. False when
 * there are no more. */
bool sql_item(struct sql_text *list, struct sql_text *item);
/* The next statement that is not empty, without its `;`; *t moves on. A trigger of SQLite's ends with END;.
 */
bool sql_statement(struct sql_text *t, struct sql_text *statement);

/* Appends the text as pieces of SQL are compared: without comments, white space that means nothing, and the
 * quotes of names; brackets that were never closed are closed. */
void sql_normal(struct sql_text t, struct buf *out);

/* Appends the text within quotes: ' for a literal, " for a name. */
void sql_add_quoted(struct buf *out, char quote, const char *text);

#endif

/* What SQLite tells of a table in the text of its CREATE statement alone. For the schema's own files. */
#ifndef FORMATS_SCHEMA_TEXT_H
#define FORMATS_SCHEMA_TEXT_H

#include <stdbool.h>

#include "common/buf.h"

/* A piece of SQL, borrowed. */
struct schema_text {
    const char *at, *end;
};

enum schema_piece_kind {
    SCHEMA_NOTHING,
    SCHEMA_WORD,
    SCHEMA_NAME, /* quoted */
    SCHEMA_STRING,
    SCHEMA_BRACKETS, /* with all that is in them */
    SCHEMA_SIGN,
};
struct schema_piece {
    enum schema_piece_kind kind;
    struct schema_text
        text; /* of a NAME without the quotes, of BRACKETS without these; of a STRING with them */
};
/* The next piece of a text, which moves past it; white space and comments are none. */
struct schema_piece schema_text_piece(struct schema_text *t);
/* Whether the piece is that word, in whatever case. */
bool schema_piece_is(struct schema_piece p, const char *word);

/* Appends the text as pieces of SQL are compared: without comments, white space that means nothing, and the
 * quotes of names. */
void schema_text_normal(struct schema_text t, struct buf *out);

/* The inside of the first brackets of a text, and what follows them; false when it has none. */
bool schema_text_brackets(struct schema_text t, struct schema_text *inside, struct schema_text *after);
/* The next of the definitions there, which commas separate: columns and constraints of a table, columns of a
 * key. False when there are no more; *inside moves on. */
bool schema_text_next(struct schema_text *inside, struct schema_text *definition);

/* Appends what the definition of a column says beyond type, NOT NULL, DEFAULT and keys: " GENERATED AS (…)",
 * " COLLATE NOCASE", " ON CONFLICT IGNORE". */
void schema_text_column(struct schema_text create, const char *column, struct buf *out);

/* Gives each fact of a table that is no column's: "check (…)"; "definition …" of a constraint that is not
 * held at once, or not by an error; "options WITHOUT ROWID". */
typedef void schema_text_fact(const char *fact, void *arg);
void schema_text_table(struct schema_text create, schema_text_fact *give, void *arg);

#endif

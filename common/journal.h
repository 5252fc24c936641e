/* What the programs of a run add to its report: a nameless file to which each of them appends lines of
 * tab-separated fields, the first of which is the line's type (formats/report/report.h lists the types). The
 * program that makes the report creates it; those that it starts inherit it, by the variable
 * MLRUNS_TOOLS_JOURNAL. All text is in printable form (printable.h), so that no field contains a tab or a
 * newline. Lines are appended by one write(2) each.
 *
 * Without a journal, adding to it does nothing. */
#ifndef COMMON_JOURNAL_H
#define COMMON_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* Creates the journal of this program and those that it will start, in a directory. false with e filled. */
bool journal_create(const char *dir, struct err *e);
/* Takes over the journal of the program that started this one, if it has one. err_program_set() calls it. */
void journal_inherit(void);
/* Empties it; only while no other program adds to it. */
void journal_empty(void);
/* Whether there is one: what is only for the report need not be gathered without. */
bool journal_wanted(void);
/* Whether this program created it. */
bool journal_is_own(void);

/* A line: journal_text() and journal_count() append a field to it, journal_put() writes and empties it. The
 * first field is its type. A write that fails is reported once. */
void journal_text(struct buf *line, const char *text);
void journal_bytes(struct buf *line, const char *text, size_t len);
void journal_count(struct buf *line, uint64_t n);
void journal_put(struct buf *line);
/* A message, for err.c: allocates nothing. level: "error", "warning", "note" or "hint". */
void journal_message(const char *level, const char *topic, const char *program, const char *where,
                     const char *text);

enum { JOURNAL_FIELDS = 12 };
struct journal_line {
    const char *field[JOURNAL_FIELDS + 1]; /* from n on "" */
    int n;
};
struct journal_reader;
/* Reads the journal from its beginning; there must be one. */
struct journal_reader *journal_read(void);
/* The next line, valid until the next call. 1, 0 at the end, -1 with e filled. */
int journal_next(struct journal_reader *r, struct journal_line *out, struct err *e);
void journal_reader_free(struct journal_reader *r); /* NULL is fine */

#endif

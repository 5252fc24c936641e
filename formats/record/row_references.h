/* References in rows of kind `row`, for filters that change or select records. */
#ifndef FORMATS_ROW_EDIT_H
#define FORMATS_ROW_EDIT_H

#include "formats/record/idmap.h"
#include "formats/record/rows.h"

struct row_editor;
struct row_editor *row_editor_new(void);
void row_editor_free(struct row_editor *ed); /* NULL is fine */

/* Visits one value of a row; flags has the flag it is visited for (FIELD_EXP …). It may replace text by text
 * that lives until row_edit returns. false with e filled ends the visit. */
typedef bool row_visitor(void *arg, unsigned flags, struct value *v, struct err *e);
/* Visits the references of these flags in r, a record of kind row. Integer ids are passed as text and
 * converted back. Changed values of r live in ed until its next use. Rows of unknown tables refer to nothing.
 * false with e filled: by the visitor, or for unreadable values. */
bool row_edit(struct row_editor *ed, struct record *r, unsigned flags, row_visitor *visit, void *arg,
              struct err *e);

/* The identity of a row: its table and key; of an unreadable row all of its bytes. */
struct id_key row_identity(struct row_editor *ed, const struct record *r);
/* Calls see() with the identity by which children refer to r, for each table of children, and with that of
 * r's own parent. Equal identities connect parent and child. */
void row_each_child(struct row_editor *ed, const struct record *r, void (*see)(void *arg, struct id_key),
                    void *arg);
bool row_parent(struct row_editor *ed, const struct record *r,
                struct id_key *parent); /* false: it has no parent */

#endif

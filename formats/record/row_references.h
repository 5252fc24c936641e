/* What the rows of other tables (kind `row`) refer to, for what changes or chooses records. */
#ifndef FORMATS_ROW_EDIT_H
#define FORMATS_ROW_EDIT_H

#include "formats/record/idmap.h"
#include "formats/record/rows.h"

struct row_editor;
struct row_editor *row_editor_new(void);
void row_editor_free(struct row_editor *ed); /* NULL is fine */

/* Sees one value of a row; flags has the one that it is visited for (FIELD_EXP …). Text may be changed, to
 * text that lives until row_edit returns. false with e filled ends it. */
typedef bool row_visitor(void *arg, unsigned flags, struct value *v, struct err *e);
/* Visits the values of r, a record of kind row, that refer to something of these flags. Ids that are integers
 * in the table are shown as text, and become integers again. When something was changed r's values lie in ed
 * until its next use. Rows of tables that are not known refer to nothing. false with e filled: by the
 * visitor, or for values that can't be read. */
bool row_edit(struct row_editor *ed, struct record *r, unsigned flags, row_visitor *visit, void *arg,
              struct err *e);

/* The identity of a row: its table and key. A row that can't be read is identified by all of it. */
struct id_key row_identity(struct row_editor *ed, const struct record *r);
/* Calls see with the identity of what r's children name as their parent, for each table of children; and for
 * r as a child. Equal identities: r is the parent. */
void row_each_child(struct row_editor *ed, const struct record *r, void (*see)(void *arg, struct id_key),
                    void *arg);
bool row_parent(struct row_editor *ed, const struct record *r,
                struct id_key *parent); /* false: it has none */

#endif

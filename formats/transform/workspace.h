/* Puts all of a stream into one workspace (MLflow 3.10 and newer). */
#ifndef FORMATS_WORKSPACE_H
#define FORMATS_WORKSPACE_H

#include "formats/record/record.h"

struct workspace;
/* NULL with e filled for a name that MLflow would reject (store/workspace/abstract_store.py): it must be 2 to
 * 63 lower-case letters, digits and inner hyphens, and not a prefix of MLflow's addresses. */
struct workspace *workspace_new(const char *name, struct err *e);
/* Puts r into the workspace; r's text lives as long as x, its values until the next call. 1: it
 * goes on; 0: leave it out, it is a row that workspace_row has given already; -1: a row whose values can't be
 * read, e filled. */
int workspace_record(struct workspace *x, struct record *r, struct err *e);
/* The missing rows of the table of workspaces: that of the workspace, and that of the default one. To be
 * called until it returns false, once, before the first trailer. */
bool workspace_row(struct workspace *x, struct record *r);
void workspace_free(struct workspace *x); /* NULL is fine */

#endif

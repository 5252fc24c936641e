/* The artifact URIs of a record, as entities.def lists them: fields that hold one, the tag in which a trace
 * has its own, and those within the JSON texts of datasets. Rows of other tables are row_edit's. */
#ifndef FORMATS_URIS_H
#define FORMATS_URIS_H

#include "common/arena.h"
#include "formats/record/record.h"

struct uri_place {
    const struct kind_desc *kind;
    int field;
    bool any_text; /* one of the strings of a dataset, which need not be a URI */
};

/* Sees a URI of len bytes; appends to out what it becomes and returns true, or false: it stays. */
typedef bool uri_visitor(void *arg, const struct uri_place *at, const char *s, size_t len, struct buf *out);

/* True when a record of this kind may hold a URI. */
bool uris_in(const struct kind_desc *kind);
/* Shows visit each URI of r, and puts what it makes of them in their place; new text lives in a. */
void uris_edit(struct record *r, uri_visitor *visit, void *arg, struct arena *a);

#endif

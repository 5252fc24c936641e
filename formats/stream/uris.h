/* The artifact URIs of a record, as listed in entities.def: URI fields, tags that hold a trace's URIs, and
 * strings in the JSON texts of datasets. For rows of other tables see row_edit. */
#ifndef FORMATS_URIS_H
#define FORMATS_URIS_H

#include "common/arena.h"
#include "formats/record/record.h"

struct uri_place {
    const struct kind_desc *kind;
    int field;
    bool any_text; /* a string of a dataset, which need not be a URI */
};

/* Visits a URI of len bytes. Returns true after appending its replacement to out, or false to keep it. */
typedef bool uri_visitor(void *arg, const struct uri_place *at, const char *s, size_t len, struct buf *out);

/* Whether records of this kind may hold a URI. */
bool uris_in(const struct kind_desc *kind);
/* Calls visit for each URI of r and stores the replacements in r; new text lives in a. */
void uris_edit(struct record *r, uri_visitor *visit, void *arg, struct arena *a);

#endif

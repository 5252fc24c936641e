/* Encodes the values of rows as bytes, in keys sorted by memcmp and in the data of a key. */
#ifndef FORMATS_LOAD_ROW_BYTES_H
#define FORMATS_LOAD_ROW_BYTES_H

#include "common/arena.h"
#include "common/buf.h"
#include "formats/record/value.h"

/* Appends a value so that memcmp sorts like databases; -0.0 becomes 0.0. */
void load_put_key(struct buf *out, const struct value *v);
/* Reads such a value; strings are in the key or, if they contain NUL, in scratch. Returns the bytes read. */
size_t load_get_key(const char *key, size_t len, struct value *v, struct arena *scratch);
/* The same without sort order: shorter, and exact to the bit. */
void load_put_value(struct buf *out, const struct value *v);
/* Reads such a value; strings are in data. Returns the bytes read. */
size_t load_get_value(const char *data, struct value *v);

#endif

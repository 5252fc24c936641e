/* The values of rows as bytes, in keys that memcmp sorts and in what comes with a key. */
#ifndef FORMATS_LOAD_ROW_BYTES_H
#define FORMATS_LOAD_ROW_BYTES_H

#include "common/arena.h"
#include "common/buf.h"
#include "formats/record/value.h"

/* Appends a value so that memcmp puts values in the order in which databases keep them, -0.0 being 0.0. */
void load_put_key(struct buf *out, const struct value *v);
/* Reads such a value; strings lie in the key, or, where they hold NUL, in scratch. Returns the bytes read. */
size_t load_get_key(const char *key, size_t len, struct value *v, struct arena *scratch);
/* The same where order does not matter: shorter, bit for bit. */
void load_put_value(struct buf *out, const struct value *v);
/* Reads such a value; strings lie in data. Returns the bytes read. */
size_t load_get_value(const char *data, struct value *v);

#endif

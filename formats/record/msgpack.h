/* Canonical MessagePack: the shortest integers and a single NaN, so that equal values have equal bytes. */
#ifndef FORMATS_PACK_H
#define FORMATS_PACK_H

#include <msgpack.h>

#include "common/buf.h"
#include "formats/record/value.h"

/* Makes pk append to out. */
void pack_begin(msgpack_packer *pk, struct buf *out);
void pack_text(msgpack_packer *pk, const char *s, size_t len);
/* Packs any value, null too; a map is packed already and copied. */
void pack_value(msgpack_packer *pk, const struct value *v);
/* The scalar in o; its text or bytes live as long as o. MessagePack str becomes STR and bin BIN, without a
 * check. Returns false for maps, arrays, extensions and integers beyond int64_t. */
bool unpack_scalar(const msgpack_object *o, struct value *v);

/* Initialises a zone, to be freed by msgpack_zone_destroy; exits with a message when out of memory. */
void unpack_zone_init(msgpack_zone *zone);
/* Unpacks one object into a zone. Strings point into s. Returns false if s is not exactly one object; exits
 * with a message when out of memory. */
bool unpack_object(const char *s, size_t len, msgpack_zone *zone, msgpack_object *out);
/* Whether the map of scalars at s, len bytes, has this key. Needs no memory; false for anything else. */
bool unpack_has_key(const char *s, size_t len, const char *key);

#endif

/* MessagePack in its one form: the shortest integers, one NaN for all, so that equal values are equal bytes.
 */
#ifndef FORMATS_PACK_H
#define FORMATS_PACK_H

#include <msgpack.h>

#include "common/buf.h"
#include "formats/record/value.h"

/* What pk packs is appended to out. */
void pack_begin(msgpack_packer *pk, struct buf *out);
void pack_text(msgpack_packer *pk, const char *s, size_t len);
/* Any value, null too; a map as it is, it is packed already. */
void pack_value(msgpack_packer *pk, const struct value *v);
/* The scalar in o, whose text or bytes live as long as o: text is STR and `bin` BIN, whatever they hold.
 * false for maps, arrays, extensions, and integers of more than 64 bits with a sign. */
bool unpack_scalar(const msgpack_object *o, struct value *v);

/* Sets up a zone, which msgpack_zone_destroy frees; without memory the program ends. */
void unpack_zone_init(msgpack_zone *zone);
/* Unpacks into a zone. Texts lie in s, and are not copied. false when it is not one whole object; without
 * memory the program ends. */
bool unpack_object(const char *s, size_t len, msgpack_zone *zone, msgpack_object *out);

#endif

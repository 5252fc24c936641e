/* MessagePack in its one form: the shortest integers, one NaN for all, so that equal values are equal bytes.
 */
#ifndef FORMATS_PACK_H
#define FORMATS_PACK_H

#include <msgpack.h>

#include "../common/buf.h"
#include "value.h"

/* What pk packs is appended to out. */
void pack_begin(msgpack_packer *pk, struct buf *out);
void pack_text(msgpack_packer *pk, const char *s, size_t len);
/* Any value, null too; a map as it is, it is packed already. */
void pack_value(msgpack_packer *pk, const struct value *v);

#endif

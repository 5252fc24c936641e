/* The sources of a stream, and which of their shards have come. */
#ifndef FORMATS_STREAM_SOURCES_H
#define FORMATS_STREAM_SOURCES_H

#include "formats/stream/wire.h"

struct wire_sources;
/* tmpdir: for the temporary file that some 100,000 segments need; it must live as long. copies: a shard that
 * comes again is one of another copy of its source, as of a file store and its backup, instead of an error.
 * Never returns NULL. */
struct wire_sources *wire_sources_new(const char *tmpdir, bool copies);
void wire_sources_free(struct wire_sources *s); /* NULL is fine */
/* Adds the segment of h, and numbers its source (h->source_number). False with e->what and hint filled: it
 * contradicts earlier ones, or the temporary file cannot be written. */
bool wire_sources_add(struct wire_sources *s, struct wire_header *h, struct err *e);
/* Whether all shards of all sources have come; false with e->what and hint filled. */
bool wire_sources_are_whole(struct wire_sources *s, struct err *e);

#endif

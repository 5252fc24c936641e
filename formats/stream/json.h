/* Record <-> one JSON line. Exact in both directions, also through `jq -c .` (which stores numbers as
 * doubles, prints 17 digits and has no NaN). Values that JSON or jq cannot represent are objects with one
 * member:
 *   {"$float":"nan"}                 also "inf", "-inf", "-0.0"
 *   {"$int":"9223372036854775807"}   integers of 2^53 and more, positive or negative
 *   {"$bytes":"<base64>"}            bytes that are not UTF-8
 * Within maps, which have no declared types, every float is {"$float":"<repr>"}. A map of one entry that
 * would look like one of these is {"$map":{...}}. */
#ifndef FORMATS_JSON_H
#define FORMATS_JSON_H

#include "formats/record/record.h"

/* Appends the line, without a newline. r is valid (record_validate). */
void json_write(const struct record *r, struct buf *out);

/* Appends null, a boolean or an integer as it stands in a line; false for all other types. */
bool json_write_plain(const struct value *v, struct buf *out);

/* From then on jansson ends the program with a message when memory runs out, which it would report as malformed
 * input or as an empty value. For programs that call jansson themselves, before anything else of it. */
void json_require_memory(void);

struct json_t;
struct json_error_t;
/* jansson's json_loadb, which also accepts \u0000; exits with a message when out of memory. NULL if it is not
 * JSON, with *error filled unless NULL. json_decref frees the value. */
struct json_t *json_parse(const char *s, size_t len, size_t flags, struct json_error_t *error);

struct json_reader;
struct json_reader *json_reader_new(void);
/* Parses a line. The record's strings live until the next call. Unknown fields and kinds are errors: lines
 * may be edited by hand. false with e->what filled (`where`, file:line, is left to the caller). */
bool json_read(struct json_reader *j, const char *line, size_t len, struct record *out, struct err *e);
void json_reader_free(struct json_reader *j);

/* Appends text as Python's json.dumps writes it: quoted, non-ASCII as \uXXXX (UTF-16 pairs). Text must be
 * UTF-8. */
void json_quote_ascii(const char *s, size_t len, struct buf *out);

/* -- JSON documents in values (assessment values, errors, metadata) */

/* Rewrites a JSON text as Python's json.dumps(json.loads(text)) does: ", " and ": ", \uXXXX, floats by repr,
 * the last of duplicate keys wins, order kept, NaN/Infinity accepted. Appends to out; false if it is not
 * JSON. */
bool json_normalise(const char *s, size_t len, struct buf *out);
/* Whether both are JSON and equal as json.loads reads them: member order is irrelevant, 1 and 1.0 differ. */
bool json_text_equal(const char *a, size_t alen, const char *b, size_t blen);

#endif

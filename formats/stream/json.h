/* Record <-> one JSON line. Exact both ways, also through `jq -c .` (which holds numbers as doubles, prints
 * 17 digits and knows no NaN). What JSON or jq cannot hold is an object with one member:
 *   {"$float":"nan"|"inf"|"-inf"|"-0.0"}   {"$int":"9223372036854775807"} from +-2^53 on
 * {"$bytes":"<base64>"} and within maps, where no type is declared, every float is {"$float":"<repr>"}. A map
 * of one entry that would look like one of these is {"$map":{...}}. */
#ifndef FORMATS_JSON_H
#define FORMATS_JSON_H

#include "formats/record/record.h"

/* Appends the line, without a newline. r is valid (record_validate). */
void json_write(const struct record *r, struct buf *out);

/* Appends null, a boolean or an integer as it stands in a line; false for all other types. */
bool json_write_plain(const struct value *v, struct buf *out);

struct json_t;
struct json_error_t;
/* jansson's json_loadb, which also takes \u0000; without memory the program ends. NULL when it is not JSON,
 * with *error filled if it is not NULL. json_decref frees the value. */
struct json_t *json_parse(const char *s, size_t len, size_t flags, struct json_error_t *error);

struct json_reader;
struct json_reader *json_reader_new(void);
/* Parses a line. The record's strings live until the next call. Unknown fields and kinds are errors here: a
 * line is edited by hand. false with e->what set (where is the caller's: file:line). */
bool json_read(struct json_reader *j, const char *line, size_t len, struct record *out, struct err *e);
void json_reader_free(struct json_reader *j);

/* Python's json.dumps of text: quoted, non-ASCII as \uXXXX (UTF-16 pairs), appended to out. Text must be
 * UTF-8. */
void json_quote_ascii(const char *s, size_t len, struct buf *out);

/* -- JSON documents inside of values (assessment values, errors, metadata) */

/* Rewrites a JSON text as Python's json.dumps(json.loads(text)) does: ", " and ": ", \uXXXX, floats by repr,
 * the last of equal keys wins, order kept, NaN/Infinity accepted. false when it is not JSON. Appended to out.
 */
bool json_normalise(const char *s, size_t len, struct buf *out);
/* True when both are JSON and equal as JSON: objects without order, 1 and 1.0 are different, as json.loads
 * reads them. */
bool json_text_equal(const char *a, size_t alen, const char *b, size_t blen);

#endif

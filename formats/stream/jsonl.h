/* The JSON view of a stream: a line for the header, each record and the trailer of each segment (json.h,
 * wire.h). */
#ifndef FORMATS_JSONL_H
#define FORMATS_JSONL_H

#include "formats/stream/wire.h"

struct jsonl_reader;
/* With reseal the trailer lines are not looked at and may be missing: a segment ends where the next header or
 * the end of the file comes. */
struct jsonl_reader *jsonl_reader_new(int fd, const char *name, bool reseal);
/* As wire_next: WIRE_TRAILER only when counts and checksum fit the records (as they are encoded in a stream).
 * In errors `where` is name:line. */
enum wire_event jsonl_next(struct jsonl_reader *r, const struct record **rec, struct err *e);
const struct wire_header *jsonl_reader_header(const struct jsonl_reader *r);
void jsonl_reader_free(struct jsonl_reader *r);

struct jsonl_writer;
struct jsonl_writer *jsonl_writer_new(int fd, const char *name);
/* As wire_writer_new: after a failure all that writes returns false. */
bool jsonl_write_header(struct jsonl_writer *w, const struct wire_header *h);
bool jsonl_write(struct jsonl_writer *w, const struct record *r);
/* The trailer is that of the lines written: their counts, and the checksum that they will have in a stream.
 */
bool jsonl_write_trailer(struct jsonl_writer *w);
bool jsonl_writer_flush(struct jsonl_writer *w);
const struct err *jsonl_writer_error(const struct jsonl_writer *w);
bool jsonl_writer_close(struct jsonl_writer *w, struct err *e);

#endif

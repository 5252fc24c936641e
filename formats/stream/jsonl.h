/* The JSON view of a stream: a line for the header, each record and the trailer of each segment (json.h,
 * wire.h). */
#ifndef FORMATS_JSONL_H
#define FORMATS_JSONL_H

#include "formats/stream/wire.h"

struct jsonl_reader;
/* With reseal the trailer lines are ignored and may be missing: a segment ends at the next header or the end
 * of the file. */
struct jsonl_reader *jsonl_reader_new(int fd, const char *name, bool reseal);
/* Like wire_next: WIRE_TRAILER only if counts and checksum match the records (as encoded in a stream). In
 * errors `where` is name:line. */
enum wire_event jsonl_next(struct jsonl_reader *r, const struct record **rec, struct err *e);
const struct wire_header *jsonl_reader_header(const struct jsonl_reader *r);
void jsonl_reader_free(struct jsonl_reader *r);

struct jsonl_writer;
struct jsonl_writer *jsonl_writer_new(int fd, const char *name);
/* As wire_writer_new: after a failure all that writes returns false. */
bool jsonl_write_header(struct jsonl_writer *w, const struct wire_header *h);
bool jsonl_write(struct jsonl_writer *w, const struct record *r);
/* Writes the trailer of the lines written: their counts, and their checksum as a stream.
 */
bool jsonl_write_trailer(struct jsonl_writer *w);
bool jsonl_writer_flush(struct jsonl_writer *w);
const struct err *jsonl_writer_error(const struct jsonl_writer *w);
bool jsonl_writer_close(struct jsonl_writer *w, struct err *e);

#endif

/* One record as bytes, for the stream's reader (wire.c): where it ends, and what it says where a newer format
 * may say more than this program knows. wire.h has what others use. */
#ifndef FORMATS_WIRE_RECORD_H
#define FORMATS_WIRE_RECORD_H

#include "formats/stream/wire.h"

/* How far the bytes of a record have been looked at; zero-initialised before the first. */
struct wire_scan {
    size_t pos;                    /* bytes looked at */
    size_t entries;                /* of all maps and arrays so far */
    int depth;                     /* open maps and arrays */
    uint32_t left[WIRE_MAX_DEPTH]; /* values still to come in each */
    size_t need; /* after MORE: bytes without which it cannot go on, those before among them */
};

enum wire_scan_result { WIRE_SCAN_MORE, WIRE_SCAN_DONE, WIRE_SCAN_BAD };

/* Goes on where s stands in the len bytes from data. Holds the record to the caps of wire.h before msgpack-c
 * sees (and allocates for) it. MORE: it does not end in them; DONE: s->pos bytes are a record; BAD: e->what
 * is set. */
enum wire_scan_result wire_scan_record(struct wire_scan *s, const char *data, size_t len, struct err *e);

/* What to do with what this program does not know: refuse it, or leave it out, with a word unless left_out is
 * NULL. */
struct wire_tolerance {
    bool allowed;
    void (*left_out)(void *arg, const char *kind, const char *field, size_t len);
    void *arg;
};

enum wire_decode_result { WIRE_DECODE_BAD, WIRE_DECODE_RECORD, WIRE_DECODE_UNKNOWN_KIND };

/* data is one scanned record, and out's strings lie in it or in d until the next one. e->what is set, not
 * e->where. Does not validate. */
enum wire_decode_result wire_decode_tolerant(struct wire_decoder *d, const char *data, size_t len,
                                             struct record *out, const struct wire_tolerance *t,
                                             struct err *e);

/* A trailer's counts as a map of kinds' names, those at 0 left out: appended to out, and read back from a
 * decoded value (text keys, as the decoder sees to) into counts and unknown, the sum of kinds that this
 * program does not know, both begun by the caller. false: e->what is set. */
void wire_encode_counts(const struct wire_counts *counts, struct buf *out);
bool wire_decode_counts(const struct value *map, struct wire_counts *counts, uint64_t *unknown,
                        struct err *e);

#endif

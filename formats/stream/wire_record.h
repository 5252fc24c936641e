/* Encoded records, for the stream's reader (wire.c): finding their end, and decoding those of a newer format.
 * The public interface is wire.h. */
#ifndef FORMATS_WIRE_RECORD_H
#define FORMATS_WIRE_RECORD_H

#include "formats/stream/wire.h"

/* The progress of scanning a record; zero-initialise it for each. */
struct wire_scan {
    size_t pos;                    /* bytes scanned */
    size_t entries;                /* entries of all maps and arrays so far */
    int depth;                     /* open maps and arrays */
    uint32_t left[WIRE_MAX_DEPTH]; /* values missing in each */
    size_t need;                   /* after MORE: total bytes needed to continue */
};

enum wire_scan_result { WIRE_SCAN_MORE, WIRE_SCAN_DONE, WIRE_SCAN_BAD };

/* Resumes scanning at s->pos in the len bytes at data. Enforces the limits of wire.h before msgpack-c sees
 * (and allocates for) the record. MORE: it does not end there; DONE: s->pos bytes are a record; BAD: e->what
 * is filled. */
enum wire_scan_result wire_scan_record(struct wire_scan *s, const char *data, size_t len, struct err *e);

/* How to treat unknown kinds and fields: as errors or, if allowed, ignored and passed to left_out (unless
 * NULL). */
struct wire_tolerance {
    bool allowed;
    void (*left_out)(void *arg, const char *kind, const char *field, size_t len);
    void *arg;
};

enum wire_decode_result { WIRE_DECODE_BAD, WIRE_DECODE_RECORD, WIRE_DECODE_UNKNOWN_KIND };

/* data is one scanned record; out's strings point into it, or into d until the next call. Fills e->what, not
 * e->where. Does not validate. */
enum wire_decode_result wire_decode_tolerant(struct wire_decoder *d, const char *data, size_t len,
                                             struct record *out, const struct wire_tolerance *t,
                                             struct err *e);

/* A trailer's counts as a map of kind names, without those of 0: the first function appends it to out, the
 * second reads it from a decoded value (with text keys, as the decoder ensures) into counts and unknown, the
 * sum of unknown kinds, both initialised by the caller. false: e->what is filled. */
void wire_encode_counts(const struct wire_counts *counts, struct buf *out);
bool wire_decode_counts(const struct value *map, struct wire_counts *counts, uint64_t *unknown,
                        struct err *e);

#endif

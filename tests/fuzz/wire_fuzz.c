/* Any bytes as a stream, and as one record: never a crash; what is read is written and read again the same.
 * With -DREPLAY it is a program of its own that runs the files named. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/stream/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A record that was read must survive being written. */
static void round_trip(const struct record *r)
{
    struct wire_decoder *d = wire_decoder_new();
    struct buf a = {0}, b = {0};
    struct record again;
    struct err e;
    wire_encode(r, &a);
    if (!wire_decode(d, a.data, a.len, &again, &e))
        abort();
    wire_encode(&again, &b);
    if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0)
        abort();
    buf_free(&a);
    buf_free(&b);
    wire_decoder_free(d);
}

static void read_stream(const uint8_t *data, size_t size)
{
    int fd = memfd_create("stream", 0);
    const struct record *rec = NULL;
    struct err e;
    enum wire_event event;
    if (fd < 0 || !io_write_all(fd, data, size) || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    struct wire_reader *r = wire_reader_new(fd, "fuzz");
    wire_reader_want_whole(r, ".");
    while ((event = wire_next(r, &rec, &e)) > WIRE_END)
        if (event == WIRE_RECORD)
            round_trip(rec);
    wire_reader_free(r);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_decoder *d = wire_decoder_new();
    struct record r;
    struct err e;
    if (wire_decode(d, (const char *)data, size, &r, &e))
        round_trip(&r);
    wire_decoder_free(d);
    read_stream(data, size);
    return 0;
}

#ifdef REPLAY
#include "replay.h"
#endif

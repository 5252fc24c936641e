/* Any bytes as a JSON line and as a JSON text: never a crash; what is read is written and read again the
 * same. With -DREPLAY it is a program of its own that runs the files named. */
#include <stdlib.h>
#include <string.h>

#include "formats/stream/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void line(const char *data, size_t size)
{
    struct json_reader *j = json_reader_new();
    struct buf a = {0}, b = {0};
    struct record r;
    struct err e;
    if (json_read(j, data, size, &r, &e)) {
        json_write(&r, &a);
        if (!json_read(j, a.data, a.len, &r, &e))
            abort();
        json_write(&r, &b);
        if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0)
            abort();
    }
    buf_free(&a);
    buf_free(&b);
    json_reader_free(j);
}

static void text(const char *data, size_t size)
{
    struct buf a = {0}, b = {0};
    if (json_normalise(data, size, &a)) {
        if (!json_normalise(a.data, a.len, &b) || a.len != b.len || memcmp(a.data, b.data, a.len) != 0)
            abort();
        if (!json_text_equal(data, size, a.data, a.len))
            abort();
    }
    buf_free(&a);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    line((const char *)data, size);
    text((const char *)data, size);
    return 0;
}

#ifdef REPLAY
#include "replay.h"
#endif

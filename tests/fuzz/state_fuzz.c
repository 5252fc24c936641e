/* Any bytes as a state, as they are and with a sound beginning and checksum around them: never a crash, and what can be
 * opened can be read to its end or to an error. With -DREPLAY it is a program of its own that runs the files named. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/io.h"
#include "formats/state/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_map(const struct state *s)
{
    struct state_cursor c;
    struct state_map_entry m;
    struct err e;
    state_cursor_init(&c, s);
    while (state_map_next(&c, &m, &e) == 1)
        ;
    state_cursor_free(&c);
}

static void read_units(const struct state *s)
{
    struct state_cursor c;
    struct state_unit u;
    struct state_files files = {0};
    struct state_file f;
    struct err e;
    state_cursor_init(&c, s);
    while (state_unit_next(&c, &u, &e) == 1) {
        state_files_begin(&files);
        while (state_file_next(&c, &files, &f, &e) == 1)
            ;
    }
    state_files_free(&files);
    state_cursor_free(&c);
}

static void read_state(const char *data, size_t size)
{
    char path[64];
    struct err e;
    int fd = memfd_create("state", 0);
    if (fd < 0 || !io_write_all(fd, data, size))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct state *s = state_open(path, NULL, &e);
    if (s) {
        read_map(s);
        read_units(s);
    }
    state_close(s);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf b = {0};
    read_state((const char *)data, size);
    buf_adds(&b, "MLRSTATE");
    buf_addc(&b, STATE_VERSION);
    buf_add(&b, data, size);
    XXH64_hash_t sum = XXH3_64bits(b.data, b.len);
    for (int i = 0; i < 8; i++)
        buf_addc(&b, (char)(sum >> (8 * i)));
    read_state(b.data, b.len);
    buf_free(&b);
    return 0;
}

#ifdef REPLAY
#include "replay.h"
#endif

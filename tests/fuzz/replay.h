/* A main() for a fuzz target without libFuzzer: runs the files named, e.g. a crash that was found. */
#ifndef TESTS_REPLAY_H
#define TESTS_REPLAY_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/file.h"

int main(int argc, char **argv)
{
    struct buf b = {0};
    for (int i = 1; i < argc; i++) {
        int rc = file_read_whole(AT_FDCWD, argv[i], (size_t)1 << 30, &b);
        if (rc != 0) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(rc));
            return 2;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)buf_str(&b), b.len);
    }
    buf_free(&b);
    return 0;
}

#endif

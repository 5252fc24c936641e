/* What mlruns-dump says of the URIs of a store: where they say that it lies, and what became of them. */
#ifndef TOOLS_MLRUNS_DUMP_ROOTS_H
#define TOOLS_MLRUNS_DUMP_ROOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "formats/filestore/store.h"

struct roots {          /* zero-initialise it */
    bool relocating;    /* --relocate */
    uint64_t elsewhere; /* URIs that say that the store lies elsewhere */
    struct buf text;    /* what they say */
    int n;              /* roots in it */
};

/* As mlruns_sink wants it; root NULL: others. */
void roots_add(struct roots *r, const char *root, uint64_t n, bool here);
void roots_print_field(const struct roots *r, const struct kind_desc *kind, int field, uint64_t n,
                       uint64_t left);
/* Prints a message for all of them, none where there is nothing to say, and forgets them. */
void roots_print(struct roots *r, const struct mlruns *store);

#endif

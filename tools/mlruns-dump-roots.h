/* What mlruns-dump reports about a store's artifact URIs: the roots they name, and how many were
 * relocated. */
#ifndef TOOLS_MLRUNS_DUMP_ROOTS_H
#define TOOLS_MLRUNS_DUMP_ROOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "formats/filestore/store.h"

struct roots {          /* zero-initialise it */
    bool relocating;    /* --relocate */
    uint64_t elsewhere; /* URIs that name another location of the store */
    struct buf text;    /* the roots they name */
    int n;              /* number of roots, those beyond MAX_SHOWN too */
};

/* As mlruns_sink's root; NULL: all others. */
void roots_add(struct roots *r, const char *root, uint64_t n, bool here);
void roots_print_field(const struct roots *r, const struct kind_desc *kind, int field, uint64_t n,
                       uint64_t left);
/* Prints one message for all of them, if any, and frees them. */
void roots_print(struct roots *r, const struct mlruns *store);

#endif

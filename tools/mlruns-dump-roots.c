/* Collects and prints the roots of a store's artifact URIs. */
#include "tools/mlruns-dump-roots.h"

#include <stdlib.h>

enum { MAX_SHOWN = 5 };

void roots_add(struct roots *r, const char *root, uint64_t n, bool here)
{
    if (here && !r->relocating)
        return;
    r->elsewhere += n;
    if (root && r->n++ < MAX_SHOWN)
        buf_addf(&r->text, "%s%s (%llu)", r->text.len ? ", " : "", *root ? root : ".", (unsigned long long)n);
    else if (r->n == MAX_SHOWN + 1)
        buf_adds(&r->text, ", ...");
}

void roots_print_field(const struct roots *r, const struct kind_desc *kind, int field, uint64_t n,
                       uint64_t left)
{
    if (r->relocating)
        err_note("%s: %s: %llu relocated, %llu unchanged", kind->plural, kind->fields[field].name,
                 (unsigned long long)n, (unsigned long long)left);
}

void roots_print(struct roots *r, const struct mlruns *store)
{
    const char *path = mlruns_path(store);
    char *place = NULL;
    struct err e;

    err_topic_set(r->relocating ? ERR_CONVERTED : ERR_NEXT);
    if (r->elsewhere && r->relocating) {
        err_note("%s: relocated %llu artifact URIs from %s", path, (unsigned long long)r->elsewhere,
                 buf_str(&r->text));
    } else if (r->elsewhere && err_notes_wanted() && (place = mlruns_place(store, &e))) {
        err_note("%s: %llu of its artifact URIs name another location: %s", path,
                 (unsigned long long)r->elsewhere, buf_str(&r->text));
        err_note_hint("MLflow looks for artifacts there; --relocate makes them point to %s", place);
    }
    err_topic_set(ERR_GENERAL);
    free(place);
    buf_free(&r->text);
}

/* Looks up revisions and releases. */
#include <ctype.h>
#include <string.h>

#include "formats/schema/schema.h"

int schema_find_revision(const char *revision)
{
    for (int i = 1; i <= schema_head; i++)
        if (strcmp(schema_revisions[i].revision, revision) == 0)
            return i;
    return -1;
}

/* Whether release is text, or text plus `.patch`. */
static bool release_matches(const char *release, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(release, text, n) != 0)
        return false;
    if (!release[n])
        return true;
    return release[n] == '.' && strchr(text, '.') && !strchr(release + n + 1, '.');
}

const struct schema_release *schema_find_release(const char *text, struct err *e)
{
    for (int i = schema_releases_count - 1; i >= 0; i--)
        if (release_matches(schema_releases[i].release, text))
            return &schema_releases[i];
    err_set(e, text, "not a known MLflow release");
    err_hint(e, "known are %s to %s; 3.1 means the latest 3.1.x (ml-schema history lists them)",
             schema_releases[0].release, schema_releases[schema_releases_count - 1].release);
    return NULL;
}

int schema_find_target(const char *text, struct err *e)
{
    if (strcmp(text, "base") == 0)
        return 0;
    if (strcmp(text, "head") == 0)
        return schema_head;
    int rev = schema_find_revision(text);
    if (rev > 0)
        return rev;
    if (isdigit((unsigned char)text[0]) && strchr(text, '.')) {
        const struct schema_release *r = schema_find_release(text, e);
        return r ? r->rev : -1;
    }
    err_set(e, text, "neither a revision of MLflow's schema nor a release");
    err_hint(e, "ml-schema history lists both");
    return -1;
}

static int last_of_span(int first)
{
    int last = first;
    while (last + 1 < schema_releases_count && schema_releases[last + 1].rev == schema_releases[first].rev)
        last++;
    return last;
}

void schema_releases_of(int rev, struct buf *out)
{
    size_t start = out->len;
    for (int i = 0; i < schema_releases_count; i++) {
        if (schema_releases[i].rev != rev)
            continue;
        int last = last_of_span(i);
        if (out->len > start)
            buf_adds(out, ", ");
        buf_adds(out, schema_releases[i].release);
        if (last > i)
            buf_addf(out, "%s%s", last == i + 1 ? ", " : " to ", schema_releases[last].release);
        i = last;
    }
    if (out->len == start)
        buf_adds(out, "no release");
}

const struct schema_release *schema_newest_release_of(int rev)
{
    for (int i = schema_releases_count - 1; i >= 0; i--)
        if (schema_releases[i].rev == rev)
            return &schema_releases[i];
    return NULL;
}

const struct schema_release *schema_first_release_with(int rev)
{
    const struct schema_release *first = NULL;
    for (int i = schema_releases_count - 1; i >= 0; i--)
        if (schema_releases[i].rev >= rev && (!first || schema_releases[i].rev <= first->rev))
            first = &schema_releases[i];
    return first;
}

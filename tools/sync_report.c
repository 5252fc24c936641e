/* The line that ml-sync prints of a tick, and what a full stream has overwritten. */
#include "tools/sync_report.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/err.h"

/* Sums a member over all kinds. */
static uint64_t sum(const json_t *result, const char *member)
{
    uint64_t n = 0;
    const char *kind;
    json_t *counts;
    json_object_foreach(json_object_get(result, "kinds"), kind, counts) n +=
        (uint64_t)json_integer_value(json_object_get(counts, member));
    return n;
}

char *sync_summary(const json_t *result, int status, bool differs, bool dry_run)
{
    static const struct {
        const char *member, *word;
    } parts[] = {
        {"added", "added"}, {"changed", "changed"}, {"held_back", "held back"}, {"conflicts", "in conflict"}};
    struct buf out = {0};
    if (!result || (status >= EXIT_TROUBLE && !differs))
        buf_adds(&out, "failed");
    for (size_t i = 0; result && i < ARRAY_LENGTH(parts); i++) {
        uint64_t n = sum(result, parts[i].member);
        if (n)
            buf_addf(&out, "%s%" PRIu64 " %s", out.len ? ", " : "", n, parts[i].word);
    }
    if (!out.len)
        buf_adds(&out, "nothing changed");
    if (dry_run)
        buf_adds(&out, " (dry run)");
    if (differs)
        buf_adds(&out, "; verification failed");
    char *text = xstrdup(buf_str(&out));
    buf_free(&out);
    return text;
}

enum { MAX_REPORTED = 20, SHOWN = 200 /* characters of a value */ };

static char *value_text(const json_t *v)
{
    return json_is_string(v) ? xstrdup(json_string_value(v)) : json_dumps(v, JSON_ENCODE_ANY);
}

void sync_report_overwritten(const json_t *result, bool dry_run)
{
    const json_t *all = json_object_get(result, "overwritten"), *x;
    size_t i;
    json_array_foreach(all, i, x)
    {
        if (i == MAX_REPORTED)
            break;
        char *ours = value_text(json_object_get(x, "target")),
             *theirs = value_text(json_object_get(x, "source"));
        err_note("%s: %s '%.*s' %s '%.*s'", json_string_value(json_object_get(x, "entity")),
                 json_string_value(json_object_get(x, "field")), SHOWN, ours,
                 dry_run ? "would become" : "becomes", SHOWN, theirs);
        free(ours);
        free(theirs);
    }
    json_int_t n = json_integer_value(json_object_get(result, "overwritten_count"));
    if (n > MAX_REPORTED)
        err_note("... and %lld more values of the target", (long long)n - MAX_REPORTED);
}

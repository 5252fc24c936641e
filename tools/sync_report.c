/* The line that ml-sync prints of a tick, and what a full stream has overwritten. */
#include "tools/sync_report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/journal.h"
#include "common/utf8.h"

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
    err_topic_set(ERR_COUNTS);
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
    err_topic_set(ERR_GENERAL);
}

/* -- the journal */

static void journal_kinds(const json_t *result)
{
    static const char *const members[] = {"added", "changed", "equal", "kept", "held_back", "conflicts"};
    struct buf line = {0};
    const char *kind;
    json_t *counts;
    json_object_foreach(json_object_get(result, "kinds"), kind, counts)
    {
        journal_text(&line, "synced");
        journal_text(&line, kind);
        for (size_t i = 0; i < ARRAY_LENGTH(members); i++)
            journal_count(&line, (uint64_t)json_integer_value(json_object_get(counts, members[i])));
        journal_put(&line);
    }
    buf_free(&line);
}

static void journal_values(const json_t *all, const char *type)
{
    enum { LONGEST = 400 }; /* characters of a value */
    static const char *const sides[] = {"source", "target"};
    struct buf line = {0};
    const json_t *x;
    size_t i;
    json_array_foreach(all, i, x)
    {
        journal_text(&line, type);
        journal_text(&line, json_string_value(json_object_get(x, "entity")));
        journal_text(&line, json_string_value(json_object_get(x, "field")));
        for (size_t side = 0; side < ARRAY_LENGTH(sides); side++) {
            char *text = value_text(json_object_get(x, sides[side]));
            size_t len = strlen(text);
            journal_bytes(&line, text, len > LONGEST ? utf8_prefix(text, len, LONGEST) : len);
            free(text);
        }
        journal_put(&line);
    }
    buf_free(&line);
}

void sync_journal(const json_t *tick)
{
    const json_t *result = json_object_get(tick, "result");
    struct buf line = {0};
    if (!journal_wanted())
        return;
    journal_text(&line, "tick");
    journal_text(&line, json_string_value(json_object_get(tick, "source")));
    journal_text(&line, json_string_value(json_object_get(tick, "time")));
    journal_count(&line, (uint64_t)json_integer_value(json_object_get(tick, "status")));
    journal_text(&line, json_string_value(json_object_get(tick, "summary")));
    journal_put(&line);
    journal_kinds(result);
    journal_values(json_object_get(result, "conflicts"), "conflict");
    journal_values(json_object_get(result, "overwritten"), "overwritten");
    buf_free(&line);
}

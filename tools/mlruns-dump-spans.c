/* Counts and reports spans that were not read. */
#include "tools/mlruns-dump-spans.h"

void spans_add(struct span_counts *c, const char *store, enum mlruns_spans what, const char *path,
               const char *reason)
{
    c->n[what]++;
    err_topic_set(what == MLRUNS_SPANS_MISSING ? ERR_GENERAL : ERR_LEFT_OUT);
    err_verbose("%s/%s: %s", store, path, reason);
    err_topic_set(ERR_GENERAL);
}

/* Most traces have no spans, so that is printed only with -v. */
void spans_print(const struct span_counts *c, const char *store)
{
    static const struct {
        const char *one, *many;
    } words[MLRUNS_SPANS_COUNT] = {
        [MLRUNS_SPANS_MISSING] = {"trace has no traces.json", "traces have no traces.json"},
        [MLRUNS_SPANS_ARCHIVED] = {"trace is archived: its spans stay in traces.pb",
                                   "traces are archived: their spans stay in traces.pb"},
        [MLRUNS_SPANS_DAMAGED] = {"trace has a traces.json that cannot be read: it is without spans",
                                  "traces have a traces.json that cannot be read: they are without spans"},
        [MLRUNS_SPANS_ELSEWHERE] = {"trace has its artifacts, and so its spans, outside the tree",
                                    "traces have their artifacts, and so their spans, outside the tree"},
        [MLRUNS_SPANS_LEFT_OUT] = {"span was left out: it is malformed, or has the id of another",
                                   "spans were left out: they are malformed, or have the id of another"},
    };

    for (int i = 0; i < MLRUNS_SPANS_COUNT; i++) {
        const char *text = c->n[i] == 1 ? words[i].one : words[i].many;
        if (c->n[i] && i == MLRUNS_SPANS_MISSING)
            err_verbose("%s: %llu %s", store, (unsigned long long)c->n[i], text);
        else if (c->n[i])
            err_note("%s: %llu %s (-v names them)", store, (unsigned long long)c->n[i], text);
    }
}

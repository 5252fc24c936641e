/* Counts the locations of artifacts and spans by root, the part of a URI before what MLflow appends. */
#include "formats/load/places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/record/uri.h"

enum { MAX_SUFFIX = 512 };

struct load_places {
    struct load_report *report;
    bool from_database; /* the segment's producer read a database */
    int64_t trace_experiment;
    /* The last trace, until its place is counted. */
    struct {
        struct load_root *artifacts, *archive; /* NULL: no such location */
        bool in_database, archived;            /* where its spans are; else with the artifacts */
    } trace;
};

struct load_places *load_places_new(struct load_report *report)
{
    struct load_places *p = xcalloc(1, sizeof *p);
    p->report = report;
    return p;
}

void load_places_free(struct load_places *p)
{
    free(p);
}

void load_places_segment(struct load_places *p, bool from_database)
{
    load_end_trace_place(p);
    p->from_database = from_database;
}

bool load_place_is_local(const struct value *v)
{
    if (!value_is_text(v) || v->len == 0)
        return false;
    return uri_scheme(v->s, v->len) == 0 || uri_of(v->s, v->len).file;
}

/* The longest known root that contains a URI; NULL: none yet. */
static struct load_root *root_of(struct load_places *p, const struct value *v)
{
    struct load_root *best = NULL;
    size_t best_len = 0;
    for (int i = 0; i < p->report->n_roots; i++) {
        struct load_root *root = &p->report->roots[i];
        size_t len = strlen(root->uri);
        if (v->len < len || memcmp(v->s, root->uri, len) != 0 || len < best_len)
            continue;
        if (v->len == len || v->s[len] == '/' || v->s[len] == '\\') {
            best = root;
            best_len = len;
        }
    }
    return best;
}

/* The length of the part of a remote URI that names the host or bucket: s3://bucket in s3://bucket/a. 0:
 * none. */
static size_t authority_len(const struct value *v)
{
    size_t scheme = uri_scheme(v->s, v->len);
    if (scheme == 0 || load_place_is_local(v) || v->len <= scheme + 2 || memcmp(v->s + scheme, "//", 2) != 0)
        return 0;
    const char *slash = memchr(v->s + scheme + 2, '/', v->len - scheme - 2);
    return slash ? (size_t)(slash - v->s) : v->len;
}

/* The length of a location's root. suffix is what MLflow appends to it, NULL: nothing; own: a location
 * without the suffix may be a root itself. 0: unknown. */
static size_t root_len(const struct value *v, const char *suffix, bool own)
{
    size_t n = suffix ? strlen(suffix) : 0, authority = authority_len(v);
    if (n && v->len > n && memcmp(v->s + v->len - n, suffix, n) == 0)
        return v->len - n;
    if (authority || !own)
        return authority;
    for (n = v->len; n > 1 && v->s[n - 1] == '/';)
        n--;
    return n;
}

static struct load_root *add_root(struct load_places *p, const struct value *v, size_t len)
{
    struct load_root *none = &p->report->roots[LOAD_MAX_ROOTS];
    if (len == 0 || len >= sizeof none->uri || p->report->n_roots == LOAD_MAX_ROOTS ||
        memchr(v->s, '\0', len))
        return none;
    struct load_root *root = &p->report->roots[p->report->n_roots++];
    memcpy(root->uri, v->s, len);
    root->from_database = p->from_database;
    return root;
}

/* The root to count a location in; NULL if it is not a location. */
static struct load_root *place_of(struct load_places *p, const struct value *v, const char *suffix, bool own)
{
    if (!value_is_text(v) || v->type == VALUE_BIN)
        return NULL;
    struct uri u = uri_of(v->s, v->len);
    if (uri_stays(&u))
        return NULL;
    struct load_root *root = root_of(p, v);
    return root ? root : add_root(p, v, root_len(v, suffix, own));
}

static void note_location(struct load_places *p, const struct value *v, const char *suffix, bool own)
{
    struct load_root *root = place_of(p, v, suffix, own);
    if (root)
        root->locations++;
}

static void note_trace_tag(struct load_places *p, const struct record *r)
{
    const struct value *key = &r->v[F_trace_tag_key], *value = &r->v[F_trace_tag_value];
    const struct value *id = &r->v[F_trace_tag_trace_id];
    char suffix[MAX_SUFFIX];
    snprintf(suffix, sizeof suffix, "/%lld/traces/%.*s/artifacts", (long long)p->trace_experiment,
             (int)id->len, id->s);
    if (value_eqs(key, "mlflow.artifactLocation")) {
        p->trace.artifacts = place_of(p, value, suffix, false);
    } else if (value_eqs(key, "mlflow.trace.archiveLocation")) {
        p->trace.archive = place_of(p, value, suffix, false);
    } else if (value_eqs(key, "mlflow.trace.spansLocation")) {
        p->trace.archived = value_eqs(value, "ARCHIVE_REPO");
        p->trace.in_database = value_eqs(value, "TRACKING_STORE");
    }
}

void load_end_trace_place(struct load_places *p)
{
    bool elsewhere = p->trace.in_database || p->trace.archived;
    if (p->trace.archive && p->trace.archived)
        p->trace.archive->archived++;
    if (p->trace.artifacts && elsewhere)
        p->trace.artifacts->locations++;
    else if (p->trace.artifacts)
        p->trace.artifacts->spans++;
    memset(&p->trace, 0, sizeof p->trace);
}

void load_place_spans(struct load_places *p)
{
    p->trace.in_database = true;
}

void load_note_place(struct load_places *p, const struct record *r)
{
    const struct value *v = r->v;
    char suffix[MAX_SUFFIX];
    switch (r->kind->kind) {
    case KIND_experiment:
        snprintf(suffix, sizeof suffix, "/%.*s", (int)v[F_experiment_experiment_id].len,
                 v[F_experiment_experiment_id].s);
        note_location(p, &v[F_experiment_artifact_location], suffix, true);
        break;
    case KIND_run:
        snprintf(suffix, sizeof suffix, "/%.*s/%.*s/artifacts", (int)v[F_run_experiment_id].len,
                 v[F_run_experiment_id].s, (int)v[F_run_run_id].len, v[F_run_run_id].s);
        note_location(p, &v[F_run_artifact_uri], suffix, false);
        break;
    case KIND_logged_model:
        snprintf(suffix, sizeof suffix, "/%.*s/models/%.*s/artifacts",
                 (int)v[F_logged_model_experiment_id].len, v[F_logged_model_experiment_id].s,
                 (int)v[F_logged_model_model_id].len, v[F_logged_model_model_id].s);
        note_location(p, &v[F_logged_model_artifact_location], suffix, false);
        break;
    case KIND_model_version:
        note_location(p, &v[F_model_version_source], NULL, false);
        break;
    case KIND_trace:
        load_end_trace_place(p);
        value_decimal_id(&v[F_trace_experiment_id], &p->trace_experiment);
        break;
    case KIND_trace_tag:
        note_trace_tag(p, r);
        break;
    default:
        break;
    }
}

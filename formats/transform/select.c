/* Decides which records a selection keeps. */
#include "formats/transform/select.h"

#include <stdlib.h>
#include <time.h>

#include "common/array.h"
#include "formats/record/idmap.h"
#include "formats/record/references.h"
#include "formats/record/row_references.h"

/* The run that created a trace (mlflow/tracing/constant.py). */
static const char source_run[] = "mlflow.sourceRun";

/* Additional parents: a record of the first kind also needs its record of the other kind. */
static const struct {
    enum kind child, parent;
} composite[] = {
    {KIND_input, KIND_dataset},
    {KIND_input_tag, KIND_input},
    {KIND_latest_metric, KIND_metric},
    {KIND_model_input, KIND_logged_model}, /* by kind: the model itself may be missing */
    {KIND_model_output, KIND_logged_model},
    {KIND_model_version_tag, KIND_model_version},
    {KIND_registered_model_alias, KIND_model_version},
};
enum { N_COMPOSITE = ARRAY_LENGTH(composite), MAX_TAGS = 32 };

/* Bits kept for an entity. */
enum {
    CANDIDATE = 1 << 0, /* its own record meets the criteria */
    WANTED = 1 << 1,    /* a kept record needs it */
    DELETED = 1 << 2,   /* a deleted experiment */
    OF_RUN = 1 << 3,    /* a trace of a kept run */
    SEEN = 1 << 4,      /* of a delta: it is in the stream */
    FIRST_TAG = 1 << 8, /* and higher: the requested tags that it has */
};

struct wish { /* a requested name or id */
    const char *text;
    bool found;
};

struct wishes {
    struct wish *items;
    size_t n;
};

struct tag_wish {
    char *key;
    const char *value; /* in key */
};

struct select {
    struct wishes experiments, runs, statuses;
    struct tag_wish tags[MAX_TAGS];
    int n_tags;
    const char *stage;    /* NULL: any */
    int64_t since, until; /* ms */
    bool timed;
    bool delta; /* a reference may lead out of the stream */
    bool wanted_kind[KIND_COUNT], excluded[KIND_COUNT], any_kind;
    bool allowed[KIND_COUNT], settled;
    struct idmap *entities; /* entity (references.h) -> bits */
    struct idmap *versions; /* model versions that are kept */
    struct idmap *dropped;  /* registered models of an excluded kind, rows with children */
    struct row_editor *rows;
};

struct select *select_new(struct spill *spill)
{
    struct select *x = xcalloc(1, sizeof *x);
    x->entities = idmap_new(spill);
    x->versions = idmap_new(spill);
    x->dropped = idmap_new(spill);
    x->rows = row_editor_new();
    x->since = INT64_MIN;
    x->until = INT64_MAX;
    return x;
}

/* -- criteria */

static bool wish(struct wishes *w, const char *text)
{
    w->items = xrealloc(w->items, (w->n + 1) * sizeof *w->items);
    w->items[w->n++] = (struct wish){.text = text};
    return true;
}

/* Whether v is one of w, or w is empty. */
static bool is_wished(struct wishes *w, const struct value *v)
{
    bool found = w->n == 0;
    for (size_t i = 0; i < w->n; i++)
        if (value_eqs(v, w->items[i].text))
            found = w->items[i].found = true;
    return found;
}

bool select_experiment(struct select *x, const char *id_or_name, struct err *e)
{
    (void)e;
    return wish(&x->experiments, id_or_name);
}

bool select_run(struct select *x, const char *run_id, struct err *e)
{
    (void)e;
    return wish(&x->runs, run_id);
}

bool select_status(struct select *x, const char *status, struct err *e)
{
    static const char *const known[] = {"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"};
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
        if (strcmp(known[i], status) == 0)
            return wish(&x->statuses, status);
    return err_set(e, status, "must be one of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED");
}

bool select_lifecycle(struct select *x, const char *stage, struct err *e)
{
    if (strcmp(stage, "active") != 0 && strcmp(stage, "deleted") != 0)
        return err_set(e, stage, "must be active or deleted");
    x->stage = stage;
    return true;
}

bool select_tag(struct select *x, const char *key_is_value, struct err *e)
{
    const char *equals = strchr(key_is_value, '=');
    if (!equals || equals == key_is_value)
        return err_set(e, key_is_value, "must be KEY=VALUE");
    if (x->n_tags == MAX_TAGS)
        return err_set(e, key_is_value, "more than %d tags", MAX_TAGS);
    struct tag_wish *t = &x->tags[x->n_tags++];
    t->key = xstrdup(key_is_value);
    t->key[equals - key_is_value] = '\0';
    t->value = t->key + (equals - key_is_value) + 1;
    return true;
}

static bool parse_time(const char *text, int64_t *ms, struct err *e)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S",
                                        "%Y-%m-%d %H:%M:%S"};
    if (value_parse_int(text, strlen(text), ms))
        return true;
    for (size_t i = 0; i < ARRAY_LENGTH(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        if (end && (*end == '\0' || strcmp(end, "Z") == 0)) {
            *ms = (int64_t)timegm(&tm) * 1000;
            return true;
        }
    }
    return err_set(e, text, "must be YYYY-MM-DD[THH:MM[:SS]] or milliseconds");
}

bool select_since(struct select *x, const char *time, struct err *e)
{
    x->timed = true;
    return parse_time(time, &x->since, e);
}

bool select_until(struct select *x, const char *time, struct err *e)
{
    x->timed = true;
    return parse_time(time, &x->until, e);
}

/* Not the framing. */
static bool is_content(const struct kind_desc *kind)
{
    return kind_is_entity(kind) || kind->kind == KIND_row;
}

static const struct kind_desc *entity_kind(const char *name, struct err *e)
{
    const struct kind_desc *kind = kind_by_name(name, strlen(name));
    if (kind && is_content(kind))
        return kind;
    err_set(e, name, "unknown kind");
    err_hint(e,
             "ml-record(5) lists the kinds; `ml-transform --json | jq -r .kind | sort -u` those in a stream");
    return NULL;
}

bool select_kind(struct select *x, const char *kind, struct err *e)
{
    const struct kind_desc *k = entity_kind(kind, e);
    if (k)
        x->any_kind = x->wanted_kind[k->kind] = true;
    return k != NULL;
}

bool select_exclude_kind(struct select *x, const char *kind, struct err *e)
{
    const struct kind_desc *k = entity_kind(kind, e);
    if (k)
        x->excluded[k->kind] = true;
    return k != NULL;
}

/* -- kinds */

static unsigned own_flag(const struct kind_desc *kind)
{
    int f = ref_own_field(kind);
    return f < 0 ? 0 : kind->fields[f].flags & REF_FLAGS;
}

/* Calls see for each kind that a record of kind k needs. all: also for each of several alternatives (a model,
 * a prompt). */
static void each_parent(int k, void (*see)(struct select *x, int k, int parent), struct select *x)
{
    for (int f = 0; f < kinds[k].n_fields; f++)
        for (int p = 0; ref_is_hard(&kinds[k], f) && p < KIND_COUNT; p++)
            if (own_flag(&kinds[p]) & kinds[k].fields[f].flags)
                see(x, k, p);
    for (size_t i = 0; i < N_COMPOSITE; i++)
        if ((int)composite[i].child == k)
            see(x, k, (int)composite[i].parent);
}

static void allow_parent(struct select *x, int k, int parent)
{
    x->allowed[parent] |= x->allowed[k];
}

/* Excludes a child with its parent; a child of registered models is kept while prompts (or models) are. */
static void forbid_child(struct select *x, int k, int parent)
{
    int other = parent == KIND_registered_model ? KIND_prompt : KIND_registered_model;
    bool one_of_two = parent == KIND_registered_model || parent == KIND_prompt;
    if (!x->allowed[parent] && !(one_of_two && x->allowed[other]))
        x->allowed[k] = false;
}

static void settle_kinds(struct select *x)
{
    for (int k = 0; k < KIND_COUNT; k++)
        x->allowed[k] = !x->any_kind || x->wanted_kind[k] || !is_content(&kinds[k]);
    x->allowed[KIND_latest_metric] |= x->allowed[KIND_metric]; /* without it MLflow shows no metrics */
    for (int round = 0; x->any_kind && round < KIND_COUNT; round++)
        for (int k = 0; k < KIND_COUNT; k++)
            each_parent(k, allow_parent, x);
    for (int k = 0; k < KIND_COUNT; k++)
        if (x->excluded[k])
            x->allowed[k] = false;
    for (int round = 0; round < KIND_COUNT; round++)
        for (int k = 0; k < KIND_COUNT; k++)
            each_parent(k, forbid_child, x);
    x->settled = true;
}

/* -- collecting */

/* Whether there are criteria for runs, so that models, traces and versions depend on their run. */
static bool by_run(const struct select *x)
{
    return x->runs.n > 0 || x->statuses.n > 0 || x->n_tags > 0 || x->timed;
}

static bool by_anything(const struct select *x)
{
    return by_run(x) || x->experiments.n > 0 || x->stage;
}

const char *select_refuses_delta(const struct select *x)
{
    return x->runs.n > 0       ? "--run"
           : x->statuses.n > 0 ? "--status"
           : x->n_tags > 0     ? "--tag"
           : x->stage          ? "--lifecycle"
           : x->timed          ? "--since, --until"
                               : NULL;
}

void select_delta(struct select *x)
{
    x->delta = true;
}

bool select_needs_runs(const struct select *x)
{
    return by_run(x) || x->experiments.n > 0;
}

int select_passes(const struct select *x)
{
    return by_anything(x) ? 3 : 0;
}

static uint64_t bits_of(const struct select *x, const struct record *r, int f)
{
    uint64_t bits = 0;
    if (!value_is_null(&r->v[f]))
        idmap_get(x->entities, ref_key(r, f), &bits);
    return bits;
}

static void add_bits(struct select *x, const struct record *r, int f, uint64_t bits)
{
    if (!value_is_null(&r->v[f]))
        idmap_set(x->entities, ref_key(r, f), bits_of(x, r, f) | bits);
}

static bool has_tags(const struct select *x, uint64_t bits)
{
    uint64_t all = ((UINT64_C(1) << x->n_tags) - 1) * FIRST_TAG;
    return (bits & all) == all;
}

static bool in_time(const struct select *x, const struct value *v)
{
    return !x->timed || (v->type == VALUE_INT && v->i >= x->since && v->i < x->until);
}

/* stage: that of the record, null is active; where: bits of its experiment. */
static bool in_stage(const struct select *x, const struct value *stage, uint64_t where)
{
    bool deleted = (stage && value_eqs(stage, "deleted")) || (where & DELETED);
    return !x->stage || deleted == (x->stage[0] == 'd');
}

static void collect_experiment(struct select *x, const struct record *r)
{
    bool named = is_wished(&x->experiments, &r->v[F_experiment_experiment_id]);
    named |= is_wished(&x->experiments, &r->v[F_experiment_name]);
    bool deleted = value_eqs(&r->v[F_experiment_lifecycle_stage], "deleted");
    bool wrong_stage = x->stage && x->stage[0] == 'a' && deleted;
    add_bits(x, r, F_experiment_experiment_id,
             (named && !wrong_stage ? CANDIDATE : 0) | (unsigned)(deleted ? DELETED : 0));
}

static void collect_run(struct select *x, const struct record *r)
{
    uint64_t where = bits_of(x, r, F_run_experiment_id);
    bool named = is_wished(&x->runs, &r->v[F_run_run_id]);
    if (x->delta)
        add_bits(x, r, F_run_run_id, SEEN);
    if (named && where & CANDIDATE && is_wished(&x->statuses, &r->v[F_run_status]) &&
        in_stage(x, &r->v[F_run_lifecycle_stage], where) && in_time(x, &r->v[F_run_start_time]))
        add_bits(x, r, F_run_run_id, CANDIDATE);
}

static void collect_trace(struct select *x, const struct record *r)
{
    uint64_t where = bits_of(x, r, F_trace_experiment_id);
    if (x->delta)
        add_bits(x, r, F_trace_trace_id, SEEN);
    if (where & CANDIDATE && in_stage(x, NULL, where) && in_time(x, &r->v[F_trace_request_time]))
        add_bits(x, r, F_trace_trace_id, CANDIDATE);
}

static void collect_tag(struct select *x, const struct record *r, int id, int key, int value)
{
    for (int i = 0; i < x->n_tags; i++)
        if (value_eqs(&r->v[key], x->tags[i].key) && value_eqs(&r->v[value], x->tags[i].value))
            add_bits(x, r, id, (uint64_t)FIRST_TAG << i);
}

static bool keeps_run(const struct select *x, uint64_t bits)
{
    return bits & CANDIDATE && has_tags(x, bits);
}

static bool keeps_trace(const struct select *x, uint64_t bits)
{
    bool needs_run = x->runs.n > 0 || x->statuses.n > 0;
    return bits & CANDIDATE && has_tags(x, bits) && (!needs_run || bits & OF_RUN);
}

static void collect_metadata(struct select *x, const struct record *r)
{
    struct record run;
    if (!value_eqs(&r->v[F_trace_request_metadata_key], source_run))
        return;
    record_init(&run, KIND_run);
    run.v[F_run_run_id] = r->v[F_trace_request_metadata_value];
    if (keeps_run(x, bits_of(x, &run, F_run_run_id)))
        add_bits(x, r, F_trace_request_metadata_trace_id, OF_RUN);
}

static void collect_model(struct select *x, const struct record *r)
{
    uint64_t where = bits_of(x, r, F_logged_model_experiment_id);
    bool of_run = !by_run(x) || keeps_run(x, bits_of(x, r, F_logged_model_source_run_id));
    if (x->delta)
        add_bits(x, r, F_logged_model_model_id, SEEN);
    if (where & CANDIDATE && of_run && in_stage(x, &r->v[F_logged_model_lifecycle_stage], where))
        add_bits(x, r, F_logged_model_model_id, CANDIDATE);
}

static void collect_version(struct select *x, const struct record *r)
{
    if (select_needs_runs(x) && !keeps_run(x, bits_of(x, r, F_model_version_run_id)))
        return;
    struct value parts[3];
    ref_version(r, parts);
    idmap_add(x->versions, id_key(0, parts, 3), 0);
    add_bits(x, r, F_model_version_name, WANTED);
}

static bool keeps_model(uint64_t bits)
{
    return (bits & (CANDIDATE | WANTED)) != 0;
}

/* First pass: criteria on the records themselves. */
static void collect_first(struct select *x, const struct record *r)
{
    if (r->kind->kind == KIND_experiment)
        collect_experiment(x, r);
    else if (r->kind->kind == KIND_run)
        collect_run(x, r);
    else if (r->kind->kind == KIND_trace)
        collect_trace(x, r);
    else if (r->kind->kind == KIND_tag)
        collect_tag(x, r, F_tag_run_id, F_tag_key, F_tag_value);
    else if (r->kind->kind == KIND_trace_tag)
        collect_tag(x, r, F_trace_tag_trace_id, F_trace_tag_key, F_trace_tag_value);
}

/* Second pass: what depends on runs. */
static void collect_second(struct select *x, const struct record *r)
{
    if (r->kind->kind == KIND_trace_request_metadata)
        collect_metadata(x, r);
    else if (r->kind->kind == KIND_logged_model)
        collect_model(x, r);
    else if (r->kind->kind == KIND_model_version)
        collect_version(x, r);
    else if (r->kind->kind == KIND_model_input && keeps_run(x, bits_of(x, r, F_model_input_run_id)))
        add_bits(x, r, F_model_input_model_id, WANTED);
    else if (r->kind->kind == KIND_model_output && keeps_run(x, bits_of(x, r, F_model_output_run_id)))
        add_bits(x, r, F_model_output_model_id, WANTED);
}

/* Third pass: the experiments of kept records. */
static void collect_third(struct select *x, const struct record *r)
{
    if (r->kind->kind == KIND_run && keeps_run(x, bits_of(x, r, F_run_run_id)))
        add_bits(x, r, F_run_experiment_id, WANTED);
    else if (r->kind->kind == KIND_trace && keeps_trace(x, bits_of(x, r, F_trace_trace_id)))
        add_bits(x, r, F_trace_experiment_id, WANTED);
    else if (r->kind->kind == KIND_logged_model && keeps_model(bits_of(x, r, F_logged_model_model_id)))
        add_bits(x, r, F_logged_model_experiment_id, WANTED);
}

void select_collect(struct select *x, int pass, const struct record *r)
{
    static void (*const passes[])(struct select *, const struct record *) = {collect_first, collect_second,
                                                                             collect_third};
    passes[pass](x, r);
}

/* -- keeping */

/* An empty experiment is kept only if there are no criteria but experiments. */
static bool keeps_experiment(const struct select *x, uint64_t bits)
{
    bool needs_content = by_run(x) || (x->stage && x->stage[0] == 'd' && !(bits & DELETED));
    return bits & WANTED || (!needs_content && bits & CANDIDATE);
}

/* Whether an entity with these bits is kept. */
static bool keeps_bits(const struct select *x, unsigned flags, uint64_t bits)
{
    switch (flags & REF_FLAGS) {
    case FIELD_EXP:
        return keeps_experiment(x, bits);
    case FIELD_RUN:
        return keeps_run(x, bits);
    case FIELD_TRACE:
        return keeps_trace(x, bits);
    case FIELD_MODEL:
        return keeps_model(bits);
    default:
        return !select_needs_runs(x) || bits & WANTED;
    }
}

/* Whether the entity that field f refers to is kept. What a delta names and lacks is judged by the experiment
 * that all but the registry names as well. */
static bool keeps_entity(const struct select *x, const struct record *r, int f)
{
    const unsigned units = FIELD_RUN | FIELD_TRACE | FIELD_MODEL;
    if (x->delta && r->kind->fields[f].flags & units && !(bits_of(x, r, f) & SEEN))
        return true;
    return keeps_bits(x, r->kind->fields[f].flags, bits_of(x, r, f));
}

/* -- rows of other tables: kept if everything they refer to and their parent row are */

struct row_question {
    const struct select *x;
    bool keeps;
};

static bool ask_row(void *arg, unsigned flags, struct value *v, struct err *e)
{
    struct row_question *q = arg;
    uint64_t bits = 0;
    (void)e;
    idmap_get(q->x->entities, ref_key_of(flags, v), &bits);
    q->keeps = q->keeps && keeps_bits(q->x, flags, bits);
    return true;
}

static void drop_child(void *arg, struct id_key child)
{
    struct select *x = arg;
    idmap_add(x->dropped, child, 0);
}

/* As select_keeps. */
static int keeps_row(struct select *x, const struct record *r, struct err *e)
{
    struct row_question q = {x, true};
    struct record copy = *r;
    struct id_key parent;
    if (!row_edit(x->rows, &copy, REF_FLAGS & ~(unsigned)FIELD_REG, ask_row, &q, e))
        return -1;
    if (row_parent(x->rows, r, &parent) && idmap_get(x->dropped, parent, NULL))
        q.keeps = false;
    if (!q.keeps)
        row_each_child(x->rows, r, drop_child, x);
    return q.keeps;
}

static bool keeps_version(const struct select *x, const struct record *r)
{
    struct value parts[3];
    return ref_version(r, parts) < 0 || idmap_get(x->versions, id_key(0, parts, 3), NULL);
}

/* If models are kept and prompts are not (or vice versa), the children of those are not either. */
static bool keeps_registry(struct select *x, const struct record *r)
{
    if (x->allowed[KIND_registered_model] == x->allowed[KIND_prompt])
        return true;
    for (int f = 0; f < r->kind->n_fields; f++) {
        if (!(r->kind->fields[f].flags & FIELD_REG))
            continue;
        if (!x->allowed[r->kind->kind])
            idmap_add(x->dropped, ref_key(r, f), 0);
        else if (idmap_get(x->dropped, ref_key(r, f), NULL))
            return false;
    }
    return true;
}

/* A row of a table that belongs to a kind's which is left out. */
static bool is_of_excluded(const struct select *x, const struct record *r)
{
    const struct row_table *t = r->kind->kind == KIND_row ? row_table_of(r) : NULL;
    return t && x->excluded[KIND_span] && strcmp(t->parent, kinds[KIND_span].table) == 0;
}

int select_keeps(struct select *x, const struct record *r, struct err *e)
{
    int own = ref_own_field(r->kind);
    if (!x->settled)
        settle_kinds(x);
    if (!keeps_registry(x, r) || !x->allowed[r->kind->kind] || is_of_excluded(x, r))
        return false;
    if (!by_anything(x))
        return true;
    if (r->kind->kind == KIND_row)
        return keeps_row(x, r, e);
    if (own >= 0 && !keeps_entity(x, r, own))
        return false;
    for (int f = 0; f < r->kind->n_fields; f++)
        if (ref_is_hard(r->kind, f) && !value_is_null(&r->v[f]) && !keeps_entity(x, r, f))
            return false;
    return keeps_version(x, r);
}

static uint64_t warn_unfound(const struct wishes *w, const char *option)
{
    uint64_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (w->items[i].found)
            continue;
        n++;
        err_warn(NULL, "%s %s: not found in the stream", option, w->items[i].text);
    }
    return n;
}

uint64_t select_report(const struct select *x)
{
    return warn_unfound(&x->experiments, "--experiment") + warn_unfound(&x->runs, "--run");
}

void select_free(struct select *x)
{
    if (!x)
        return;
    for (int i = 0; i < x->n_tags; i++)
        free(x->tags[i].key);
    free(x->experiments.items);
    free(x->runs.items);
    free(x->statuses.items);
    idmap_free(x->entities);
    idmap_free(x->versions);
    idmap_free(x->dropped);
    row_editor_free(x->rows);
    free(x);
}

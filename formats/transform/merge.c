#include "formats/transform/merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "formats/record/idmap.h"
#include "formats/record/references.h"
#include "formats/record/row_references.h"

enum { MAX_MAPS = 16 };

/* Spaces of identities besides those of refs.h. */
enum { BY_NAME = 64, OF_SOURCE, LAST_VERSION, KEYED, BY_ID_AND_NAME };

struct experiment { /* of the result */
    char *id;
    char *old_id;                 /* where it gets another one; else NULL */
    struct value name, workspace; /* all text is in the spill */
    struct id_key origin;         /* (source, id) of the record that makes it */
    bool deleted;
    bool written;
};

struct twice {                   /* a run, trace or logged model of two sources */
    struct id_key first, second; /* its sums */
    char *where;
};

struct merge {
    enum merge_policy policy;
    bool renumber_versions;
    char (*sources)[33];
    size_t n_sources, source; /* the current one */
    uint64_t segment;         /* number of the current one */
    struct spill *spill;
    struct experiment *experiments;
    size_t n_experiments, cap_experiments;
    int64_t last_id;      /* the highest number that is an experiment's id */
    struct idmap by_id;   /* id of the result -> place + 1 */
    struct idmap by_name; /* name in a source -> place + 1 of the first that has it */
    struct idmap by_both; /* id and name in a source -> place + 1 */
    struct idmap names;   /* name of the result -> 1 */
    struct idmap mapped;  /* (source, id) -> place + 1 */
    struct idmap given;   /* (source, id) -> hash of the experiment's record */
    struct idmap last_in; /* (source, id) -> the last segment that has it */
    struct idmap units;   /* run, trace, logged model -> source + 1 */
    struct idmap sums;    /* (the same, source) -> sum of its records' hashes */
    struct twice *twice;
    size_t n_twice, cap_twice;
    struct idmap model_kinds; /* registered model or prompt -> its kind */
    struct idmap keyed;       /* what has no unit: its key -> hash of its record */
    struct idmap versions;    /* (source, name, version) -> version of the result */
    struct idmap last;        /* registered model -> its highest version */
    struct idmap written;     /* keys of what has no unit and was written */
    struct buf scratch;
    struct buf list; /* a prompt's experiments */
    struct row_editor *rows, *questions;
    uint64_t problems, same, renamed, joined, renumbered, first_won;
};

/* All maps of m. Returns their number. */
static int maps_of(struct merge *m, struct idmap *maps[MAX_MAPS])
{
    struct idmap *all[] = {&m->by_id, &m->by_name,  &m->by_both, &m->names,  &m->mapped,
                           &m->given, &m->last_in,  &m->units,   &m->sums,   &m->model_kinds,
                           &m->keyed, &m->versions, &m->last,    &m->written};
    _Static_assert(sizeof all / sizeof *all <= MAX_MAPS, "MAX_MAPS is too small");
    memcpy(maps, all, sizeof all);
    return sizeof all / sizeof *all;
}

struct merge *merge_new(enum merge_policy policy, bool renumber_versions, const char *tmpdir)
{
    struct merge *m = xcalloc(1, sizeof *m);
    m->policy = policy;
    m->renumber_versions = renumber_versions;
    m->rows = row_editor_new();
    m->questions = row_editor_new();
    m->spill = spill_new(tmpdir);
    struct idmap *maps[MAX_MAPS];
    for (int i = maps_of(m, maps); i-- > 0;)
        maps[i]->spill = m->spill;
    return m;
}

void merge_segment(struct merge *m, const struct wire_header *h)
{
    m->segment++;
    for (m->source = 0; m->source < m->n_sources; m->source++)
        if (strcmp(m->sources[m->source], h->source) == 0)
            return;
    m->sources = xrealloc(m->sources, (m->n_sources + 1) * sizeof *m->sources);
    snprintf(m->sources[m->n_sources++], sizeof *m->sources, "%s", h->source);
}

static void problem(struct merge *m, const struct record *r, const char *hint, const char *what)
{
    struct buf where = {0};
    m->problems++;
    record_describe(r, &where);
    err_print(buf_str(&where), "%s", what);
    if (hint)
        err_print_hint("%s", hint);
    buf_free(&where);
}

/* -- identities */

/* What v names in the current source. */
static struct id_key in_source(const struct merge *m, const struct value *v, int n)
{
    struct value parts[4];
    for (int i = 0; i < n; i++)
        parts[i] = v[i];
    parts[n] = value_int((int64_t)m->source);
    return id_key(OF_SOURCE, parts, n + 1);
}

static struct id_key name_key(const struct value *name, const struct value *workspace)
{
    struct value parts[2] = {*name, value_is_null(workspace) ? value_str("default") : *workspace};
    return id_key(BY_NAME, parts, 2);
}

static uint64_t hash_of(struct merge *m, const struct record *r)
{
    buf_reset(&m->scratch);
    wire_encode(r, &m->scratch);
    uint64_t hash = XXH3_64bits(m->scratch.data, m->scratch.len);
    buf_trim(&m->scratch);
    return hash;
}

/* -- experiments */

static struct experiment *experiment_at(const struct merge *m, size_t i)
{
    spill_touch(m->spill, &m->experiments[i]);
    spill_touch(m->spill, m->experiments[i].id);
    return &m->experiments[i];
}

static struct experiment *place_of(const struct merge *m, const struct idmap *map, struct id_key key)
{
    const uint64_t *place = idmap_find(map, key);
    return place ? experiment_at(m, *place - 1) : NULL;
}

static struct value copy_text(struct merge *m, const struct value *v)
{
    return value_is_null(v) ? *v : value_text(spill_text(m->spill, v->s, v->len), v->len);
}

/* An experiment of the result: that of record r, with the id given. */
static struct experiment *add_experiment(struct merge *m, const struct record *r, const struct value *id,
                                         struct id_key origin)
{
    const struct value *old = &r->v[F_experiment_experiment_id];
    int64_t number;
    m->experiments =
        spill_array(m->spill, m->experiments, m->n_experiments, &m->cap_experiments, sizeof *m->experiments);
    struct experiment *x = &m->experiments[m->n_experiments++];
    *x = (struct experiment){.id = spill_text(m->spill, id->s, id->len),
                             .name = copy_text(m, &r->v[F_experiment_name]),
                             .workspace = copy_text(m, &r->v[F_experiment_workspace]),
                             .origin = origin,
                             .deleted = value_eqs(&r->v[F_experiment_lifecycle_stage], "deleted")};
    if (id != old)
        x->old_id = spill_text(m->spill, old->s, old->len);
    *idmap_add(&m->by_id, id_key(0, id, 1), NULL) = m->n_experiments;
    if (value_parse_int(id->s, id->len, &number) && number > m->last_id)
        m->last_id = number;
    return x;
}

static struct id_key name_of(const struct experiment *x)
{
    return name_key(&x->name, &x->workspace);
}

/* Gives x the first of "NAME (2)", "NAME (3)", … that is free. */
static void take_free_name(struct merge *m, struct experiment *x)
{
    struct value old = x->name;
    struct buf name = {0};
    bool added = false;
    for (int n = 2; !added; n++) {
        buf_reset(&name);
        buf_add(&name, old.s, old.len);
        buf_addf(&name, " (%d)", n);
        x->name = value_text(name.data, name.len);
        idmap_add(&m->names, name_of(x), &added);
    }
    x->name = copy_text(m, &x->name);
    buf_free(&name);
}

/* Two records are of one experiment: the first stays, but an active one before a deleted one, lest its runs
 * vanish from view. */
static void prefer_active(struct experiment *x, const struct record *r, struct id_key origin)
{
    if (!x->deleted || value_eqs(&r->v[F_experiment_lifecycle_stage], "deleted"))
        return;
    x->deleted = false;
    x->origin = origin;
}

static void experiment_clashes(struct merge *m, const struct record *r, bool same_name)
{
    problem(m, r,
            "--on-conflict=rename gives one of them another name or id, --on-conflict=merge makes one "
            "experiment of two with one name",
            same_name ? "its name is that of another experiment with another id"
                      : "its id is that of another experiment with another name");
}

/* The next number that is no experiment's id so far. */
static int64_t free_id(const struct merge *m)
{
    for (int64_t n = m->last_id < INT64_MAX ? m->last_id + 1 : 1;; n++) {
        char digits[24];
        snprintf(digits, sizeof digits, "%" PRId64, n);
        struct value id = value_str(digits);
        if (!idmap_find(&m->by_id, id_key(0, &id, 1)))
            return n;
    }
}

/* An experiment that no source had so far. NULL: it clashes, which was reported. */
static struct experiment *new_experiment(struct merge *m, const struct record *r, struct id_key origin)
{
    struct value id = r->v[F_experiment_experiment_id];
    bool id_taken = idmap_find(&m->by_id, id_key(0, &id, 1)) != NULL;
    struct id_key name = name_key(&r->v[F_experiment_name], &r->v[F_experiment_workspace]);
    struct experiment *same_name = place_of(m, &m->by_name, name);
    char number[24];
    if (m->policy == MERGE_FAIL && (id_taken || same_name)) {
        experiment_clashes(m, r, same_name != NULL);
        return NULL;
    }
    if (same_name && m->policy == MERGE_JOIN) {
        m->joined++;
        prefer_active(same_name, r, origin);
        return same_name;
    }
    if (!id_taken) {
        add_experiment(m, r, &r->v[F_experiment_experiment_id], origin);
    } else {
        snprintf(number, sizeof number, "%" PRId64, free_id(m));
        id = value_str(number);
        add_experiment(m, r, &id, origin);
    }
    if (!same_name)
        *idmap_add(&m->by_name, name, NULL) = m->n_experiments;
    return &m->experiments[m->n_experiments - 1];
}

/* Whether the source has given the experiment already: shards repeat it, and must not differ. */
static bool was_given(struct merge *m, const struct record *r, struct id_key origin)
{
    bool added;
    uint64_t hash = hash_of(m, r), *given = idmap_add(&m->given, origin, &added),
             *segment = idmap_add(&m->last_in, origin, NULL);
    if (added) {
        *given = hash;
    } else if (*given != hash) {
        problem(
            m, r,
            "mlruns-dump --renumber-trash gives a deleted experiment an id of its own where an active one "
            "has the same",
            "one source gives this id to two experiments");
    } else if (*segment == m->segment) {
        problem(m, r, NULL, "is given twice by one source");
    }
    *segment = m->segment;
    return !added;
}

static void collect_experiment(struct merge *m, const struct record *r)
{
    struct value parts[3] = {r->v[F_experiment_experiment_id], r->v[F_experiment_name],
                             r->v[F_experiment_workspace]};
    struct id_key origin = in_source(m, parts, 1);
    if (was_given(m, r, origin))
        return;
    if (value_is_null(&parts[2]))
        parts[2] = value_str("default");
    struct id_key both = id_key(BY_ID_AND_NAME, parts, 3);
    struct experiment *x = place_of(m, &m->by_both, both);
    if (x) {
        m->same++;
        prefer_active(x, r, origin);
    } else {
        x = new_experiment(m, r, origin);
    }
    if (!x)
        return;
    *idmap_add(&m->by_both, both, NULL) = *idmap_add(&m->mapped, origin, NULL) =
        (uint64_t)(x - m->experiments) + 1;
}

static void report_renamed(struct merge *m, const struct experiment *x)
{
    struct buf name = {0};
    value_describe(&x->name, &name);
    err_note("%sexperiment %s becomes %s, named %s", x->deleted ? "deleted " : "",
             x->old_id ? x->old_id : x->id, x->id, buf_str(&name));
    m->renamed++;
    buf_free(&name);
}

/* Gives each experiment a name of its own. Of several with one name the first active one keeps it: MLflow
 * finds experiments by name, and does not use a deleted one. */
static void settle_names(struct merge *m)
{
    bool *kept = xcalloc(m->n_experiments + 1, sizeof *kept);
    for (int deleted = 0; deleted <= 1; deleted++)
        for (size_t i = 0; i < m->n_experiments; i++)
            if (experiment_at(m, i)->deleted == deleted)
                idmap_add(&m->names, name_of(experiment_at(m, i)), &kept[i]);
    for (size_t i = 0; i < m->n_experiments; i++) {
        struct experiment *x = experiment_at(m, i);
        if (!kept[i])
            take_free_name(m, x);
        if (!kept[i] || x->old_id)
            report_renamed(m, x);
    }
    free(kept);
}

static bool map_in_row(void *arg, unsigned flags, struct value *v, struct err *e)
{
    const struct merge *m = arg;
    const struct experiment *x = place_of(m, &m->mapped, in_source(m, v, 1));
    (void)flags;
    if (!x)
        return err_set(e, NULL, "unknown experiment");
    *v = value_str(x->id);
    return true;
}

static bool map_listed(void *arg, const struct value *id, struct buf *out)
{
    const struct merge *m = arg;
    const struct experiment *x = place_of(m, &m->mapped, in_source(m, id, 1));
    if (x)
        buf_adds(out, x->id);
    return x != NULL;
}

/* Gives the fields that name an experiment its id in the result, and the list of a prompt, which lives until
 * the next record. false: one of the fields is unknown. */
static bool map_experiments(struct merge *m, struct record *r)
{
    struct err e;
    if (r->kind->kind == KIND_row)
        return row_edit(m->rows, r, FIELD_EXP, map_in_row, m, &e);
    for (int f = 0; f < r->kind->n_fields; f++) {
        if (!(r->kind->fields[f].flags & FIELD_EXP) || value_is_null(&r->v[f]))
            continue;
        const struct experiment *x = place_of(m, &m->mapped, in_source(m, &r->v[f], 1));
        if (!x)
            return false;
        r->v[f] = value_str(x->id);
    }
    struct value *list = ref_experiment_list(r);
    if (list) {
        buf_reset(&m->list);
        ref_map_list(list, map_listed, m, &m->list);
        *list = value_text(buf_str(&m->list), m->list.len);
    }
    return true;
}

/* -- runs, traces and logged models, each with all that hangs on it */

/* The field that says which of them a record of this kind belongs to; -1: to none. */
static int unit_field(const struct kind_desc *kind)
{
    const unsigned flags = FIELD_RUN | FIELD_TRACE | FIELD_MODEL;
    int own = ref_own_field(kind);
    if (own >= 0)
        return kind->fields[own].flags & flags ? own : -1;
    for (int f = 0; f < kind->n_fields; f++)
        if (kind->fields[f].flags & flags && ref_is_hard(kind, f))
            return f;
    return -1;
}

static void note_twice(struct merge *m, const struct record *r, struct id_key first, struct id_key second)
{
    struct buf where = {0};
    record_describe(r, &where);
    m->twice = spill_array(m->spill, m->twice, m->n_twice, &m->cap_twice, sizeof *m->twice);
    m->twice[m->n_twice++] = (struct twice){
        .first = first, .second = second, .where = spill_text(m->spill, buf_str(&where), where.len)};
    buf_free(&where);
}

struct unit {
    bool found;
    struct id_key key;
};

static bool see_unit(void *arg, unsigned flags, struct value *v, struct err *e)
{
    struct unit *unit = arg;
    (void)e;
    if (!unit->found)
        *unit = (struct unit){true, ref_key_of(flags, v)};
    return true;
}

/* The unit that r belongs to; a row belongs to the first that it refers to. */
static struct unit unit_of(struct merge *m, const struct record *r)
{
    struct unit unit = {0};
    struct record copy = *r;
    struct err e;
    int f = unit_field(r->kind);
    if (f >= 0)
        unit = (struct unit){true, ref_key(r, f)};
    else if (r->kind->kind == KIND_row)
        row_edit(m->questions, &copy, FIELD_RUN | FIELD_TRACE | FIELD_MODEL, see_unit, &unit, &e);
    return unit;
}

static struct id_key sum_key(struct id_key key, size_t source)
{
    struct value parts[3] = {value_int((int64_t)key.low), value_int((int64_t)key.high),
                             value_int((int64_t)source)};
    return id_key(OF_SOURCE, parts, 3);
}

static void collect_unit(struct merge *m, const struct record *r, struct id_key unit)
{
    bool added;
    struct id_key sum = sum_key(unit, m->source);
    uint64_t *source = idmap_add(&m->units, unit, &added);
    if (added)
        *source = m->source + 1;
    if (ref_own_field(r->kind) >= 0) {
        if (!added && *source != m->source + 1)
            note_twice(m, r, sum_key(unit, *source - 1), sum);
        else if (idmap_find(&m->sums, sum))
            problem(m, r, NULL, "is given twice by one source");
    }
    *idmap_add(&m->sums, sum, NULL) += hash_of(m, r);
}

static void compare_twice(struct merge *m)
{
    for (size_t i = 0; i < m->n_twice; i++) {
        spill_touch(m->spill, &m->twice[i]);
        const uint64_t *a = idmap_find(&m->sums, m->twice[i].first),
                       *b = idmap_find(&m->sums, m->twice[i].second); /* two calls keep both */
        if (a && b && *a == *b) {
            m->same++;
            continue;
        }
        m->problems++;
        err_print(m->twice[i].where, "two sources have it, and they differ in it or in what belongs to it");
        err_print_hint(
            "where only paths differ, --rewrite-uri both streams first; else leave one out with --run or "
            "--experiment");
    }
}

/* -- what belongs to experiments and to the registry: known by its key */

static bool is_model(const struct record *r)
{
    return r->kind->kind == KIND_registered_model || r->kind->kind == KIND_prompt;
}

static struct id_key record_key(struct merge *m, const struct record *r)
{
    if (r->kind->kind == KIND_row)
        return row_identity(m->questions, r);
    struct value parts[RECORD_MAX_FIELDS + 1];
    int n = 0;
    /* A registered model and a prompt may not have one name. */
    parts[n++] = value_int(is_model(r) ? KIND_registered_model : (int64_t)r->kind->kind);
    for (int f = 0; f < r->kind->n_fields; f++) {
        if (!(r->kind->fields[f].flags & FIELD_K))
            continue;
        parts[n] = r->v[f];
        if (r->kind->fields[f].flags & FIELD_WS && value_is_null(&r->v[f]))
            parts[n] = value_str("default");
        n++;
    }
    return id_key(KEYED, parts, n);
}

static void map_version(const struct merge *m, struct record *r)
{
    struct value parts[3];
    int f = ref_version(r, parts);
    const uint64_t *number = f < 0 ? NULL : idmap_find(&m->versions, in_source(m, parts, 3));
    if (number)
        r->v[f] = value_int((int64_t)*number);
}

static uint64_t *last_version(struct merge *m, const struct record *r)
{
    struct id_key model = ref_key(r, F_model_version_name);
    struct value parts[2] = {value_int((int64_t)model.low), value_int((int64_t)model.high)};
    return idmap_add(&m->last, id_key(LAST_VERSION, parts, 2), NULL);
}

/* A version whose number another one has: it gets the next. */
static void renumber_version(struct merge *m, struct record *r)
{
    uint64_t *last = last_version(m, r);
    struct value parts[3];
    ref_version(r, parts);
    struct id_key key = in_source(m, parts, 3);
    *idmap_add(&m->versions, key, NULL) = ++*last;
    r->v[F_model_version_version] = value_int((int64_t)*last);
    *idmap_add(&m->keyed, record_key(m, r), NULL) = hash_of(m, r);
    m->renumbered++;
}

static void clash(struct merge *m, struct record *r, bool other_kind)
{
    if (other_kind) {
        problem(m, r,
                "give one of them another name before the merge, by --rename-model in a transform of its own",
                "one source has a model of this name, another a prompt");
    } else if (is_model(r)) {
        m->first_won++; /* that models of one name are joined is what a merge is for */
    } else if (r->kind->kind == KIND_model_version && m->renumber_versions) {
        renumber_version(m, r);
    } else if (r->kind->kind == KIND_model_version) {
        problem(m, r, "--renumber-versions gives the later one the next number",
                "two sources have it, and they differ in it");
    } else if (m->policy == MERGE_FAIL) {
        problem(m, r, "--on-conflict=merge keeps the first", "two sources have it, and they differ in it");
    } else {
        m->first_won++;
    }
}

static void collect_keyed(struct merge *m, struct record *r)
{
    bool added;
    map_version(m, r);
    uint64_t hash = hash_of(m, r);
    uint64_t *known = idmap_add(&m->keyed, record_key(m, r), &added);
    if (r->kind->kind == KIND_model_version) {
        uint64_t *last = last_version(m, r), number = (uint64_t)r->v[F_model_version_version].i;
        if (number > *last)
            *last = number;
    }
    if (added) {
        *known = hash;
        if (is_model(r))
            *idmap_add(&m->model_kinds, record_key(m, r), NULL) = (uint64_t)r->kind->kind;
        return;
    }
    if (*known == hash)
        return;
    const uint64_t *kind = idmap_find(&m->model_kinds, record_key(m, r));
    clash(m, r, kind && *kind != (uint64_t)r->kind->kind);
}

/* -- the passes */

bool merge_collect(struct merge *m, const struct record *rec, struct err *e)
{
    struct record r = *rec;
    if (r.kind->kind == KIND_experiment)
        collect_experiment(m, &r);
    if (r.kind->kind == KIND_skipped || r.kind->kind == KIND_experiment)
        return true;
    if (!map_experiments(m, &r)) {
        struct buf where = {0};
        if (m->problems > 0) /* its experiment clashed, which has been told */
            return true;
        record_describe(&r, &where);
        err_set(e, buf_str(&where), "its experiment is not in the stream before it");
        buf_free(&where);
        return false;
    }
    struct unit unit = unit_of(m, &r);
    if (unit.found)
        collect_unit(m, &r, unit.key);
    else
        collect_keyed(m, &r);
    return true;
}

bool merge_settle(struct merge *m, struct wire_header *h, struct err *e)
{
    compare_twice(m);
    if (m->problems > 0)
        return err_set(e, "merge", "%" PRIu64 " clashes between the sources", m->problems);
    settle_names(m);
    XXH128_hash_t id = XXH3_128bits(m->sources, m->n_sources * sizeof *m->sources);
    *h = (struct wire_header){.format = WIRE_FORMAT, .minor = WIRE_MINOR, .shard = 0, .shards = 1};
    snprintf(h->producer, sizeof h->producer, "%s", "ml-transform --merge");
    snprintf(h->source, sizeof h->source, "%016" PRIx64 "%016" PRIx64, (uint64_t)id.high64,
             (uint64_t)id.low64);
    return true;
}

static bool take_experiment(struct merge *m, struct record *r)
{
    struct id_key origin = in_source(m, &r->v[F_experiment_experiment_id], 1);
    struct experiment *x = place_of(m, &m->mapped, origin);
    if (!x || x->written || x->origin.low != origin.low || x->origin.high != origin.high)
        return false;
    x->written = true;
    r->v[F_experiment_experiment_id] = value_str(x->id);
    r->v[F_experiment_name] = x->name;
    return true;
}

static bool of_experiments(const struct kind_desc *kind)
{
    return kind->kind == KIND_experiment || (kind->fields[0].flags & FIELD_EXP && kind->owner[0] != '\0');
}

bool merge_take(struct merge *m, enum merge_part part, struct record *r)
{
    bool added;
    if (of_experiments(r->kind) != (part == MERGE_EXPERIMENTS))
        return false;
    if (r->kind->kind == KIND_skipped)
        return true;
    if (r->kind->kind == KIND_experiment)
        return take_experiment(m, r);
    map_experiments(m, r);
    struct unit unit = unit_of(m, r);
    if (unit.found) {
        const uint64_t *source = idmap_find(&m->units, unit.key);
        return source && *source == m->source + 1;
    }
    map_version(m, r);
    idmap_add(&m->written, record_key(m, r), &added);
    return added;
}

void merge_report(const struct merge *m)
{
    err_note("%zu sources: %" PRIu64
             " experiments and runs (traces, models) found equal and kept once, %" PRIu64
             " experiments renamed, %" PRIu64 " joined, %" PRIu64 " model versions renumbered, %" PRIu64
             " records of which the first was kept",
             m->n_sources, m->same, m->renamed, m->joined, m->renumbered, m->first_won);
}

void merge_free(struct merge *m)
{
    if (!m)
        return;
    spill_release(m->spill, m->twice, m->cap_twice * sizeof *m->twice);
    struct idmap *maps[MAX_MAPS];
    for (int i = maps_of(m, maps); i-- > 0;)
        idmap_free(maps[i]);
    spill_release(m->spill, m->experiments, m->cap_experiments * sizeof *m->experiments);
    spill_free(m->spill);
    free(m->sources);
    buf_free(&m->scratch);
    buf_free(&m->list);
    row_editor_free(m->rows);
    row_editor_free(m->questions);
    free(m);
}

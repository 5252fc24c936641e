/* Merges the records of several sources in three passes. */
#include "formats/transform/merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "common/array.h"
#include "formats/record/idmap.h"
#include "formats/record/references.h"
#include "formats/record/row_references.h"

/* Spaces of identities, in addition to those of references.h. */
enum { BY_NAME = 64, OF_SOURCE, LAST_VERSION, KEYED, BY_ID_AND_NAME };

struct experiment { /* of the result */
    struct spill_text id, name, workspace, old_id;
    bool has_workspace;
    bool renumbered;    /* the source's id is old_id */
    struct id_key both; /* its id and name in the source */
    uint64_t source_id; /* place in `ids` of the record that makes it */
    bool deleted;
    bool keeps_name; /* of those with its name in the sources it is the one that keeps it */
    bool written;
};

struct source_id {       /* an experiment's id in a source */
    uint64_t hash;       /* of its record */
    uint64_t segment;    /* the last that has it */
    uint64_t experiment; /* of the result: place + 1; 0: it clashes */
};

struct twice {                   /* a run, trace or logged model in two sources */
    struct id_key first, second; /* its sums */
    struct spill_text where;
};

struct merge {
    enum merge_policy policy;
    bool renumber_versions;
    XXH3_state_t *sources;      /* hash of their ids */
    uint64_t n_sources, source; /* the current one */
    uint64_t segment;           /* number of the current one */
    struct wire_header header;  /* of the result: its producer and what that left out */
    struct spill *spill;
    struct spill_array experiments, ids, twice;
    int64_t last_id;           /* the highest numeric experiment id */
    struct idmap *by_id;       /* id of the result -> place in experiments */
    struct idmap *by_name;     /* name in a source or of the result -> place of the one that keeps it */
    struct idmap *by_both;     /* id and name in a source -> place, where the result has another id or name */
    struct idmap *id_of;       /* (source, id) -> place in ids */
    struct idmap *units;       /* run, trace, logged model -> source */
    struct idmap *sums;        /* (the same, source) -> sum of its records' hashes */
    struct idmap *model_kinds; /* registered model or prompt -> its kind */
    struct idmap *keyed;       /* record without a unit -> its hash */
    struct idmap *versions;    /* (source, name, version) -> version of the result */
    struct idmap *last;        /* registered model -> its highest version */
    struct idmap *written;     /* keys of written records without a unit */
    struct buf scratch;
    struct buf id, name; /* of the experiment at hand */
    struct arena made;   /* ids of the record at hand */
    struct buf list;     /* a prompt's experiments */
    struct row_editor *rows, *questions;
    uint64_t problems, same, renamed, joined, renumbered, first_won;
};

struct merge *merge_new(enum merge_policy policy, bool renumber_versions, struct spill *spill)
{
    struct merge *m = xcalloc(1, sizeof *m);
    m->policy = policy;
    m->renumber_versions = renumber_versions;
    m->sources = XXH3_createState();
    if (!m->sources)
        xnomem(NULL);
    XXH3_128bits_reset(m->sources);
    m->rows = row_editor_new();
    m->questions = row_editor_new();
    m->spill = spill;
    m->experiments.size = sizeof(struct experiment);
    m->ids.size = sizeof(struct source_id);
    m->twice.size = sizeof(struct twice);
    struct idmap **maps[] = {&m->by_id, &m->by_name,     &m->by_both, &m->id_of,    &m->units,  &m->sums,
                             &m->keyed, &m->model_kinds, &m->last,    &m->versions, &m->written};
    for (size_t i = 0; i < ARRAY_LENGTH(maps); i++)
        *maps[i] = idmap_new(spill);
    return m;
}

/* The result is by the program that all segments are by, if it is one: readers know by it whether files belong to the source. */
static void note_header(struct merge *m, const struct wire_header *h)
{
    char program[sizeof h->producer];
    snprintf(program, sizeof program, "%.*s", (int)strcspn(m->header.producer, " "), m->header.producer);
    if (m->segment == 0)
        snprintf(m->header.producer, sizeof m->header.producer, "%s", h->producer);
    else if (!wire_is_by(h, program))
        snprintf(m->header.producer, sizeof m->header.producer, "%s", "ml-transform --merge");
    if (h->without[0] != '\0')
        snprintf(m->header.without, sizeof m->header.without, "%s", h->without);
}

void merge_segment(struct merge *m, const struct wire_header *h)
{
    note_header(m, h);
    m->segment++;
    m->source = h->source_number;
    if (m->source < m->n_sources)
        return;
    m->n_sources++;
    XXH3_128bits_update(m->sources, h->source, sizeof h->source);
}

static void problem(struct merge *m, const struct record *r, const char *hint, const char *what)
{
    struct buf where = {0};
    if (!spill_check(m->spill, NULL)) /* the caller reports that, which may be all that is wrong */
        return;
    m->problems++;
    record_describe(r, &where);
    err_print(buf_str(&where), "%s", what);
    if (hint)
        err_print_hint("%s", hint);
    buf_free(&where);
}

/* -- identities */

/* The identity of v in the current source. */
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

static struct experiment experiment_at(const struct merge *m, uint64_t place)
{
    struct experiment x;
    spill_get_item(m->spill, &m->experiments, place, &x);
    return x;
}

static void put_experiment(struct merge *m, uint64_t place, const struct experiment *x)
{
    spill_put_item(m->spill, &m->experiments, place, x);
}

static struct value read_text(const struct merge *m, struct spill_text text, struct buf *out)
{
    spill_read_text(m->spill, text, out);
    return value_text(buf_str(out), out->len);
}

static struct spill_text keep_text(struct merge *m, const struct value *v)
{
    struct spill_text none = {0};
    return value_is_null(v) ? none : spill_text(m->spill, v->s, v->len);
}

/* The name that x has now, as it stands in by_name. */
static struct id_key name_of(struct merge *m, const struct experiment *x)
{
    struct buf workspace = {0};
    struct value name = read_text(m, x->name, &m->name), in = value_null();
    if (x->has_workspace)
        in = read_text(m, x->workspace, &workspace);
    struct id_key key = name_key(&name, &in);
    buf_free(&workspace);
    return key;
}

/* Adds record r to the experiments of the result, with the given id. Returns its place. */
static uint64_t add_experiment(struct merge *m, const struct record *r, const struct value *id,
                               struct id_key both, uint64_t source_id)
{
    const struct value *old = &r->v[F_experiment_experiment_id];
    int64_t number;
    struct experiment x = {.id = spill_text(m->spill, id->s, id->len),
                           .name = keep_text(m, &r->v[F_experiment_name]),
                           .workspace = keep_text(m, &r->v[F_experiment_workspace]),
                           .has_workspace = !value_is_null(&r->v[F_experiment_workspace]),
                           .renumbered = id != old,
                           .both = both,
                           .source_id = source_id,
                           .deleted = value_eqs(&r->v[F_experiment_lifecycle_stage], "deleted")};
    if (x.renumbered)
        x.old_id = spill_text(m->spill, old->s, old->len);
    uint64_t place = spill_append(m->spill, &m->experiments, &x);
    idmap_set(m->by_id, id_key(0, id, 1), place);
    if (x.renumbered)
        idmap_set(m->by_both, both, place);
    if (value_parse_int(id->s, id->len, &number) && number > m->last_id)
        m->last_id = number;
    return place;
}

/* Of several experiments with one name the first active one keeps it, else the first: MLflow finds
 * experiments by name, and does not use a deleted one. The one at `place` is new, or has become active. */
static void contend_for_name(struct merge *m, uint64_t place)
{
    struct experiment x = experiment_at(m, place), other;
    struct id_key name = name_of(m, &x);
    uint64_t holder;
    if (idmap_get(m->by_name, name, &holder)) {
        other = experiment_at(m, holder);
        if (holder == place || x.deleted || (!other.deleted && holder < place))
            return;
        other.keeps_name = false;
        put_experiment(m, holder, &other);
    }
    x.keeps_name = true;
    put_experiment(m, place, &x);
    idmap_set(m->by_name, name, place);
}

/* Of two records of one experiment the first is kept, but an active one rather than a deleted one, so that
 * its runs stay visible. */
static void prefer_active(struct merge *m, uint64_t place, const struct record *r, uint64_t source_id)
{
    struct experiment x = experiment_at(m, place);
    if (!x.deleted || value_eqs(&r->v[F_experiment_lifecycle_stage], "deleted"))
        return;
    x.deleted = false;
    x.source_id = source_id;
    put_experiment(m, place, &x);
    contend_for_name(m, place);
}

static void experiment_clashes(struct merge *m, const struct record *r, bool same_name)
{
    problem(m, r,
            "--on-conflict=rename gives one of them a new name or id, --on-conflict=merge joins experiments "
            "with one name",
            same_name ? "its name is also that of an experiment with another id"
                      : "its id is also that of an experiment with another name");
}

/* The next number that is not an experiment's id so far. */
static int64_t free_id(const struct merge *m)
{
    for (int64_t n = m->last_id < INT64_MAX ? m->last_id + 1 : 1;; n++) {
        char digits[24];
        snprintf(digits, sizeof digits, "%" PRId64, n);
        struct value id = value_str(digits);
        if (!idmap_get(m->by_id, id_key(0, &id, 1), NULL))
            return n;
    }
}

/* An experiment that no source had so far. false: it clashes, which was reported. */
static bool new_experiment(struct merge *m, const struct record *r, struct id_key both, uint64_t source_id,
                           uint64_t *place)
{
    struct value id = r->v[F_experiment_experiment_id], other;
    bool id_taken = idmap_get(m->by_id, id_key(0, &id, 1), NULL);
    struct id_key name = name_key(&r->v[F_experiment_name], &r->v[F_experiment_workspace]);
    bool same_name = idmap_get(m->by_name, name, place);
    char number[24];
    if (m->policy == MERGE_FAIL && (id_taken || same_name)) {
        experiment_clashes(m, r, same_name);
        return false;
    }
    if (same_name && m->policy == MERGE_JOIN) {
        m->joined++;
        prefer_active(m, *place, r, source_id);
        idmap_set(m->by_both, both, *place);
        return true;
    }
    if (!id_taken) {
        *place = add_experiment(m, r, &r->v[F_experiment_experiment_id], both, source_id);
    } else {
        snprintf(number, sizeof number, "%" PRId64, free_id(m));
        other = value_str(number);
        *place = add_experiment(m, r, &other, both, source_id);
    }
    contend_for_name(m, *place);
    return true;
}

/* Whether the source had the experiment already: shards repeat it, and must not differ. Else it gets a place
 * in ids. */
static bool was_given(struct merge *m, const struct record *r, uint64_t *place)
{
    struct id_key key = in_source(m, &r->v[F_experiment_experiment_id], 1);
    struct source_id new = {.hash = hash_of(m, r), .segment = m->segment}, known;
    if (!idmap_get(m->id_of, key, place)) {
        *place = spill_append(m->spill, &m->ids, &new);
        idmap_add(m->id_of, key, *place);
        return false;
    }
    spill_get_item(m->spill, &m->ids, *place, &known);
    if (known.hash != new.hash)
        problem(m, r,
                "mlruns-dump --renumber-trash gives a deleted experiment that shares an id with an active "
                "one a new id",
                "one source has two experiments with this id");
    else if (known.segment == m->segment)
        problem(m, r, NULL, "duplicate in one source");
    known.segment = m->segment;
    spill_put_item(m->spill, &m->ids, *place, &known);
    return true;
}

/* The experiment of the result that a source has given by this id and name. */
static bool known_experiment(struct merge *m, const struct value *id, struct id_key both, uint64_t *place)
{
    if (idmap_get(m->by_id, id_key(0, id, 1), place)) {
        struct experiment x = experiment_at(m, *place);
        if (x.both.low == both.low && x.both.high == both.high)
            return true;
    }
    return idmap_get(m->by_both, both, place);
}

static void collect_experiment(struct merge *m, const struct record *r)
{
    struct value parts[3] = {r->v[F_experiment_experiment_id], r->v[F_experiment_name],
                             r->v[F_experiment_workspace]};
    struct source_id given;
    uint64_t source_id, place;
    if (was_given(m, r, &source_id))
        return;
    if (value_is_null(&parts[2]))
        parts[2] = value_str("default");
    struct id_key both = id_key(BY_ID_AND_NAME, parts, 3);
    if (known_experiment(m, &parts[0], both, &place)) {
        m->same++;
        prefer_active(m, place, r, source_id);
    } else if (!new_experiment(m, r, both, source_id, &place)) {
        return;
    }
    spill_get_item(m->spill, &m->ids, source_id, &given);
    given.experiment = place + 1;
    spill_put_item(m->spill, &m->ids, source_id, &given);
}

/* Gives the one at `place` the first of "NAME (2)", "NAME (3)", … that is free. */
static void take_free_name(struct merge *m, uint64_t place, struct experiment *x)
{
    struct buf workspace = {0};
    struct value name = read_text(m, x->name, &m->name), in = value_null();
    size_t len = m->name.len;
    if (x->has_workspace)
        in = read_text(m, x->workspace, &workspace);
    bool added = false;
    for (int n = 2; !added; n++) {
        buf_truncate(&m->name, len);
        buf_addf(&m->name, " (%d)", n);
        name = value_text(m->name.data, m->name.len);
        added = idmap_add(m->by_name, name_key(&name, &in), place);
    }
    x->name = spill_text(m->spill, name.s, name.len);
    put_experiment(m, place, x);
    buf_free(&workspace);
}

static void report_renamed(struct merge *m, const struct experiment *x)
{
    struct buf text = {0}, old = {0};
    struct value name = read_text(m, x->name, &m->name);
    read_text(m, x->id, &m->id);
    read_text(m, x->renumbered ? x->old_id : x->id, &old);
    value_describe(&name, &text);
    err_note("%sexperiment %s becomes %s, named %s", x->deleted ? "deleted " : "", buf_str(&old),
             buf_str(&m->id), buf_str(&text));
    m->renamed++;
    buf_free(&text);
    buf_free(&old);
}

/* Gives each experiment a name of its own. */
static void settle_names(struct merge *m)
{
    for (uint64_t i = 0; i < m->experiments.n; i++) {
        struct experiment x = experiment_at(m, i);
        if (!x.keeps_name)
            take_free_name(m, i, &x);
        if (!x.keeps_name || x.renumbered)
            report_renamed(m, &x);
    }
}

/* The experiment of the result that the current source's id becomes; *source_id is the id's place. */
static bool find_experiment(const struct merge *m, const struct value *id, struct experiment *x,
                            uint64_t *source_id)
{
    struct source_id given;
    if (!idmap_get(m->id_of, in_source(m, id, 1), source_id))
        return false;
    spill_get_item(m->spill, &m->ids, *source_id, &given);
    if (given.experiment == 0)
        return false;
    *x = experiment_at(m, given.experiment - 1);
    return true;
}

/* Its id, which lives as long as the record at hand. */
static bool new_id(struct merge *m, const struct value *id, struct value *new)
{
    struct experiment x;
    uint64_t source_id;
    if (!find_experiment(m, id, &x, &source_id))
        return false;
    read_text(m, x.id, &m->id);
    *new = value_text(arena_strndup(&m->made, m->id.data, m->id.len), m->id.len);
    return true;
}

static bool map_in_row(void *arg, unsigned flags, struct value *v, struct err *e)
{
    (void)flags;
    return new_id(arg, v, v) || err_set(e, NULL, "unknown experiment");
}

static bool map_listed(void *arg, const struct value *id, struct buf *out)
{
    struct value new;
    bool known = new_id(arg, id, &new);
    if (known)
        buf_add(out, new.s, new.len);
    return known;
}

/* Replaces experiment ids in r by those of the result, including the list of a prompt, which lives until the
 * next record. false: an experiment is unknown. */
static bool map_experiments(struct merge *m, struct record *r)
{
    struct err e;
    arena_reset(&m->made);
    if (r->kind->kind == KIND_row)
        return row_edit(m->rows, r, FIELD_EXP, map_in_row, m, &e);
    for (int f = 0; f < r->kind->n_fields; f++) {
        if (!(r->kind->fields[f].flags & FIELD_EXP) || value_is_null(&r->v[f]))
            continue;
        if (!new_id(m, &r->v[f], &r->v[f]))
            return false;
    }
    struct value *list = ref_experiment_list(r);
    if (list) {
        buf_reset(&m->list);
        ref_map_list(list, map_listed, m, &m->list);
        *list = value_text(buf_str(&m->list), m->list.len);
    }
    return true;
}

/* -- runs, traces and logged models, each with all its parts */

/* The field that refers to the unit of a record of this kind; -1: none. */
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
    struct twice x = {first, second, spill_text(m->spill, buf_str(&where), where.len)};
    spill_append(m->spill, &m->twice, &x);
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
    struct id_key sum = sum_key(unit, m->source);
    uint64_t source, so_far = 0;
    bool of_source = idmap_get(m->sums, sum, &so_far), known = idmap_get(m->units, unit, &source);
    if (!known)
        idmap_add(m->units, unit, m->source);
    if (ref_own_field(r->kind) >= 0) {
        if (known && source != m->source)
            note_twice(m, r, sum_key(unit, source), sum);
        else if (of_source)
            problem(m, r, NULL, "duplicate in one source");
    }
    idmap_set(m->sums, sum, so_far + hash_of(m, r));
}

static void compare_twice(struct merge *m)
{
    for (uint64_t i = 0; i < m->twice.n; i++) {
        struct twice x;
        uint64_t a, b;
        spill_get_item(m->spill, &m->twice, i, &x);
        if (idmap_get(m->sums, x.first, &a) && idmap_get(m->sums, x.second, &b) && a == b) {
            m->same++;
            continue;
        }
        spill_read_text(m->spill, x.where, &m->scratch);
        if (!spill_check(m->spill, NULL))
            return;
        m->problems++;
        err_print(buf_str(&m->scratch), "two sources have it, and it or its parts differ");
        err_print_hint("if only paths differ, apply --rewrite-uri to both streams first; else leave one out "
                       "with --run or --experiment");
    }
}

/* -- parts of experiments and of the registry, identified by key */

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
    uint64_t number;
    if (f >= 0 && idmap_get(m->versions, in_source(m, parts, 3), &number))
        r->v[f] = value_int((int64_t)number);
}

/* The identity of r's model in `last`. */
static struct id_key last_version(const struct record *r)
{
    struct id_key model = ref_key(r, F_model_version_name);
    struct value parts[2] = {value_int((int64_t)model.low), value_int((int64_t)model.high)};
    return id_key(LAST_VERSION, parts, 2);
}

/* Gives a version whose number is taken the next one. */
static void renumber_version(struct merge *m, struct record *r)
{
    uint64_t last = 0;
    struct value parts[3];
    idmap_get(m->last, last_version(r), &last);
    idmap_set(m->last, last_version(r), ++last);
    ref_version(r, parts);
    idmap_set(m->versions, in_source(m, parts, 3), last);
    r->v[F_model_version_version] = value_int((int64_t)last);
    idmap_set(m->keyed, record_key(m, r), hash_of(m, r));
    m->renumbered++;
}

static void clash(struct merge *m, struct record *r, bool other_kind)
{
    if (other_kind) {
        problem(m, r, "rename one of them before the merge, with --rename-model in a separate ml-transform",
                "it is a model in one source and a prompt in another");
    } else if (is_model(r)) {
        m->first_won++; /* joining models of one name is not a conflict */
    } else if (r->kind->kind == KIND_model_version && m->renumber_versions) {
        renumber_version(m, r);
    } else if (r->kind->kind == KIND_model_version) {
        problem(m, r, "--renumber-versions gives the later one the next number",
                "two sources have it, with differences");
    } else if (m->policy == MERGE_FAIL) {
        problem(m, r, "--on-conflict=merge keeps the first", "two sources have it, with differences");
    } else {
        m->first_won++;
    }
}

static void collect_keyed(struct merge *m, struct record *r)
{
    map_version(m, r);
    uint64_t hash = hash_of(m, r), known, last = 0, kind;
    struct id_key key = record_key(m, r);
    if (r->kind->kind == KIND_model_version) {
        uint64_t number = (uint64_t)r->v[F_model_version_version].i;
        if (!idmap_get(m->last, last_version(r), &last) || number > last)
            idmap_set(m->last, last_version(r), number);
    }
    if (!idmap_get(m->keyed, key, &known)) {
        idmap_add(m->keyed, key, hash);
        if (is_model(r))
            idmap_set(m->model_kinds, key, (uint64_t)r->kind->kind);
    } else if (known != hash) {
        bool kept = idmap_get(m->model_kinds, key, &kind);
        clash(m, r, kept && kind != (uint64_t)r->kind->kind);
    }
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
        if (m->problems > 0) /* its experiment clashed, which was reported */
            return true;
        record_describe(&r, &where);
        err_set(e, buf_str(&where), "it comes before its experiment, or that is missing");
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
    if (!spill_check(m->spill, e))
        return false;
    if (m->problems > 0)
        return err_set(e, "merge", "%" PRIu64 " clashes between the sources", m->problems);
    settle_names(m);
    XXH128_hash_t id = XXH3_128bits_digest(m->sources);
    *h = m->header;
    h->format = WIRE_FORMAT;
    h->minor = WIRE_MINOR;
    h->shards = 1;
    snprintf(h->source, sizeof h->source, "%016" PRIx64 "%016" PRIx64, (uint64_t)id.high64,
             (uint64_t)id.low64);
    return true;
}

static bool take_experiment(struct merge *m, struct record *r)
{
    struct experiment x;
    struct source_id given;
    uint64_t source_id;
    if (!find_experiment(m, &r->v[F_experiment_experiment_id], &x, &source_id) || x.written ||
        x.source_id != source_id)
        return false;
    x.written = true;
    spill_get_item(m->spill, &m->ids, source_id, &given);
    put_experiment(m, given.experiment - 1, &x);
    r->v[F_experiment_experiment_id] = read_text(m, x.id, &m->id);
    r->v[F_experiment_name] = read_text(m, x.name, &m->name);
    return true;
}

static bool of_experiments(const struct kind_desc *kind)
{
    return kind->kind == KIND_experiment || (kind->fields[0].flags & FIELD_EXP && kind->owner[0] != '\0');
}

bool merge_take(struct merge *m, enum merge_part part, struct record *r)
{
    uint64_t source;
    if (of_experiments(r->kind) != (part == MERGE_EXPERIMENTS))
        return false;
    if (r->kind->kind == KIND_skipped)
        return true;
    if (r->kind->kind == KIND_experiment)
        return take_experiment(m, r);
    map_experiments(m, r);
    struct unit unit = unit_of(m, r);
    if (unit.found)
        return idmap_get(m->units, unit.key, &source) && source == m->source;
    map_version(m, r);
    return idmap_add(m->written, record_key(m, r), 0);
}

void merge_report(const struct merge *m)
{
    err_note("%zu sources: %" PRIu64
             " experiments and runs (traces, models) were equal and kept once, %" PRIu64
             " experiments renamed, %" PRIu64 " joined, %" PRIu64 " model versions renumbered, %" PRIu64
             " conflicts resolved for the first record",
             m->n_sources, m->same, m->renamed, m->joined, m->renumbered, m->first_won);
}

void merge_free(struct merge *m)
{
    if (!m)
        return;
    struct idmap *maps[] = {m->by_id, m->by_name,     m->by_both, m->id_of,    m->units,  m->sums,
                            m->keyed, m->model_kinds, m->last,    m->versions, m->written};
    for (size_t i = 0; i < ARRAY_LENGTH(maps); i++)
        idmap_free(maps[i]);
    XXH3_freeState(m->sources);
    buf_free(&m->scratch);
    buf_free(&m->id);
    buf_free(&m->name);
    buf_free(&m->list);
    arena_free(&m->made);
    row_editor_free(m->rows);
    row_editor_free(m->questions);
    free(m);
}

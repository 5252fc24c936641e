#include "verify.h"

#include <math.h>
#include <stdlib.h>

#include "../common/arena.h"
#include "../common/progress.h"
#include "equiv.h"
#include "fetch.h"
#include "stage.h"

enum {
    STAGE_MEMORY = 12 << 20, /* bytes */
    MAX_DIFFS = RECORD_MAX_FIELDS + FETCH_MAX_DERIVED,
    MAX_KEPT = 64, /* unpaired points of one identity on each side; more are reported without looking for a
                      partner */
};

/* How the rows of a kind come ordered. */
struct order {
    int fields[RECORD_MAX_FIELDS];
    int n, identity;
};

struct segment {
    char source[33];
    int64_t shard;
};

/* A staged record begins with this; its encoding follows. */
struct staged {
    uint32_t segment;
    uint32_t identity_len; /* bytes of the key that identify */
};

/* One side of the merge: its first record that has not been dealt with. */
struct side {
    bool have;
    struct record record;
    const char *key;
    size_t key_len, identity_len; /* bytes */
};

/* A copy of a record that waits for a partner. */
struct kept {
    struct record record;
    struct fetch_derived derived[FETCH_MAX_DERIVED];
    int n_derived;
    bool paired;
};

struct verify {
    struct db *db;
    struct verify_options options;
    struct fetch *fetch;
    struct order order[KIND_COUNT];
    struct equiv source_form, target_form, derived_form;
    struct segment *segments;
    size_t n_segments;
    struct stage *stage;
    struct buf key, data;
    uint64_t unplaced;
    struct verify_result *result;
    /* merging */
    struct wire_decoder *decoder, *decoder_before;
    struct stage_item item;
    bool have_item;
    struct buf before_key, before_data; /* the item before, to find what comes twice */
    struct side source, target;
    struct buf target_key, group; /* group: the identity whose records are being paired */
    struct fetch_cursor *cursor;
    struct kept kept[2][MAX_KEPT];
    int n_kept[2];
    struct arena kept_arena;
};

static void read_order(const struct fetch *f, struct order *order)
{
    for (int i = 0; i < KIND_COUNT; i++)
        order[i].n = fetch_order(f, (enum kind)i, order[i].fields, &order[i].identity);
}

static void learn_columns(struct verify *v)
{
    static const char *const keys[PROMOTED_COUNT] = {
        [PROMOTED_NAME] = "mlflow.traceName",
        [PROMOTED_SESSION] = "mlflow.trace.session",
        [PROMOTED_USAGE] = "mlflow.trace.tokenUsage",
        [PROMOTED_COST] = "mlflow.trace.cost",
    };
    v->source_form.dialect = db_dialect(v->db);
    v->source_form.exact = v->options.exact;
    for (int i = 0; i < PROMOTED_COUNT; i++)
        v->source_form.promoted[i] = keys[i] && fetch_promotes(v->fetch, keys[i]);
    v->target_form = v->derived_form = v->source_form;
}

struct verify *verify_new(struct db *db, const struct verify_options *o, struct err *e)
{
    struct verify *v = xcalloc(1, sizeof *v);
    v->db = db;
    v->options = *o;
    v->fetch = fetch_new(db, e);
    if (!v->fetch) {
        free(v);
        return NULL;
    }
    read_order(v->fetch, v->order);
    learn_columns(v);
    v->stage = stage_new(o->tmpdir, STAGE_MEMORY);
    v->decoder = wire_decoder_new();
    v->decoder_before = wire_decoder_new();
    return v;
}

void verify_free(struct verify *v)
{
    if (!v)
        return;
    fetch_close(v->cursor);
    fetch_free(v->fetch);
    stage_free(v->stage);
    wire_decoder_free(v->decoder);
    wire_decoder_free(v->decoder_before);
    equiv_free(&v->source_form);
    equiv_free(&v->target_form);
    equiv_free(&v->derived_form);
    arena_free(&v->kept_arena);
    struct buf *bufs[] = {&v->key, &v->data, &v->before_key, &v->before_data, &v->target_key, &v->group};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_free(bufs[i]);
    free(v->segments);
    free(v);
}

/* -- staging */

void verify_segment(struct verify *v, const struct wire_header *h)
{
    v->segments = xrealloc(v->segments, (v->n_segments + 1) * sizeof *v->segments);
    struct segment *s = &v->segments[v->n_segments++];
    memcpy(s->source, h->source, sizeof s->source);
    s->shard = h->shard;
}

/* Replaces out's content by the key of a normalised record: its kind's place in the report, its identity, the
 * rest of the order. Returns how much of it identifies. */
static size_t make_key(const struct verify *v, const struct record *r, struct buf *out)
{
    const struct order *o = &v->order[r->kind->kind];
    buf_reset(out);
    buf_addc(out, (char)(r->kind->order >> 8));
    buf_addc(out, (char)r->kind->order);
    equiv_key(r, o->fields, o->identity, out);
    size_t identity_len = out->len;
    equiv_key(r, o->fields + o->identity, o->n - o->identity, out);
    return identity_len;
}

bool verify_add(struct verify *v, const struct record *r, struct err *e)
{
    struct record form = *r;
    if (!kind_is_entity(r->kind))
        return true;
    if (!equiv_normalise(&v->source_form, &form)) {
        v->unplaced++;
        return true;
    }
    struct staged head = {.segment = (uint32_t)v->n_segments - 1};
    head.identity_len = (uint32_t)make_key(v, &form, &v->key);
    struct buf *data = &v->data;
    buf_reset(data);
    buf_add(data, &head, sizeof head);
    wire_encode(&form, data);
    return stage_add(v->stage, v->key.data, v->key.len, data->data, data->len, e);
}

/* -- the two sides */

static bool starts_with_kind(const struct stage_item *item, const struct kind_desc *k)
{
    return item->key_len >= 2 && (unsigned char)item->key[0] == k->order >> 8 &&
           (unsigned char)item->key[1] == (k->order & 0xff);
}

static bool decode_staged(struct wire_decoder *d, const char *data, size_t len, struct staged *head,
                          struct record *out, struct err *e)
{
    memcpy(head, data, sizeof *head);
    return wire_decode(d, data + sizeof *head, len - sizeof *head, out, e);
}

/* Experiments, their tags and datasets are in every shard. */
static bool may_repeat(enum kind kind)
{
    return kind == KIND_experiment || kind == KIND_experiment_tag || kind == KIND_dataset;
}

static bool is_point(enum kind kind)
{
    return kind == KIND_metric || kind == KIND_logged_model_metric;
}

static bool same_record(const struct record *a, const struct record *b)
{
    for (int i = 0; i < a->kind->n_fields; i++)
        if (!value_same(&a->v[i], &b->v[i]))
            return false;
    return true;
}

static bool twice(const struct verify *v, const struct record *r, const struct staged *a,
                  const struct staged *b, struct err *e)
{
    const struct segment *x = &v->segments[a->segment], *y = &v->segments[b->segment];
    struct buf name = {0};
    record_describe(r, &name);
    if (strcmp(x->source, y->source) == 0) {
        err_set(e, buf_str(&name), "the stream has it twice, in %s",
                a->segment == b->segment ? "one segment"
                : x->shard == y->shard   ? "two segments of one shard"
                                         : "two shards that differ in it");
    } else {
        err_set(e, buf_str(&name), "the stream has it twice, from two sources");
        err_hint(e, "verify each source against a database of its own");
    }
    buf_free(&name);
    return false;
}

/* Looks at an item whose key is that of the item before. 1: it is a further point; 0: nothing new; -1: error.
 */
static int repeated(struct verify *v, const struct staged *head, const struct record *r, struct err *e)
{
    struct staged head_before;
    struct record before;
    if (!decode_staged(v->decoder_before, v->before_data.data, v->before_data.len, &head_before, &before, e))
        return -1;
    if (is_point(r->kind->kind)) {
        bool same = equiv_duplicate(r, &before);
        v->result->duplicates += same;
        return !same;
    }
    const struct segment *x = &v->segments[head_before.segment], *y = &v->segments[head->segment];
    if (may_repeat(r->kind->kind) && strcmp(x->source, y->source) == 0 && x->shard != y->shard &&
        same_record(r, &before))
        return 0;
    twice(v, r, &head_before, head, e);
    return -1;
}

/* Takes the source's next distinct record of the kind. */
static bool source_next(struct verify *v, const struct kind_desc *k, struct err *e)
{
    struct side *s = &v->source;
    for (;;) {
        if (s->have) { /* the item has been used: it becomes the one before */
            buf_reset(&v->before_key);
            buf_add(&v->before_key, v->item.key, v->item.key_len);
            buf_reset(&v->before_data);
            buf_add(&v->before_data, v->item.data, v->item.data_len);
            v->have_item = false;
        }
        s->have = false;
        if (!v->have_item) {
            int more = stage_next(v->stage, &v->item, e);
            if (more < 0)
                return false;
            v->have_item = more > 0;
        }
        if (!v->have_item || !starts_with_kind(&v->item, k))
            return true;
        struct staged head;
        if (!decode_staged(v->decoder, v->item.data, v->item.data_len, &head, &s->record, e))
            return false;
        s->have = true;
        s->identity_len = head.identity_len;
        if (v->item.key_len == v->before_key.len &&
            memcmp(v->item.key, v->before_key.data, v->item.key_len) == 0) {
            int further = repeated(v, &head, &s->record, e);
            if (further < 0)
                return false;
            if (!further)
                continue;
        }
        s->key = v->item.key;
        s->key_len = v->item.key_len;
        progress_add(1);
        return true;
    }
}

static bool target_next(struct verify *v, struct err *e)
{
    struct side *s = &v->target;
    int more;
    if (err_interrupted())
        err_exit_interrupted();
    do {
        more = fetch_next(v->cursor, &s->record, e);
    } while (more > 0 && !equiv_normalise(&v->target_form, &s->record));
    s->have = more > 0;
    if (!s->have)
        return more == 0;
    s->identity_len = make_key(v, &s->record, &v->target_key);
    s->key = v->target_key.data;
    s->key_len = v->target_key.len;
    return true;
}

static int compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* -- the answer */

static void emit(struct verify *v, enum verify_verdict verdict, const struct record *r,
                 const struct verify_diff *diffs, int n)
{
    struct verify_failure f = {verdict, r, diffs, n};
    v->result->kind[r->kind->kind].total++;
    v->result->failures++;
    v->options.failure(&f, v->options.arg);
}

static void pass(struct verify *v, const struct record *r)
{
    v->result->kind[r->kind->kind].total++;
    v->result->kind[r->kind->kind].passed++;
}

/* MLflow's server adds experiment 0 to a database that lacks it; nobody's data are in it while it has no
 * runs. */
static bool is_untouched_default(struct verify *v, const struct record *r)
{
    int64_t runs;
    return r->kind->kind == KIND_experiment && value_eqs(&r->v[F_experiment_experiment_id], "0") &&
           value_eqs(&r->v[F_experiment_name], "Default") &&
           value_eqs(&r->v[F_experiment_lifecycle_stage], "active") &&
           db_query_int(v->db, "SELECT count(*) FROM runs WHERE experiment_id = 0", &runs, NULL) && runs == 0;
}

static void emit_extra(struct verify *v, const struct record *r)
{
    if (is_untouched_default(v, r))
        v->result->default_experiment = true;
    else
        emit(v, VERIFY_EXTRA, r, NULL, 0);
}

/* True when a derived column holds what it should; expected is filled for those that only code can tell. */
static bool derived_same(struct verify *v, const struct record *target, const struct fetch_derived *d,
                         struct value *expected)
{
    struct value actual = d->actual, aggregate, numeric;
    *expected = d->expected;
    if (target->kind->kind == KIND_logged_model_metric) /* MLflow itself leaves the dataset's id out */
        return value_is_null(&actual) || value_same(&actual, expected);
    if (strcmp(d->column, "aggregate_value") == 0 || strcmp(d->column, "is_numeric_value") == 0) {
        equiv_aggregate(&v->derived_form, &target->v[F_assessment_value], &aggregate, &numeric);
        bool is_number = d->column[0] == 'a';
        *expected = is_number ? aggregate : numeric;
        if (actual.type == VALUE_INT)
            actual = is_number ? value_float((double)actual.i) : value_bool(actual.i != 0);
        if (actual.type == VALUE_FLOAT && expected->type == VALUE_FLOAT)
            return actual.f == expected->f;
    }
    return value_same(&actual, expected);
}

/* Compares two records of one identity; returns how many fields differ, and which: diffs has room
 * for MAX_DIFFS. */
static int compare(struct verify *v, const struct record *source, const struct record *target,
                   const struct fetch_derived *derived, int n_derived, struct verify_diff *diffs)
{
    const struct kind_desc *k = source->kind;
    int n = 0;
    for (int i = 0; i < k->n_fields; i++) {
        bool identifies = (k->fields[i].flags & FIELD_K) && k->fields[i].codec != CODEC_METRIC;
        if (identifies || equiv_same(&v->source_form, source, target, i))
            continue;
        diffs[n++] = (struct verify_diff){k->fields[i].name, source->v[i], target->v[i]};
    }
    for (int i = 0; i < n_derived; i++) {
        struct value expected;
        if (!derived_same(v, target, &derived[i], &expected))
            diffs[n++] = (struct verify_diff){derived[i].column, expected, derived[i].actual};
    }
    return n;
}

/* -- pairing. Records of one identity are one on each side, but for points: those pair where all is equal,
 * both sides going by value; what is left over waits until the identity's end and then pairs in turn, as
 * different. */

static void keep_value(struct verify *v, struct value *value)
{
    if (value_is_text(value) || value->type == VALUE_MAP)
        value->s = arena_strndup(&v->kept_arena, value->s, value->len);
}

enum { SOURCE, TARGET };

static void keep(struct verify *v, int which)
{
    const struct side *s = which == SOURCE ? &v->source : &v->target;
    if (v->n_kept[which] == MAX_KEPT) {
        if (which == SOURCE)
            emit(v, VERIFY_MISSING, &s->record, NULL, 0);
        else
            emit_extra(v, &s->record);
        return;
    }
    struct kept *kept = &v->kept[which][v->n_kept[which]++];
    kept->record = s->record;
    kept->paired = false;
    kept->n_derived = 0;
    for (int i = 0; i < s->record.kind->n_fields; i++)
        keep_value(v, &kept->record.v[i]);
    if (which == SOURCE)
        return;
    const struct fetch_derived *derived = fetch_derived(v->cursor, &kept->n_derived);
    for (int i = 0; i < kept->n_derived; i++) {
        kept->derived[i] = derived[i];
        keep_value(v, &kept->derived[i].actual);
        keep_value(v, &kept->derived[i].expected);
    }
}

static int compare_kept(struct verify *v, const struct kept *source, const struct kept *target,
                        struct verify_diff *diffs)
{
    return compare(v, &source->record, &target->record, target->derived, target->n_derived, diffs);
}

static bool is_nan(const struct record *r)
{
    const struct value *v =
        &r->v[r->kind->kind == KIND_metric ? (int)F_metric_value : (int)F_logged_model_metric_value];
    return v->type == VALUE_FLOAT && isnan(v->f);
}

enum pairing { EQUAL, ALIKE }; /* in all; in being NaN or not */

static bool may_pair(struct verify *v, enum pairing how, const struct kept *a, const struct kept *b)
{
    struct verify_diff diffs[MAX_DIFFS];
    if (a->paired || b->paired)
        return false;
    return how == EQUAL ? compare_kept(v, a, b, diffs) == 0 : is_nan(&a->record) == is_nan(&b->record);
}

static void pair_kept(struct verify *v, enum pairing how)
{
    struct verify_diff diffs[MAX_DIFFS];
    for (int i = 0; i < v->n_kept[SOURCE]; i++) {
        for (int j = 0; j < v->n_kept[TARGET]; j++) {
            struct kept *a = &v->kept[SOURCE][i], *b = &v->kept[TARGET][j];
            if (!may_pair(v, how, a, b))
                continue;
            a->paired = b->paired = true;
            if (how == EQUAL)
                pass(v, &a->record);
            else
                emit(v, VERIFY_DIFFERENT, &a->record, diffs, compare_kept(v, a, b, diffs));
        }
    }
}

static void settle_kept(struct verify *v)
{
    pair_kept(v, EQUAL);
    pair_kept(v, ALIKE);
    for (int i = 0; i < v->n_kept[SOURCE]; i++)
        if (!v->kept[SOURCE][i].paired)
            emit(v, VERIFY_MISSING, &v->kept[SOURCE][i].record, NULL, 0);
    for (int i = 0; i < v->n_kept[TARGET]; i++)
        if (!v->kept[TARGET][i].paired)
            emit_extra(v, &v->kept[TARGET][i].record);
    v->n_kept[SOURCE] = v->n_kept[TARGET] = 0;
    arena_reset(&v->kept_arena);
}

static bool in_group(const struct verify *v, const struct side *s)
{
    return s->have && compare_bytes(s->key, s->identity_len, v->group.data, v->group.len) == 0;
}

/* Pairs all records of the identity that both sides have come to. */
static bool match_group(struct verify *v, const struct kind_desc *k, struct err *e)
{
    struct side *a = &v->source, *b = &v->target;
    struct verify_diff diffs[MAX_DIFFS];
    buf_reset(&v->group);
    buf_add(&v->group, a->key, a->identity_len);
    while (in_group(v, a) && in_group(v, b)) {
        int n_derived, order = 0;
        const struct fetch_derived *derived = fetch_derived(v->cursor, &n_derived);
        int n = compare(v, &a->record, &b->record, derived, n_derived, diffs);
        if (n == 0) {
            pass(v, &a->record);
        } else if (!is_point(k->kind)) {
            emit(v, VERIFY_DIFFERENT, &a->record, diffs, n);
        } else {
            order = compare_bytes(a->key, a->key_len, b->key, b->key_len);
            if (order <= 0)
                keep(v, SOURCE);
            if (order >= 0)
                keep(v, TARGET);
        }
        if ((order <= 0 && !source_next(v, k, e)) || (order >= 0 && !target_next(v, e)))
            return false;
    }
    while (in_group(v, a)) {
        keep(v, SOURCE);
        if (!source_next(v, k, e))
            return false;
    }
    while (in_group(v, b)) {
        keep(v, TARGET);
        if (!target_next(v, e))
            return false;
    }
    settle_kept(v);
    return true;
}

static bool merge_kind(struct verify *v, const struct kind_desc *k, struct err *e)
{
    struct side *a = &v->source, *b = &v->target;
    while (a->have || b->have) {
        int order = !a->have   ? 1
                    : !b->have ? -1
                               : compare_bytes(a->key, a->identity_len, b->key, b->identity_len);
        bool ok;
        if (order < 0) {
            emit(v, VERIFY_MISSING, &a->record, NULL, 0);
            ok = source_next(v, k, e);
        } else if (order > 0) {
            emit_extra(v, &b->record);
            ok = target_next(v, e);
        } else {
            ok = match_group(v, k, e);
        }
        if (!ok)
            return false;
    }
    return true;
}

/* A database from before latest metrics were kept has lost nothing without them. */
static bool skip_kind(struct verify *v, const struct kind_desc *k, struct err *e)
{
    for (; v->source.have; v->result->underived++)
        if (!source_next(v, k, e))
            return false;
    return true;
}

static bool compare_kind(struct verify *v, const struct kind_desc *k, struct err *e)
{
    v->source.have = v->target.have = false;
    if (!source_next(v, k, e))
        return false;
    if (k->kind == KIND_latest_metric && !fetch_has_kind(v->fetch, k->kind))
        return skip_kind(v, k, e);
    v->cursor = fetch_open(v->fetch, k->kind, FETCH_ORDERED | FETCH_DERIVED, NULL, e);
    bool ok = v->cursor && target_next(v, e) && merge_kind(v, k, e);
    fetch_close(v->cursor);
    v->cursor = NULL;
    return ok;
}

static int by_report_order(const void *a, const void *b)
{
    const struct kind_desc *const *x = a, *const *y = b;
    return (*x)->order - (*y)->order;
}

static bool compare_kinds(struct verify *v, struct err *e)
{
    const struct kind_desc *sorted[KIND_COUNT];
    int n = 0;
    for (int i = 0; i < KIND_COUNT; i++)
        if (kind_is_entity(&kinds[i]))
            sorted[n++] = &kinds[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_report_order);
    for (int i = 0; i < n; i++)
        if (!compare_kind(v, sorted[i], e))
            return false;
    return true;
}

/* The catalog within the snapshot: the stream is sorted by what it was before. */
static bool refresh_catalog(struct verify *v, struct err *e)
{
    struct order order[KIND_COUNT] = {0};
    struct fetch *fresh = fetch_new(v->db, e);
    if (!fresh)
        return false;
    read_order(fresh, order);
    fetch_free(v->fetch);
    v->fetch = fresh;
    if (memcmp(order, v->order, sizeof order) == 0)
        return true;
    return err_set(e, db_display(v->db),
                   "its tables were changed while the stream was read; verify it again");
}

bool verify_compare(struct verify *v, struct verify_result *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    out->unplaced = v->unplaced;
    v->result = out;
    if (!stage_sort(v->stage, e) || !db_begin_read(v->db, e))
        return false;
    bool ok = refresh_catalog(v, e) && compare_kinds(v, e);
    db_rollback(v->db);
    return ok;
}

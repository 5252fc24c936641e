#include "verify.h"

#include <math.h>
#include <stdlib.h>

#include "../common/arena.h"
#include "../common/progress.h"
#include "equiv.h"
#include "fetch.h"
#include "json.h"
#include "stage.h"

enum { UNKNOWN_TABLE = 0x7f }; /* in the place of a table's number */

enum {
    STAGE_MEMORY = 12 << 20,         /* bytes */
    MAX_DIFFS = 2 * ROW_MAX_COLUMNS, /* more than fields and derived columns */
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

/* What is compared in one go: a kind, or of kind row a table (NULL: those that are not known). */
struct section {
    const struct kind_desc *kind;
    const struct row_table *table;
    char prefix[3]; /* of its keys */
    size_t prefix_len;
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
    struct rows_cursor *rows; /* instead of cursor, for kind row */
    struct row_decoder *row_decoder, *failure_decoder;
    struct buf name;
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
    v->row_decoder = row_decoder_new();
    v->failure_decoder = row_decoder_new();
    return v;
}

void verify_free(struct verify *v)
{
    if (!v)
        return;
    fetch_close(v->cursor);
    rows_close(v->rows);
    row_decoder_free(v->row_decoder);
    row_decoder_free(v->failure_decoder);
    fetch_free(v->fetch);
    stage_free(v->stage);
    wire_decoder_free(v->decoder);
    wire_decoder_free(v->decoder_before);
    equiv_free(&v->source_form);
    equiv_free(&v->target_form);
    equiv_free(&v->derived_form);
    arena_free(&v->kept_arena);
    struct buf *bufs[] = {&v->key,        &v->data,  &v->before_key, &v->before_data,
                          &v->target_key, &v->group, &v->name};
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

static struct section make_section(const struct kind_desc *k, const struct row_table *t)
{
    struct section s = {
        .kind = k, .table = t, .prefix = {(char)(k->order >> 8), (char)k->order}, .prefix_len = 2};
    if (k->kind == KIND_row)
        s.prefix[s.prefix_len++] = t ? (char)(t - row_tables) : UNKNOWN_TABLE;
    return s;
}

/* Replaces out's content by the key of a normalised record: its section, its identity, the rest of the order.
 * Returns how much of it identifies. */
static size_t make_key(const struct verify *v, const struct record *r, struct buf *out)
{
    const struct order *o = &v->order[r->kind->kind];
    struct section s = make_section(r->kind, NULL);
    buf_reset(out);
    buf_add(out, s.prefix, s.prefix_len);
    equiv_key(r, o->fields, o->identity, out);
    size_t identity_len = out->len;
    equiv_key(r, o->fields + o->identity, o->n - o->identity, out);
    return identity_len;
}

static size_t make_row_key(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out)
{
    struct section s = make_section(&kinds[KIND_row], t);
    buf_reset(out);
    buf_add(out, s.prefix, s.prefix_len);
    row_key(t, entries, n, out);
    return out->len;
}

/* The key of a source's row; of a table that is not known all of it. */
static bool make_source_row_key(struct verify *v, const struct record *r, struct buf *out, uint32_t *len,
                                struct err *e)
{
    const struct row_table *t = row_table_of(r);
    const struct row_entry *entries;
    int n = row_decode(v->row_decoder, r, &entries, e);
    if (n < 0)
        return false;
    if (t) {
        *len = (uint32_t)make_row_key(t, entries, n, out);
        return true;
    }
    struct section s = make_section(r->kind, NULL);
    buf_reset(out);
    buf_add(out, s.prefix, s.prefix_len);
    for (int i = 0; i < r->kind->n_fields; i++)
        value_sort_key(&r->v[i], out);
    *len = (uint32_t)out->len;
    return true;
}

bool verify_add(struct verify *v, const struct record *r, struct err *e)
{
    struct record form = *r;
    bool is_row = r->kind->kind == KIND_row;
    if (!kind_is_entity(r->kind) && !is_row)
        return true;
    if (!equiv_normalise(&v->source_form, &form)) {
        v->unplaced++;
        return true;
    }
    struct staged head = {.segment = (uint32_t)v->n_segments - 1};
    if (!is_row)
        head.identity_len = (uint32_t)make_key(v, &form, &v->key);
    else if (!make_source_row_key(v, &form, &v->key, &head.identity_len, e))
        return false;
    struct buf *data = &v->data;
    buf_reset(data);
    buf_add(data, &head, sizeof head);
    wire_encode(&form, data);
    return stage_add(v->stage, v->key.data, v->key.len, data->data, data->len, e);
}

/* -- the two sides */

static bool is_of_section(const struct stage_item *item, const struct section *s)
{
    return item->key_len >= s->prefix_len && memcmp(item->key, s->prefix, s->prefix_len) == 0;
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

/* What reports call a record; a row by its table and key. */
static void describe(struct verify *v, const struct record *r, struct buf *out)
{
    const struct row_table *t = r->kind->kind == KIND_row ? row_table_of(r) : NULL;
    const struct row_entry *entries;
    int n = t ? row_decode(v->failure_decoder, r, &entries, NULL) : -1;
    if (n < 0) {
        record_describe(r, out);
        return;
    }
    buf_adds(out, "Row ");
    row_describe(t, entries, n, out);
}

static bool twice(struct verify *v, const struct record *r, const struct staged *a, const struct staged *b,
                  struct err *e)
{
    const struct segment *x = &v->segments[a->segment], *y = &v->segments[b->segment];
    struct buf name = {0};
    describe(v, r, &name);
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

/* Takes the source's next distinct record of the section. */
static bool source_next(struct verify *v, const struct section *section, struct err *e)
{
    struct side *side = &v->source;
    for (;;) {
        if (side->have) { /* the item has been used: it becomes the one before */
            buf_reset(&v->before_key);
            buf_add(&v->before_key, v->item.key, v->item.key_len);
            buf_reset(&v->before_data);
            buf_add(&v->before_data, v->item.data, v->item.data_len);
            v->have_item = false;
        }
        side->have = false;
        if (!v->have_item) {
            int more = stage_next(v->stage, &v->item, e);
            if (more < 0)
                return false;
            v->have_item = more > 0;
        }
        if (!v->have_item || !is_of_section(&v->item, section))
            return true;
        struct staged head;
        if (!decode_staged(v->decoder, v->item.data, v->item.data_len, &head, &side->record, e))
            return false;
        side->have = true;
        side->identity_len = head.identity_len;
        if (v->item.key_len == v->before_key.len &&
            memcmp(v->item.key, v->before_key.data, v->item.key_len) == 0) {
            int further = repeated(v, &head, &side->record, e);
            if (further < 0)
                return false;
            if (!further)
                continue;
        }
        side->key = v->item.key;
        side->key_len = v->item.key_len;
        progress_add(1);
        return true;
    }
}

/* 1, 0 or -1, as fetch_next. */
static int target_record(struct verify *v, struct side *s, struct err *e)
{
    int more, n;
    if (v->rows) {
        more = rows_next(v->rows, &s->record, e);
        if (more > 0) {
            const struct row_entry *entries = rows_entries(v->rows, &n);
            s->identity_len = make_row_key(row_table_of(&s->record), entries, n, &v->target_key);
        }
        return more;
    }
    do {
        more = fetch_next(v->cursor, &s->record, e);
    } while (more > 0 && !equiv_normalise(&v->target_form, &s->record));
    if (more > 0)
        s->identity_len = make_key(v, &s->record, &v->target_key);
    return more;
}

static bool target_next(struct verify *v, struct err *e)
{
    struct side *s = &v->target;
    if (err_interrupted())
        err_exit_interrupted();
    int more = target_record(v, s, e);
    s->have = more > 0;
    s->key = v->target_key.data;
    s->key_len = v->target_key.len;
    return more >= 0;
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
    struct verify_failure f = {.verdict = verdict, .record = r, .diffs = diffs, .n_diffs = n};
    buf_reset(&v->name);
    describe(v, r, &v->name);
    f.name = buf_str(&v->name);
    f.n_row = r->kind->kind == KIND_row ? row_decode(v->failure_decoder, r, &f.row, NULL) : 0;
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

/* The row that the schema's own migration puts into every database. */
static bool is_default_workspace(struct verify *v, const struct record *r)
{
    const struct row_entry *entries;
    if (r->kind->kind != KIND_row || !value_eqs(&r->v[F_row_table], "workspaces"))
        return false;
    int n = row_decode(v->failure_decoder, r, &entries, NULL);
    const struct row_entry *name = n < 0 ? NULL : row_entry_find(entries, n, "name", 4);
    return name && value_eqs(&name->v, "default");
}

static void emit_extra(struct verify *v, const struct record *r)
{
    if (is_untouched_default(v, r))
        v->result->default_experiment = true;
    else if (!is_default_workspace(v, r))
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

static bool row_value_same(struct verify *v, const struct row_entry *source, const struct row_entry *target)
{
    const struct value *a = &source->v, *b = &target->v;
    if (value_same(a, b) || (a->type == VALUE_FLOAT && b->type == VALUE_FLOAT && a->f == b->f))
        return true;
    return value_is_text(a) && value_is_text(b) &&
           rows_is_json(v->rows, target->column, target->column_len) &&
           json_text_equal(a->s, a->len, b->s, b->len);
}

static struct verify_diff row_diff(struct verify *v, const struct row_table *t,
                                   const struct row_entry *source, const struct row_entry *target)
{
    const struct row_entry *named = source ? source : target;
    struct verify_diff d = {.field = arena_strndup(&v->kept_arena, named->column, named->column_len)};
    bool secret = t && row_is_secret(t, named->column, named->column_len);
    d.source = !source ? value_null() : secret ? value_str("***") : source->v;
    d.target = !target ? value_null() : secret ? value_str("***") : target->v;
    return d;
}

/* Compares two rows of one key, column by column; what is secret only where the source has it. A workspace
 * that is not there is the default one. */
static int compare_rows(struct verify *v, const struct record *source, struct verify_diff *diffs,
                        struct err *e)
{
    const struct row_table *t = row_table_of(source);
    const struct row_entry *a, *b;
    int n_a = row_decode(v->row_decoder, source, &a, e), n_b, n = 0;
    if (n_a < 0)
        return -1;
    b = rows_entries(v->rows, &n_b);
    for (int i = 0; i < n_a; i++) {
        const struct row_entry *other = row_entry_find(b, n_b, a[i].column, a[i].column_len);
        if (!value_is_null(&a[i].v) && (!other || !row_value_same(v, &a[i], other)))
            diffs[n++] = row_diff(v, t, &a[i], other);
    }
    for (int i = 0; i < n_b; i++) {
        const struct row_entry *other = row_entry_find(a, n_a, b[i].column, b[i].column_len);
        bool workspace =
            b[i].column_len == 9 && memcmp(b[i].column, "workspace", 9) == 0 && value_eqs(&b[i].v, "default");
        if ((!other || value_is_null(&other->v)) && !workspace &&
            !row_is_secret(t, b[i].column, b[i].column_len))
            diffs[n++] = row_diff(v, t, NULL, &b[i]);
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

enum pairing { EQUAL, ALIKE, ANY }; /* in all; in being NaN or not; by their identity alone */

static bool may_pair(struct verify *v, enum pairing how, const struct kept *a, const struct kept *b)
{
    struct verify_diff diffs[MAX_DIFFS];
    if (a->paired || b->paired)
        return false;
    if (how == EQUAL)
        return compare_kept(v, a, b, diffs) == 0;
    return how == ANY || is_nan(&a->record) == is_nan(&b->record);
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
    pair_kept(v, ANY);
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

static int compare_sides(struct verify *v, struct verify_diff *diffs, struct err *e)
{
    int n_derived;
    if (v->rows)
        return compare_rows(v, &v->source.record, diffs, e);
    const struct fetch_derived *derived = fetch_derived(v->cursor, &n_derived);
    return compare(v, &v->source.record, &v->target.record, derived, n_derived, diffs);
}

/* Pairs all records of the identity that both sides have come to. */
static bool match_group(struct verify *v, const struct section *section, struct err *e)
{
    struct side *a = &v->source, *b = &v->target;
    struct verify_diff diffs[MAX_DIFFS];
    buf_reset(&v->group);
    buf_add(&v->group, a->key, a->identity_len);
    while (in_group(v, a) && in_group(v, b)) {
        int order = 0, n = compare_sides(v, diffs, e);
        if (n < 0)
            return false;
        if (n == 0) {
            pass(v, &a->record);
        } else if (!is_point(section->kind->kind)) {
            emit(v, VERIFY_DIFFERENT, &a->record, diffs, n);
        } else {
            order = compare_bytes(a->key, a->key_len, b->key, b->key_len);
            if (order <= 0)
                keep(v, SOURCE);
            if (order >= 0)
                keep(v, TARGET);
        }
        if ((order <= 0 && !source_next(v, section, e)) || (order >= 0 && !target_next(v, e)))
            return false;
    }
    while (in_group(v, a)) {
        keep(v, SOURCE);
        if (!source_next(v, section, e))
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

static bool merge_section(struct verify *v, const struct section *section, struct err *e)
{
    struct side *a = &v->source, *b = &v->target;
    while (a->have || b->have) {
        int order = !a->have   ? 1
                    : !b->have ? -1
                               : compare_bytes(a->key, a->identity_len, b->key, b->identity_len);
        bool ok;
        if (order < 0) {
            emit(v, VERIFY_MISSING, &a->record, NULL, 0);
            ok = source_next(v, section, e);
        } else if (order > 0) {
            emit_extra(v, &b->record);
            ok = target_next(v, e);
        } else {
            ok = match_group(v, section, e);
        }
        if (!ok)
            return false;
    }
    return true;
}

/* A database from before latest metrics were kept has lost nothing without them. */
static bool skip_section(struct verify *v, const struct section *section, struct err *e)
{
    for (; v->source.have; v->result->underived++)
        if (!source_next(v, section, e))
            return false;
    return true;
}

static bool compare_kind(struct verify *v, const struct section *section, struct err *e)
{
    enum kind kind = section->kind->kind;
    if (kind == KIND_latest_metric && !fetch_has_kind(v->fetch, kind))
        return skip_section(v, section, e);
    v->cursor = fetch_open(v->fetch, kind, FETCH_ORDERED | FETCH_DERIVED, NULL, e);
    bool ok = v->cursor && target_next(v, e) && merge_section(v, section, e);
    fetch_close(v->cursor);
    v->cursor = NULL;
    return ok;
}

/* Rows that MLflow's server made for itself and secrets are no extras beside a source that has none. */
static bool compare_table(struct verify *v, const struct section *section, struct err *e)
{
    const struct row_table *t = section->table;
    bool quiet = t && (t->flags & (ROW_SERVER | ROW_SECRETS)) && !v->source.have;
    if (!t)
        return merge_section(v, section, e);
    v->rows = rows_open(v->db, t, ROWS_ORDERED | ROWS_WITH_SECRETS, NULL, e);
    bool ok = v->rows && target_next(v, e);
    if (quiet && ok)
        v->result->server_tables += v->target.have;
    else
        ok = ok && merge_section(v, section, e);
    rows_close(v->rows);
    v->rows = NULL;
    return ok;
}

static bool compare_section(struct verify *v, const struct kind_desc *k, const struct row_table *t,
                            struct err *e)
{
    struct section section = make_section(k, t);
    v->source.have = v->target.have = false;
    return source_next(v, &section, e) &&
           (k->kind == KIND_row ? compare_table(v, &section, e) : compare_kind(v, &section, e));
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
        if (!compare_section(v, sorted[i], NULL, e))
            return false;
    for (int i = 0; i < row_tables_count; i++)
        if (!compare_section(v, &kinds[KIND_row], &row_tables[i], e))
            return false;
    return compare_section(v, &kinds[KIND_row], NULL, e);
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

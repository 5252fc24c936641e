/* Reads a database's records and rows, sorts them into the stream's order, and writes them. */
#include "formats/database/dump.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "common/array.h"
#include "common/progress.h"
#include "common/sort.h"
#include "formats/database/fetch.h"
#include "formats/database/row_cursor.h"
#include "formats/database/sql_text.h"
#include "formats/record/sort_key.h"

enum {
    STAGE_MEMORY = 16 << 20, /* bytes */
    WRITE_CHUNK = 64 << 10,
    MAX_DEPTH = 4, /* of tables that belong to others */
};

/* The parts of the stream, in order. */
enum phase {
    PHASE_EXPERIMENTS,
    PHASE_RUNS,
    PHASE_TRACES,
    PHASE_MODELS,
    PHASE_REGISTRY,
    PHASE_ROWS,
    PHASE_SKIPPED
};

/* Latest metrics of a database from before MLflow kept them: its points come sorted, the latest of each key
 * last. */
struct latest {
    struct wire_decoder *decoder; /* NULL: the database has them */
    bool have;
    struct record best;     /* a metric */
    struct buf run_id, key; /* its texts */
};

struct dbdump {
    struct db *db;
    const struct dbdump_options *o;
    struct dbdump_result *result;
    struct fetch *fetch;
    struct sorter *stage;
    struct buf key, data;
    struct buf scope; /* SELECT of the ids of the experiments wanted; empty: all */
    uint64_t id[2];   /* of the content, whatever its order */
    struct latest latest;
};

void dbdump_free(struct dbdump *d)
{
    if (!d)
        return;
    fetch_free(d->fetch);
    sorter_free(d->stage);
    buf_free(&d->key);
    buf_free(&d->data);
    buf_free(&d->scope);
    wire_decoder_free(d->latest.decoder);
    buf_free(&d->latest.run_id);
    buf_free(&d->latest.key);
    free(d);
}

void dbdump_result_free(struct dbdump_result *r)
{
    buf_free(&r->foreign);
    buf_free(&r->unscoped);
}

/* ---- what is selected */

static void add_workspaces(const struct dbdump *d, struct buf *sql, const char *column)
{
    buf_addf(sql, "%s IN (", column);
    for (size_t i = 0; i < d->o->n_workspaces; i++) {
        buf_adds(sql, i ? ", " : "");
        sql_add_quoted(sql, '\'', d->o->workspaces[i]);
    }
    buf_addc(sql, ')');
}

static bool selects(const struct dbdump *d)
{
    return d->o->n_experiments > 0 || d->o->n_workspaces > 0;
}

/* Every experiment asked for must be there. */
static bool check_experiment(struct dbdump *d, const char *id, struct err *e)
{
    int64_t number, found;
    char sql[128];
    if (!value_parse_int(id, strlen(id), &number))
        return err_set(e, id, "no experiment id: these are numbers in a database");
    snprintf(sql, sizeof sql, "SELECT count(*) FROM experiments WHERE experiment_id = %" PRId64, number);
    if (!db_query_int(d->db, sql, &found, e))
        return false;
    return found || err_set(e, db_display(d->db), "there is no experiment %s", id);
}

static bool make_scope(struct dbdump *d, struct err *e)
{
    const char *word = " WHERE ";
    if (!selects(d))
        return true;
    buf_adds(&d->scope, "SELECT experiment_id FROM experiments");
    for (size_t i = 0; i < d->o->n_experiments; i++) {
        int64_t number;
        if (!check_experiment(d, d->o->experiments[i], e))
            return false;
        value_parse_int(d->o->experiments[i], strlen(d->o->experiments[i]), &number);
        buf_addf(&d->scope, "%s%" PRId64, i ? ", " : " WHERE experiment_id IN (", number);
        word = ") AND ";
    }
    if (d->o->n_workspaces && !fetch_has_column(d->fetch, "experiments", "workspace"))
        return err_set(e, db_display(d->db), "this schema has no workspaces");
    if (d->o->n_workspaces) {
        buf_adds(&d->scope, word);
        add_workspaces(d, &d->scope, "workspace");
    } else {
        buf_addc(&d->scope, ')');
    }
    return true;
}

/* `column IN (the ids wanted)` for a column that refers to an experiment, a run or a trace; false for any
 * other. */
static bool add_reference(const struct dbdump *d, struct buf *sql, const char *column, unsigned flags)
{
    const char *scope = buf_str(&d->scope);
    if (flags & FIELD_EXP)
        buf_addf(sql, "%s IN (%s)", column, scope);
    else if (flags & FIELD_RUN)
        buf_addf(sql, "%s IN (SELECT run_uuid FROM runs WHERE experiment_id IN (%s))", column, scope);
    else if (flags & FIELD_TRACE)
        buf_addf(sql, "%s IN (SELECT request_id FROM trace_info WHERE experiment_id IN (%s))", column, scope);
    else
        return false;
    return true;
}

static enum phase phase_of(enum kind kind);

/* The condition on a kind's rows; false: none of them is wanted. Nothing is added when all are. */
static bool kind_condition(const struct dbdump *d, const struct kind_desc *k, struct buf *sql)
{
    static const unsigned by[] = {FIELD_EXP, FIELD_RUN, FIELD_TRACE};
    char column[80];
    if (!selects(d))
        return true;
    if (phase_of(k->kind) == PHASE_REGISTRY) {
        if (d->o->n_workspaces)
            add_workspaces(d, sql, "x.workspace");
        return d->o->n_experiments == 0 || d->o->registry;
    }
    if (k->kind == KIND_input_tag)
        return add_reference(d, sql, "i.destination_id", FIELD_RUN);
    for (size_t b = 0; b < ARRAY_LENGTH(by); b++) {
        for (int i = 0; i < k->n_fields; i++) {
            if (!(k->fields[i].flags & by[b]) || k->fields[i].column[0] == '\0')
                continue;
            snprintf(column, sizeof column, "x.\"%s\"", k->fields[i].column);
            return add_reference(d, sql, column, by[b]);
        }
    }
    return false;
}

/* The same for a table of rows: by what it refers to itself, else by the table that its rows belong to.
 * alias: of the table in this place. */
static bool table_condition(const struct dbdump *d, const struct row_table *t, int depth, struct buf *sql)
{
    static const unsigned by[] = {FIELD_EXP, FIELD_TRACE, FIELD_RUN, FIELD_WS};
    static const char *const aliases[MAX_DEPTH] = {"x", "x1", "x2", "x3"};
    char column[80];
    if (t->flags & ROW_REST)
        return false;
    for (size_t b = 0; b < ARRAY_LENGTH(by); b++) {
        for (int i = 0; i < row_refs_count; i++) {
            const struct row_ref *ref = &row_refs[i];
            if (strcmp(ref->table, t->name) != 0 || !(ref->flags & by[b]) || ref->by[0])
                continue;
            snprintf(column, sizeof column, "%s.%s", aliases[depth], ref->column);
            if (by[b] != FIELD_WS)
                return add_reference(d, sql, column, ref->flags);
            if (d->o->n_experiments)
                return false;
            add_workspaces(d, sql, column);
            return true;
        }
    }
    if (!t->parent[0] || depth + 1 == MAX_DEPTH)
        return false;
    buf_addf(sql, "EXISTS (SELECT 1 FROM %s %s WHERE ", t->parent, aliases[depth + 1]);
    for (const char *p = t->link; *p; p += *p == ',') {
        int len = (int)strcspn(p, ",");
        buf_addf(sql, "%s.%.*s = %s.%.*s AND ", aliases[depth + 1], len, p, aliases[depth], len, p);
        p += len;
    }
    bool ok = table_condition(d, row_table_by_name(t->parent, strlen(t->parent)), depth + 1, sql);
    buf_addc(sql, ')');
    return ok;
}

/* ---- order */

static enum phase phase_of(enum kind kind)
{
    const struct kind_desc *k = &kinds[kind];
    if (kind_has_trait(kind, TRAIT_SHARED))
        return PHASE_EXPERIMENTS;
    if (kind == KIND_assessment)
        return PHASE_TRACES;
    unsigned first = k->fields[0].flags; /* says whose it is */
    return first & FIELD_RUN     ? PHASE_RUNS
           : first & FIELD_TRACE ? PHASE_TRACES
           : first & FIELD_MODEL ? PHASE_MODELS
                                 : PHASE_REGISTRY;
}

static struct value owner_of(const struct record *r)
{
    return r->kind->kind == KIND_assessment ? r->v[F_assessment_trace_id] : r->v[0];
}

/* Key of a record: its phase, its owner (in the registry also the workspace), its kind, its identity. */
static void make_key(const struct record *r, struct buf *out)
{
    struct value owner = owner_of(r);
    enum phase phase = phase_of(r->kind->kind);
    buf_reset(out);
    buf_addc(out, (char)phase);
    for (int i = 0; phase == PHASE_REGISTRY && i < r->kind->n_fields; i++)
        if (r->kind->fields[i].flags & FIELD_WS)
            value_sort_key(&r->v[i], out);
    value_sort_key(&owner, out);
    buf_addc(out, (char)r->kind->kind);
    for (int i = 0; i < r->kind->n_fields; i++)
        if (r->kind->fields[i].flags & FIELD_K)
            record_sort_key(r, &i, 1, out);
}

/* The column by which a table's rows belong to a trace; NULL when they do not. */
static const char *trace_column(const struct row_table *t)
{
    for (int i = 0; i < row_refs_count; i++)
        if (strcmp(row_refs[i].table, t->name) == 0 && (row_refs[i].flags & FIELD_TRACE) &&
            !row_refs[i].by[0])
            return row_refs[i].column;
    return NULL;
}

/* Rows of traces come with their trace, after it; all others at the end, table by table. */
static void make_row_key(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out)
{
    const char *column = trace_column(t);
    const struct row_entry *trace = column ? row_entry_find(entries, n, column, strlen(column)) : NULL;
    buf_reset(out);
    buf_addc(out, (char)(trace ? PHASE_TRACES : PHASE_ROWS));
    if (trace)
        value_sort_key(&trace->v, out);
    buf_addc(out, (char)KIND_COUNT); /* behind all kinds */
    buf_addc(out, (char)(t - row_tables));
    row_key(t, entries, n, out);
}

static bool put(struct dbdump *d, const struct record *r, struct err *e)
{
    struct buf *data = &d->data;
    buf_reset(data);
    buf_addc(data, (char)r->kind->kind);
    wire_encode(r, data);
    for (int i = 0; i < 2; i++)
        d->id[i] += XXH3_64bits_withSeed(data->data, data->len, (XXH64_hash_t)i);
    d->result->counts.n[r->kind->kind]++;
    progress_add(1);
    if (err_interrupted())
        return err_set_interrupted(e);
    return sorter_add(d->stage, d->key.data, d->key.len, data->data, data->len, e);
}

/* ---- reading */

static bool put_skipped(struct dbdump *d, const char *name, const char *reason, struct err *e)
{
    struct record r;
    record_init(&r, KIND_skipped);
    r.v[F_skipped_path] = value_text(name, strlen(name));
    r.v[F_skipped_reason] = value_text(reason, strlen(reason));
    buf_reset(&d->key);
    buf_addc(&d->key, (char)PHASE_SKIPPED);
    value_sort_key(&r.v[F_skipped_path], &d->key);
    return put(d, &r, e);
}

static bool problem(struct dbdump *d, const struct record *r, const char *name, const char *why,
                    struct err *e)
{
    d->result->problems++;
    d->o->problem(r, name, why, d->o->arg);
    return !d->o->skip_malformed || put_skipped(d, name, why, e);
}

static bool kind_problem(struct dbdump *d, const struct record *r, const struct err *why, struct err *e)
{
    struct buf name = {0};
    record_describe(r, &name);
    bool ok = problem(d, r, buf_str(&name), why->what, e);
    buf_free(&name);
    return ok;
}

/* The workspace that every record has without saying is left out, as the file store's records leave it out.
 */
static void leave_out_default(struct record *r)
{
    for (int i = 0; i < r->kind->n_fields; i++)
        if ((r->kind->fields[i].flags & FIELD_WS) && value_eqs(&r->v[i], "default"))
            r->v[i] = value_null();
}

static bool read_kind(struct dbdump *d, const struct kind_desc *k, struct err *e)
{
    struct buf where = {0};
    struct record r;
    struct err why;
    if (!kind_condition(d, k, &where)) {
        buf_free(&where);
        return true;
    }
    struct fetch_cursor *c =
        fetch_open(d->fetch, k->kind, FETCH_NO_SHADOWED, where.len ? buf_str(&where) : NULL, e);
    int more = c ? 1 : -1;
    while (more > 0 && (more = fetch_next(c, &r, e)) > 0) {
        leave_out_default(&r);
        if (!record_validate(&r, &why)) {
            more = kind_problem(d, &r, &why, e) ? 1 : -1;
            continue;
        }
        make_key(&r, &d->key);
        more = put(d, &r, e) ? 1 : -1;
    }
    fetch_close(c);
    buf_free(&where);
    return more == 0;
}

static void add_name(struct buf *names, const char *name)
{
    buf_addf(names, "%s%s", names->len ? ", " : "", name);
}

/* The rows of a table of secrets are counted, not read. */
static bool count_secrets(struct dbdump *d, const struct row_table *t, struct err *e)
{
    bool exists;
    int64_t n = 0;
    char sql[128];
    if (!db_table_exists(d->db, t->name, &exists, e))
        return false;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", t->name);
    if (exists && !db_query_int(d->db, sql, &n, e))
        return false;
    d->result->secrets += (uint64_t)n;
    return true;
}

static bool has_text(const struct row_entry *entries, int n, const char *column, const char *text)
{
    const struct row_entry *entry = row_entry_find(entries, n, column, strlen(column));
    return entry && value_eqs(&entry->v, text);
}

/* The row that MLflow's schema begins with: no content. */
static bool is_default_workspace(const struct row_table *t, const struct row_entry *entries, int n)
{
    return strcmp(t->name, "workspaces") == 0 && n == 2 && has_text(entries, n, "name", "default") &&
           has_text(entries, n, "description", "Default workspace for legacy resources");
}

static bool row_problem(struct dbdump *d, const struct row_table *t, const struct rows_cursor *c,
                        const struct record *r, struct err *e)
{
    struct buf name = {0};
    char why[128];
    int n;
    const struct row_entry *entries = rows_entries(c, &n);
    buf_adds(&name, "Row ");
    row_describe(t, entries, n, &name);
    snprintf(why, sizeof why, "column '%s' is against its type", rows_misfit(c));
    bool ok = problem(d, r, buf_str(&name), why, e);
    buf_free(&name);
    return ok;
}

static bool read_rows(struct dbdump *d, const struct row_table *t, const char *where, struct err *e)
{
    struct record r;
    struct rows_cursor *c = rows_open(d->db, t, d->o->with_secrets ? ROWS_WITH_SECRETS : 0, where, e);
    int more = c ? 1 : -1, n;
    while (more > 0 && (more = rows_next(c, &r, e)) > 0) {
        const struct row_entry *entries = rows_entries(c, &n);
        if (is_default_workspace(t, entries, n))
            continue;
        if (rows_misfit(c)) {
            more = row_problem(d, t, c, &r, e) ? 1 : -1;
            continue;
        }
        make_row_key(t, entries, n, &d->key);
        more = put(d, &r, e) ? 1 : -1;
    }
    d->result->secrets += c ? rows_secrets(c) : 0;
    rows_close(c);
    return more == 0;
}

static bool read_table(struct dbdump *d, const struct row_table *t, struct err *e)
{
    struct buf where = {0};
    bool ok = true;
    if ((t->flags & ROW_SECRETS) && !d->o->with_secrets)
        return count_secrets(d, t, e);
    if (!selects(d) || table_condition(d, t, 0, &where))
        ok = read_rows(d, t, where.len ? buf_str(&where) : NULL, e);
    else
        add_name(&d->result->unscoped, t->name);
    buf_free(&where);
    return ok;
}

static bool is_known(const char *table)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i].table, table) == 0)
            return true;
    return strcmp(table, "alembic_version") == 0 || row_table_by_name(table, strlen(table));
}

static bool find_foreign_tables(struct dbdump *d, struct err *e)
{
    const char *sql =
        db_dialect(d->db) == DIALECT_SQLITE
            ? "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
              " ORDER BY name"
            : "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename";
    struct db_stmt *s = db_prepare(d->db, sql, e);
    int more = s ? 1 : -1;
    while (more > 0 && (more = db_step(s, e)) > 0) {
        struct value v;
        db_column(s, 0, &v);
        char *name = xstrndup(v.s, v.len);
        if (!is_known(name) && !(d->o->others && others_has_table(d->o->others, name)))
            add_name(&d->result->foreign, name);
        free(name);
    }
    db_finalize(s);
    return more == 0;
}

/* After all other rows, by their table and all that is in them. */
static bool put_other(const struct record *r, void *arg, struct err *e)
{
    struct dbdump *d = arg;
    buf_reset(&d->key);
    buf_addc(&d->key, (char)PHASE_ROWS);
    buf_addc(&d->key, (char)(KIND_COUNT + 1));
    value_sort_key(&r->v[F_row_table], &d->key);
    value_sort_key(&r->v[F_row_values], &d->key);
    return put(d, r, e);
}

static bool read_others(struct dbdump *d, struct err *e)
{
    if (!d->o->others)
        return true;
    if (!selects(d))
        return others_read(d->o->others, d->db, put_other, d, e);
    for (size_t i = 0; i < d->o->others->n; i++)
        add_name(&d->result->unscoped, d->o->others->items[i].name);
    return true;
}

static bool read_all(struct dbdump *d, struct err *e)
{
    d->fetch = fetch_new(d->db, e);
    if (!d->fetch || !make_scope(d, e) || !find_foreign_tables(d, e))
        return false;
    for (int i = 0; i < KIND_COUNT; i++)
        if (kind_is_entity(&kinds[i]) && !read_kind(d, &kinds[i], e))
            return false;
    if (!fetch_has_kind(d->fetch, KIND_latest_metric))
        d->latest.decoder = wire_decoder_new();
    for (int i = 0; i < row_tables_count; i++)
        if (!read_table(d, &row_tables[i], e))
            return false;
    return read_others(d, e);
}

struct dbdump *dbdump_read(struct db *db, const struct dbdump_options *o, struct dbdump_result *out,
                           struct err *e)
{
    struct dbdump *d = xcalloc(1, sizeof *d);
    memset(out, 0, sizeof *out);
    d->db = db;
    d->o = o;
    d->result = out;
    d->stage = sorter_new(o->tmpdir, STAGE_MEMORY);
    bool ok = db_begin_read(db, e);
    if (ok) {
        ok = read_all(d, e);
        db_rollback(db);
    }
    if (ok)
        return d;
    dbdump_free(d);
    return NULL;
}

/* ---- writing */

static void append_latest(struct dbdump *d, struct wire_counts *counts)
{
    const struct record *m = &d->latest.best;
    struct record r;
    if (!d->latest.have)
        return;
    record_init(&r, KIND_latest_metric);
    r.v[F_latest_metric_run_id] = value_text(d->latest.run_id.data, d->latest.run_id.len);
    r.v[F_latest_metric_key] = value_text(d->latest.key.data, d->latest.key.len);
    r.v[F_latest_metric_step] = m->v[F_metric_step];
    r.v[F_latest_metric_timestamp] = m->v[F_metric_timestamp];
    r.v[F_latest_metric_value] = m->v[F_metric_value];
    wire_encode(&r, &d->data);
    counts->n[KIND_latest_metric]++;
    d->result->counts.n[KIND_latest_metric]++;
    d->latest.have = false;
}

static void keep_text(struct buf *out, const struct value *v)
{
    buf_reset(out);
    buf_add(out, v->s, v->len);
}

static bool is_text(const struct buf *b, const struct value *v)
{
    return b->len == v->len && (v->len == 0 || memcmp(b->data, v->s, v->len) == 0);
}

/* At the greatest step and time the greatest value counts; NaN is 0 there and gives way to a 0 (revision
 * 89d4b8295536, which made the table, leaves no choice between these two: SqlAlchemyStore keeps the first).
 */
static bool loses_to_best(const struct record *best, const struct record *r)
{
    const struct value *x = &best->v[F_metric_value], *y = &r->v[F_metric_value];
    return best->v[F_metric_step].i == r->v[F_metric_step].i &&
           best->v[F_metric_timestamp].i == r->v[F_metric_timestamp].i && isnan(y->f) && x->f == 0;
}

/* Sees every record that is written, and puts the latest metrics in front of what follows a key's last point.
 */
static bool follow_latest(struct dbdump *d, const struct sort_entry *item, struct wire_counts *counts,
                          struct err *e)
{
    struct latest *l = &d->latest;
    struct record r;
    if (!l->decoder)
        return true;
    if ((unsigned char)item->data[0] != KIND_metric) {
        append_latest(d, counts);
        return true;
    }
    if (!wire_decode(l->decoder, item->data + 1, item->data_len - 1, &r, e))
        return false;
    bool same = l->have && is_text(&l->run_id, &r.v[F_metric_run_id]) && is_text(&l->key, &r.v[F_metric_key]);
    if (same && loses_to_best(&l->best, &r))
        return true;
    if (!same)
        append_latest(d, counts);
    keep_text(&l->run_id, &r.v[F_metric_run_id]);
    keep_text(&l->key, &r.v[F_metric_key]);
    l->best = r; /* its numbers */
    l->have = true;
    return true;
}

static bool hand_over(struct dbdump *d, struct wire_writer *w, struct wire_counts *counts, struct err *e)
{
    bool ok = wire_write_encoded(w, d->data.data, d->data.len, counts) || err_copy(e, wire_writer_error(w));
    buf_reset(&d->data);
    memset(counts, 0, sizeof *counts);
    return err_interrupted() ? err_set_interrupted(e) : ok;
}

/* A record that the sorter has in its file goes on in pieces; a point of a metric is needed whole. */
static bool write_large(struct dbdump *d, struct wire_writer *w, const struct sort_entry *item,
                        struct wire_counts *counts, struct err *e)
{
    struct buf piece = {0};
    struct sort_entry whole = *item;
    bool ok = sorter_read(d->stage, item, 0, 1, &piece, e);
    unsigned char kind = ok ? (unsigned char)piece.data[0] : 0;
    if (ok && d->latest.decoder) {
        ok = kind != KIND_metric || sorter_read(d->stage, item, 0, item->data_len, &piece, e);
        whole.data = piece.data;
        ok = ok && follow_latest(d, &whole, counts, e);
    }
    ok = ok && hand_over(d, w, counts, e);
    for (size_t at = 1, n; ok && at < item->data_len; at += n) {
        n = item->data_len - at < WRITE_CHUNK ? item->data_len - at : WRITE_CHUNK;
        counts->n[kind] += at == 1;
        ok = sorter_read(d->stage, item, at, n, &d->data, e) && hand_over(d, w, counts, e);
    }
    buf_free(&piece);
    return ok;
}

bool dbdump_write(struct dbdump *d, struct wire_writer *w, struct err *e)
{
    struct wire_counts counts = {0};
    struct sort_entry item;
    char source[33];
    snprintf(source, sizeof source, "%016" PRIx64 "%016" PRIx64, d->id[0], d->id[1]);
    if (!wire_write_header(w, source, 0, 1))
        return err_copy(e, wire_writer_error(w));
    int more = sorter_finish(d->stage, e) ? 1 : -1;
    buf_reset(&d->data);
    while (more > 0 && (more = sorter_next(d->stage, &item, e)) > 0) {
        if (item.data) {
            if (!follow_latest(d, &item, &counts, e))
                return false;
            counts.n[(unsigned char)item.data[0]]++;
            buf_add(&d->data, item.data + 1, item.data_len - 1);
            if (d->data.len >= WRITE_CHUNK && !hand_over(d, w, &counts, e))
                return false;
        } else if (!write_large(d, w, &item, &counts, e)) {
            return false;
        }
    }
    if (more < 0)
        return false;
    append_latest(d, &counts);
    return hand_over(d, w, &counts, e) && (wire_write_trailer(w) || err_copy(e, wire_writer_error(w)));
}

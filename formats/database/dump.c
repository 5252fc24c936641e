/* Reads a database's records and rows, and sorts them into the stream's order. */
#include "formats/database/dump_stage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "common/array.h"
#include "common/progress.h"
#include "formats/database/row_cursor.h"
#include "formats/database/tick.h"
#include "formats/database/sql_text.h"
#include "formats/record/sort_key.h"

enum {
    STAGE_MEMORY = 16 << 20, /* bytes */
    MAX_DEPTH = 4,           /* of tables that belong to others */
};

void dbdump_free(struct dbdump *d)
{
    if (!d)
        return;
    fetch_free(d->fetch);
    sorter_free(d->stage);
    left_out_free(d->left_out);
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

/* -- selection */

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

/* Each selected experiment must exist. */
static bool check_experiment(struct dbdump *d, const char *id, struct err *e)
{
    int64_t number, found;
    char sql[128];
    if (!value_parse_int(id, strlen(id), &number))
        return err_set(e, id, "not an experiment id: in a database they are numbers");
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

/* Adds `column IN (selected ids)` for a column that refers to an experiment, run or trace; false for
 * others. */
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

/* Adds the condition on a kind's rows, nothing if all are selected; false if none is. */
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

/* The same for a table without a kind: by its own references, else by the table that its rows belong to.
 * alias: the table's alias in the query. */
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

/* -- order */

static enum phase phase_of(enum kind kind)
{
    const struct kind_desc *k = &kinds[kind];
    if (kind_has_trait(kind, TRAIT_SHARED))
        return PHASE_EXPERIMENTS;
    if (kind == KIND_assessment)
        return PHASE_TRACES;
    unsigned first = k->fields[0].flags; /* identifies the owner */
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

/* Rows of a trace follow their trace; all others come last, table by table. */
static void make_row_key(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out)
{
    const char *column = trace_column(t);
    const struct row_entry *trace = column ? row_entry_find(entries, n, column, strlen(column)) : NULL;
    buf_reset(out);
    buf_addc(out, (char)(trace ? PHASE_TRACES : PHASE_ROWS));
    if (trace)
        value_sort_key(&trace->v, out);
    buf_addc(out, (char)KIND_COUNT); /* after all kinds */
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
    if (d->o->tick) { /* its mark is stored after its bytes */
        struct dbtick_mark mark;
        if (!dbtick_see(d->o->tick, r, &d->key, data->data, data->len, &mark, e))
            return false;
        buf_add(data, &mark, sizeof mark);
    }
    d->result->counts.n[r->kind->kind]++;
    progress_add(1);
    if (err_interrupted())
        return err_set_interrupted(e);
    return left_out_check(d->left_out, e) &&
           sorter_add(d->stage, d->key.data, d->key.len, data->data, data->len, e);
}

/* -- reading */

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
    make_key(r, &d->key);
    left_out_add(d->left_out, r);
    bool ok = (!d->o->tick || dbtick_see_malformed(d->o->tick, r, &d->key, e)) &&
              problem(d, r, buf_str(&name), why->what, e);
    buf_free(&name);
    return ok;
}

/* Also leaves out a record that belongs to one left out. */
static bool leave_out_too(struct dbdump *d, const struct record *r, struct err *e)
{
    left_out_add(d->left_out, r);
    return !d->o->tick || dbtick_see_malformed(d->o->tick, r, &d->key, e);
}

/* Omits the default workspace, as records of the file store do. */
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
        more = (left_out_has(d->left_out, &r) ? leave_out_too : put)(d, &r, e) ? 1 : -1;
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

/* The row that every new database has. */
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
    snprintf(why, sizeof why, "column '%s' has a value of the wrong type", rows_misfit(c));
    make_row_key(t, entries, n, &d->key);
    bool ok = (!d->o->tick || dbtick_see_malformed(d->o->tick, r, &d->key, e)) &&
              problem(d, r, buf_str(&name), why, e);
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
        more = (left_out_has_row(d->left_out, &r) ? leave_out_too : put)(d, &r, e) ? 1 : -1;
    }
    d->result->secrets += c ? rows_secrets(c) : 0;
    rows_close(c);
    return more == 0;
}

static bool read_table(struct dbdump *d, const struct row_table *t, struct err *e)
{
    struct buf where = {0};
    bool ok = true;
    if (t->flags & ROW_OLD)
        return true;
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
            : "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
              " AND relnamespace = quote_ident(current_schema())::regnamespace ORDER BY relname";
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

/* Sorted after all other rows, by table and contents. */
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

/* For the progress; only the kinds, which have nearly all rows. */
static bool count_all(struct dbdump *d, struct err *e)
{
    int64_t all = 0, n;
    for (int i = 0; i < KIND_COUNT; i++) {
        char sql[128];
        bool again = false;
        for (int j = 0; j < i; j++)
            again |= strcmp(kinds[j].table, kinds[i].table) == 0;
        if (again || !kind_is_entity(&kinds[i]) || !fetch_has_kind(d->fetch, (enum kind)i))
            continue;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", kinds[i].table);
        if (!db_query_int(d->db, sql, &n, e))
            return false;
        all += n;
    }
    progress_set_total((uint64_t)all);
    return true;
}

static bool read_all(struct dbdump *d, struct err *e)
{
    d->fetch = fetch_new(d->db, e);
    if (!d->fetch || !make_scope(d, e) || !find_foreign_tables(d, e))
        return false;
    if (progress_is_running() && !d->o->n_experiments && !d->o->n_workspaces && !d->o->registry &&
        !count_all(d, e))
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
    d->left_out = left_out_new(o->tmpdir);
    bool ok = db_begin_read(db, e);
    if (ok) {
        ok = read_all(d, e) && left_out_check(d->left_out, e);
        db_rollback(db);
    }
    if (ok)
        return d;
    dbdump_free(d);
    return NULL;
}

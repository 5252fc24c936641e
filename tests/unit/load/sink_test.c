/* A sink of somebody else's: the rows of a load go to temporary tables of the same columns, the target's
 * stay. */
#include "tests/unit/tap.h"

#include <stdlib.h>

#include "formats/load/load.h"
#include "formats/load/sqlite_rows.h"
#include "formats/schema/schema.h"

enum { HEAD = 67 };

static struct db *db;
static struct load *load;

static void require(bool ok, const struct err *e)
{
    if (ok)
        return;
    printf("Bail out! %s: %s\n", e->where, e->what);
    exit(1);
}

static void run(const char *sql)
{
    struct err e;
    require(db_exec(db, sql, &e), &e);
}

static int64_t count(const char *sql)
{
    struct err e;
    int64_t n = -1;
    require(db_query_int(db, sql, &n, &e), &e);
    return n;
}

/* -- the sink */

struct temp_sink {
    struct load_sink base;
    struct load_sqlite_rows *rows;
    bool asks_target; /* parents may be the target's, too */
    int finished;
};

static struct temp_sink *sink_of(struct load_sink *k)
{
    return (struct temp_sink *)(void *)k;
}

static bool temp_begin(struct load_sink *k, struct err *e)
{
    for (int i = 0; i < k->tables->n; i++) {
        const char *name = k->tables->items[i].name;
        char *sql = xasprintf("CREATE TEMP TABLE s_%s AS SELECT * FROM %s WHERE 0 = 1", name, name);
        bool ok = db_exec(k->db, sql, e);
        free(sql);
        if (!ok)
            return false;
    }
    return (sink_of(k)->rows = load_sqlite_rows_new(k->db, e)) != NULL;
}

static enum sink_answer temp_fill(struct load_sink *k, const struct load_table *t,
                                  struct load_row_source *from, struct err *e)
{
    char *into = xasprintf("temp.s_%s", t->name);
    enum sink_answer answer = load_sqlite_rows_insert(sink_of(k)->rows, into, t, false, from, e);
    free(into);
    return answer;
}

static bool temp_end(struct load_sink *k, uint64_t *collapsed, struct err *e)
{
    (void)k;
    (void)collapsed;
    (void)e;
    return true;
}

static int temp_find(struct load_sink *k, enum load_ref ref, const struct value *v, int n, struct err *e)
{
    int staged = load_sink_find(k, ref, v, n, e);
    if (staged || !sink_of(k)->asks_target)
        return staged;
    char *sql = xasprintf("SELECT count(*) FROM %s WHERE %s = '%.*s'", load_refs[ref].table,
                          load_refs[ref].columns[0], (int)v->len, v->s);
    int64_t there = count(sql);
    free(sql);
    return there > 0;
}

static bool temp_finish(struct load_sink *k, struct err *e)
{
    (void)e;
    sink_of(k)->finished++;
    return true;
}

static void temp_free(struct load_sink *k)
{
    load_sqlite_rows_free(sink_of(k)->rows);
    load_sink_finalize(k);
    free(k);
}

static const struct load_sink_ops temp_ops = {
    .begin = temp_begin,
    .fill = temp_fill,
    .end = temp_end,
    .find = temp_find,
    .sum_cost = load_sink_sum_cost,
    .finish = temp_finish,
    .free = temp_free,
};

/* -- a load */

static void start(void)
{
    struct err e;
    struct db_url url = {
        .dialect = DIALECT_SQLITE, .path = (char[]){":memory:"}, .display = (char[]){"memory"}};
    struct load_options options = {.tmpdir = "/tmp"};
    struct wire_header header = {.producer = "mlruns-dump 1", .source = "0123456789abcdef0123456789abcdef"};
    db = db_open(&url, DB_CREATE, &e);
    require(db && db_begin_write(db, &e) && schema_create(db, HEAD, &e), &e);
    run("INSERT INTO runs (run_uuid, name, status, lifecycle_stage, experiment_id) VALUES "
        "('theirs', 'as it was', 'RUNNING', 'active', 0)");
    require((load = load_new(db, HEAD, &options, &e)) != NULL, &e);
    load_segment(load, &header);
}

static void stop(void)
{
    load_free(load);
    db_close(db);
}

static void add(const struct record *r)
{
    struct err e;
    require(load_add(load, r, &e), &e);
}

static void put_parents(void)
{
    struct record r;
    record_init(&r, KIND_experiment);
    r.v[F_experiment_experiment_id] = value_str("0");
    r.v[F_experiment_name] = value_str("Default");
    r.v[F_experiment_lifecycle_stage] = value_str("active");
    add(&r);
    record_init(&r, KIND_run);
    r.v[F_run_run_id] = value_str("ours");
    r.v[F_run_experiment_id] = value_str("0");
    r.v[F_run_status] = value_str("FINISHED");
    r.v[F_run_lifecycle_stage] = value_str("active");
    add(&r);
}

static void put_points(const char *run_id)
{
    struct record r;
    record_init(&r, KIND_metric);
    r.v[F_metric_run_id] = value_str(run_id);
    r.v[F_metric_key] = value_str("loss");
    r.v[F_metric_timestamp] = value_int(1);
    r.v[F_metric_value] = value_float(0.5);
    for (int step = 0; step < 3; step++) {
        r.v[F_metric_step] = value_int(step / 2); /* two of step 0, which are equal */
        add(&r);
    }
}

static bool write_to_temporary(bool asks_target, int *finished)
{
    struct err e;
    struct temp_sink *k = load_sink_new(sizeof *k, &temp_ops, db, load_tables(load));
    k->base.prefix = "temp.s_";
    k->asks_target = asks_target;
    bool ok = load_check(load, &e) && load_write_to(load, &k->base, &e);
    *finished = k->finished;
    k->base.ops->free(&k->base);
    return ok;
}

static void test_rows(void)
{
    int finished;
    start();
    put_parents();
    put_points("ours");
    ok(write_to_temporary(false, &finished) && finished == 1, "a load goes to a sink that it is given");
    is_int(count("SELECT count(*) FROM temp.s_runs WHERE run_uuid = 'ours' AND status = 'FINISHED'"), 1,
           "rows are in its tables");
    is_int(count("SELECT count(*) FROM temp.s_metrics"), 2, "points of one key once");
    is_int((int64_t)load_report(load)->collapsed[KIND_metric], 1, "and counted");
    is_int(count("SELECT count(*) FROM runs WHERE name = 'as it was'"), 1, "the target's rows stay");
    is_int(count("SELECT count(*) FROM runs") + count("SELECT count(*) FROM metrics"), 1, "as do its tables");
    stop();
}

static void test_parents(void)
{
    int finished;
    start();
    put_parents();
    put_points("theirs");
    ok(write_to_temporary(true, &finished), "a parent may be where the sink says that it is");
    is_int((int64_t)load_report(load)->problems, 0, "without a problem");
    stop();

    start();
    put_parents();
    put_points("theirs");
    ok(!write_to_temporary(false, &finished) && !finished, "where the sink has none, it is missing");
    is_int((int64_t)load_report(load)->problems, 1, "reported once");
    stop();
}

int main(void)
{
    if (!freopen("/dev/null", "w", stderr))
        return 1;
    test_rows();
    test_parents();
    return done_testing();
}

/* Upgrades a database: locking, estimates, messages and transactions. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/progress.h"
#include "formats/schema/internal.h"

/* -- locking */

/* The key of the advisory lock, one for each schema of a database. */
static const char postgres_lock_key[] = "(2026, hashtext(current_schema()))";

static bool begin_exclusive(struct db *db, struct err *e)
{
    return db_exec(db, "BEGIN EXCLUSIVE", e);
}

/* The locking mode, which keeps the lock across transactions, is set only while holding it: two programs
 * waiting in that mode would deadlock. In WAL mode there is no such lock, and upgrades alternate by
 * revision. */
static bool lock_sqlite(struct db *db, int timeout, struct err *e)
{
    char *mode = NULL;
    bool ok = db_begin_waiting(db, timeout, begin_exclusive, e) &&
              db_query_text(db, "PRAGMA journal_mode", &mode, e) &&
              (strcmp(mode, "wal") == 0 || db_exec(db, "PRAGMA locking_mode = EXCLUSIVE", e));
    free(mode);
    return ok && db_exec(db, "COMMIT; PRAGMA cache_size = -16384" /* KiB */, e);
}

/* Keys and indexes of large tables are rebuilt: with the default 64 MB that would sort on disk. On a server
 * on this machine, more workers than cores, counting the session itself, would only compete. */
static bool prepare_builds(struct db *db, struct err *e)
{
    char *sql = xasprintf("SELECT set_config('maintenance_work_mem', '256MB', false)\n"
                          "WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < 268435456;\n"
                          "SELECT set_config('max_parallel_maintenance_workers', '%ld', false)\n"
                          "WHERE current_setting('max_parallel_maintenance_workers')::int > %ld\n"
                          "AND inet_server_addr() IS NOT DISTINCT FROM inet_client_addr()",
                          sysconf(_SC_NPROCESSORS_ONLN) - 1, sysconf(_SC_NPROCESSORS_ONLN) - 1);
    bool ok = db_exec(db, sql, e);
    free(sql);
    return ok;
}

static bool lock_postgres(struct db *db, int timeout, struct err *e)
{
    int64_t got;
    char *try_lock = xasprintf("SELECT pg_try_advisory_lock%s", postgres_lock_key);
    char *lock = xasprintf("SELECT pg_advisory_lock%s", postgres_lock_key);
    db_lock_timeout(db, timeout);
    bool ok = db_query_int(db, try_lock, &got, e);
    if (ok && !got) {
        err_note("waiting for another upgrade of %s", db_display(db));
        ok = db_exec(db, lock, e);
    }
    free(try_lock);
    free(lock);
    return ok && prepare_builds(db, e);
}

bool schema_lock(struct db *db, int timeout, struct err *e)
{
    return db_dialect(db) == DIALECT_SQLITE ? lock_sqlite(db, timeout, e) : lock_postgres(db, timeout, e);
}

bool schema_unlock(struct db *db, struct err *e)
{
    int64_t was;
    char *unlock = xasprintf("SELECT pg_advisory_unlock%s::int", postgres_lock_key);
    bool ok = db_dialect(db) == DIALECT_SQLITE || db_query_int(db, unlock, &was, e);
    free(unlock);
    return ok;
}

/* -- estimates */

static const struct estimate {
    int rev;
    const char *table; /* must exist for the query to be run */
    const char *query;
    const char *words;
} estimates[] = {
    {REV_USER_TAGS, "runs",
     "SELECT count(*) FROM runs WHERE user_id IS NOT NULL AND user_id <> '' AND NOT EXISTS "
     "(SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND tags.key = 'mlflow.user')",
     "runs whose user becomes a tag"},
    {REV_LATEST_METRICS, "metrics", "SELECT count(*) FROM metrics", "metric entries"},
    {REV_LATEST_METRICS, "metrics", "SELECT count(*) FROM (SELECT DISTINCT run_uuid, key FROM metrics) m",
     "unique metrics"},
    {REV_LATEST_METRICS, "metrics", "SELECT count(DISTINCT run_uuid) FROM metrics", "runs with metrics"},
    {REV_WORKSPACES, "experiments", "SELECT count(*) FROM experiments", "experiments"},
    {REV_WORKSPACES, "registered_models", "SELECT count(*) FROM registered_models", "registered models"},
    {REV_WORKSPACES, "model_versions", "SELECT count(*) FROM model_versions", "model versions"},
    {REV_TRACE_ANALYTICS, "trace_info", "SELECT count(*) FROM trace_info", "traces"},
    {REV_TRACE_ANALYTICS, "spans", "SELECT count(*) FROM spans", "spans"},
    {REV_TRACE_ANALYTICS, "assessments", "SELECT count(*) FROM assessments", "assessments"},
    {REV_JOB_EXECUTORS, "jobs", "SELECT count(*) FROM jobs WHERE status IN (0, 1)", "jobs to be ended"},
    {REV_ISSUE_CATEGORIES, "issues", "SELECT count(*) FROM issues", "issues"},
};

bool schema_estimate(struct db *db, int rev, struct buf *out, struct err *e)
{
    bool first = true;
    for (size_t i = 0; i < ARRAY_LENGTH(estimates); i++) {
        const struct estimate *m = &estimates[i];
        bool there;
        int64_t rows;
        if (m->rev != rev)
            continue;
        if (!db_table_exists(db, m->table, &there, e))
            return false;
        if (!there)
            continue;
        if (!db_query_int(db, m->query, &rows, e))
            return false;
        buf_addf(out, "%s%lld %s", first ? "" : ", ", (long long)rows, m->words);
        first = false;
    }
    return true;
}

/* Whether a revision converts rows or copies a table; others write a few as a side effect (a check,
 * sqlite_schema). */
static bool moves_rows(enum dialect dialect, int rev)
{
    struct buf tables = {0};
    bool moves = false;
    for (size_t i = 0; i < ARRAY_LENGTH(estimates) && !moves; i++)
        moves = estimates[i].rev == rev;
    if (!moves && dialect == DIALECT_SQLITE)
        schema_rebuilt_tables(rev, &tables);
    moves = moves || tables.len > 0;
    buf_free(&tables);
    return moves;
}

/* -- upgrading */

/* Begins the transaction of a revision. As the lock may not exclude others (MLflow's own upgrade takes none),
 * *rev is read again. Constraints are made immediate, as pending checks of a deferred one would prevent
 * altering its table. */
static bool begin_revision(struct db *db, int *rev, struct err *e)
{
    bool stamped;
    if (!db_begin_write(db, e) || !db_table_exists(db, "alembic_version", &stamped, e))
        return false;
    if (db_dialect(db) == DIALECT_POSTGRESQL &&
        (!db_exec(db, "SET CONSTRAINTS ALL IMMEDIATE", e) ||
         (stamped && !db_exec(db, "LOCK TABLE alembic_version IN EXCLUSIVE MODE", e))))
        return false;
    return schema_rev_of(db, rev, e);
}

static void announce(int rev)
{
    const struct schema_revision *r = &schema_revisions[rev];
    err_note("[%d/%d] %s %s", rev, schema_head, r->revision, r->title);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Prints how many rows a revision has written in the time since `begun`. */
static void print_rows(enum dialect dialect, int rev, uint64_t rows, double begun)
{
    double took = seconds() - begun;
    if (rows > 0 && moves_rows(dialect, rev))
        err_note("[%d/%d] %s: %llu row%s written in %.2f s, %.0f rows/s", rev, schema_head,
                 schema_revisions[rev].revision, (unsigned long long)rows, rows == 1 ? "" : "s", took,
                 took > 0 ? (double)rows / took : 0);
}

/* Runs one revision inside the open transaction; if it fails, earlier revisions in it are kept. */
static bool upgrade_by_one(struct db *db, int rev, struct err *e)
{
    double begun = seconds();
    uint64_t rows;
    announce(rev + 1);
    if (!db_exec(db, "SAVEPOINT revision", e))
        return false;
    if (schema_step(db, rev + 1, &rows, e)) {
        print_rows(db_dialect(db), rev + 1, rows, begun);
        return db_exec(db, "RELEASE SAVEPOINT revision", e);
    }
    db_exec(db, "ROLLBACK TO SAVEPOINT revision", NULL);
    return false;
}

enum { TRANSACTION_MS = 200 };

/* Runs one revision with its stamp in a transaction, or several if they are quick, as each commit waits for
 * the disk. *rev is the database's revision afterwards, also on failure. */
static bool upgrade_some(struct db *db, int to, int *rev, struct err *e)
{
    double begun = seconds();
    int now = *rev;
    bool ok = begin_revision(db, &now, e);
    if (ok && now == SCHEMA_EMPTY) {
        ok = schema_create(db, to, e);
        now = to;
    }
    if (!ok) {
        db_rollback(db);
        return false;
    }
    while (ok && now < to && (seconds() - begun) * 1000 < TRANSACTION_MS && !err_interrupted()) {
        ok = upgrade_by_one(db, now, e);
        now += ok;
    }
    struct err why;
    if (db_commit(db, &why))
        *rev = now;
    else {
        db_rollback(db);
        if (ok)
            err_copy(e, &why);
        ok = false;
    }
    return ok;
}

bool schema_upgrade(struct db *db, int to, int *rev, struct err *e)
{
    if (!schema_rev_of(db, rev, e))
        return false;
    while (*rev < to) {
        if (!upgrade_some(db, to, rev, e))
            return false;
        if (err_interrupted())
            return err_set_interrupted(e);
    }
    /* The revision stored in the database is authoritative. */
    return schema_rev_of(db, rev, e);
}

/* A sync into PostgreSQL: one READ COMMITTED transaction with temporary tables, and a lock that only other
 * syncs wait for. */
#include <string.h>
#include <time.h>

#include "formats/load/copy.h"
#include "formats/sync/internal.h"

/* Serializes syncs of a database, also through a connection pooler. */
#define SYNC_LOCK "pg_advisory_xact_lock(7306086912013)"
enum {
    LOCK_TIMEOUT = 500, /* ms; less than deadlock_timeout (1 s), so that a deadlock never aborts MLflow */
    MAX_RETRIES = 20,
};

static bool postgres_begin(struct sync *x, struct err *e)
{
    int64_t may;
    if (!db_begin_write(x->db, e))
        return false;
    x->begun = true;
    if (!sync_int(x, &may, e, "SELECT has_database_privilege(current_database(), 'TEMPORARY')::int"))
        return false;
    if (!may) {
        err_set(e, db_display(x->db), "the role may not create temporary tables, which a sync requires");
        return err_hint(e, "GRANT TEMPORARY ON DATABASE … TO …");
    }
    /* Set only for this transaction: a pooler gives the session to others. */
    return sync_exec(x, e, "SET LOCAL lock_timeout = 0; SELECT 1 WHERE " SYNC_LOCK " IS NULL") &&
           sync_exec(x, e, "SET LOCAL lock_timeout = %d", (int)LOCK_TIMEOUT);
}

static enum sink_answer postgres_fill(struct sync *x, const char *into, const struct load_table *t,
                                      struct load_row_source *from, struct err *e)
{
    if (!x->filler)
        x->filler = load_copy_new(x->db);
    return load_copy_table(x->filler, into, t, false, from, e) ? SINK_STORED : SINK_FAILED;
}

static void postgres_filled(struct sync *x)
{
    load_copy_free(x->filler);
    x->filler = NULL;
}

static bool postgres_staged(struct sync *x, struct err *e)
{
    for (int i = 0; i < x->n_tables; i++)
        if (!sync_exec(x, e, "ANALYZE @@s_%s", x->tables[i]->t->name))
            return false;
    return sync_exec(x, e, "SAVEPOINT staged");
}

static bool postgres_restart(struct sync *x, struct err *e)
{
    return sync_exec(x, e, "ROLLBACK TO SAVEPOINT staged");
}

/* Ids written without the sequence are skipped: whoever drew one draws another. */
static bool postgres_number_experiments(struct sync *x, bool dry, struct err *e)
{
    int64_t open = 1;
    const char *id =
        dry ? "-row_number() OVER ()" : "nextval(pg_get_serial_sequence('experiments', 'experiment_id'))";
    while (open) {
        if (!sync_exec(
                x, e,
                "INSERT INTO @@m_exp (src, dst) SELECT x.src, x.dst FROM (SELECT o.src, %s AS dst FROM "
                "(SELECT s.experiment_id AS src FROM @@s_experiments s WHERE " SYNC_OPEN_EXPERIMENT
                " ORDER BY s.sync_id) AS o OFFSET 0) AS x WHERE NOT EXISTS (SELECT 1 FROM experiments t "
                "WHERE t.experiment_id = x.dst)",
                id) ||
            !sync_int(x, &open, e, "SELECT count(*) FROM @@s_experiments s WHERE " SYNC_OPEN_EXPERIMENT))
            return false;
    }
    return true;
}

static bool write_parts(struct sync *x, enum sync_part part, struct err *e)
{
    for (int i = 0; i < x->n_tables; i++)
        if (sync_has_part(x->tables[i], part) && !sync_write_part(x, x->tables[i], part, 0, 0, e))
            return false;
    return true;
}

/* Writes what may wait for the server's own statements last, so that it can be rolled back and retried. */
static bool write_more(struct sync *x, struct err *e)
{
    return write_parts(x, SYNC_ADD_MORE, e) && write_parts(x, SYNC_CHANGES, e) &&
           write_parts(x, SYNC_LATEST, e);
}

/* Whether others have added rows since the comparison: what was then found of these, as a dataset's id, or a
 * param's value, is not so. What is missing again for the same number of rows is the stream's own. */
static bool others_were_faster(struct sync *x)
{
    uint64_t missed = 0, before = x->missed;
    for (int i = 0; i < x->n_tables; i++) {
        const struct sync_table *t = x->tables[i];
        if (sync_has_part(t, SYNC_ADD))
            missed += t->n_added - (t->n_fresh + t->n_more);
    }
    x->missed = missed;
    return missed > 0 && missed != before;
}

static bool is_state(const struct err *e, const char *const *states)
{
    for (; *states; states++)
        if (strcmp(e->sqlstate, *states) == 0)
            return true;
    return false;
}

static void pause_after(int tries)
{
    struct timespec wait = {.tv_nsec = (tries < 8 ? 20 : 200) * 1000000L};
    nanosleep(&wait, NULL);
}

static bool postgres_write(struct sync *x, bool *again, struct err *e)
{
    static const char *const part[] = {SQLSTATE_LOCK_NOT_AVAILABLE, SQLSTATE_DEADLOCK_DETECTED,
                                       SQLSTATE_UNIQUE_VIOLATION, NULL};
    static const char *const whole[] = {SQLSTATE_LOCK_NOT_AVAILABLE,    SQLSTATE_DEADLOCK_DETECTED,
                                        SQLSTATE_UNIQUE_VIOLATION,      SQLSTATE_FOREIGN_KEY_VIOLATION,
                                        SQLSTATE_SERIALIZATION_FAILURE, NULL};
    *again = false;
    bool queued, ok = sync_queue_rollups(x, &queued, e) && write_parts(x, SYNC_ADD_FRESH, e) &&
                      sync_exec(x, e, "SAVEPOINT written");
    for (int tries = 0; ok; tries++) {
        if (write_more(x, e) && sync_write_watermark(x, e)) {
            *again = others_were_faster(x);
            return *again || (db_commit(x->db, e) ? (x->begun = false, true) : false);
        }
        if (err_interrupted() || !is_state(e, part) || tries == MAX_RETRIES)
            break;
        pause_after(tries);
        struct err why;
        if (!sync_exec(x, &why, "ROLLBACK TO SAVEPOINT written")) {
            *e = why;
            return false;
        }
    }
    *again = !err_interrupted() && is_state(e, whole) && x->restarts++ < MAX_RETRIES;
    if (*again)
        pause_after(x->restarts);
    return *again;
}

static bool postgres_end(struct sync *x, struct err *e)
{
    (void)e;
    db_rollback(x->db);
    x->begun = false;
    return true;
}

static const char *comparable(const char *declared)
{
    return strcmp(declared, "JSON") == 0 ? "CAST(%s AS jsonb)" : NULL;
}

const struct sync_dialect sync_postgres = {
    .stage = "pg_temp.",
    .create = {"CREATE TEMPORARY TABLE ", " ON COMMIT DROP AS "},
    .index = {"", "pg_temp."},
    .distinct = "IS DISTINCT FROM",
    .insert_missing = "ON CONFLICT DO NOTHING",
    .derived_dataset = "md5(concat_ws('/', s.experiment_id, s.name, s.digest))",
    .day = "CAST(to_timestamp(s.ms / 1000.0) AT TIME ZONE 'UTC' AS date)",
    .new_ids = true,
    .begin = postgres_begin,
    .fill = postgres_fill,
    .filled = postgres_filled,
    .staged = postgres_staged,
    .restart = postgres_restart,
    .number_experiments = postgres_number_experiments,
    .write = postgres_write,
    .end = postgres_end,
    .add_put_greater = sync_add_put_greater,
    .comparable = comparable,
};

/* A sync into SQLite: compares everything before writing anything; then writes slices, each in a short
 * transaction, parents before children, so that MLflow waits for a second at most, and a kill leaves complete
 * rows. */
#include <sqlite3.h>
#include <stdio.h>
#include <time.h>
#include <xxhash.h>

#include "common/array.h"
#include "formats/load/sqlite_rows.h"
#include "formats/sync/internal.h"

enum {
    FIRST_SLICE = 2000,    /* rows */
    LONGEST_SLICE = 25000, /* rows, which take 0.6 s in a database of 10 million points */
    SLICE_MS = 400,        /* after a slice that takes longer the next one is smaller */
    LOCK_WAIT = 60000,     /* ms */
    MAX_RESTARTS = 20,
};

/* sync_hash(text): 32 hex digits. */
static void hash(sqlite3_context *to, int argc, sqlite3_value **argv)
{
    (void)argc;
    XXH128_hash_t h = XXH3_128bits(sqlite3_value_blob(argv[0]), (size_t)sqlite3_value_bytes(argv[0]));
    char text[33];
    snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
    sqlite3_result_text(to, text, 32, SQLITE_TRANSIENT);
}

/* Attaches a temporary database for the stage: in memory up to its cache size, then in SQLITE_TMPDIR. */
static bool lite_begin(struct sync *x, struct err *e)
{
    db_lock_timeout(x->db, LOCK_WAIT);
    if (sqlite3_create_function(db_native(x->db), "sync_hash", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                hash, NULL, NULL) != SQLITE_OK)
        return err_set(e, db_display(x->db), "%s", sqlite3_errmsg(db_native(x->db)));
    return sync_exec(x, e,
                     "PRAGMA temp_store = FILE; ATTACH '' AS stage; PRAGMA stage.journal_mode = OFF; PRAGMA "
                     "stage.synchronous = OFF; PRAGMA stage.cache_size = -%d",
                     (int)LOAD_CACHE_KIB);
}

static enum sink_answer lite_fill(struct sync *x, const char *into, const struct load_table *t,
                                  struct load_row_source *from, struct err *e)
{
    if (!x->filler && !(x->filler = load_sqlite_rows_new(x->db, e)))
        return SINK_FAILED;
    return load_sqlite_rows_insert(x->filler, into, t, false, from, e);
}

static void lite_filled(struct sync *x)
{
    load_sqlite_rows_free(x->filler);
    x->filler = NULL;
}

static bool lite_number_experiments(struct sync *x, bool dry, struct err *e)
{
    (void)dry;
    return sync_exec(x, e,
                     "INSERT INTO @@m_exp (src, dst) SELECT s.experiment_id, row_number() OVER (ORDER BY "
                     "s.sync_id) + (SELECT max(id) FROM (SELECT coalesce(max(experiment_id), 0) AS id FROM "
                     "experiments UNION ALL SELECT coalesce(max(dst), 0) FROM @@m_exp)) FROM @@s_experiments "
                     "s WHERE " SYNC_OPEN_EXPERIMENT " AND " SYNC_TAKEN_EXPERIMENT);
}

static bool data_version(struct sync *x, int64_t *version, struct err *e)
{
    return sync_int(x, version, e, "PRAGMA main.data_version");
}

static long ms_since(const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - begin->tv_sec) * 1000 + (now.tv_nsec - begin->tv_nsec) / 1000000;
}

struct slices {
    int64_t version; /* of the target when it was compared */
    int64_t rows;    /* of the next slice */
};

/* Whether the comparison must be repeated: not for ever, in a target that others keep changing. */
static bool must_repeat(struct sync *x, bool repeat)
{
    return repeat && x->restarts++ < MAX_RESTARTS;
}

static bool write_slice(struct sync *x, struct sync_table *t, enum sync_part part, int64_t first,
                        int64_t last, struct slices *s, bool *again, struct err *e)
{
    int64_t version;
    bool holds = true;
    if (!db_begin_write(x->db, e))
        return false;
    x->begun = true;
    bool ok = data_version(x, &version, e);
    bool foreign = ok && version != s->version; /* another program has written */
    if (foreign)
        ok = sync_recheck(x, t, part, first, last, &holds, e);
    if (ok && !holds && !(*again = must_repeat(x, true)))
        ok = err_set(e, db_display(x->db), "other programs keep changing what the sync is about to write");
    if (ok && holds && !sync_write_part(x, t, part, first, last, e))
        ok = *again = must_repeat(x, foreign && e->class == ERR_CONSTRAINT);
    if (!ok || *again)
        db_rollback(x->db);
    else
        ok = db_commit(x->db, e);
    x->written |= ok && !*again;
    x->begun = false;
    return ok;
}

/* Finds the next staged row with something to write, from `first` on; 0: none. */
static bool next_row(struct sync *x, const struct sync_table *t, enum sync_part part, int64_t first,
                     int64_t *row, struct err *e)
{
    return sync_int(x, row, e, "SELECT coalesce(min(sync_id), 0) FROM @@d_%s WHERE sync_id >= %lld AND %s",
                    t->t->name, (long long)first,
                    part == SYNC_ADD       ? "added = 1"
                    : part == SYNC_CHANGES ? "changed <> 0"
                                           : "added + changed <> 0");
}

/* Adapts the size of slices to what can be written in about SLICE_MS. */
static void fit_slice(struct slices *s, long took)
{
    if (took > SLICE_MS && s->rows > 100)
        s->rows /= 2;
    else if (took < SLICE_MS / 2)
        s->rows = s->rows * 2 > LONGEST_SLICE ? LONGEST_SLICE : s->rows * 2;
}

static bool write_table(struct sync *x, struct sync_table *t, enum sync_part part, struct slices *s,
                        bool *again, struct err *e)
{
    for (int64_t first = 1, last; first <= (int64_t)t->n && !*again; first = last + 1) {
        struct timespec begin;
        if (err_interrupted())
            return err_set_interrupted(e);
        if (!next_row(x, t, part, first, &first, e))
            return false;
        if (!first)
            break;
        last = first + s->rows - 1;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        if (!write_slice(x, t, part, first, last, s, again, e))
            return false;
        fit_slice(s, ms_since(&begin));
    }
    return true;
}

/* The last slice. */
static bool write_watermark(struct sync *x, struct err *e)
{
    if (!sync_must_mark(x))
        return true;
    if (!db_begin_write(x->db, e))
        return false;
    x->begun = true;
    bool ok = sync_read_watermark(x, e) && sync_write_watermark(x, e) && db_commit(x->db, e);
    x->begun = !ok;
    return ok;
}

/* Queues roll-ups in a slice of its own, if there are any. */
static bool queue_rollups(struct sync *x, struct err *e)
{
    bool any;
    if (!sync_queue_rollups(x, &any, e))
        return false;
    if (!any)
        return true;
    if (!db_begin_write(x->db, e))
        return false;
    x->begun = true;
    bool ok = sync_queue_rollups(x, &any, e) && db_commit(x->db, e);
    x->begun = !ok;
    return ok;
}

static bool lite_write(struct sync *x, bool *again, struct err *e)
{
    static const enum sync_part parts[] = {SYNC_ADD, SYNC_CHANGES, SYNC_LATEST};
    struct slices s = {x->compared_version, FIRST_SLICE};
    *again = false;
    db_leave_wal(x->db, false);
    /* A slice that is rolled back may have compared again. */
    if (!sync_exec(x, e, "PRAGMA stage.journal_mode = DELETE") || !queue_rollups(x, e))
        return false;
    for (size_t p = 0; p < ARRAY_LENGTH(parts); p++)
        for (int i = 0; i < x->n_tables; i++)
            if (sync_has_part(x->tables[i], parts[p]) &&
                !write_table(x, x->tables[i], parts[p], &s, again, e))
                return false;
            else if (*again)
                return true;
    return write_watermark(x, e);
}

static bool lite_restart(struct sync *x, struct err *e)
{
    return sync_exec(x, e, "PRAGMA stage.journal_mode = OFF") && data_version(x, &x->compared_version, e);
}

static bool lite_end(struct sync *x, struct err *e)
{
    (void)x, (void)e;
    return true;
}

const struct sync_dialect sync_sqlite = {
    .stage = "stage.",
    .create = {"CREATE TABLE stage.", " AS "},
    .index = {"stage.", ""},
    .distinct = "IS NOT",
    .insert_missing = "ON CONFLICT DO NOTHING",
    .derived_dataset = "sync_hash(s.experiment_id || '/' || s.name || '/' || s.digest)",
    .day = "date(s.ms / 1000, 'unixepoch')",
    .slices = true,
    .begin = lite_begin,
    .fill = lite_fill,
    .filled = lite_filled,
    .staged = lite_restart,
    .restart = lite_restart,
    .number_experiments = lite_number_experiments,
    .write = lite_write,
    .end = lite_end,
    .add_put_greater = sync_add_put_greater,
};

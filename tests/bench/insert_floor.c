/* The floor that loading is measured against: the rows of a migrated database by one prepared INSERT each, in
 * the order of the tree, into the same tables and indexes, in one transaction. Rows are read into memory
 * first, so that only the inserts count.
 *
 *   insert_floor FROM.db TO.db     TO.db has the schema and no rows; prints the seconds for inserts and
 * commit
 */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/array.h"

/* Parents first, the rows of one run together, as a walk over the tree gives them. */
static const struct {
    const char *table, *order;
} tables[] = {
    {"experiments", "experiment_id"},
    {"experiment_tags", "experiment_id"},
    {"runs", "run_uuid"},
    {"params", "run_uuid, key"},
    {"tags", "run_uuid, key"},
    {"metrics", "run_uuid, key, step, timestamp"},
    {"latest_metrics", "run_uuid, key"},
};

struct rows {
    sqlite3_value **cells;
    size_t n, cap;
    int columns;
};

static void check(int rc, sqlite3 *db)
{
    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
        return;
    fprintf(stderr, "insert_floor: %s\n", sqlite3_errmsg(db));
    exit(2);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct rows read_rows(sqlite3 *db, size_t t)
{
    struct rows r = {0};
    sqlite3_stmt *s;
    char *sql = sqlite3_mprintf("SELECT * FROM \"%w\" ORDER BY %s", tables[t].table, tables[t].order);
    check(sqlite3_prepare_v2(db, sql, -1, &s, NULL), db);
    r.columns = sqlite3_column_count(s);
    while (sqlite3_step(s) == SQLITE_ROW) {
        for (int c = 0; c < r.columns; c++) {
            if (r.n == r.cap) {
                r.cap = r.cap ? 2 * r.cap : 1024;
                r.cells = realloc(r.cells, r.cap * sizeof(sqlite3_value *));
                if (!r.cells)
                    exit(2);
            }
            r.cells[r.n++] = sqlite3_value_dup(sqlite3_column_value(s, c));
        }
    }
    sqlite3_finalize(s);
    sqlite3_free(sql);
    return r;
}

static void insert_rows(sqlite3 *db, size_t t, const struct rows *r)
{
    char sql[512];
    sqlite3_stmt *s;
    snprintf(sql, sizeof sql, "INSERT INTO \"%s\" VALUES (?", tables[t].table);
    for (int c = 1; c < r->columns; c++)
        strncat(sql, ", ?", sizeof sql - strlen(sql) - 1);
    strncat(sql, ")", sizeof sql - strlen(sql) - 1);
    check(sqlite3_prepare_v2(db, sql, -1, &s, NULL), db);
    for (size_t i = 0; i < r->n; i += (size_t)r->columns) {
        for (int c = 0; c < r->columns; c++)
            sqlite3_bind_value(s, c + 1, r->cells[i + (size_t)c]);
        check(sqlite3_step(s), db);
        sqlite3_reset(s);
    }
    sqlite3_finalize(s);
}

int main(int argc, char **argv)
{
    enum { N = ARRAY_LENGTH(tables) };
    struct rows rows[N];
    sqlite3 *from, *to;
    if (argc != 3)
        return 2;
    check(sqlite3_open_v2(argv[1], &from, SQLITE_OPEN_READONLY, NULL), from);
    check(sqlite3_open_v2(argv[2], &to, SQLITE_OPEN_READWRITE, NULL), to);
    for (size_t t = 0; t < N; t++)
        rows[t] = read_rows(from, t);
    check(sqlite3_exec(to, "PRAGMA cache_size = -16384", NULL, NULL, NULL), to);
    double start = now();
    check(sqlite3_exec(to, "BEGIN", NULL, NULL, NULL), to);
    for (size_t t = 0; t < N; t++)
        insert_rows(to, t, &rows[t]);
    check(sqlite3_exec(to, "COMMIT", NULL, NULL, NULL), to);
    printf("%.3f\n", now() - start);
    sqlite3_close(to);
    return 0;
}

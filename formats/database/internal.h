/* The dialect interface, private to db.c and the dialects. */
#ifndef FORMATS_DB_IMPL_H
#define FORMATS_DB_IMPL_H

#include "formats/database/db.h"

/* The .sql files of this room (sql_files.h). */
extern const char database_columns_postgresql[], database_columns_sqlite[], database_intruder_postgresql[],
    database_foreign_code_postgresql[];

/* The functions of db.h with the same names, for one dialect. */
struct db_ops {
    struct db *(*open)(const struct db_url *u, enum db_mode mode, struct err *e);
    /* Whether a new connection can be read from. NULL: open has checked that. */
    bool (*probe)(struct db *db, struct err *e);
    void (*close)(struct db *db);
    void (*lock_timeout)(struct db *db, int ms);
    void (*leave_wal)(struct db *db, bool leave); /* NULL: there is none */
    void *(*native)(struct db *db);
    bool (*exec)(struct db *db, const char *sql, struct err *e);
    uint64_t (*rows_written)(struct db *db);
    struct db_stmt *(*prepare)(struct db *db, const char *sql, struct err *e);
    void (*bind)(struct db_stmt *s, int i, const struct value *v);
    int (*step)(struct db_stmt *s, struct err *e);
    void (*reset)(struct db_stmt *s);
    int (*column_count)(struct db_stmt *s);
    void (*column)(struct db_stmt *s, int i, struct value *v);
    bool (*column_is_blob)(struct db_stmt *s, int i); /* NULL: columns enforce their types */
    void (*finalize)(struct db_stmt *s);
    bool (*begin_read)(struct db *db, struct err *e);
    bool (*begin_write)(struct db *db, struct err *e);
    bool (*commit)(struct db *db, struct err *e);
    void (*rollback)(struct db *db);
    bool (*check_writes)(struct db *db, struct err *e); /* NULL: nothing to check */
    bool (*backup)(struct db *db, const char *file, struct err *e);
    /* One row per column: name, declared type, not null (0, 1), default, generated (0, 1), and its position
     * in the primary key (else NULL or 0). Its only parameter is the table. */
    const char *columns_query;
    /* Returns a row if the table named by its only parameter exists, else none. */
    const char *table_query;
};

/* Each dialect's connection and statement begin with these. */
struct db {
    const struct db_ops *ops;
    enum dialect dialect;
    char *display;
    bool abandoned; /* by a program that ends: statements may be open */
};
struct db_stmt {
    struct db *db;
};

extern const struct db_ops db_sqlite_ops;
extern const struct db_ops db_postgres_ops;

#endif

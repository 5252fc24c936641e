/* SQLite: connections, statements, transactions. */
#include "formats/database/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"

#if SQLITE_VERSION_NUMBER < 3037000
#error "SQLite 3.37 or newer is needed: the migrations drop columns, and rows are counted with 64 bits"
#endif

/* A placeholder for a large file in a git clone, until Git LFS fetches it. */
static bool is_lfs_pointer(sqlite3 *h)
{
    static const char begin[] = "version https://git-lfs.github.com/spec/";
    char text[sizeof begin] = "";
    const char *file = sqlite3_db_filename(h, "main");
    FILE *f = file && *file ? fopen(file, "re") : NULL;
    size_t n = f ? fread(text, 1, sizeof begin - 1, f) : 0;
    if (f)
        fclose(f);
    return n == sizeof begin - 1 && memcmp(text, begin, n) == 0;
}

static bool failed_as_lfs_pointer(const char *where, struct err *e)
{
    err_set(e, where, "this is a Git LFS pointer, not the database itself");
    return err_hint(e, "fetch the database with `git lfs pull`");
}

/* code: a primary or extended result code of SQLite. */
static enum err_class class_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_CONSTRAINT:
        return ERR_CONSTRAINT;
    case SQLITE_INTERRUPT:
        return ERR_INTERRUPTED;
    default:
        return ERR_OTHER;
    }
}

bool sqlite_failed(struct db *db, const char *where, struct err *e)
{
    sqlite3 *h = sqlite_handle(db);
    int code = sqlite3_errcode(h);
    err_set(e, where, "%s", sqlite3_errmsg(h));
    err_classify(e, class_of(code));
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        err_hint(e, "another program is using the database: try again when it has finished, or stop it");
        break;
    case SQLITE_NOTADB:
        if (is_lfs_pointer(h))
            return failed_as_lfs_pointer(where, e);
        err_hint(e, "the file is not a SQLite database, or it is encrypted");
        break;
    case SQLITE_CORRUPT:
        err_hint(e, "the database is damaged; `PRAGMA integrity_check` in the sqlite3 shell says where");
        break;
    case SQLITE_READONLY:
        err_hint(e, "the file or its directory cannot be written by this user");
        break;
    case SQLITE_FULL:
        err_hint(e, "the disk is full");
        break;
    default:
        break;
    }
    return false;
}

static void sqlite_rollback(struct db *db)
{
    sqlite3_stmt *undo = ((struct sqlite_db *)db)->undo;
    if (!sqlite_handle(db) || sqlite3_get_autocommit(sqlite_handle(db)))
        return;
    if (undo) {
        sqlite3_step(undo);
        sqlite3_reset(undo);
    } else
        sqlite3_exec(sqlite_handle(db), "ROLLBACK", NULL, NULL, NULL);
}

static void sqlite_close(struct db *db)
{
    struct sqlite_db *own = (struct sqlite_db *)db;
    sqlite_rollback(db);
    sqlite3_finalize(own->undo);
    if (db->abandoned && !own->running) /* an open statement keeps the file and its journal open */
        for (struct sqlite_stmt *open = own->statements; open; open = open->next)
            sqlite3_finalize(open->handle);
    sqlite3_close_v2(sqlite_handle(db));
    free(db);
}

static bool check_file(const struct db_url *u, enum db_mode mode, struct err *e)
{
    struct stat st;
    if (stat(u->path, &st) != 0) {
        if (errno == ENOENT && mode == DB_CREATE)
            return true;
        int why = errno;
        err_set(e, u->path, "%s", strerror(why));
        if (why != ENOENT)
            return false;
        if (u->undecoded && access(u->undecoded, F_OK) == 0)
            return err_hint(
                e, "there is a file %s, which is how MLflow with SQLAlchemy before 2.1 reads this URL",
                u->undecoded);
        return err_hint(e, "the database does not exist; is the path in the URL right?");
    }
    if (!S_ISREG(st.st_mode))
        return err_set(e, u->path, "not a regular file");
    if (mode != DB_READ && access(u->path, W_OK) != 0)
        return err_set(e, u->path, "cannot be written: %s", strerror(errno));
    return true;
}

/* The lock timeout given in the URL (`timeout=` in seconds, as in Python's sqlite3), in ms; -1: none. */
static int url_timeout(const struct db_url *u)
{
    for (const char *p = u->options; p; p = strchr(p, '&')) {
        p += *p == '&';
        if (strncmp(p, "timeout=", 8) == 0)
            return (int)(strtod(p + 8, NULL) * 1000);
    }
    return -1;
}

/* SQLite's memory statistics take a lock at every allocation. */
static void configure(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static bool open_handle(struct sqlite_db *db, const struct db_url *u, int flags)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);
    bool plain = strcmp(u->path, ":memory:") == 0 || u->path[0] == '/';
    char *path = plain ? xstrdup(u->path) : xasprintf("./%s", u->path);
    int code = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    free(path);
    if (db->handle) /* NULL: out of memory, which sqlite3_errmsg(NULL) reports */
        sqlite3_extended_result_codes(db->handle, 1);
    return code == SQLITE_OK;
}

/* Reads from the file, which fails if it is not a database; a locked file is one. */
static int read_file(struct sqlite_db *db)
{
    int code = sqlite3_exec(db->handle, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    return (code & 0xff) == SQLITE_BUSY ? SQLITE_OK : code;
}

/* Whether the version in the file's header says WAL mode. Reads through SQLite's descriptor: closing another
 * one would release this process's locks. */
static bool has_wal_mode(struct sqlite_db *db)
{
    sqlite3_file *file;
    char version[2];
    return sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK &&
           file->pMethods && file->pMethods->xRead(file, version, 2, 18) == SQLITE_OK && version[0] == 2 &&
           version[1] == 2;
}

/* Whether this user may write the file and create others in its directory. */
static bool may_write(struct sqlite_db *db)
{
    const char *path = sqlite3_db_filename(db->handle, "main");
    char *dir = file_dirname(path);
    bool may = access(path, W_OK) == 0 && access(dir, W_OK | X_OK) == 0;
    free(dir);
    return may;
}

static bool wal_is_there(struct sqlite_db *db)
{
    char *wal = xasprintf("%s-wal", sqlite3_db_filename(db->handle, "main"));
    bool there = access(wal, F_OK) == 0;
    free(wal);
    return there;
}

/* Reopens the file for reading, with the write permission that SQLite itself needs to remove a WAL it creates
 * and to roll back the journal of a killed program. An existing WAL is left alone. */
static int reopen_to_read(struct sqlite_db *db, const struct db_url *u)
{
    int keep_wal = wal_is_there(db);
    sqlite3_close_v2(db->handle);
    if (!open_handle(db, u, SQLITE_OPEN_READWRITE))
        return sqlite3_errcode(db->handle);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_wal, NULL);
    int code = read_file(db);
    sqlite3_exec(db->handle, "PRAGMA query_only = ON", NULL, NULL, NULL);
    return code;
}

/* Opens for reading only. In WAL mode reading still creates files next to the database, which a reader
 * without write permission cannot remove. */
static int open_to_read(struct sqlite_db *db, const struct db_url *u)
{
    if (!open_handle(db, u, SQLITE_OPEN_READONLY))
        return SQLITE_ERROR;
    if (has_wal_mode(db) && may_write(db))
        return reopen_to_read(db, u);
    int code = read_file(db);
    return code == SQLITE_READONLY_ROLLBACK || code == SQLITE_READONLY_RECOVERY ? reopen_to_read(db, u)
                                                                                : code;
}

static int open_to_write(struct sqlite_db *db, const struct db_url *u, enum db_mode mode)
{
    int flags = SQLITE_OPEN_READWRITE | (mode == DB_CREATE ? SQLITE_OPEN_CREATE : 0);
    if (!open_handle(db, u, flags) ||
        sqlite3_prepare_v2(db->handle, "ROLLBACK", -1, &db->undo, NULL) != SQLITE_OK)
        return SQLITE_ERROR;
    return read_file(db);
}

static bool sqlite_probe(struct db *db, struct err *e)
{
    int code = sqlite3_exec(sqlite_handle(db), "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    return code == SQLITE_OK || sqlite_failed(db, db->display, e);
}

/* A locked file is opened nevertheless: statements wait, and the probe reports it. */
static struct db *sqlite_open(const struct db_url *u, enum db_mode mode, struct err *e)
{
    if (strcmp(u->path, ":memory:") != 0 && !check_file(u, mode, e))
        return NULL;
    struct sqlite_db *db = xcalloc(1, sizeof *db);
    int code = mode == DB_READ ? open_to_read(db, u) : open_to_write(db, u, mode);
    if (code != SQLITE_OK) {
        sqlite_failed(&db->base, u->display, e);
        sqlite_close(&db->base);
        return NULL;
    }
    sqlite3_exec(db->handle, "PRAGMA foreign_keys = OFF", NULL, NULL, NULL);
    int timeout = url_timeout(u);
    sqlite3_busy_timeout(db->handle, timeout >= 0 ? timeout : 5000);
    return &db->base;
}

static void sqlite_lock_timeout(struct db *db, int ms)
{
    sqlite3_busy_timeout(sqlite_handle(db), ms);
}

static void sqlite_leave_wal(struct db *db, bool leave)
{
    sqlite3_db_config(sqlite_handle(db), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, (int)leave, NULL);
}

static void *sqlite_native(struct db *db)
{
    return sqlite_handle(db);
}

static bool sqlite_exec_(struct db *db, const char *sql, struct err *e)
{
    struct sqlite_db *own = (struct sqlite_db *)db;
    own->running++;
    int code = sqlite3_exec(own->handle, sql, NULL, NULL, NULL);
    own->running--;
    if (code == SQLITE_OK)
        return true;
    return sqlite_failed(db, db->display, e);
}

static uint64_t sqlite_rows_written(struct db *db)
{
    return (uint64_t)sqlite3_total_changes64(sqlite_handle(db));
}

static struct db_stmt *sqlite_prepare_(struct db *db, const char *sql, struct err *e)
{
    struct sqlite_db *own = (struct sqlite_db *)db;
    struct sqlite_stmt *s = xcalloc(1, sizeof *s);
    if (sqlite3_prepare_v2(sqlite_handle(db), sql, -1, &s->handle, NULL) != SQLITE_OK) {
        sqlite_failed(db, db->display, e);
        free(s);
        return NULL;
    }
    s->base.db = db;
    s->next = own->statements;
    if (s->next)
        s->next->previous = s;
    own->statements = s;
    return &s->base;
}

static sqlite3_stmt *stmt_of(struct db_stmt *s)
{
    return ((struct sqlite_stmt *)s)->handle;
}

static void sqlite_bind_(struct db_stmt *s, int i, const struct value *v)
{
    sqlite3_stmt *h = stmt_of(s);
    int code = SQLITE_OK;
    switch (v->type) {
    case VALUE_NULL:
        code = sqlite3_bind_null(h, i);
        break;
    case VALUE_INT:
        code = sqlite3_bind_int64(h, i, v->i);
        break;
    case VALUE_BOOL:
        code = sqlite3_bind_int(h, i, v->b);
        break;
    case VALUE_FLOAT:
        code = sqlite3_bind_double(h, i, v->f);
        break;
    case VALUE_STR:
        code = sqlite3_bind_text64(h, i, v->s, v->len, SQLITE_STATIC, SQLITE_UTF8);
        break;
    case VALUE_BIN:
    case VALUE_MAP:
    case VALUE_ALIEN:
        code = sqlite3_bind_blob64(h, i, v->len ? v->s : "", v->len, SQLITE_STATIC);
        break;
    }
    if (code == SQLITE_NOMEM || code == SQLITE_TOOBIG)
        ((struct sqlite_stmt *)s)->bind_code = code;
}

static int sqlite_step_(struct db_stmt *s, struct err *e)
{
    sqlite3_stmt *h = stmt_of(s);
    int unbound = ((struct sqlite_stmt *)s)->bind_code;
    if (unbound) {
        ((struct sqlite_stmt *)s)->bind_code = 0;
        err_set(e, s->db->display, "%s", sqlite3_errstr(unbound));
        return -1;
    }
    struct sqlite_db *db = (struct sqlite_db *)s->db;
    db->running++;
    int code = sqlite3_step(h);
    db->running--;
    if (code == SQLITE_ROW)
        return 1;
    if (code != SQLITE_DONE)
        sqlite_failed(s->db, s->db->display, e);
    sqlite3_reset(h);
    return code == SQLITE_DONE ? 0 : -1;
}

static void sqlite_reset_(struct db_stmt *s)
{
    sqlite3_reset(stmt_of(s));
}

static int sqlite_column_count_(struct db_stmt *s)
{
    return sqlite3_column_count(stmt_of(s));
}

static void sqlite_column_(struct db_stmt *s, int i, struct value *v)
{
    sqlite3_stmt *h = stmt_of(s);
    switch (sqlite3_column_type(h, i)) {
    case SQLITE_INTEGER:
        *v = value_int(sqlite3_column_int64(h, i));
        break;
    case SQLITE_FLOAT:
        *v = value_float(sqlite3_column_double(h, i));
        break;
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_column_text(h, i);
        if (!text)
            xnomem(s->db->display);
        *v = value_text(text, (size_t)sqlite3_column_bytes(h, i));
        break;
    }
    case SQLITE_BLOB: {
        const char *bytes = sqlite3_column_blob(h, i);
        if (!bytes && sqlite3_errcode(sqlite3_db_handle(h)) == SQLITE_NOMEM)
            xnomem(s->db->display);
        *v = (struct value){
            .type = VALUE_BIN, .len = (uint32_t)sqlite3_column_bytes(h, i), .s = bytes ? bytes : ""};
        break;
    }
    default:
        *v = value_null();
    }
}

static bool sqlite_column_is_blob(struct db_stmt *s, int i)
{
    return sqlite3_column_type(stmt_of(s), i) == SQLITE_BLOB;
}

static void sqlite_finalize_(struct db_stmt *s)
{
    struct sqlite_stmt *own = (struct sqlite_stmt *)s;
    struct sqlite_db *db = (struct sqlite_db *)s->db;
    *(own->previous ? &own->previous->next : &db->statements) = own->next;
    if (own->next)
        own->next->previous = own->previous;
    sqlite3_finalize(own->handle);
    free(s);
}

static bool sqlite_begin_read(struct db *db, struct err *e)
{
    /* The first read takes the snapshot. */
    if (!sqlite_exec_(db, "BEGIN", e))
        return false;
    if (sqlite_exec_(db, "SELECT count(*) FROM sqlite_schema", e))
        return true;
    sqlite3_exec(sqlite_handle(db), "ROLLBACK", NULL, NULL, NULL);
    return false;
}

static bool sqlite_begin_write(struct db *db, struct err *e)
{
    return sqlite_exec_(db, "BEGIN IMMEDIATE", e);
}

static bool sqlite_commit(struct db *db, struct err *e)
{
    return sqlite_exec_(db, "COMMIT", e);
}

const struct db_ops db_sqlite_ops = {
    .open = sqlite_open,
    .probe = sqlite_probe,
    .close = sqlite_close,
    .lock_timeout = sqlite_lock_timeout,
    .leave_wal = sqlite_leave_wal,
    .native = sqlite_native,
    .exec = sqlite_exec_,
    .rows_written = sqlite_rows_written,
    .prepare = sqlite_prepare_,
    .bind = sqlite_bind_,
    .step = sqlite_step_,
    .reset = sqlite_reset_,
    .column_count = sqlite_column_count_,
    .column = sqlite_column_,
    .column_is_blob = sqlite_column_is_blob,
    .finalize = sqlite_finalize_,
    .begin_read = sqlite_begin_read,
    .begin_write = sqlite_begin_write,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .backup = sqlite_backup,
    .columns_query = database_columns_sqlite,
    .table_query = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1",
};

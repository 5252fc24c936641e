/* ml-load's target: finds, checks, opens and fills the database of a URL. */
#include "formats/load/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/file.h"
#include "formats/database/interrupt.h"
#include "formats/database/new_file.h"
#include "formats/load/emptiness.h"
#include "formats/schema/model.h"

struct load_target {
    struct load_target_options options;
    char *tmpdir;
    struct db_url url; /* its path with links resolved */
    bool exists;
    bool has_schema;
    int rev;              /* of the existing schema, or the one to create */
    char **tables;        /* of the existing schema, which must be empty */
    struct new_file file; /* being built, if `aside` */
    bool aside;
    bool begun; /* the transaction that creates the schema and fills it */
    struct db *db;
};

static bool is_sqlite(const struct load_target *t)
{
    return t->url.dialect == DIALECT_SQLITE;
}

static void close_db(struct load_target *t)
{
    db_interrupt_on_signal(NULL);
    db_close(t->db); /* rolls back */
    t->db = NULL;
}

void load_target_free(struct load_target *t)
{
    close_db(t);
    if (t->aside) {
        new_file_remove(&t->file);
        new_file_free(&t->file);
    }
    for (char **name = t->tables; name && *name; name++)
        free(*name);
    free(t->tables);
    db_url_free(&t->url);
    free(t->tmpdir);
    free(t);
}

const struct db_url *load_target_url(const struct load_target *t)
{
    return &t->url;
}

const char *load_target_tmpdir(const struct load_target *t)
{
    return t->tmpdir;
}

int load_target_rev(const struct load_target *t)
{
    return t->rev;
}

/* -- finding the database */

static bool find_file(struct load_target *t, struct err *e)
{
    struct stat st;
    if (strcmp(t->url.path, ":memory:") == 0)
        return err_set(e, t->url.display, "a database in memory would be lost when ml-load ends");
    char *path = new_file_resolve(t->url.path);
    if (!path)
        return err_set(e, t->url.path, "%s", strerror(errno));
    free(t->url.path);
    t->url.path = path;
    t->exists = stat(path, &st) == 0;
    return true;
}

static bool find(struct load_target *t, struct err *e)
{
    struct stat st;
    t->exists = true;
    if (is_sqlite(t) && !find_file(t, e))
        return false;
    t->tmpdir = file_temp_dir(t->options.tmpdir, t->url.path);
    if (stat(t->tmpdir, &st) != 0 || !S_ISDIR(st.st_mode))
        return err_set(e, t->tmpdir, "the directory does not exist");
    /* SQLite needs temporary files of its own for large indexes. */
    setenv("SQLITE_TMPDIR", t->tmpdir, 1);
    return true;
}

struct load_target *load_target_new(const char *url, const struct load_target_options *o, struct err *e)
{
    struct load_target *t = xcalloc(1, sizeof *t);
    t->options = *o;
    if (!db_url_parse(url, &t->url, e)) {
        free(t);
        return NULL;
    }
    if (find(t, e))
        return t;
    load_target_free(t);
    return NULL;
}

/* -- checking the database */

static bool choose(struct load_target *t, struct buf *why, struct err *e)
{
    const struct schema_release *r =
        t->options.release ? schema_find_release(t->options.release, e) : schema_default_release(why);
    if (r)
        t->rev = r->rev;
    return r != NULL;
}

static bool check_server(struct db *db, struct err *e)
{
    int64_t number;
    char *version, *encoding = NULL;
    bool ok = db_query_int(db, "SELECT current_setting('server_version_num')::int", &number, e) &&
              db_query_text(db, "SELECT current_setting('server_version')", &version, e);
    if (!ok)
        return false;
    if (number < 120000)
        ok = err_set(e, db_display(db), "MLflow's schema needs PostgreSQL 12 or newer; this is %s", version);
    free(version);
    if (!ok || !db_query_text(db, "SELECT current_setting('server_encoding')", &encoding, e))
        return false;
    if (encoding && strcmp(encoding, "UTF8") != 0) {
        err_set(e, db_display(db), "the database's encoding is %s, not UTF8", encoding);
        ok = err_hint(e, "createdb -E UTF8 -T template0 NAME");
    }
    free(encoding);
    return ok;
}

/* The requested release must be that of the existing schema. */
static bool check_release(struct load_target *t, struct err *e)
{
    if (!t->options.release)
        return true;
    const struct schema_release *r = schema_find_release(t->options.release, e);
    if (!r)
        return false;
    if (r->rev == t->rev)
        return true;
    err_set(e, t->url.display, "the database is not of MLflow %s: its schema is %s", r->release,
            schema_revisions[t->rev].revision);
    return err_hint(e, "omit --release, or run `ml-schema upgrade` first");
}

/* Checks the schema of an existing database, and that it is empty. (This is checked again after locking.) */
static bool look_at_existing(struct load_target *t, struct buf *why, struct err *e)
{
    t->db =
        db_open(&t->url, t->options.dry_run && is_sqlite(t) && !t->options.beside ? DB_READ : DB_WRITE, e);
    if (t->db && t->options.beside)
        db_leave_wal(t->db, true);
    if (!t->db || (t->url.dialect == DIALECT_POSTGRESQL && !check_server(t->db, e)) ||
        !schema_rev_of(t->db, &t->rev, e))
        return false;
    t->has_schema = t->rev != SCHEMA_EMPTY;
    if (!t->has_schema)
        return (!is_sqlite(t) || load_check_unused(t->db, e)) && choose(t, why, e);
    if (!check_release(t, e))
        return false;
    if (t->options.beside)
        return true;
    t->tables = schema_tables(t->rev, e);
    return t->tables && load_check_empty(t->db, t->tables, e);
}

bool load_target_look(struct load_target *t, struct buf *why, struct err *e)
{
    return t->exists ? look_at_existing(t, why, e) : choose(t, why, e);
}

/* -- opening the database */

static bool begin_aside(struct load_target *t, struct err *e)
{
    char *dir = file_dirname(t->url.path);
    t->aside = new_file_begin(&t->file, t->url.path, t->options.dry_run ? t->tmpdir : dir, 0666, e);
    free(dir);
    return t->aside;
}

/* Begins a new file, which several syncs may create at the same time: one does, the others wait for it and
 * then open it (*made). If one fails, the next tries. */
static bool begin_aside_or_wait(struct load_target *t, bool *made, struct err *e)
{
    static const struct timespec pause = {.tv_nsec = 50000000};
    struct stat st;
    for (bool said = false;; said = true) {
        bool begun = begin_aside(t, e);
        *made = stat(t->url.path, &st) == 0;
        if (begun && *made) {
            new_file_remove(&t->file);
            new_file_free(&t->file);
            t->aside = false;
        }
        if (begun || *made)
            return true;
        if (e->class != ERR_BUSY)
            return false;
        if (err_interrupted())
            return err_set_interrupted(e);
        if (!said)
            err_note("%s: another program is creating this database; waiting for it", t->url.display);
        nanosleep(&pause, NULL);
    }
}

static bool open_aside(struct load_target *t, struct err *e)
{
    bool made = false;
    if (t->options.beside && !t->exists) {
        if (!begin_aside_or_wait(t, &made, e))
            return false;
    } else if (!begin_aside(t, e)) {
        return false;
    }
    if (made) {
        struct buf why = {0};
        t->exists = true;
        bool ok = look_at_existing(t, &why, e);
        buf_free(&why);
        return ok;
    }
    return (t->db = new_file_open(&t->file, t->url.display, e)) != NULL && db_begin_write(t->db, e) &&
           schema_create(t->db, t->rev, e);
}

bool load_target_begin(struct load_target *t, struct err *e)
{
    bool stays = t->options.beside && t->has_schema;
    if (is_sqlite(t) && t->exists && t->options.dry_run && !stays)
        close_db(t); /* a temporary file replaces it */
    if (!t->db && !open_aside(t, e))
        return false;
    db_interrupt_on_signal(t->db);
    return true;
}

/* Prevents others from writing to the tables. */
static bool lock_tables(struct load_target *t, struct err *e)
{
    if (is_sqlite(t) || !t->has_schema)
        return true;
    struct buf sql = {0};
    buf_adds(&sql, "LOCK TABLE ");
    for (char **name = t->tables; *name; name++)
        buf_addf(&sql, "%s\"%s\"", name == t->tables ? "" : ", ", *name);
    buf_adds(&sql, " IN ACCESS EXCLUSIVE MODE");
    bool ok = db_exec(t->db, buf_str(&sql), e) && db_check_writes(t->db, e);
    buf_free(&sql);
    return ok;
}

/* Begins the single transaction that fills an existing database, after checking that it has not changed. */
static bool begin_existing(struct load_target *t, struct err *e)
{
    enum { LOCK_TIMEOUT = 60000 }; /* ms */
    int rev;
    if (!is_sqlite(t) && !schema_lock(t->db, LOCK_TIMEOUT, e))
        return false;
    if (!db_begin_write(t->db, e) || !lock_tables(t, e) || !schema_rev_of(t->db, &rev, e))
        return false;
    if (rev != (t->has_schema ? t->rev : SCHEMA_EMPTY))
        return err_set(e, t->url.display, "another program changed the schema during the load");
    bool ok = true;
    if (t->has_schema)
        ok = load_check_empty(t->db, t->tables, e) && (!t->options.wide_ids || schema_widen(t->db, e));
    else
        ok = (!is_sqlite(t) || load_check_unused(t->db, e)) &&
             (t->options.wide_ids ? schema_create_wide : schema_create)(t->db, t->rev, e);
    bool tags = false; /* tags left by a sync's ticks */
    ok = ok && db_table_exists(t->db, "experiment_tags", &tags, e) &&
         (!tags || db_exec(t->db, "DELETE FROM experiment_tags", e));
    return ok && db_exec(t->db, "DELETE FROM experiments", e);
}

/* Creates the tables of an empty database, unless another sync was faster. */
static bool create_tables(struct load_target *t, struct err *e)
{
    enum { LOCK_TIMEOUT = 60000 }; /* ms */
    int rev;
    if (!is_sqlite(t) && !schema_lock(t->db, LOCK_TIMEOUT, e))
        return false;
    db_leave_wal(t->db, false);
    if (!db_begin_write(t->db, e) || !schema_rev_of(t->db, &rev, e))
        return false;
    if (rev == SCHEMA_EMPTY) {
        if ((is_sqlite(t) && !load_check_unused(t->db, e)) || !schema_create(t->db, t->rev, e))
            return false;
    } else {
        t->rev = rev;
        if (!check_release(t, e))
            return false;
    }
    return db_commit(t->db, e) && (is_sqlite(t) || schema_unlock(t->db, e));
}

struct db *load_target_open_beside(struct load_target *t, struct err *e)
{
    bool ok = true;
    if (t->aside) {
        ok = db_commit(t->db, e);
    } else if (!t->has_schema && t->options.dry_run) {
        err_set(e, t->url.display, "the database has no tables yet: nothing to compare with");
        ok =
            err_hint(e, "--sync without --dry-run creates them; --dry-run without --sync checks the records");
    } else if (!t->has_schema) {
        ok = create_tables(t, e);
    }
    return ok ? t->db : NULL;
}

/* Reads the target's tables. In an empty PostgreSQL database they are created now and points are streamed
 * into them, as nobody else can see them; existing tables are locked only when the stream has ended. */
struct load *load_target_store(struct load_target *t, const struct load_options *options, struct err *e)
{
    struct load_options how = *options;
    struct db *model = NULL;
    how.tmpdir = t->tmpdir;
    bool there = t->aside || (t->has_schema && !t->options.wide_ids), taken_back = false, ok = true;
    if (!there && is_sqlite(t)) {
        ok = (model = schema_model(t->rev, e)) != NULL;
    } else if (!there && t->has_schema) {
        taken_back = true;
        ok = db_begin_write(t->db, e) && schema_widen(t->db, e);
    } else if (!there) {
        t->begun = true;
        ok = begin_existing(t, e);
    }
    struct load *s = ok ? load_new(model ? model : t->db, t->rev, &how, e) : NULL;
    if (s && t->begun && !load_begin_streamed(s, t->db, e)) {
        load_free(s);
        s = NULL;
    }
    if (taken_back)
        db_rollback(t->db);
    db_close(model);
    return s;
}

/* -- filling the database */

bool load_target_write(struct load_target *t, struct load *s, struct err *e)
{
    if (!(t->aside || t->begun || begin_existing(t, e)) || !load_write(s, t->db, e))
        return false;
    if (err_interrupted())
        return err_set_interrupted(e);
    return t->options.dry_run || (load_advance_ids(s, t->db, e) && db_commit(t->db, e));
}

bool load_target_publish(struct load_target *t, struct err *e)
{
    close_db(t);
    if (!t->aside || t->options.dry_run)
        return true;
    if (!new_file_publish(&t->file, e))
        return false;
    t->aside = false;
    new_file_free(&t->file);
    return true;
}

char *load_target_uri(const struct load_target *t)
{
    const char *query = strchr(t->url.display, '?');
    bool by_sqlite =
        t->url.options && strstr(t->url.options, "uri="); /* the URL has SQLite's own parameters */
    char *plain = is_sqlite(t) && !by_sqlite ? db_url_of_file(t->url.path) : NULL;
    char *uri = plain ? xasprintf("%s%s", plain, query ? query : "") : xstrdup(t->url.display);
    free(plain);
    return uri;
}

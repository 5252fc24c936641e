/* ml-load: a record stream into an empty database, all or nothing. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"
#include "../common/opt.h"
#include "../common/progress.h"
#include "../formats/schema.h"
#include "../formats/store.h"
#include "../formats/wire.h"

static struct {
    const char *release;
    const char *tmpdir;
    bool dry_run;
    bool drop_unsupported;
} options;

static const struct opt table[] = {
    {OPT_STRING, 0, "release", "X.Y[.Z]",
     "make the schema of this MLflow release (default: that of the mlflow\n"
     "on PATH, else the newest one that can be installed); an existing\n"
     "database keeps the schema that it has",
     &options.release},
    {OPT_FLAG, 'n', "dry-run", NULL, "check every record against the target and count; change nothing",
     &options.dry_run},
    {OPT_FLAG, 0, "drop-unsupported", NULL,
     "leave out what the target cannot hold, count it, and exit with 1", &options.drop_unsupported},
    {OPT_STRING, 0, "tmpdir", "DIR", "directory for temporary files (default: beside the target)",
     &options.tmpdir},
    {OPT_END, 0, NULL, NULL, NULL, NULL},
};

static const struct opt_spec spec = {
    .synopsis = "ml-load [--release X.Y[.Z]] [-n|--dry-run] [--drop-unsupported] [--tmpdir DIR] [URL]",
    .about = "Loads the record stream on standard input into a database: all of it, or nothing.\n"
             "URL is sqlite:///file.db (default: $MLFLOW_BACKEND_STORE_URI, $MLFLOW_TRACKING_URI where it\n"
             "names a database, else sqlite:///mlflow.db). A database that is there must be empty.",
    .options = table,
    .epilog = "Example: mlruns-dump ./mlruns | ml-load sqlite:///mlflow.db",
};

/* What is loaded into, and what has to be undone when the program ends early. */
static struct target {
    const char *url_text;
    struct db_url url;
    char *path;   /* of the SQLite file, links resolved */
    char *dir;    /* that it lies in */
    char *aside;  /* the file that is built, NULL when the database exists */
    int aside_fd; /* holds its lock */
    bool exists;
    bool has_schema;
    int order; /* of the schema that is there or will be made */
    struct db *db;
} target = {.aside_fd = -1};

/* ---- undoing */

static void close_target(void *unused)
{
    (void)unused;
    err_signal_hook_set(NULL);
    db_close(target.db); /* rolls back */
    target.db = NULL;
}

static void remove_aside(void *unused)
{
    (void)unused;
    unlink(target.aside);
}

static void interrupt_database(void)
{
    sqlite3_interrupt(db_native(target.db));
}

/* Whatever failed because of a signal is not told. */
static _Noreturn void fail(const struct err *e)
{
    if (err_interrupted())
        err_exit_interrupted();
    err_die(e);
}

/* ---- finding the target */

/* Where a path leads, symbolic links followed, though the file itself need not be there. NULL with errno set.
 */
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);
    if (real || errno != ENOENT)
        return real;
    char link[PATH_MAX];
    ssize_t n = readlink(path, link, sizeof link - 1);
    char *dir = io_dirname(path), *result = NULL;
    if (n >= 0) {
        link[n] = '\0';
        char *next = link[0] == '/' ? xstrdup(link) : xasprintf("%s/%s", dir, link);
        result = resolve(next);
        free(next);
    } else if ((real = realpath(dir, NULL))) {
        const char *slash = strrchr(path, '/');
        result = xasprintf("%s/%s", strcmp(real, "/") == 0 ? "" : real, slash ? slash + 1 : path);
        free(real);
    }
    free(dir);
    return result;
}

/* A journal without its database belongs to one that was moved away; SQLite would roll it into a new one. */
static void refuse_leftovers(void)
{
    static const char *const suffixes[] = {"-journal", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *name = xasprintf("%s%s", target.path, suffixes[i]);
        struct stat st;
        if (lstat(name, &st) == 0)
            die_hint("move it away, or to where its database is", name,
                     "it is left from a database %s that is no longer there", target.path);
        free(name);
    }
}

static void find_target(const char *text)
{
    struct err e;
    target.url_text = text;
    if (!db_url_parse(text, &target.url, &e))
        err_die(&e);
    if (target.url.dialect != DIALECT_SQLITE)
        die_hint("the stream can be loaded into sqlite:///file.db", target.url.display,
                 "ml-load writes SQLite databases only");
    if (strcmp(target.url.path, ":memory:") == 0)
        die(target.url.display, "a database in memory would be gone when ml-load ends");
    target.path = resolve(target.url.path);
    if (!target.path)
        die(target.url.path, "%s", strerror(errno));
    target.dir = io_dirname(target.path);
    struct stat st;
    target.exists = stat(target.path, &st) == 0;
    if (!target.exists)
        refuse_leftovers();
    if (!options.tmpdir)
        options.tmpdir = target.dir;
    if (stat(options.tmpdir, &st) != 0 || !S_ISDIR(st.st_mode))
        die(options.tmpdir, "there is no such directory");
    /* SQLite's own temporary files, which it needs for large indexes. */
    setenv("SQLITE_TMPDIR", options.tmpdir, 1);
}

static int chosen_order(void)
{
    struct err e;
    const struct schema_release *r;
    if (options.release) {
        r = schema_find_release(options.release, &e);
        if (!r)
            err_die(&e);
        return r->order;
    }
    struct buf why = {0};
    r = schema_default_release(&why);
    err_note("schema: that of %s", buf_str(&why));
    buf_free(&why);
    return r->order;
}

/* ---- emptiness */

/* Rows that MLflow itself puts into a fresh database are no content. NULL: any row is. */
static const char *content_condition(const char *name)
{
    static const struct {
        const char *table, *condition;
    } known[] = {
        {"alembic_version", "0 = 1"},
        {"workspaces", "name <> 'default'"},
        {"experiments", "NOT (experiment_id = 0 AND name = 'Default' AND lifecycle_stage = 'active')"},
        {"scheduler_leases", "0 = 1"},
        {"job_locks", "0 = 1"},
        {"sql_trace_rollup_rebuild_queue", "0 = 1"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].table, name) == 0)
            return known[i].condition;
    return "1 = 1";
}

/* Dies when a table of the list, those of a fresh schema, holds content. */
static void refuse_content(struct db *db, char *const *tables)
{
    struct err e;
    for (; *tables; tables++) {
        int64_t found;
        char *sql = xasprintf("SELECT count(*) FROM (SELECT 1 FROM \"%s\" WHERE %s LIMIT 1) AS x", *tables,
                              content_condition(*tables));
        if (!db_query_int(db, sql, &found, &e))
            fail(&e);
        free(sql);
        if (found)
            die_hint("load into a new database; merging is done before loading, by ml-transform --merge",
                     db_display(db), "the database is not empty: its table %s has rows", *tables);
    }
}

/* A database without MLflow's tables must hold nothing else: it is probably somebody else's. */
static void refuse_others(struct db *db)
{
    struct err e;
    char *name;
    if (!db_query_text(db,
                       "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE "
                       "'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'alembic\\_version%' ESCAPE '\\' LIMIT 1",
                       &name, &e))
        fail(&e);
    if (name)
        die_hint("load into a new database", db_display(db),
                 "this is no database of MLflow: it has a table %s", name);
}

/* The names of all tables in db, ended by NULL; kept until the program ends. */
static char **table_names(struct db *db)
{
    struct err e;
    size_t n = 0;
    char **names = NULL;
    struct db_stmt *q = db_prepare(
        db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        &e);
    if (!q)
        fail(&e);
    int row;
    struct value v;
    while ((row = db_step(q, &e)) == 1) {
        db_column(q, 0, &v);
        names = xrealloc(names, (n + 2) * sizeof *names);
        names[n++] = xstrndup(v.s, v.len);
        names[n] = NULL;
    }
    db_finalize(q);
    if (row < 0)
        fail(&e);
    return names;
}

/* A database in memory with the schema that the target has or will have: the pattern of what is to be found
 * there. */
static struct db *pattern_database(void)
{
    struct err e;
    struct db_url url = {.dialect = DIALECT_SQLITE, .path = ":memory:", .display = target.url.display};
    struct db *db = db_open(&url, DB_CREATE, &e);
    if (!db || !db_begin_write(db, &e) || !schema_create(db, target.order, &e) || !db_commit(db, &e))
        fail(&e);
    return db;
}

/* ---- opening */

/* Takes the file that is built aside: its name is fixed, so that what a killed run has left is taken over,
 * and its lock tells a killed run from a running one. */
static void take_aside(void)
{
    const char *base = strrchr(target.path, '/') + 1;
    target.aside = xasprintf("%s/.%s.ml-load", options.dry_run ? options.tmpdir : target.dir, base);
    for (;;) {
        int fd = open(target.aside, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0)
            die(target.aside, "cannot be made: %s", strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) != 0)
            die(target.path, "another ml-load is making this database");
        struct stat mine, named;
        /* The other may have just published or removed the file that was opened here. */
        if (fstat(fd, &mine) == 0 && stat(target.aside, &named) == 0 && mine.st_ino == named.st_ino) {
            target.aside_fd = fd;
            break;
        }
        close(fd);
    }
    err_cleanup_push(remove_aside, NULL);
    if (ftruncate(target.aside_fd, 0) != 0)
        die(target.aside, "%s", strerror(errno));
}

/* The database that is built aside needs no journal: it is nobody's before it is whole. */
static void open_aside(void)
{
    struct err e;
    take_aside();
    struct db_url url = {.dialect = DIALECT_SQLITE, .path = target.aside, .display = target.url.display};
    target.db = db_open(&url, DB_WRITE, &e);
    if (!target.db)
        fail(&e);
    err_cleanup_push(close_target, NULL);
    if (!db_exec(target.db,
                 "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE",
                 &e) ||
        !db_begin_write(target.db, &e) || !schema_create(target.db, target.order, &e))
        fail(&e);
}

/* An existing database: what it is, and whether it is empty. */
static void open_existing(void)
{
    struct err e;
    struct db_url url = target.url;
    url.path = target.path;
    target.db = db_open(&url, options.dry_run ? DB_READ : DB_WRITE, &e);
    if (!target.db)
        fail(&e);
    err_cleanup_push(close_target, NULL);
    if (!schema_order_of(target.db, &target.order, &e))
        fail(&e);
    target.has_schema = target.order != SCHEMA_EMPTY;
    if (!target.has_schema) {
        refuse_others(target.db);
        target.order = chosen_order();
        return;
    }
    const struct schema_release *r = options.release ? schema_find_release(options.release, &e) : NULL;
    if (options.release && !r)
        err_die(&e);
    if (r && r->order != target.order)
        die_hint("leave --release away, or `ml-schema upgrade` the database first", target.url.display,
                 "the database is not of MLflow %s: its schema is %s", r->release,
                 schema_revisions[target.order].revision);
}

/* ---- reading the stream */

static void read_stream(struct store *s)
{
    struct err e;
    struct wire_reader *r = wire_reader_new(STDIN_FILENO, "standard input");
    const struct record *record;
    wire_reader_want_whole(r);
    progress_start("Reading", "records", 0);
    for (unsigned n = 0;; n++) {
        if ((n & 1023) == 0 && err_interrupted())
            err_exit_interrupted();
        switch (wire_next(r, &record, &e)) {
        case WIRE_HEADER:
            store_segment(s, wire_reader_header(r));
            continue;
        case WIRE_RECORD:
            progress_add(1);
            if (!store_add(s, record, &e))
                fail(&e);
            continue;
        case WIRE_TRAILER:
            continue;
        case WIRE_ERROR:
            progress_end();
            fail(&e);
        case WIRE_END:
            break;
        }
        break;
    }
    progress_end();
    wire_reader_free(r);
    if (!store_check(s, &e))
        fail(&e);
}

/* ---- writing */

/* Into the file aside, or, of an existing database, in one transaction. */
static void write_rows(struct store *s, char *const *tables)
{
    struct err e;
    if (!target.aside) {
        if (!db_begin_write(target.db, &e))
            fail(&e);
        if (target.has_schema)
            refuse_content(target.db, tables);
        else if (refuse_others(target.db), !schema_create(target.db, target.order, &e))
            fail(&e);
        if (!db_exec(target.db, "DELETE FROM experiments", &e))
            fail(&e);
    }
    if (!store_write(s, target.db, &e))
        fail(&e);
    if (err_interrupted())
        err_exit_interrupted();
    if (!options.dry_run && !db_commit(target.db, &e))
        fail(&e);
}

static void publish(void)
{
    struct err e;
    if (fsync(target.aside_fd) != 0)
        die(target.aside, "cannot write: %s", strerror(errno));
    refuse_leftovers();
    if (!io_publish(target.aside, target.path, &e)) {
        if (errno == EEXIST) {
            err_set(&e, target.path,
                    "a file of this name has appeared during the load; it was left as it is");
            err_hint(&e, "nothing was loaded: move it away and load again");
        }
        fail(&e);
    }
    if (!io_sync_dir_of(target.path, &e))
        fail(&e);
}

/* ---- what the user must know */

static void add_plain(struct buf *out, uint64_t n, const char *one, const char *many)
{
    buf_addf(out, "%llu %s", (unsigned long long)n, n == 1 ? one : many);
}

static void tell_counts(const struct store_report *r)
{
    const struct kind_desc *by_order[KIND_COUNT];
    int n = 0;
    for (int k = 0; k < KIND_COUNT; k++) {
        if (!r->rows[k] && !r->dropped[k])
            continue;
        int i = n++;
        for (; i > 0 && by_order[i - 1]->order > kinds[k].order; i--)
            by_order[i] = by_order[i - 1];
        by_order[i] = &kinds[k];
    }
    for (int i = 0; i < n; i++) {
        enum kind k = by_order[i]->kind;
        struct buf line = {0};
        buf_addf(&line, "  %s: %llu", by_order[i]->plural, (unsigned long long)r->rows[k]);
        if (r->collapsed[k])
            buf_addf(&line, " (and %llu exact duplicates, which a database cannot hold)",
                     (unsigned long long)r->collapsed[k]);
        if (r->dropped[k])
            buf_addf(&line, " (and %llu left out)", (unsigned long long)r->dropped[k]);
        err_note("%s", buf_str(&line));
        buf_free(&line);
    }
}

/* True when something was left out. */
static bool tell_dropped(const struct store_report *r)
{
    bool any = false;
    for (int k = 0; k < KIND_COUNT; k++) {
        any |= r->dropped[k] > 0;
        if (r->dropped[k])
            err_warn(NULL, "left out on request: %llu %s", (unsigned long long)r->dropped[k],
                     kinds[k].plural);
        for (int f = 0; f < kinds[k].n_fields; f++) {
            if (!r->dropped_values[k][f])
                continue;
            any = true;
            err_warn(NULL, "left out on request: the %s of %llu %s", kinds[k].fields[f].name,
                     (unsigned long long)r->dropped_values[k][f], kinds[k].plural);
        }
    }
    return any;
}

static void tell_conversions(const struct store_report *r)
{
    struct buf b = {0};
    if (r->model_nans) {
        add_plain(&b, r->model_nans, "NaN metric of a logged model was", "NaN metrics of logged models were");
        err_note("%s stored as 0.0: MLflow's server fails on the NULL that would stand for it", buf_str(&b));
        buf_reset(&b);
    }
    if (r->cut_names || r->cut_sessions)
        err_note(
            "cut to their columns, as MLflow does: %llu trace names (4096 characters), %llu sessions (250)",
            (unsigned long long)r->cut_names, (unsigned long long)r->cut_sessions);
    if (r->usage_losses) {
        add_plain(&b, r->usage_losses, "trace has", "traces have");
        err_note("%s token usage or cost of which MLflow's columns hold a part only", buf_str(&b));
    }
    if (r->skipped)
        err_warn(NULL, "the stream says that %llu entities of the source were left out when it was written",
                 (unsigned long long)r->skipped);
    buf_free(&b);
}

static void tell_about_files(const struct store_report *r)
{
    struct buf b = {0};
    for (int i = 0; i < r->n_roots; i++) {
        add_plain(&b, r->roots[i].locations, "artifact location", "artifact locations");
        buf_adds(&b, " and the spans of ");
        add_plain(&b, r->roots[i].spans, "trace", "traces");
        err_note("keep %s: %s stay there", r->roots[i].uri, buf_str(&b));
        buf_reset(&b);
    }
    if (r->deleted_experiments) {
        add_plain(&b, r->deleted_experiments, "deleted experiment has its", "deleted experiments have their");
        err_note("%s files in the source's .trash: move such a folder back to where it was before you "
                 "restore the experiment",
                 buf_str(&b));
        buf_reset(&b);
    }
    if (r->undated_deleted_runs) {
        add_plain(&b, r->undated_deleted_runs, "deleted run has", "deleted runs have");
        err_note("%s no time of deletion: `mlflow gc` never collects them", buf_str(&b));
    }
    buf_free(&b);
}

/* The URL by which MLflow opens the database, from any folder where that can be said for every version of
 * MLflow. */
static char *tracking_uri(void)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+,@";
    if (target.path[strspn(target.path, plain)] == '\0')
        return xasprintf("sqlite:///%s", target.path);
    struct buf b = {0};
    buf_addc(&b, '\'');
    for (const char *p = target.url_text; *p; p++)
        if (*p == '\'')
            buf_adds(&b, "'\\''");
        else
            buf_addc(&b, *p);
    buf_addc(&b, '\'');
    return b.data;
}

static void tell_how_to_open(void)
{
    struct buf releases = {0};
    schema_releases_of(target.order, &releases);
    err_note("schema %s: %s, and no other, opens this database (ml-schema upgrade takes it further)",
             schema_revisions[target.order].revision, buf_str(&releases));
    buf_free(&releases);
    char *uri = tracking_uri();
    err_note("MLflow goes on using ./mlruns until you say:");
    err_note("  export MLFLOW_TRACKING_URI=%s", uri);
    free(uri);
}

/* ---- */

int main(int argc, char **argv)
{
    struct err e;
    err_program_set(argv[0]);
    int first = opt_parse(&spec, argc, argv);
    if (argc - first > 1)
        opt_usage_error(&spec, "one URL, please: %s is one too many", argv[first + 1]);
    const char *text = first < argc ? argv[first] : db_default_url();
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* its counters cost a lock at every allocation */
    err_catch_signals();
    find_target(text);
    if (first == argc)
        err_note("no URL given: %s", target.url.display);
    if (isatty(STDIN_FILENO))
        die_hint("mlruns-dump ./mlruns | ml-load sqlite:///mlflow.db", "standard input",
                 "a terminal, not a record stream");

    char **tables = NULL;
    if (target.exists)
        open_existing();
    else
        target.order = chosen_order();
    struct db *pattern = target.exists ? pattern_database() : NULL;
    if (target.has_schema)
        refuse_content(target.db, tables = table_names(pattern));
    if (target.exists && options.dry_run)
        close_target(NULL);
    if (!target.exists || options.dry_run)
        open_aside();
    err_signal_hook_set(interrupt_database);

    struct store_options how = {.drop_unsupported = options.drop_unsupported, .tmpdir = options.tmpdir};
    struct store *s = store_new(target.has_schema || !pattern ? target.db : pattern, target.order, &how, &e);
    if (!s)
        fail(&e);
    db_close(pattern);
    read_stream(s);
    write_rows(s, tables);
    err_verbose("%llu MiB went through a temporary file", (unsigned long long)(store_spilled(s) >> 20));
    close_target(NULL);
    if (target.aside && !options.dry_run) {
        publish();
        err_cleanup_pop();
        err_cleanup_pop();
    }

    const struct store_report *report = store_report(s);
    err_note(options.dry_run ? "dry run: nothing was written; it would be loaded into %s:"
                             : "loaded into %s:",
             target.url.display);
    tell_counts(report);
    tell_conversions(report);
    bool dropped = tell_dropped(report);
    tell_about_files(report);
    if (!options.dry_run)
        tell_how_to_open();
    store_free(s);
    return dropped ? EXIT_ANSWER_NO : EXIT_DONE;
}

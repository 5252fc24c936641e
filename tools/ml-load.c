/* ml-load: a record stream into an empty database, all or nothing. */
#include <errno.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/opt.h"
#include "common/progress.h"
#include "formats/load/emptiness.h"
#include "formats/database/new_file.h"
#include "formats/schema/schema.h"
#include "formats/load/load.h"
#include "formats/stream/wire.h"

static struct {
    const char *release;
    const char *tmpdir;
    bool dry_run;
    bool drop_unsupported;
    bool wide_ids;
    bool export;
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
    {OPT_FLAG, 0, "wide-experiment-ids", NULL,
     "PostgreSQL: make the columns of experiment ids 64 bits wide; only\n"
     "ml-schema can upgrade such a database from then on",
     &options.wide_ids},
    {OPT_FLAG, 0, "export", NULL,
     "print the command that makes MLflow use the database to standard\n"
     "output, too",
     &options.export},
    {OPT_STRING, 0, "tmpdir", "DIR", "directory for temporary files (default: beside the target)",
     &options.tmpdir},
    {OPT_END, 0, NULL, NULL, NULL, NULL},
};

static const struct opt_spec spec = {
    .synopsis = "ml-load [--release X.Y[.Z]] [-n|--dry-run] [--drop-unsupported] [--wide-experiment-ids]\n"
                "        [--export] [--tmpdir DIR] [URL]",
    .about = "Loads the record stream on standard input into a database: all of it, or nothing.\n"
             "URL is sqlite:///file.db or postgresql://… (default: $MLFLOW_BACKEND_STORE_URI, "
             "$MLFLOW_TRACKING_URI where it\n"
             "names a database, else sqlite:///mlflow.db). A database that is there must be empty.",
    .options = table,
    .epilog = "Example: mlruns-dump ./mlruns | ml-load sqlite:///mlflow.db",
};

/* What is loaded into, and what has to be undone when the program ends early. */
static struct target {
    struct db_url url;
    char *path; /* of the SQLite file, links resolved */
    bool exists;
    bool has_schema;
    int order;            /* of the schema that is there or will be made */
    char **tables;        /* of that schema, where there is one that must be empty */
    struct new_file file; /* that is built, when `aside` */
    bool aside;
    bool begun; /* the transaction that makes the schema and fills it */
    struct db *db;
    PGcancel *cancel;
} target;

static bool is_sqlite(void)
{
    return target.url.dialect == DIALECT_SQLITE;
}

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
    new_file_remove(&target.file);
}

/* Stops a statement that is running; called by the signal handler. */
static void interrupt_database(void)
{
    char message[256];
    if (target.cancel)
        PQcancel(target.cancel, message, sizeof message);
    else
        sqlite3_interrupt(db_native(target.db));
}

/* Whatever failed because of a signal is not told. */
static _Noreturn void fail(const struct err *e)
{
    if (err_interrupted())
        err_exit_interrupted();
    err_die(e);
}

static void require(bool ok, const struct err *e)
{
    if (!ok)
        fail(e);
}

/* ---- finding the target */

static void find_file(void)
{
    struct stat st;
    if (strcmp(target.url.path, ":memory:") == 0)
        die(target.url.display, "a database in memory would be gone when ml-load ends");
    target.path = new_file_resolve(target.url.path);
    if (!target.path)
        die(target.url.path, "%s", strerror(errno));
    free(target.url.path);
    target.url.path = target.path;
    target.exists = stat(target.path, &st) == 0;
}

static void find_target(const char *text)
{
    struct err e;
    struct stat st;
    require(db_url_parse(text, &target.url, &e), &e);
    if (is_sqlite())
        find_file();
    else
        target.exists = true;
    if (options.wide_ids && is_sqlite())
        die(target.url.display, "--wide-experiment-ids: SQLite's ids have 64 bits already");
    options.tmpdir = io_temp_dir(options.tmpdir, target.path);
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
        require(r, &e);
        return r->order;
    }
    struct buf why = {0};
    r = schema_default_release(&why);
    err_note("schema: that of %s", buf_str(&why));
    buf_free(&why);
    return r->order;
}

/* ---- opening */

static void open_aside(void)
{
    struct err e;
    char *dir = io_dirname(target.path);
    require(new_file_begin(&target.file, target.path, options.dry_run ? options.tmpdir : dir, 0666, &e), &e);
    free(dir);
    target.aside = true;
    err_cleanup_push(remove_aside, NULL);
    target.db = new_file_open(&target.file, target.url.display, &e);
    require(target.db, &e);
    err_cleanup_push(close_target, NULL);
    require(db_begin_write(target.db, &e) && schema_create(target.db, target.order, &e), &e);
}

static void check_server(void)
{
    PGconn *conn = db_native(target.db);
    const char *encoding = PQparameterStatus(conn, "server_encoding");
    if (PQserverVersion(conn) < 120000)
        die(target.url.display, "MLflow's schema needs PostgreSQL 12 or newer; this is %s",
            PQparameterStatus(conn, "server_version"));
    if (encoding && strcmp(encoding, "UTF8") != 0)
        die_hint("createdb -E UTF8 -T template0 NAME", target.url.display,
                 "the database's encoding is %s, not UTF8", encoding);
    target.cancel = PQgetCancel(conn);
}

/* The release asked for must be that of the schema that is there. */
static void check_release(void)
{
    struct err e;
    const struct schema_release *r = options.release ? schema_find_release(options.release, &e) : NULL;
    if (options.release)
        require(r, &e);
    if (r && r->order != target.order)
        die_hint("leave --release away, or `ml-schema upgrade` the database first", target.url.display,
                 "the database is not of MLflow %s: its schema is %s", r->release,
                 schema_revisions[target.order].revision);
}

/* An existing database: what it is, and whether it is empty. (It is asked again when it is locked.) */
static void open_existing(void)
{
    struct err e;
    target.db = db_open(&target.url, options.dry_run && is_sqlite() ? DB_READ : DB_WRITE, &e);
    require(target.db, &e);
    err_cleanup_push(close_target, NULL);
    if (!is_sqlite())
        check_server();
    require(schema_order_of(target.db, &target.order, &e), &e);
    target.has_schema = target.order != SCHEMA_EMPTY;
    if (!target.has_schema) {
        if (is_sqlite())
            require(content_check_unused(target.db, &e), &e);
        target.order = chosen_order();
        return;
    }
    check_release();
    target.tables = content_tables(target.order, &e);
    require(target.tables && content_check_empty(target.db, target.tables, &e), &e);
}

/* Nobody else writes to the tables from here on. */
static bool lock_tables(struct err *e)
{
    if (is_sqlite() || !target.has_schema)
        return true;
    struct buf sql = {0};
    buf_adds(&sql, "LOCK TABLE ");
    for (char **t = target.tables; *t; t++)
        buf_addf(&sql, "%s\"%s\"", t == target.tables ? "" : ", ", *t);
    buf_adds(&sql, " IN ACCESS EXCLUSIVE MODE");
    bool ok = db_exec(target.db, buf_str(&sql), e);
    buf_free(&sql);
    return ok;
}

/* Begins the one transaction that fills an existing database, once it is certain that it is still what it
 * was. */
static bool begin_existing(struct err *e)
{
    enum { LOCK_TIMEOUT = 60000 }; /* ms */
    int order;
    if (!is_sqlite() && !schema_lock(target.db, LOCK_TIMEOUT, e))
        return false;
    if (!db_begin_write(target.db, e) || !lock_tables(e) || !schema_order_of(target.db, &order, e))
        return false;
    if (order != (target.has_schema ? target.order : SCHEMA_EMPTY))
        return err_set(e, target.url.display, "another program has changed the schema during the load");
    bool ok = true;
    if (target.has_schema)
        ok = content_check_empty(target.db, target.tables, e) &&
             (!options.wide_ids || schema_widen(target.db, e));
    else
        ok = (!is_sqlite() || content_check_unused(target.db, e)) &&
             (options.wide_ids ? schema_create_wide : schema_create)(target.db, target.order, e);
    return ok && db_exec(target.db, "DELETE FROM experiments", e);
}

/* Reads the target's tables. In an empty PostgreSQL database they are made now and points go into them as
 * they come: they are nobody else's yet, whereas tables that are there are not locked before the stream has
 * ended.
 */
static struct store *new_store(void)
{
    struct err e;
    struct store_options how = {.drop_unsupported = options.drop_unsupported, .tmpdir = options.tmpdir};
    struct db *pattern = NULL;
    bool there = target.aside || (target.has_schema && !options.wide_ids), taken_back = false;
    if (!there && is_sqlite()) {
        require((pattern = content_pattern(target.order, &e)) != NULL, &e);
    } else if (!there && target.has_schema) {
        taken_back = true;
        require(db_begin_write(target.db, &e) && schema_widen(target.db, &e), &e);
    } else if (!there) {
        target.begun = true;
        require(begin_existing(&e), &e);
    }
    struct store *s = store_new(pattern ? pattern : target.db, target.order, &how, &e);
    require(s && (!target.begun || store_begin_at_once(s, target.db, &e)), &e);
    if (taken_back)
        db_rollback(target.db);
    db_close(pattern);
    return s;
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
static void write_rows(struct store *s)
{
    struct err e;
    require((target.aside || target.begun || begin_existing(&e)) && store_write(s, target.db, &e), &e);
    if (err_interrupted())
        err_exit_interrupted();
    if (!options.dry_run)
        require(store_advance_ids(s, target.db, &e) && db_commit(target.db, &e), &e);
}

/* ---- what the user must know */

static void add_plain(struct buf *out, uint64_t n, const char *one, const char *many)
{
    buf_addf(out, "%llu %s", (unsigned long long)n, n == 1 ? one : many);
}

static void tell_counts(const struct store_report *r)
{
    const struct kind_desc *by_order[KIND_COUNT] = {NULL};
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
    if (r->added_workspaces) {
        add_plain(&b, r->added_workspaces, "workspace", "workspaces");
        err_note("%s of which the stream has no row: each got one, with its name alone", buf_str(&b));
        buf_reset(&b);
    }
    if (r->workspaces)
        err_note("there is more than the default workspace: MLflow's server opens this database with "
                 "--enable-workspaces only (ml-schema migrate-to-default-workspace makes one of all)");
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

/* The URL by which MLflow opens the database, from any folder where that can be said. */
static char *tracking_uri(void)
{
    const char *query = strchr(target.url.display, '?');
    bool by_sqlite = target.url.options && strstr(target.url.options, "uri="); /* what its file: URIs say */
    char *plain = is_sqlite() && !by_sqlite ? db_url_of_file(target.path) : NULL;
    char *uri = plain ? xasprintf("%s%s", plain, query ? query : "") : xstrdup(target.url.display);
    free(plain);
    return uri;
}

/* A word as the shell reads it back; takes word. */
static char *shell_word(char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:/._-+,@";
    if (word[strspn(word, plain)] == '\0')
        return word;
    struct buf b = {0};
    buf_addc(&b, '\'');
    for (const char *p = word; *p; p++)
        if (*p == '\'')
            buf_adds(&b, "'\\''");
        else
            buf_addc(&b, *p);
    buf_addc(&b, '\'');
    free(word);
    return b.data;
}

static void tell_how_to_open(void)
{
    struct buf releases = {0};
    schema_releases_of(target.order, &releases);
    err_note("schema %s: %s, and no other, opens this database (ml-schema upgrade takes it further)",
             schema_revisions[target.order].revision, buf_str(&releases));
    buf_free(&releases);
    if (options.wide_ids)
        err_note("experiment ids have 64 bits here: upgrade this database by ml-schema alone, MLflow's own "
                 "`db upgrade` fails");
    char *uri = shell_word(tracking_uri());
    err_note("MLflow goes on using ./mlruns until you say:");
    err_note("  export MLFLOW_TRACKING_URI=%s", uri);
    if (options.export) {
        printf("export MLFLOW_TRACKING_URI=%s\n", uri);
        io_close_stdout();
    }
    free(uri);
}

/* ---- */

int main(int argc, char **argv)
{
    struct err e;
    err_program_set(argv[0]);
    io_claim_standard_files();
    int first = opt_parse(&spec, argc, argv);
    if (argc - first > 1)
        opt_usage_error(&spec, "one URL, please: %s is one too many", argv[first + 1]);
    const char *text = first < argc ? argv[first] : db_default_url();
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* its counters cost a lock at every allocation */
    err_catch_signals();
    find_target(text);
    if (first == argc)
        err_note("no URL given: %s", target.url.display);
    db_url_warn(&target.url);
    if (isatty(STDIN_FILENO))
        die_hint("mlruns-dump ./mlruns | ml-load sqlite:///mlflow.db", "standard input",
                 "a terminal, not a record stream");

    if (target.exists)
        open_existing();
    else
        target.order = chosen_order();
    if (is_sqlite() && target.exists && options.dry_run)
        close_target(NULL); /* a file aside stands for it */
    if (!target.db)
        open_aside();
    err_signal_hook_set(interrupt_database);

    struct store *s = new_store();
    read_stream(s);
    write_rows(s);
    err_verbose("%llu MiB went through a temporary file", (unsigned long long)(store_spilled(s) >> 20));
    close_target(NULL);
    if (target.aside && !options.dry_run) {
        require(new_file_publish(&target.file, &e), &e);
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

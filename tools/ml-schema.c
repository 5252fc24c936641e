/* ml-schema: MLflow's database schema, made and looked at. */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/io.h"
#include "common/opt.h"
#include "formats/database/db.h"
#include "formats/database/interrupt.h"
#include "formats/database/new_file.h"
#include "formats/schema/schema.h"

static const char about[] =
    "Makes, upgrades, checks and shows the schema of MLflow's tracking database.\n"
    "URL is sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database; by\n"
    "default $MLFLOW_BACKEND_STORE_URI, $MLFLOW_TRACKING_URI or sqlite:///mlflow.db.";

/* What each command takes; all of them together are the usage of the program. */
#define CREATE_USAGE "ml-schema create [--release X.Y[.Z]] [URL]"
#define UPGRADE_USAGE                                                                                        \
    "ml-schema upgrade [--to REVISION|RELEASE] [--backup FILE] [--dry-run]\n"                                \
    "                  [--recover] [--lock-timeout SECONDS] [--retries N] [URL]"
#define CURRENT_USAGE "ml-schema current [URL]"
#define HISTORY_USAGE "ml-schema history [URL]"
#define CHECK_USAGE   "ml-schema check [--release X.Y[.Z]] [--retries N] [URL]"
#define SQL_USAGE                                                                                            \
    "ml-schema sql --dialect sqlite|postgresql [--from REVISION|RELEASE] [--to REVISION|RELEASE]"
#define MOVE_USAGE                                                                                           \
    "ml-schema migrate-to-default-workspace [--dry-run] [--yes] [--verbose] [--lock-timeout SECONDS]\n"      \
    "                                       [--retries N] [URL]"

static struct db_url url;

static void close_db(void *db)
{
    db_interrupt_on_signal(NULL);
    db_close(db);
}

/* The operand from index first on that names the database, or the default, which is told. */
static const char *url_operand(const struct opt_spec *spec, int argc, char **argv, int first)
{
    if (argc - first > 1)
        opt_usage_error(spec, "one database URL is enough: %s", argv[first + 1]);
    if (argc > first)
        return argv[first];
    const char *text = db_default_url();
    if (db_url_parse(text, &url, NULL)) {
        err_note("using %s", url.display);
        db_url_free(&url);
    }
    return text;
}

static uint64_t retries = 10;

/* The database is closed however the program ends, and a signal ends its statement. */
static void watch(struct db *db)
{
    err_cleanup_push(close_db, db);
    db_interrupt_on_signal(db);
}

/* Opens the database of `url`, closed again however the program ends. */
static struct db *open_parsed(enum db_mode mode, bool retry)
{
    struct err e;
    struct db *db = retry ? db_open_retry(&url, mode, (unsigned)retries, &e) : db_open(&url, mode, &e);
    if (!db)
        db_die(&e);
    watch(db);
    return db;
}

/* SQLite sorts in files of its own: beside the database, where there is room for them. It asks where when it
 * opens its first database. */
static void set_tmpdir(void)
{
    if (!url.path)
        return;
    char *directory = io_temp_dir(NULL, url.path);
    setenv("SQLITE_TMPDIR", directory, 0);
    free(directory);
}

static void parse_url(const char *text)
{
    struct err e;
    if (!db_url_parse(text, &url, &e))
        db_die(&e);
    set_tmpdir();
}

static struct db *open_database(const char *text, enum db_mode mode)
{
    parse_url(text);
    return open_parsed(mode, true);
}

static uint64_t lock_timeout = 300; /* s */

static int lock_ms(void)
{
    return lock_timeout > INT_MAX / 1000 ? INT_MAX : (int)lock_timeout * 1000;
}

/* For commands with --lock-timeout, which rules how long a locked SQLite file is waited for, as --retries
 * does for the others. */
static struct db *open_to_wait(const char *text, enum db_mode mode)
{
    parse_url(text);
    struct db *db = open_parsed(mode, !url.path);
    db_lock_timeout(db, lock_ms());
    return db;
}

static int order_of(struct db *db)
{
    struct err e;
    int order;
    if (!schema_order_of(db, &order, &e))
        db_die(&e);
    return order;
}

static void say_result(int order)
{
    struct buf releases = {0};
    schema_releases_of(order, &releases);
    err_note("%s is at revision %s; it is for MLflow %s", url.display, schema_revisions[order].revision,
             buf_str(&releases));
    buf_free(&releases);
}

/* ---- create */

static const char *release_name;

static const struct opt create_options[] = {
    {OPT_STRING, 0, "release", "X.Y[.Z]",
     "the MLflow release that will use it (default: that of the mlflow on PATH)", &release_name},
    {.type = OPT_END},
};
static const struct opt_spec create_spec = {
    .synopsis = CREATE_USAGE,
    .about = about,
    .options = create_options,
};

static const struct schema_release *chosen_release(void)
{
    struct err e;
    if (release_name) {
        const struct schema_release *r = schema_find_release(release_name, &e);
        if (!r)
            db_die(&e);
        return r;
    }
    struct buf why = {0};
    const struct schema_release *r = schema_default_release(&why);
    err_note("the schema is for %s", buf_str(&why));
    buf_free(&why);
    return r;
}

static char *new_path(void)
{
    char *path = new_file_resolve(url.path);
    if (!path)
        die(url.path, "cannot be made: %s", strerror(errno));
    return path;
}

static void remove_aside(void *file)
{
    new_file_remove(file);
}

static struct db *open_aside(struct new_file *file, char *path)
{
    struct err e;
    char *dir = io_dirname(path);
    if (!new_file_begin(file, path, dir, 0666, &e))
        db_die(&e);
    free(dir);
    err_cleanup_push(remove_aside, file);
    struct db *db = new_file_open(file, url.display, &e);
    if (!db)
        db_die(&e);
    watch(db);
    return db;
}

/* A new SQLite file is nobody else's before it is whole: of two programs that make it at once the one that
 * loses removes what it made itself, never what the other has put there. */
static void create_file(int order)
{
    static struct new_file file; /* for the clean-up too */
    struct err e;
    char *path = new_path();
    struct db *db = open_aside(&file, path);
    if (!db_begin_write(db, &e) || !schema_create(db, order, &e) || !db_commit(db, &e))
        db_die(&e);
    err_cleanup_pop();
    close_db(db);
    if (!new_file_publish(&file, &e))
        db_die(&e);
    err_cleanup_pop();
    new_file_free(&file);
    free(path);
}

static void create_tables(int order)
{
    struct err e;
    struct db *db = open_parsed(DB_WRITE, true);
    if (!db_begin_write(db, &e))
        db_die(&e);
    int found = order_of(db);
    if (found != SCHEMA_EMPTY)
        die_hint("ml-schema current shows which; ml-schema create wants an empty database", db_display(db),
                 "there are MLflow's tables already, of revision %s", schema_revisions[found].revision);
    if (!schema_create(db, order, &e) || !db_commit(db, &e))
        db_die(&e);
}

static int create(int argc, char **argv)
{
    int first = opt_parse(&create_spec, argc, argv, NULL);
    const char *text = url_operand(&create_spec, argc, argv, first);
    int order = chosen_release()->order;
    parse_url(text);
    db_url_warn(&url);
    if (url.path && access(url.path, F_OK) != 0)
        create_file(order);
    else
        create_tables(order);
    say_result(order);
    return EXIT_DONE;
}

/* ---- current */

static const struct opt no_options[] = {{.type = OPT_END}};
static const struct opt_spec current_spec = {
    .synopsis = CURRENT_USAGE,
    .about = about,
    .options = no_options,
};

static int current(int argc, char **argv)
{
    int first = opt_parse(&current_spec, argc, argv, NULL);
    struct db *db = open_database(url_operand(&current_spec, argc, argv, first), DB_READ);
    int order = order_of(db);
    if (order == SCHEMA_EMPTY)
        printf("empty\n");
    else {
        struct buf releases = {0};
        schema_releases_of(order, &releases);
        printf("%s\t%s\n", schema_revisions[order].revision, buf_str(&releases));
        buf_free(&releases);
    }
    return EXIT_DONE;
}

/* ---- history */

static const struct opt_spec history_spec = {
    .synopsis = HISTORY_USAGE,
    .about = about,
    .options = no_options,
};

static int history(int argc, char **argv)
{
    int first = opt_parse(&history_spec, argc, argv, NULL);
    int order = INT_MAX;
    if (argc > first)
        order = order_of(open_database(url_operand(&history_spec, argc, argv, first), DB_READ));
    for (int i = 1; i <= schema_head; i++) {
        const struct schema_revision *r = &schema_revisions[i];
        printf("%s\t%s\t%s", r->revision, schema_first_release_with(i)->release, r->title);
        if (argc > first)
            printf("\t%s", i <= order ? "applied" : "pending");
        putchar('\n');
    }
    return EXIT_DONE;
}

/* ---- upgrade */

static const char *target_name, *backup_file;
static bool dry_run, recover;

static const struct opt upgrade_options[] = {
    {OPT_STRING, 0, "to", "REVISION|RELEASE", "stop there (default: the release of the mlflow on PATH)",
     &target_name},
    {OPT_STRING, 0, "backup", "FILE", "copy a SQLite database there before the first change", &backup_file},
    {OPT_FLAG, 0, "dry-run", NULL, "list what would be done and change nothing", &dry_run},
    {OPT_FLAG, 0, "recover", NULL, "first take back what an upgrade of MLflow's has left half done",
     &recover},
    {OPT_SIZE, 0, "lock-timeout", "SECONDS", "how long to wait for other programs (default: 300)",
     &lock_timeout},
    {OPT_SIZE, 0, "retries", "N", "tries to connect again to a server that is not ready (default: 10)",
     &retries},
    {.type = OPT_END},
};
static const struct opt_spec upgrade_spec = {
    .synopsis = UPGRADE_USAGE,
    .about = about,
    .options = upgrade_options,
};

static int chosen_target(void)
{
    struct err e;
    if (!target_name)
        return chosen_release()->order;
    int order = schema_find_target(target_name, &e);
    if (order < 0)
        db_die(&e);
    return order;
}

/* One line: revision, title, and what is worth knowing of it. */
static void print_pending(struct db *db, int order)
{
    struct err e;
    struct buf rows = {0}, tables = {0};
    if (db_dialect(db) == DIALECT_SQLITE)
        schema_rebuilt_tables(order, &tables);
    if (!schema_estimate(db, order, &rows, &e))
        db_die(&e);
    printf("%s\t%s", schema_revisions[order].revision, schema_revisions[order].title);
    if (rows.len)
        printf("\t%s", rows.data);
    if (tables.len)
        printf("\trewrites %s", tables.data);
    putchar('\n');
    buf_free(&rows);
    buf_free(&tables);
}

static const char advice[] =
    "take a backup first: --backup FILE copies a SQLite database, pg_dump a PostgreSQL one";

static void print_plan(struct db *db, int from, int to)
{
    for (int i = from < 0 ? 1 : from + 1; i <= to; i++)
        print_pending(db, i);
    if (from < to)
        err_note("%d revisions would be applied; %s", to - (from < 0 ? 0 : from), advice);
    else
        err_note("there is nothing to do");
}

static void refuse_downgrade(struct db *db, int order, int to)
{
    if (order <= to)
        return;
    struct buf releases = {0};
    schema_releases_of(order, &releases);
    die_hint("MLflow's schema has no way back; use that release or a backup", db_display(db),
             "the database is at revision %s already (%s), newer than %s", schema_revisions[order].revision,
             buf_str(&releases), schema_revisions[to].revision);
}

static void wait_for_others(struct db *db)
{
    struct err e;
    if (!schema_lock(db, lock_ms(), &e))
        db_die(&e);
}

static char left_half_done[] = "left half done", in_the_way[] = "in the way";

/* kind: one of the above. */
static void print_found(const char *line, void *kind)
{
    err_print(kind, "%s", line);
}

/* Ends the program when MLflow's own upgrade was cut short here; with --recover repairs that. */
static void look_for_wreck(struct db *db, bool repair)
{
    struct err e;
    int found;
    if (!schema_recover(db, repair, print_found, left_half_done, &found, &e))
        db_die(&e);
    if (found && !repair)
        die_hint("ml-schema upgrade --recover takes it back and goes on; no row is lost", db_display(db),
                 "an upgrade of MLflow's was cut short here");
    if (found)
        err_note("that is taken back: the database is whole again");
}

/* Ends the program when something of the users' own would stop the upgrade in the middle. */
static void look_for_obstacles(struct db *db, int from, int to)
{
    struct err e;
    int found;
    if (!schema_obstacles(db, from, to, print_found, in_the_way, &found, &e))
        db_die(&e);
    if (found)
        die_hint("drop or rename what is your own, and make it again after the upgrade", db_display(db),
                 "%s; nothing was changed",
                 found > 1 ? "these would stop the upgrade in the middle"
                           : "this would stop the upgrade in the middle");
}

static void make_backup(struct db *db)
{
    struct err e;
    if (!backup_file)
        err_note("no --backup was asked for: %s", advice);
    else if (!db_backup(db, backup_file, &e))
        db_die(&e);
}

static int upgrade(int argc, char **argv)
{
    int first = opt_parse(&upgrade_spec, argc, argv, NULL);
    const char *text = url_operand(&upgrade_spec, argc, argv, first);
    int to = chosen_target();
    struct err e;
    if (dry_run) {
        struct db *db = open_to_wait(text, DB_READ);
        if (!db_begin_or_tell(db, lock_ms(), db_begin_read, &e))
            db_die(&e);
        db_rollback(db);
        look_for_wreck(db, false);
        int order = order_of(db);
        refuse_downgrade(db, order, to);
        print_plan(db, order, to);
        look_for_obstacles(db, order, to);
        return EXIT_DONE;
    }
    struct db *db = open_to_wait(text, DB_WRITE);
    wait_for_others(db);
    if (recover)
        make_backup(db);
    look_for_wreck(db, recover);
    int order = order_of(db);
    refuse_downgrade(db, order, to);
    if (order == to) {
        err_note("there is nothing to do");
        say_result(order);
        return EXIT_DONE;
    }
    look_for_obstacles(db, order, to);
    if (!recover)
        make_backup(db);
    if (!schema_upgrade(db, to, &order, &e)) {
        if (err_interrupted())
            err_exit_interrupted();
        err_report(&e);
        if (order >= 0)
            err_note("the database is at revision %s, whole", schema_revisions[order].revision);
        return EXIT_TROUBLE;
    }
    say_result(order);
    return EXIT_DONE;
}

/* ---- check */

static const struct opt check_options[] = {
    {OPT_STRING, 0, "release", "X.Y[.Z]",
     "the MLflow release that is to open it (default: that of the mlflow on PATH)", &release_name},
    {OPT_SIZE, 0, "retries", "N",
     "tries again when a server is not ready or a SQLite file is locked (default: 10)", &retries},
    {.type = OPT_END},
};
static const struct opt_spec check_spec = {
    .synopsis = CHECK_USAGE,
    .about = about,
    .options = check_options,
};

static void print_line(const char *line, void *unused)
{
    (void)unused;
    puts(line);
}

static int check(int argc, char **argv)
{
    int first = opt_parse(&check_spec, argc, argv, NULL);
    const char *text = url_operand(&check_spec, argc, argv, first);
    const struct schema_release *release = chosen_release();
    struct db *db = open_database(text, DB_READ);
    int order, findings = 0;
    struct err e;
    if (!schema_order_to_check(db, &order, &e))
        db_die(&e);
    if (order == SCHEMA_EMPTY) {
        puts("the database is empty");
        return EXIT_ANSWER_NO;
    }
    if (!schema_check(db, order, print_line, NULL, &findings, &e))
        db_die(&e);
    if (order != release->order) {
        struct buf releases = {0};
        schema_releases_of(order, &releases);
        printf("revision %s (%s) is %s that of MLflow %s, %s\n", schema_revisions[order].revision,
               buf_str(&releases), order < release->order ? "older than" : "newer than", release->release,
               release->revision);
        buf_free(&releases);
    }
    if (order == release->order && findings == 0)
        printf("revision %s, as MLflow %s wants it\n", release->revision, release->release);
    return order == release->order && findings == 0 ? EXIT_DONE : EXIT_ANSWER_NO;
}

/* ---- sql */

static const char *dialect_name, *from_name;

static const struct opt sql_options[] = {
    {OPT_STRING, 0, "dialect", "sqlite|postgresql", "for which database", &dialect_name},
    {OPT_STRING, 0, "from", "REVISION|RELEASE", "what the database has (default: it is empty)", &from_name},
    {OPT_STRING, 0, "to", "REVISION|RELEASE", "where to stop (default: the release of the mlflow on PATH)",
     &target_name},
    {.type = OPT_END},
};
static const struct opt_spec sql_spec = {
    .synopsis = SQL_USAGE,
    .about = about,
    .options = sql_options,
};

static int sql(int argc, char **argv)
{
    int first = opt_parse(&sql_spec, argc, argv, NULL);
    struct err e;
    if (first < argc)
        opt_usage_error(&sql_spec, "no database is touched: %s", argv[first]);
    bool sqlite = dialect_name && strcmp(dialect_name, "sqlite") == 0;
    if (!sqlite && (!dialect_name || strcmp(dialect_name, "postgresql") != 0))
        opt_usage_error(&sql_spec, "--dialect must be sqlite or postgresql");
    int from = from_name ? schema_find_target(from_name, &e) : SCHEMA_EMPTY;
    if (from_name && from < 0)
        db_die(&e);
    int to = chosen_target();
    if (from > to)
        die("--from", "%s is newer than %s", schema_revisions[from].revision, schema_revisions[to].revision);
    struct buf script = {0};
    schema_script(sqlite ? DIALECT_SQLITE : DIALECT_POSTGRESQL, from, to, &script);
    fwrite(buf_str(&script), 1, script.len, stdout);
    buf_free(&script);
    return EXIT_DONE;
}

/* ---- migrate-to-default-workspace */

static bool yes;

static const struct opt move_options[] = {
    {OPT_FLAG, 0, "dry-run", NULL, "count the rows and change nothing", &dry_run},
    {OPT_FLAG, 'y', "yes", NULL, "do not ask", &yes},
    {OPT_SIZE, 0, "lock-timeout", "SECONDS", "how long to wait for other programs (default: 300)",
     &lock_timeout},
    {OPT_SIZE, 0, "retries", "N", "tries to connect again to a server that is not ready (default: 10)",
     &retries},
    {.type = OPT_END},
};
static const struct opt_spec move_spec = {
    .synopsis = MOVE_USAGE,
    .about = about,
    .options = move_options,
};

enum { CLASHES_SHOWN = 5 /* of each table, unless --verbose */ };

struct clashes {
    char table[64]; /* of the last clash */
    int64_t in_table;
};

static void end_table(struct clashes *c)
{
    if (c->in_table > CLASHES_SHOWN && err_level() < 1)
        err_print(NULL, "  ... (%lld more)", (long long)c->in_table - CLASHES_SHOWN);
    c->in_table = 0;
}

static void print_clash(const char *table, const char *row, void *arg)
{
    struct clashes *c = arg;
    if (strcmp(c->table, table) != 0) {
        end_table(c);
        snprintf(c->table, sizeof c->table, "%s", table);
        err_print(table, "these would be the same in one workspace:");
    }
    if (c->in_table++ < CLASHES_SHOWN || err_level() >= 1)
        err_print(NULL, "  %s", row);
}

static void print_rows(const char *table, int64_t rows, void *unused)
{
    static bool begun;
    (void)unused;
    if (!begun)
        puts("Rows outside of the default workspace:");
    begun = true;
    printf("  %s: %lld\n", table, (long long)rows);
}

static bool confirmed(void)
{
    char answer[16] = "";
    if (yes)
        return true;
    if (!isatty(STDIN_FILENO))
        die_hint("--yes does without asking, --dry-run only counts", NULL, "there is no terminal to ask on");
    fprintf(stderr, "Proceed? [y/N]: ");
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* Checks and counts, or checks and moves, in one transaction; ends the program when that is not possible. */
static int64_t move_rows(struct db *db, bool really)
{
    struct err e;
    struct clashes clashes = {.in_table = 0};
    struct schema_moves moves = {.rows = print_rows, .clash = print_clash, .arg = &clashes};
    bool ok = db_begin_or_tell(db, lock_ms(), really ? db_begin_write : db_begin_read, &e) &&
              schema_move_to_default_workspace(db, really, &moves, &e) && db_commit(db, &e);
    end_table(&clashes);
    if (!ok)
        db_die(&e);
    return moves.total;
}

static int move(int argc, char **argv)
{
    int first = opt_parse(&move_spec, argc, argv, NULL);
    struct db *db = open_to_wait(url_operand(&move_spec, argc, argv, first), dry_run ? DB_READ : DB_WRITE);
    int64_t total = move_rows(db, false);
    printf("Total rows: %lld\n", (long long)total);
    io_flush_stdout();
    if (total == 0) {
        err_note("no rows need to be moved");
        return EXIT_DONE;
    }
    if (dry_run)
        return EXIT_DONE;
    if (!confirmed()) {
        err_note("nothing was changed");
        return EXIT_ANSWER_NO;
    }
    move_rows(db, true);
    printf("Moved %lld rows to the default workspace.\n", (long long)total);
    return EXIT_DONE;
}

/* ---- which */

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"create", create},
    {"upgrade", upgrade},
    {"current", current},
    {"history", history},
    {"check", check},
    {"sql", sql},
    {"migrate-to-default-workspace", move},
};

static const struct opt_spec main_spec = {
    .synopsis = CREATE_USAGE "\n" UPGRADE_USAGE "\n" CURRENT_USAGE "\n" HISTORY_USAGE "\n" CHECK_USAGE
                             "\n" SQL_USAGE "\n" MOVE_USAGE,
    .about = about,
    .options = no_options,
};

int main(int argc, char **argv)
{
    err_program_set(argv[0]);
    io_claim_standard_files();
    err_catch_signals();
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            int code = commands[i].run(argc - 1, argv + 1);
            io_close_stdout();
            return code;
        }
    int first = opt_parse(&main_spec, argc, argv, NULL);
    if (first < argc)
        opt_usage_error(&main_spec, "no such command: %s", argv[first]);
    opt_usage_error(&main_spec, "which command?");
}

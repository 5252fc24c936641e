/* ml-schema: MLflow's database schema, made and looked at. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/err.h"
#include "../common/io.h"
#include "../common/opt.h"
#include "../formats/db.h"
#include "../formats/schema.h"

static const char about[] =
    "Makes the schema of MLflow's tracking database, of any release, and shows what a database has.\n"
    "URL is sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database; by\n"
    "default $MLFLOW_BACKEND_STORE_URI, $MLFLOW_TRACKING_URI or sqlite:///mlflow.db.";

static struct db_url url;

static void close_db(void *db)
{
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

/* Opens the database of `url`, closed again however the program ends. */
static struct db *open_parsed(enum db_mode mode)
{
    struct err e;
    struct db *db = db_open(&url, mode, &e);
    if (!db)
        err_die(&e);
    err_cleanup_push(close_db, db);
    return db;
}

static struct db *open_database(const char *text, enum db_mode mode)
{
    struct err e;
    if (!db_url_parse(text, &url, &e))
        err_die(&e);
    return open_parsed(mode);
}

static int order_of(struct db *db)
{
    struct err e;
    int order;
    if (!schema_order_of(db, &order, &e))
        err_die(&e);
    return order;
}

/* ---- create */

static const char *release_name;

static const struct opt create_options[] = {
    {OPT_STRING, 0, "release", "X.Y[.Z]",
     "the MLflow release that will use it (default: that of the mlflow on PATH)", &release_name},
    {.type = OPT_END},
};
static const struct opt_spec create_spec = {
    .synopsis = "ml-schema create [--release X.Y[.Z]] [URL]",
    .about = about,
    .options = create_options,
};

static const struct schema_release *chosen_release(void)
{
    struct err e;
    if (release_name) {
        const struct schema_release *r = schema_find_release(release_name, &e);
        if (!r)
            err_die(&e);
        return r;
    }
    struct buf why = {0};
    const struct schema_release *r = schema_default_release(&why);
    err_note("the schema is for %s", buf_str(&why));
    buf_free(&why);
    return r;
}

static bool created; /* the file of this run is not whole yet */

static void remove_new_file(void *path)
{
    if (created)
        unlink(path);
}

/* A file that this run has begun goes again when the run fails. */
static struct db *open_new(const char *text)
{
    struct err e;
    if (!db_url_parse(text, &url, &e))
        err_die(&e);
    created = url.path && access(url.path, F_OK) != 0;
    if (created)
        err_cleanup_push(remove_new_file, url.path);
    return open_parsed(DB_CREATE);
}

static int create(int argc, char **argv)
{
    int first = opt_parse(&create_spec, argc, argv);
    const char *text = url_operand(&create_spec, argc, argv, first);
    const struct schema_release *release = chosen_release();
    struct db *db = open_new(text);
    struct err e;
    if (!db_begin_write(db, &e))
        err_die(&e);
    int order = order_of(db);
    if (order != SCHEMA_EMPTY)
        die_hint("ml-schema current shows which; ml-schema create wants an empty database", db_display(db),
                 "there are MLflow's tables already, of revision %s", schema_revisions[order].revision);
    if (!schema_create(db, release->order, &e) || !db_commit(db, &e))
        err_die(&e);
    created = false;
    struct buf releases = {0};
    schema_releases_of(release->order, &releases);
    err_note("%s is at revision %s; it is for MLflow %s", db_display(db), release->revision,
             buf_str(&releases));
    buf_free(&releases);
    return EXIT_DONE;
}

/* ---- current */

static const struct opt no_options[] = {{.type = OPT_END}};
static const struct opt_spec current_spec = {
    .synopsis = "ml-schema current [URL]",
    .about = about,
    .options = no_options,
};

static int current(int argc, char **argv)
{
    int first = opt_parse(&current_spec, argc, argv);
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
    .synopsis = "ml-schema history [URL]",
    .about = about,
    .options = no_options,
};

static int history(int argc, char **argv)
{
    int first = opt_parse(&history_spec, argc, argv);
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

/* ---- which */

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"create", create},
    {"current", current},
    {"history", history},
};

static const struct opt_spec main_spec = {
    .synopsis = "ml-schema create [--release X.Y[.Z]] [URL]\n"
                "ml-schema current [URL]\n"
                "ml-schema history [URL]",
    .about = about,
    .options = no_options,
};

int main(int argc, char **argv)
{
    err_program_set(argv[0]);
    err_catch_signals();
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            int code = commands[i].run(argc - 1, argv + 1);
            io_close_stdout();
            return code;
        }
    int first = opt_parse(&main_spec, argc, argv);
    if (first < argc)
        opt_usage_error(&main_spec, "no such command: %s", argv[first]);
    opt_usage_error(&main_spec, "which command?");
}

/* ml-schema create: MLflow's tables in a new file or an empty database. */
#include "formats/schema/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "formats/database/interrupt.h"
#include "formats/database/new_file.h"

struct options {
    const char *release;
};
static const struct opt table[] = {
    {OPT_STRING, 0, "release", "X.Y[.Z]",
     "the MLflow release that will use it (default: that of the mlflow on PATH)",
     OPT_AT(struct options, release)},
    {.type = OPT_END},
};
static const struct opt_spec spec = {
    .synopsis = SCHEMA_USAGE_CREATE,
    .about = schema_command_about,
    .options = table,
};

static void remove_aside(void *file)
{
    new_file_remove(file);
}

static bool fill_aside(struct schema_command *c, struct new_file *file, int rev, struct err *e)
{
    c->db = new_file_open(file, c->url.display, e);
    return schema_command_watch(c) && db_begin_write(c->db, e) && schema_create(c->db, rev, e) &&
           db_commit(c->db, e);
}

/* Nobody else can see a new SQLite file before it is complete: of two programs that create it at the same
 * time, the one that loses removes its own file, never the other's. */
static bool create_file(struct schema_command *c, int rev, struct err *e)
{
    static struct new_file file; /* static for the cleanup at exit */
    char *path = new_file_resolve(c->url.path);
    if (!path)
        return err_set(e, c->url.path, "cannot create: %s", strerror(errno));
    char *dir = file_dirname(path);
    bool ok = new_file_begin(&file, path, dir, 0666, e);
    free(dir);
    if (!ok) {
        free(path);
        return false;
    }
    err_cleanup_push(remove_aside, &file);
    if (!fill_aside(c, &file, rev, e))
        return false;
    schema_command_close(c);
    if (!new_file_publish(&file, e))
        return false;
    err_cleanup_pop();
    err_cleanup_pop();
    new_file_free(&file);
    free(path);
    return true;
}

static bool create_tables(struct schema_command *c, int rev, struct err *e)
{
    int found;
    if (!schema_command_connect(c, DB_WRITE, SCHEMA_RETRIES, e) || !db_begin_write(c->db, e) ||
        !schema_rev_of(c->db, &found, e))
        return false;
    if (found == SCHEMA_EMPTY)
        return schema_create(c->db, rev, e) && db_commit(c->db, e);
    err_set(e, db_display(c->db), "it already has MLflow's tables, of revision %s",
            schema_revisions[found].revision);
    return err_hint(e,
                    "ml-schema create requires an empty database; ml-schema upgrade changes an existing one");
}

int schema_command_create(struct schema_command *c, int argc, char **argv, struct err *e)
{
    struct options o = {.release = NULL};
    int first = opt_parse(&spec, argc, argv, &o);
    const char *text = schema_command_operand(&spec, argc, argv, first);
    const struct schema_release *release = schema_command_release(o.release, e);
    if (!release || !schema_command_parse(c, text, e))
        return EXIT_TROUBLE;
    db_url_warn(&c->url);
    bool new = c->url.path &&access(c->url.path, F_OK) != 0;
    if (!(new ? create_file : create_tables)(c, release->rev, e))
        return EXIT_TROUBLE;
    err_done(EXIT_DONE, "the database is complete");
    schema_command_print_result(c, release->rev);
    return EXIT_DONE;
}

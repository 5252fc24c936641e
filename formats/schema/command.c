/* Shared by the commands of ml-schema: opening the database, choosing the release. */
#include "formats/schema/command.h"

#include <limits.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/file.h"
#include "formats/database/interrupt.h"

const char schema_command_about[] =
    "Creates, upgrades, checks and shows the schema of MLflow's tracking database.\n"
    "URL is sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database; by\n"
    "default $MLFLOW_BACKEND_STORE_URI, $MLFLOW_TRACKING_URI or sqlite:///mlflow.db.";

static void close_at_end(void *c)
{
    db_interrupt_on_signal(NULL);
    db_abandon(((struct schema_command *)c)->db);
}

void schema_command_close(struct schema_command *c)
{
    db_interrupt_on_signal(NULL);
    db_close(c->db);
    c->db = NULL;
}

const char *schema_command_operand(const struct opt_spec *spec, int argc, char **argv, int first)
{
    struct db_url url;
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

bool schema_command_parse(struct schema_command *c, const char *text, struct err *e)
{
    if (!db_url_parse(text, &c->url, e))
        return false;
    if (!c->url.path)
        return true;
    /* SQLite sorts in temporary files of its own: put them next to the database, where there is space. It
     * reads the directory when it opens its first database. */
    char *directory = file_temp_dir(NULL, c->url.path);
    setenv("SQLITE_TMPDIR", directory, 0);
    free(directory);
    return true;
}

bool schema_command_watch(struct schema_command *c)
{
    if (!c->db)
        return false;
    err_cleanup_push(close_at_end, c);
    db_interrupt_on_signal(c->db);
    return true;
}

bool schema_command_connect(struct schema_command *c, enum db_mode mode, uint64_t retries, struct err *e)
{
    c->db = db_open_retry(&c->url, mode, (unsigned)retries, e);
    return schema_command_watch(c);
}

bool schema_command_open(struct schema_command *c, const char *text, enum db_mode mode, uint64_t retries,
                         struct err *e)
{
    return schema_command_parse(c, text, e) && schema_command_connect(c, mode, retries, e);
}

int schema_command_ms(uint64_t lock_timeout)
{
    return lock_timeout > INT_MAX / 1000 ? INT_MAX : (int)lock_timeout * 1000;
}

bool schema_command_open_to_wait(struct schema_command *c, const char *text, enum db_mode mode,
                                 uint64_t retries, uint64_t lock_timeout, struct err *e)
{
    if (!schema_command_parse(c, text, e))
        return false;
    c->db = c->url.path ? db_open(&c->url, mode, e) : db_open_retry(&c->url, mode, (unsigned)retries, e);
    if (!schema_command_watch(c))
        return false;
    db_lock_timeout(c->db, schema_command_ms(lock_timeout));
    return true;
}

const struct schema_release *schema_command_release(const char *name, struct err *e)
{
    if (name)
        return schema_find_release(name, e);
    struct buf why = {0};
    const struct schema_release *r = schema_default_release(&why);
    err_note("the schema is for %s", buf_str(&why));
    buf_free(&why);
    return r;
}

int schema_command_target(const char *name, struct err *e)
{
    return name ? schema_find_target(name, e) : schema_command_release(NULL, e)->rev;
}

void schema_command_print_result(const struct schema_command *c, int rev)
{
    struct buf releases = {0};
    schema_releases_of(rev, &releases);
    err_note("%s is at revision %s; it is for MLflow %s", c->url.display, schema_revisions[rev].revision,
             buf_str(&releases));
    buf_free(&releases);
}

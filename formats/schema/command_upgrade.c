/* ml-schema upgrade: checks and performs an upgrade to a later revision. */
#include "formats/schema/command.h"

#include <stdio.h>

#include "common/buf.h"

struct options {
    const char *to, *backup;
    bool dry_run, recover;
    uint64_t lock_timeout, retries;
};
static const struct opt table[] = {
    {OPT_STRING, 0, "to", "REVISION|RELEASE", "the revision to stop at (default: that of the mlflow on PATH)",
     OPT_AT(struct options, to)},
    {OPT_STRING, 0, "backup", "FILE", "first copy a SQLite database to FILE", OPT_AT(struct options, backup)},
    {OPT_FLAG, 0, "dry-run", NULL, "list what would be done, but change nothing",
     OPT_AT(struct options, dry_run)},
    {OPT_FLAG, 0, "recover", NULL, "first undo an incomplete upgrade by MLflow",
     OPT_AT(struct options, recover)},
    SCHEMA_OPT_LOCK_TIMEOUT(struct options),
    SCHEMA_OPT_RETRIES(struct options),
    {.type = OPT_END},
};
static const struct opt_spec spec = {
    .synopsis = SCHEMA_USAGE_UPGRADE,
    .about = schema_command_about,
    .options = table,
};

/* Prints one line: revision, title, and what it will rewrite. */
static bool print_pending(struct db *db, int rev, struct err *e)
{
    struct buf rows = {0}, tables = {0};
    if (db_dialect(db) == DIALECT_SQLITE)
        schema_rebuilt_tables(rev, &tables);
    bool ok = schema_estimate(db, rev, &rows, e);
    if (ok)
        printf("%s\t%s", schema_revisions[rev].revision, schema_revisions[rev].title);
    if (ok && rows.len)
        printf("\t%s", rows.data);
    if (ok && tables.len)
        printf("\trewrites %s", tables.data);
    if (ok)
        putchar('\n');
    buf_free(&rows);
    buf_free(&tables);
    return ok;
}

static const char advice[] =
    "take a backup first: --backup FILE copies a SQLite database, pg_dump a PostgreSQL one";

static bool print_plan(struct db *db, int from, int to, struct err *e)
{
    for (int i = from < 0 ? 1 : from + 1; i <= to; i++)
        if (!print_pending(db, i, e))
            return false;
    if (from < to)
        err_note("%d revisions would be applied; %s", to - (from < 0 ? 0 : from), advice);
    else
        err_note("nothing to do");
    return true;
}

/* Reads the revision, which must not be newer than `to`. */
static bool read_rev(struct db *db, int to, int *rev, struct err *e)
{
    if (!schema_rev_of(db, rev, e))
        return false;
    if (*rev <= to)
        return true;
    struct buf releases = {0};
    schema_releases_of(*rev, &releases);
    err_set(e, db_display(db), "the database is at revision %s (%s), newer than %s",
            schema_revisions[*rev].revision, buf_str(&releases), schema_revisions[to].revision);
    buf_free(&releases);
    return err_hint(e, "MLflow's schema cannot be downgraded; use that release or a backup");
}

static char left_half_done[] = "incomplete", in_the_way[] = "in the way";

/* kind: one of the words above. */
static void print_found(const char *line, void *kind)
{
    err_print(kind, "%s", line);
}

/* False if MLflow's own upgrade was interrupted here; repairs that if `repair`. */
static bool look_for_wreck(struct db *db, bool repair, struct err *e)
{
    int found;
    if (!schema_recover(db, repair, print_found, left_half_done, &found, e))
        return false;
    if (found && !repair) {
        err_set(e, db_display(db), "an upgrade by MLflow was interrupted here");
        return err_hint(e, "ml-schema upgrade --recover undoes it and continues; no row is lost");
    }
    if (found)
        err_note("undone: the database is at its revision again");
    return true;
}

/* False if user-defined objects would stop the upgrade in the middle. */
static bool look_for_obstacles(struct db *db, int from, int to, struct err *e)
{
    int found;
    if (!schema_obstacles(db, from, to, print_found, in_the_way, &found, e))
        return false;
    if (!found)
        return true;
    err_set(e, db_display(db), "%s; nothing was changed",
            found > 1 ? "these would stop the upgrade in the middle"
                      : "this would stop the upgrade in the middle");
    return err_hint(e, "drop or rename your own objects, and recreate them after the upgrade");
}

static bool make_backup(struct db *db, const char *file, struct err *e)
{
    if (!file)
        err_note("no --backup was asked for: %s", advice);
    return !file || db_backup(db, file, e);
}

static bool try_upgrade(struct schema_command *c, const char *text, int to, const struct options *o,
                        struct err *e)
{
    int rev;
    if (!schema_command_open_to_wait(c, text, DB_READ, o->retries, o->lock_timeout, e) ||
        !db_begin_waiting(c->db, schema_command_ms(o->lock_timeout), db_begin_read, e))
        return false;
    db_rollback(c->db);
    return look_for_wreck(c->db, false, e) && read_rev(c->db, to, &rev, e) && print_plan(c->db, rev, to, e) &&
           db_check_writes(c->db, e) && look_for_obstacles(c->db, rev, to, e);
}

/* Everything before the first change, except what --recover undoes. */
static bool prepare(struct schema_command *c, const char *text, int to, const struct options *o, int *rev,
                    struct err *e)
{
    return schema_command_open_to_wait(c, text, DB_WRITE, o->retries, o->lock_timeout, e) &&
           schema_lock(c->db, schema_command_ms(o->lock_timeout), e) &&
           (!o->recover || make_backup(c->db, o->backup, e)) && look_for_wreck(c->db, o->recover, e) &&
           read_rev(c->db, to, rev, e) &&
           (*rev == to ||
            (look_for_obstacles(c->db, *rev, to, e) && (o->recover || make_backup(c->db, o->backup, e))));
}

int schema_command_upgrade(struct schema_command *c, int argc, char **argv, struct err *e)
{
    struct options o = {.lock_timeout = SCHEMA_LOCK_TIMEOUT, .retries = SCHEMA_RETRIES};
    int first = opt_parse(&spec, argc, argv, &o), rev;
    const char *text = schema_command_operand(&spec, argc, argv, first);
    int to = schema_command_target(o.to, e);
    if (to < 0)
        return EXIT_TROUBLE;
    if (o.dry_run)
        return try_upgrade(c, text, to, &o, e) ? EXIT_DONE : EXIT_TROUBLE;
    if (!prepare(c, text, to, &o, &rev, e))
        return EXIT_TROUBLE;
    if (rev == to)
        err_note("nothing to do");
    else if (!schema_upgrade(c->db, to, &rev, e)) {
        if (e->class == ERR_INTERRUPTED || rev < 0)
            return EXIT_TROUBLE;
        err_report(e);
        err_classify(e, ERR_REPORTED);
        err_note("the database is intact at revision %s", schema_revisions[rev].revision);
        return EXIT_TROUBLE;
    }
    err_done(EXIT_DONE, "the database is upgraded");
    schema_command_print_result(c, rev);
    return EXIT_DONE;
}

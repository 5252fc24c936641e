/* ml-schema migrate-to-default-workspace: moves all rows to the default workspace. */
#include "formats/schema/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"

struct options {
    bool dry_run, yes;
    uint64_t lock_timeout, retries;
};
static const struct opt table[] = {
    {OPT_FLAG, 0, "dry-run", NULL, "count the rows, but change nothing", OPT_AT(struct options, dry_run)},
    {OPT_FLAG, 'y', "yes", NULL, "do not ask for confirmation", OPT_AT(struct options, yes)},
    SCHEMA_OPT_LOCK_TIMEOUT(struct options),
    SCHEMA_OPT_RETRIES(struct options),
    {.type = OPT_END},
};
static const struct opt_spec spec = {
    .synopsis = SCHEMA_USAGE_MOVE,
    .about = schema_command_about,
    .options = table,
};

enum { CLASHES_SHOWN = 5 /* per table, unless --verbose */ };

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

static void print_clash(const char *name, const char *row, void *arg)
{
    struct clashes *c = arg;
    if (strcmp(c->table, name) != 0) {
        end_table(c);
        snprintf(c->table, sizeof c->table, "%s", name);
        err_print(name, "these would clash in one workspace:");
    }
    if (c->in_table++ < CLASHES_SHOWN || err_level() >= 1)
        err_print(NULL, "  %s", row);
}

static void print_rows(const char *name, int64_t rows, void *unused)
{
    static bool begun;
    (void)unused;
    if (!begun)
        puts("Rows outside the default workspace:");
    begun = true;
    printf("  %s: %lld\n", name, (long long)rows);
}

/* Asks for confirmation on the terminal, if there is one. */
static bool confirm(bool *yes, struct err *e)
{
    char answer[16] = "";
    if (*yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        err_set(e, NULL, "cannot ask for confirmation: no terminal");
        return err_hint(e, "use --yes to skip the question, --dry-run to only count");
    }
    fprintf(stderr, "Proceed? [y/N]: ");
    *yes = fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
    return true;
}

/* Checks and counts, or checks and moves, in one transaction. */
static bool move_rows(struct db *db, const struct options *o, bool really, int64_t *total, struct err *e)
{
    struct clashes clashes = {.in_table = 0};
    struct schema_moves moves = {.rows = print_rows, .clash = print_clash, .arg = &clashes};
    bool ok = db_begin_waiting(db, schema_command_ms(o->lock_timeout),
                               really ? db_begin_write : db_begin_read, e) &&
              (really || db_check_writes(db, e)) && schema_move_to_default_workspace(db, really, &moves, e) &&
              db_commit(db, e);
    end_table(&clashes);
    *total = moves.total;
    return ok;
}

/* The meaning of rows at an unknown revision is unknown, too. */
static bool refuse_unknown(struct db *db, struct err *e)
{
    struct schema_state s;
    int rev;
    bool ok = schema_state_read(db, &s, e), unknown = ok && s.kind == SCHEMA_STATE_UNKNOWN;
    schema_state_free(&s);
    return ok && (!unknown || schema_rev_of(db, &rev, e));
}

int schema_command_move(struct schema_command *c, int argc, char **argv, struct err *e)
{
    struct options o = {.lock_timeout = SCHEMA_LOCK_TIMEOUT, .retries = SCHEMA_RETRIES};
    int first = opt_parse(&spec, argc, argv, &o);
    const char *text = schema_command_operand(&spec, argc, argv, first);
    int64_t total, moved;
    if (!schema_command_open_to_wait(c, text, o.dry_run ? DB_READ : DB_WRITE, o.retries, o.lock_timeout, e) ||
        !move_rows(c->db, &o, false, &total, e) || (!o.dry_run && !refuse_unknown(c->db, e)))
        return EXIT_TROUBLE;
    printf("Total rows: %lld\n", (long long)total);
    if (!io_flush_stdout(e))
        return EXIT_TROUBLE;
    if (total == 0)
        err_note("no rows need to be moved");
    if (total == 0 || o.dry_run)
        return EXIT_DONE;
    if (!confirm(&o.yes, e))
        return EXIT_TROUBLE;
    if (!o.yes) {
        err_note("nothing was changed");
        return EXIT_ANSWER_NO;
    }
    if (!move_rows(c->db, &o, true, &moved, e))
        return EXIT_TROUBLE;
    err_done(EXIT_DONE, "the rows are in the default workspace");
    printf("Moved %lld rows to the default workspace.\n", (long long)total);
    return EXIT_DONE;
}

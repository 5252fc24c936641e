/* The command lines of ml-migrate's pipeline. */
#include <stdlib.h>

#include "tools/migrate.h"

static struct command dump_command(const struct migration *m, const struct source *s, bool again)
{
    struct command c = command_new(m->argv0, s->is_database ? "mldb-dump" : "mlruns-dump");
    command_flag(&c, m->options.skip_malformed, "--skip-malformed");
    command_flag(&c, again, "--no-warnings");
    command_value(&c, "--tmpdir", s->is_database ? m->options.tmpdir : m->tmpdir);
    if (!s->is_database) {
        command_value(&c, "--jobs", m->options.jobs);
        command_flag(&c, m->options.renumber_trash, "--renumber-trash");
        command_flag(&c, m->options.no_spans, "--no-spans");
        command_value(&c, "--relocate", m->options.relocate);
    }
    command_word(&c, "--");
    command_word(&c, s->location);
    return c;
}

struct command *migrate_dump_commands(const struct migration *m, bool again)
{
    struct command *commands = xcalloc(m->sources.n, sizeof *commands);
    for (size_t i = 0; i < m->sources.n; i++)
        commands[i] = dump_command(m, &m->sources.items[i], again);
    return commands;
}

void migrate_free_dumps(struct command *commands, size_t n)
{
    for (size_t i = 0; i < n; i++)
        command_free(&commands[i]);
    free(commands);
}

bool migrate_transform_command(const struct migration *m, const char *tmpdir, struct command *c)
{
    bool merge = m->sources.n > 1 || m->options.on_conflict || m->options.renumber_versions;
    if (!merge && !m->options.renumber && !m->options.rewrite_uri.len)
        return false;
    *c = command_new(m->argv0, "ml-transform");
    command_flag(c, merge, "--merge");
    command_value(c, "--on-conflict", m->options.on_conflict);
    command_flag(c, m->options.renumber_versions, "--renumber-versions");
    command_value(c, "--renumber-experiments", m->options.renumber);
    command_list(c, "--rewrite-uri", m->options.rewrite_uri.items, m->options.rewrite_uri.len);
    command_value(c, "--tmpdir", tmpdir);
    return true;
}

struct command migrate_load_command(const struct migration *m)
{
    struct command c = command_new(m->argv0, "ml-load");
    command_word(&c, "--export");
    command_value(&c, "--release", m->options.release);
    command_flag(&c, m->options.dry_run, "--dry-run");
    command_flag(&c, m->options.drop_unsupported, "--drop-unsupported");
    command_flag(&c, m->options.spans_in_database, "--spans-in-database");
    command_value(&c, "--tmpdir", m->options.tmpdir);
    command_word(&c, "--");
    command_word(&c, m->options.target);
    return c;
}

struct command migrate_verify_command(const struct migration *m)
{
    struct command c = command_new(m->argv0, "ml-verify");
    command_value(&c, "--tmpdir", m->options.tmpdir);
    command_word(&c, "--");
    command_word(&c, m->options.target);
    return c;
}

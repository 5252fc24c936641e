/* ml-schema current and history: show a database's revision, and all revisions. */
#include "formats/schema/command.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/printable.h"

static const struct opt no_options[] = {{.type = OPT_END}};
static const struct opt_spec current_spec = {
    .synopsis = SCHEMA_USAGE_CURRENT,
    .about = schema_command_about,
    .options = no_options,
};
static const struct opt_spec history_spec = {
    .synopsis = SCHEMA_USAGE_HISTORY,
    .about = schema_command_about,
    .options = no_options,
};

static bool read_rev(struct schema_command *c, const char *text, int *rev, struct err *e)
{
    return schema_command_open(c, text, DB_READ, SCHEMA_RETRIES, e) && schema_rev_of(c->db, rev, e);
}

/* Prints an unknown revision, which is not an error here. */
static int print_unknown(const struct schema_state *s, const char *display)
{
    struct buf text = {0}, releases = {0};
    schema_state_describe(s, &text);
    err_warn(display, "%s", buf_str(&text));
    schema_releases_of(s->rev, &releases);
    buf_reset(&text);
    printable_add(&text, s->revision, strlen(s->revision));
    printf("%s\tunknown; nearest: %s\t%s\n", buf_str(&text), schema_revisions[s->rev].revision,
           buf_str(&releases));
    buf_free(&text);
    buf_free(&releases);
    return EXIT_DONE;
}

int schema_command_current(struct schema_command *c, int argc, char **argv, struct err *e)
{
    int first = opt_parse(&current_spec, argc, argv, NULL), rev;
    struct schema_state s;
    const char *text = schema_command_operand(&current_spec, argc, argv, first);
    if (!schema_command_open(c, text, DB_READ, SCHEMA_RETRIES, e))
        return EXIT_TROUBLE;
    bool unknown = schema_state_read(c->db, &s, e) && s.kind == SCHEMA_STATE_UNKNOWN;
    int code = unknown ? print_unknown(&s, c->url.display) : EXIT_TROUBLE;
    schema_state_free(&s);
    if (unknown || !schema_rev_of(c->db, &rev, e))
        return code;
    if (rev == SCHEMA_EMPTY) {
        puts("empty");
        return EXIT_DONE;
    }
    struct buf releases = {0};
    schema_releases_of(rev, &releases);
    printf("%s\t%s\n", schema_revisions[rev].revision, buf_str(&releases));
    buf_free(&releases);
    return EXIT_DONE;
}

int schema_command_history(struct schema_command *c, int argc, char **argv, struct err *e)
{
    int first = opt_parse(&history_spec, argc, argv, NULL), rev = INT_MAX;
    if (argc > first && !read_rev(c, schema_command_operand(&history_spec, argc, argv, first), &rev, e))
        return EXIT_TROUBLE;
    for (int i = 1; i <= schema_head; i++) {
        const struct schema_revision *r = &schema_revisions[i];
        printf("%s\t%s\t%s", r->revision, schema_first_release_with(i)->release, r->title);
        if (argc > first)
            printf("\t%s", i <= rev ? "applied" : "pending");
        putchar('\n');
    }
    return EXIT_DONE;
}

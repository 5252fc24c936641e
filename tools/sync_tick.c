/* A tick of ml-sync: runs the pipeline and summarizes its results. */
#include "tools/sync_tick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"
#include "common/progress.h"
#include "common/spool.h"
#include "formats/database/url.h"
#include "formats/state/state.h"
#include "tools/database.h"
#include "tools/programs.h"
#include "tools/sync_report.h"

char *sync_tick_options(const struct sync_choices *c)
{
    struct buf out = {0};
    for (size_t i = 0; i < c->rewrite_uri.len; i++)
        buf_addf(&out, "%s--rewrite-uri=%s", out.len ? " " : "", c->rewrite_uri.items[i]);
    if (c->relocate)
        buf_addf(&out, "%s--relocate%s%s", out.len ? " " : "", *c->relocate ? "=" : "", c->relocate);
    const char *const flags[] = {c->renumber_trash ? "--renumber-trash" : NULL,
                                 c->no_spans ? "--no-spans" : NULL,
                                 c->spans_in_database ? "--spans-in-database" : NULL};
    for (size_t i = 0; i < ARRAY_LENGTH(flags); i++)
        if (flags[i])
            buf_addf(&out, "%s%s", out.len ? " " : "", flags[i]);
    if (c->workspace)
        buf_addf(&out, "%s--workspace=%s", out.len ? " " : "", c->workspace);
    char *text = xstrdup(buf_str(&out));
    buf_free(&out);
    return text;
}

/* Whether changes of the source can be detected: a server is read in full each time. */
static bool keeps_state(const struct source *s)
{
    struct db_url u;
    if (!s->is_database || !db_url_parse(s->location, &u, NULL))
        return true;
    bool is_file = u.path != NULL;
    db_url_free(&u);
    return is_file;
}

/* -- command lines */

/* The programs of a tick are quiet unless --verbose: ml-sync summarizes them in one line. */
static struct command quiet_command(const struct sync_choices *c, const char *program)
{
    struct command k = command_new(c->argv0, program);
    command_flag(&k, err_level() == 0, "--quiet");
    command_flag(&k, err_level() == 0 && progress_is_shared(), "--progress=always");
    return k;
}

/* tmpdir: for a file store, which may be in a place that cannot be written to. */
static struct command dump_command(const struct sync_choices *c, const struct sync_files *files,
                                   const struct source *s, const char *tmpdir, bool since)
{
    struct command k = quiet_command(c, s->is_database ? "mldb-dump" : "mlruns-dump");
    if (since)
        command_value(&k, "--since", files->state);
    if (keeps_state(s))
        command_value(&k, "--next-state", files->next);
    command_value(&k, "--tmpdir", s->is_database ? c->tmpdir : tmpdir);
    if (!s->is_database) {
        command_value(&k, "--jobs", c->jobs);
        command_flag(&k, c->renumber_trash, "--renumber-trash");
        command_flag(&k, c->no_spans, "--no-spans");
        command_value(&k, "--relocate", c->relocate);
    }
    command_word(&k, "--");
    command_word(&k, s->location);
    return k;
}

static struct command load_command(const struct sync_choices *c, const struct sync_files *files,
                                   const struct source *s)
{
    struct command k = quiet_command(c, "ml-load");
    char *promote = xasprintf("%s=%s", files->next, files->state);
    command_word(&k, "--sync");
    command_word(&k, "--json");
    command_flag(&k, c->dry_run, "--dry-run");
    if (!c->dry_run && keeps_state(s))
        command_value(&k, "--promote", promote);
    command_value(&k, "--workspace", c->workspace);
    command_value(&k, "--prefer", c->prefer);
    command_value(&k, "--on-conflict", c->on_conflict);
    command_flag(&k, c->acting, "--acting");
    command_flag(&k, c->spans_in_database, "--spans-in-database");
    command_value(&k, "--tmpdir", c->tmpdir);
    command_word(&k, "--");
    command_word(&k, c->target);
    free(promote);
    return k;
}

static struct command verify_command(const struct sync_choices *c, const struct sync_files *files,
                                     const struct source *s)
{
    struct command k = quiet_command(c, "ml-verify");
    command_word(&k, "--subset");
    if (keeps_state(s))
        command_value(&k, "--use-state", files->state);
    command_value(&k, "--tmpdir", c->tmpdir);
    command_word(&k, "--");
    command_word(&k, c->target);
    return k;
}

/* -- results */

/* The object that ml-load wrote to a file; NULL if it wrote none. */
static json_t *read_result(int fd)
{
    json_error_t why;
    lseek(fd, 0, SEEK_SET);
    return json_loadfd(fd, 0, &why);
}

/* -- the tick */

struct tick {
    const struct sync_choices *choices;
    const struct sync_files *files;
    const struct source *source;
    char *tmpdir;
    struct spool *spool; /* NULL: nothing is kept for ml-verify */
    json_t *result;      /* of ml-load; NULL: none */
};

static void keep_stream(struct tick *t)
{
    struct err e;
    spool_free(t->spool);
    t->spool = NULL;
    if (t->choices->verify && !t->choices->dry_run && !(t->spool = spool_new(t->tmpdir, &e)))
        err_die(&e);
}

/* Runs the pipeline once. */
static int bring(struct tick *t, bool since)
{
    const struct sync_choices *c = t->choices;
    struct err e;
    struct command dump = dump_command(c, t->files, t->source, t->tmpdir, since),
                   reader = load_command(c, t->files, t->source);
    struct command transform = {.n = 0};
    int output = file_nameless(t->tmpdir, &e);
    if (output < 0)
        err_die(&e);
    keep_stream(t);
    struct programs p = {
        .dumps = &dump, .n_dumps = 1, .reader = &reader, .reader_output = output, .spool = t->spool};
    if (c->rewrite_uri.len) {
        transform = quiet_command(c, "ml-transform");
        command_list(&transform, "--rewrite-uri", c->rewrite_uri.items, c->rewrite_uri.len);
        p.transform = &transform;
    }
    int status = programs_run(&p);
    json_decref(t->result);
    t->result = read_result(output);
    close(output);
    command_free(&dump);
    command_free(&transform);
    command_free(&reader);
    return status;
}

/* Whether ml-load refused the delta because the target is not at its base. */
static bool is_refused(const struct tick *t)
{
    const char *reason = json_string_value(json_object_get(t->result, "refused"));
    return reason && strcmp(reason, "base") == 0;
}

/* Runs ml-verify, and shows its output if it found differences. */
static int verify(struct tick *t)
{
    struct err e;
    struct command reader = verify_command(t->choices, t->files, t->source);
    int output = file_nameless(t->tmpdir, &e);
    if (output < 0)
        err_die(&e);
    int status = programs_replay(t->spool, &reader, output);
    if (status != EXIT_DONE) {
        char text[4096];
        lseek(output, 0, SEEK_SET);
        for (ssize_t n; (n = read(output, text, sizeof text)) > 0;)
            fwrite(text, 1, (size_t)n, stderr);
    }
    close(output);
    command_free(&reader);
    return status;
}

/* Whether there is a usable state. A damaged one is reported, and everything is sent. */
static bool has_state(const char *path)
{
    bool absent = false;
    struct err e;
    struct state *s = state_open(path, &absent, &e);
    if (!s && !absent)
        err_warn(e.where, "%s; everything is sent again", e.what);
    state_close(s);
    return s != NULL;
}

static char *now(void)
{
    char text[32];
    time_t t = time(NULL);
    struct tm tm;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    return xstrdup(text);
}

int sync_tick(const struct sync_choices *c, const struct sync_files *files, const struct source *s,
              json_t *tick)
{
    struct tick t = {
        .choices = c, .files = files, .source = s, .tmpdir = database_temp_dir(c->target, c->tmpdir)};
    bool since = keeps_state(s) && has_state(files->state);
    char *began = now();
    int status = bring(&t, since);
    if (since && is_refused(&t)) {
        err_warn(s->location, "the target is not as the last tick left it (restored, emptied or replaced): "
                              "everything is sent again");
        since = false;
        status = bring(&t, since);
    }
    bool verified = t.spool && status < EXIT_TROUBLE, equal = verified && verify(&t) == EXIT_DONE;
    if (verified && !equal)
        status = EXIT_TROUBLE;
    char *text = sync_summary(t.result, status, verified && !equal, c->dry_run);
    if (!since)
        sync_report_overwritten(t.result, c->dry_run);
    json_object_set_new(tick, "time", json_string(began));
    json_object_set_new(tick, "status", json_integer(status));
    json_object_set_new(tick, "full", json_boolean(!since));
    json_object_set_new(tick, "changed", json_boolean(json_is_true(json_object_get(t.result, "changed"))));
    json_object_set_new(tick, "summary", json_string(text));
    if (verified)
        json_object_set_new(tick, "verified", json_boolean(equal));
    if (t.result)
        json_object_set(tick, "result", t.result);
    json_decref(t.result);
    spool_free(t.spool);
    free(text);
    free(began);
    free(t.tmpdir);
    return status;
}

/* ml-sync: runs mlruns-dump or mldb-dump | ml-load --sync repeatedly, each time only for changes, and manages
 * the states. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/journal.h"
#include "common/opt.h"
#include "common/process.h"
#include "common/progress.h"
#include "formats/database/url.h"
#include "formats/stream/json.h"
#include "tools/run_report.h"
#include "tools/sources.h"
#include "tools/sync_files.h"
#include "tools/sync_report.h"
#include "tools/sync_tick.h"

struct options {
    struct sync_choices choices;
    struct opt_list sources, find;
    const char *state, *report;
    struct run_report page;
    uint64_t interval;
    bool json, status, forget;
};
#define CHOICE(member) offsetof(struct options, choices) + offsetof(struct sync_choices, member)

static const struct opt table[] = {
    {OPT_LIST, 0, "source", "SOURCE", "a file store or database to read (may be repeated; default: ./mlruns)",
     OPT_AT(struct options, sources)},
    {OPT_LIST, 0, "find", "DIR", "read every file store and MLflow SQLite file below DIR (may be repeated)",
     OPT_AT(struct options, find)},
    {OPT_STRING, 0, "target", "URL", "the database to bring up to date (required)", CHOICE(target)},
    {OPT_STRING, 0, "state", "DIR",
     "directory for states (default: $XDG_STATE_HOME/mlruns-tools, or\n~/.local/state/mlruns-tools)",
     OPT_AT(struct options, state)},
    {OPT_SIZE, 0, "interval", "SECONDS", "repeat every SECONDS until SIGTERM or SIGINT",
     OPT_AT(struct options, interval)},
    {OPT_LIST, 0, "rewrite-uri", "OLD=NEW", "rewrite artifact URIs (may be repeated; see ml-transform)",
     CHOICE(rewrite_uri)},
    {OPT_OPTARG, 0, "relocate", "URI",
     "the file store was moved: rewrite the URIs that point to its old\nlocation to URI (default: where it "
     "is "
     "now)",
     CHOICE(relocate)},
    {OPT_FLAG, 0, "renumber-trash", NULL,
     "give deleted experiments that share an id with an active one a new id", CHOICE(renumber_trash)},
    {OPT_FLAG, 0, "no-spans", NULL, "leave out the spans of file stores, which are in traces.json",
     CHOICE(no_spans)},
    {OPT_FLAG, 0, "spans-in-database", NULL,
     "make MLflow read spans from the database where that gives them as\nthey are (see ml-load)",
     CHOICE(spans_in_database)},
    {OPT_STRING, 0, "workspace", "NAME", "put everything into this workspace of the target",
     CHOICE(workspace)},
    {OPT_STRING, 0, "prefer", "source|target", "whose value wins in a full stream (default: source)",
     CHOICE(prefer)},
    {OPT_STRING, 0, "on-conflict", "fail|rename|renumber|skip", "see ml-load (default: fail)",
     CHOICE(on_conflict)},
    {OPT_FLAG, 0, "acting", NULL, "include rows that trigger actions: webhooks, jobs and others",
     CHOICE(acting)},
    {OPT_FLAG, 0, "verify", NULL, "then compare the target with what was sent (ml-verify --subset)",
     CHOICE(verify)},
    {OPT_STRING, 0, "report", "FILE", "verify, and write a report to FILE, as a page for a browser",
     OPT_AT(struct options, report)},
    {OPT_FLAG, 'n', "dry-run", NULL, "report what would change, write nothing", CHOICE(dry_run)},
    {OPT_STRING, 'j', "jobs", "N", "reader threads (default: as many as processors)", CHOICE(jobs)},
    {OPT_STRING, 0, "tmpdir", "DIR", "directory for temporary files (default: that of the target)",
     CHOICE(tmpdir)},
    {OPT_FLAG, 0, "json", NULL, "print a JSON object per source and tick", OPT_AT(struct options, json)},
    {OPT_FLAG, 0, "status", NULL, "print the last tick of each sync, or of those named, and exit",
     OPT_AT(struct options, status)},
    {OPT_FLAG, 0, "forget", NULL, "remove the states of the sources named: the next tick sends everything",
     OPT_AT(struct options, forget)},
    {.type = OPT_END},
};

static const struct opt_spec spec = {
    .synopsis = "ml-sync [OPTION]... --target URL\n"
                "ml-sync --status [--json] [--source SOURCE]... [--target URL] [--state DIR]",
    .about = "Syncs new and changed data of MLflow file stores and databases into one database, which may\n"
             "be in use: mlruns-dump --since | ml-load --sync. --quiet is silent unless something changed.",
    .options = table,
    .epilog = "Exit status: 0 done; 1 conflicts were skipped or damaged entities left out; 2 trouble.\n"
              "Example: ml-sync --source ./mlruns --target postgresql://mlflow@db/mlflow --interval 60",
};

/* The sources named, and those found now. */
static struct sources collect(const struct options *o, bool *good)
{
    struct sources s = {0};
    for (size_t i = 0; i < o->sources.len; i++)
        sources_add(&s, o->sources.items[i]);
    for (size_t i = 0; i < o->find.len; i++)
        sources_find(&s, o->find.items[i], o->choices.tmpdir);
    if (o->sources.len == 0 && o->find.len == 0)
        sources_add(&s, "./mlruns");
    *good = !s.incomplete;
    return s;
}

/* -- one tick of one source */

static void print_tick(const struct options *o, const json_t *tick)
{
    const json_t *changed = json_object_get(tick, "changed"), *status = json_object_get(tick, "status");
    bool silent = err_level() < 0 && !json_is_true(changed) && json_integer_value(status) == EXIT_DONE;
    if (o->json)
        json_dumpf(tick, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    else if (!silent)
        printf("%s -> %s: %s", json_string_value(json_object_get(tick, "source")),
               json_string_value(json_object_get(tick, "target")),
               json_string_value(json_object_get(tick, "summary")));
    if (o->json || !silent)
        putchar('\n');
    if (fflush(stdout) != 0)
        die("standard output", "cannot be written");
}

/* A tick's object, with source, target and options in printable form. */
static json_t *new_tick(const char *source, const char *target, const char *options)
{
    const char *names[] = {"source", "target", "options"}, *texts[] = {source, target, options};
    json_t *tick = json_object();
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        char *text = sync_printable(texts[i]);
        json_object_set_new(tick, names[i], json_string(text));
        free(text);
    }
    return tick;
}

static int sync_source(const struct options *o, const char *dir, const struct source *s)
{
    char *source = sync_place(s->location, s->is_database), *target = sync_place(o->choices.target, true);
    char *options = sync_tick_options(&o->choices);
    struct sync_files files = sync_files_of(dir, source, target, options);
    struct err e;
    int result = EXIT_TROUBLE;
    if (sync_files_lock(&files, &e)) {
        json_t *tick = new_tick(source, target, options);
        result = sync_tick(&o->choices, &files, s, tick);
        print_tick(o, tick);
        sync_journal(tick);
        sync_files_keep(&files, tick);
        json_decref(tick);
    } else if (e.class == ERR_BUSY) {
        err_note("%s: another tick of this sync is running", source);
    } else {
        err_report(&e);
    }
    sync_files_free(&files);
    free(options);
    free(target);
    free(source);
    return result;
}

static int round_of_ticks(const struct options *o, const char *dir)
{
    bool good;
    journal_empty();
    struct sources s = collect(o, &good);
    int result = good ? EXIT_DONE : EXIT_ANSWER_NO;
    for (size_t i = 0; i < s.n && !err_interrupted(); i++) {
        int status = sync_source(o, dir, &s.items[i]);
        result = status > result ? status : result;
    }
    if (!err_interrupted())
        result = run_report_end(
            &o->page, &s, o->choices.target,
            (struct report){.of = REPORT_SYNC, .status = result, .dry_run = o->choices.dry_run});
    sources_free(&s);
    return result;
}

/* -- the service */

/* Runs ticks until a signal. SIGTERM lets the current tick finish, SIGINT ends it, too. */
static void serve(const struct options *o, const char *dir)
{
    sigset_t later, before;
    sigemptyset(&later);
    sigaddset(&later, SIGTERM);
    sigaddset(&later, SIGHUP);
    while (!err_interrupted()) {
        struct timespec next;
        clock_gettime(CLOCK_MONOTONIC, &next);
        next.tv_sec += (time_t)o->interval;
        sigprocmask(SIG_BLOCK, &later, &before);
        round_of_ticks(o, dir);
        sigprocmask(SIG_SETMASK, &before, NULL);
        while (!err_interrupted() && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) != 0)
            ;
    }
}

/* -- the states */

static int forget(const struct options *o, const char *dir)
{
    bool good;
    struct sources s = collect(o, &good);
    char *target = sync_place(o->choices.target, true), *options = sync_tick_options(&o->choices);
    int result = good ? EXIT_DONE : EXIT_ANSWER_NO;
    for (size_t i = 0; i < s.n; i++) {
        char *source = sync_place(s.items[i].location, s.items[i].is_database);
        struct sync_files files = sync_files_of(dir, source, target, options);
        struct err e;
        bool locked = sync_files_lock(&files, &e);
        if (!locked && e.class == ERR_BUSY)
            err_set(&e, source, "a tick of this sync is running");
        if (!locked || !sync_files_forget(&files, &e)) {
            err_report(&e);
            result = EXIT_TROUBLE;
        }
        sync_files_free(&files);
        free(source);
    }
    free(options);
    free(target);
    sources_free(&s);
    return result;
}

static int status(const struct options *o, const char *dir)
{
    char *target = o->choices.target ? sync_place(o->choices.target, true) : NULL;
    bool named = o->sources.len + o->find.len > 0, good = true;
    struct sources s = named ? collect(o, &good) : (struct sources){0};
    size_t n = 0;
    if (!named)
        n = sync_files_print(dir, NULL, target, o->json);
    for (size_t i = 0; i < s.n; i++) {
        char *source = sync_place(s.items[i].location, s.items[i].is_database);
        n += sync_files_print(dir, source, target, o->json);
        free(source);
    }
    sources_free(&s);
    free(target);
    io_close_stdout();
    if (n == 0)
        err_note("no sync has run with the states in %s", dir);
    return n && good ? EXIT_DONE : EXIT_ANSWER_NO;
}

int main(int argc, char **argv)
{
    static struct options o;
    err_program_set(argv[0]);
    json_require_memory();
    int first = opt_parse(&spec, argc, argv, &o);
    o.choices.argv0 = argv[0];
    if (argc > first)
        opt_usage_error(&spec, "unexpected operand '%s'", argv[first]);
    if (!o.status && !o.choices.target)
        opt_usage_error(&spec, "--target is required");
    if (o.status && (o.forget || o.interval))
        opt_usage_error(&spec, "--status cannot be used with --forget or --interval");
    if (fcntl(STDOUT_FILENO, F_GETFD) < 0)
        die(NULL, "standard output: closed");
    io_claim_standard_files();
    err_survive_writes();
    err_catch_signals();
    err_signal_hook_set(process_stop_all);
    progress_share();
    char *dir = sync_state_dir(o.state);
    o.choices.verify |= o.report != NULL;
    if (!o.status && !o.forget)
        run_report_begin(&o.page, o.report, dir);
    int result = EXIT_DONE;
    if (o.status)
        result = status(&o, dir);
    else if (o.forget)
        result = forget(&o, dir);
    else if (o.interval)
        serve(&o, dir);
    else
        result = round_of_ticks(&o, dir);
    free(dir);
    run_report_free(&o.page);
    if (err_interrupted() && !o.interval)
        err_exit_interrupted();
    return result;
}

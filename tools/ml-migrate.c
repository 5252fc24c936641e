/* ml-migrate: runs mlruns-dump or mldb-dump | ml-load, and ml-verify with --verify. Nothing but the
 * pipeline. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/process.h"
#include "common/progress.h"
#include "common/spool.h"
#include "tools/database.h"
#include "tools/migrate.h"

static const struct opt table[] = {
    {OPT_LIST, 0, "source", "SOURCE", "a file store or database to read (may be repeated; default: ./mlruns)",
     OPT_AT(struct migrate_options, sources)},
    {OPT_LIST, 0, "find", "DIR", "read every file store and MLflow SQLite file below DIR (may be repeated)",
     OPT_AT(struct migrate_options, find)},
    {OPT_STRING, 0, "target", "URL", "the database (default: sqlite:///mlflow.db)",
     OPT_AT(struct migrate_options, target)},
    {OPT_STRING, 0, "release", "X.Y[.Z]", "create the schema of this MLflow release",
     OPT_AT(struct migrate_options, release)},
    {OPT_FLAG, 0, "verify", NULL, "afterwards compare every field with the source (ml-verify)",
     OPT_AT(struct migrate_options, verify)},
    {OPT_STRING, 0, "report", "FILE", "verify, and write a report to FILE, as a page for a browser",
     OPT_AT(struct migrate_options, report)},
    {OPT_FLAG, 0, "reread", NULL,
     "with --verify: read the source a second time instead of keeping\na compressed copy of the stream",
     OPT_AT(struct migrate_options, reread)},
    {OPT_FLAG, 'n', "dry-run", NULL, "check everything, write nothing",
     OPT_AT(struct migrate_options, dry_run)},
    {OPT_STRING, 'j', "jobs", "N", "number of reader threads (default: the number of processors)",
     OPT_AT(struct migrate_options, jobs)},
    {OPT_OPTARG, 0, "relocate", "URI",
     "the file store was moved: make the URIs that point to its old\n"
     "location point to URI (default: its current location)",
     OPT_AT(struct migrate_options, relocate)},
    {OPT_LIST, 0, "rewrite-uri", "OLD=NEW", "rewrite artifact URIs (may be repeated; see ml-transform)",
     OPT_AT(struct migrate_options, rewrite_uri)},
    {OPT_FLAG, 0, "renumber-trash", NULL, "give deleted experiments whose id is in use a new one",
     OPT_AT(struct migrate_options, renumber_trash)},
    {OPT_FLAG, 0, "no-spans", NULL, "leave out the spans of file stores, which are in traces.json",
     OPT_AT(struct migrate_options, no_spans)},
    {OPT_FLAG, 0, "spans-in-database", NULL,
     "make MLflow read spans from the database where that gives them as\nthey are (see ml-load)",
     OPT_AT(struct migrate_options, spans_in_database)},
    {OPT_OPTARG, 0, "renumber-experiments", "START",
     "give all experiments new ids, counting from START (default: 1)",
     OPT_AT(struct migrate_options, renumber)},
    {OPT_STRING, 0, "on-conflict", "fail|rename|merge",
     "what to do if two experiments share a name (default: fail)",
     OPT_AT(struct migrate_options, on_conflict)},
    {OPT_FLAG, 0, "renumber-versions", NULL, "give model versions whose number is taken the next free number",
     OPT_AT(struct migrate_options, renumber_versions)},
    {OPT_FLAG, 0, "skip-malformed", NULL,
     "leave out and report what is damaged in the source, and exit with 1",
     OPT_AT(struct migrate_options, skip_malformed)},
    {OPT_FLAG, 0, "drop-unsupported", NULL,
     "leave out what the target cannot hold, count it, and exit with 1",
     OPT_AT(struct migrate_options, drop_unsupported)},
    {OPT_FLAG, 'y', "yes", NULL, "without arguments on a terminal: do not ask",
     OPT_AT(struct migrate_options, yes)},
    {OPT_STRING, 0, "tmpdir", "DIR", "directory for temporary files (default: that of the target)",
     OPT_AT(struct migrate_options, tmpdir)},
    {.type = OPT_END},
};

static const struct opt_spec spec = {
    .synopsis = "ml-migrate [OPTION]... [SOURCE [TARGET]]",
    .about = "Moves MLflow file stores and databases into an empty database: mlruns-dump | ml-load.\n"
             "SOURCE is a directory (./mlruns), the URL of a database or a SQLite file; TARGET is a URL.",
    .options = table,
    .epilog = "Example: ml-migrate ./mlruns sqlite:///mlflow.db --verify",
};

/* -- the run */

/* Returns all that ml-load wrote to its standard output. */
static char *read_all(int fd)
{
    struct buf b = {0};
    for (ssize_t n = 1; n != 0;) {
        buf_reserve(&b, 4096);
        n = read(fd, b.data + b.len, 4096);
        if (n < 0 && errno != EINTR)
            break;
        b.len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    buf_addc(&b, '\0');
    return b.data;
}

/* The command in what ml-load has printed, malloc'ed; NULL: none. */
static char *find_export(const char *text)
{
    const char *line = strstr(text, "export ");
    return line ? xstrndup(line, strcspn(line, "\n")) : NULL;
}

static void print_export(const char *command)
{
    if (puts(command) == EOF || fflush(stdout) != 0)
        err_warn("standard output", "cannot write the export command; the database is complete");
}

/* Runs dumps, transform and ml-load; *text receives the standard output of ml-load, malloc'ed. */
static int load(const struct migration *m, struct programs *p, char **text)
{
    struct command *dumps = migrate_dump_commands(m, false), reader = migrate_load_command(m);
    struct err e;
    int output[2];
    if (!process_pipe(output, &e))
        err_die(&e);
    p->dumps = dumps;
    p->reader = &reader;
    p->reader_output = output[1];
    int result = programs_run(p);
    close(output[1]);
    *text = read_all(output[0]);
    p->reader = NULL;
    migrate_free_dumps(dumps, p->n_dumps);
    command_free(&reader);
    return result;
}

/* Compares the target with the copy of the stream, or with a second dump; sets *differs. */
static int verify(const struct migration *m, struct programs *p, bool *differs)
{
    struct command *dumps = p->spool ? NULL : migrate_dump_commands(m, true),
                   reader = migrate_verify_command(m);
    p->dumps = dumps;
    p->reader = &reader;
    p->reader_output = -1;
    int status = p->spool ? programs_replay(p->spool, &reader, -1) : programs_run(p);
    *differs = status > EXIT_ANSWER_NO || (p->spool ? status : p->reader_status) != EXIT_DONE;
    p->reader = NULL;
    migrate_free_dumps(dumps, dumps ? p->n_dumps : 0);
    command_free(&reader);
    return status;
}

static int migrate(struct migration *m)
{
    char *dir = database_temp_dir(m->options.target, m->options.tmpdir), *text = NULL;
    bool keep = m->options.verify && !m->options.reread && !m->options.dry_run, differs = false;
    struct command transform = {.n = 0};
    struct programs p = {.n_dumps = m->sources.n};
    struct err e;
    m->tmpdir = dir;
    run_report_begin(&m->report, m->options.report, dir);
    if (migrate_transform_command(m, dir, &transform))
        p.transform = &transform;
    if (keep && !(p.spool = spool_new(dir, &e)))
        err_die(&e);
    int result = load(m, &p, &text);
    bool loaded = result <= EXIT_ANSWER_NO && !m->options.dry_run;
    if (loaded && keep)
        err_verbose("kept a compressed copy of the stream: %llu MiB",
                    (unsigned long long)(spool_size(p.spool) >> 20));
    if (loaded && m->options.verify) {
        int status = verify(m, &p, &differs);
        result = differs ? status : result;
    }
    char *export = loaded && !differs ? find_export(text) : NULL;
    if (export)
        print_export(export);
    if (result != EXIT_INTERRUPTED)
        result = run_report_end(
            &m->report, &m->sources, m->options.target,
            (struct report){
                .of = REPORT_MIGRATION, .use = export, .status = result, .dry_run = m->options.dry_run});
    spool_free(p.spool);
    command_free(&transform);
    free(export);
    free(text);
    free(dir);
    return result;
}

/* Collects the sources given on the command line and those found by --find. */
static void collect(struct migration *m, const char *operand)
{
    if (operand)
        sources_add(&m->sources, operand);
    for (size_t i = 0; i < m->options.sources.len; i++)
        sources_add(&m->sources, m->options.sources.items[i]);
    for (size_t i = 0; i < m->options.find.len; i++)
        sources_find(&m->sources, m->options.find.items[i], m->options.tmpdir);
    if (m->sources.incomplete && !m->options.skip_malformed)
        die_hint("--skip-malformed continues without them", NULL, "not all of the sources can be read");
    if (m->sources.n == 0)
        sources_add(&m->sources, "./mlruns");
    sources_print(&m->sources);
}

int main(int argc, char **argv)
{
    static struct migration m;
    m.argv0 = argv[0];
    err_program_set(argv[0]);
    int first = opt_parse(&spec, argc, argv, &m.options);
    if (argc - first > 2)
        opt_usage_error(&spec, "extra operand '%s'", argv[first + 2]);
    if (argc - first == 2 && m.options.target)
        opt_usage_error(&spec, "the target is given both as an operand and by --target");
    if (argc - first == 2 || !m.options.target)
        m.options.target = argc - first == 2 ? argv[first + 1] : "sqlite:///mlflow.db";
    if (fcntl(STDOUT_FILENO, F_GETFD) < 0) /* do not begin what could not be reported at the end */
        die(NULL, "standard output: closed");
    m.options.verify |= m.options.report != NULL;
    io_claim_standard_files();
    err_survive_writes();
    err_catch_signals();
    err_signal_hook_set(process_stop_all);
    progress_share();
    collect(&m, first < argc ? argv[first] : NULL);
    if (argc == 1 && !migrate_ask(&m)) {
        sources_free(&m.sources);
        return EXIT_ANSWER_NO;
    }
    int result = migrate(&m);
    sources_free(&m.sources);
    run_report_free(&m.report);
    if (err_interrupted())
        err_exit_interrupted();
    return m.sources.incomplete && result == EXIT_DONE ? EXIT_ANSWER_NO : result;
}

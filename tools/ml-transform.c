/* ml-transform: what people need between a dump and a load: the JSON view and back, a look at a stream, and
 * changes to it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/err.h"
#include "common/io.h"
#include "common/opt.h"
#include "common/progress.h"
#include "formats/transform/fit.h"
#include "formats/stream/jsonl.h"
#include "formats/transform/merge.h"
#include "formats/record/references.h"
#include "formats/transform/rewrite_uri.h"
#include "formats/transform/renumber.h"
#include "formats/transform/select.h"
#include "formats/transform/summary.h"
#include "formats/stream/wire.h"
#include "formats/transform/workspace.h"

static bool to_json, from_json, reseal, validate, summarise, strict_uri, merge_sources, renumber_versions,
    truncate_texts;
static const char *fit_dialect, *fit_release, *workspace_name;
static const char *head_text, *renumber_from, *id_map, *known_ids, *on_conflict, *tmpdir = ".";
static const char *since, *until, *stage;
static struct opt_list experiments, runs, kinds_wanted, kinds_excluded, tags, statuses;
static struct opt_list uri_rules, experiment_names, model_names;

static const struct opt options[] = {
    {OPT_FLAG, 0, "json", NULL, "write JSON Lines instead of a record stream", &to_json},
    {OPT_FLAG, 0, "from-json", NULL, "read JSON Lines instead of a record stream", &from_json},
    {OPT_FLAG, 0, "reseal", NULL, "with --from-json: make the trailers anew, for lines edited by hand",
     &reseal},
    {OPT_FLAG, 0, "summary", NULL, "write tables of what is in the stream instead", &summarise},
    {OPT_FLAG, 0, "validate", NULL, "write nothing; check the stream and its references", &validate},
    {OPT_STRING, 0, "head", "N", "keep the first N records", &head_text},
    {OPT_LIST, 0, "experiment", "ID|NAME", "keep this experiment (repeatable)", &experiments},
    {OPT_LIST, 0, "run", "ID", "keep this run (repeatable)", &runs},
    {OPT_LIST, 0, "status", "STATUS", "keep runs of this status (repeatable)", &statuses},
    {OPT_STRING, 0, "lifecycle", "STAGE", "keep what is active, or deleted", &stage},
    {OPT_LIST, 0, "tag", "KEY=VALUE", "keep runs and traces with this tag (repeatable: with all of them)",
     &tags},
    {OPT_STRING, 0, "since", "TIME", "keep runs and traces from this time on", &since},
    {OPT_STRING, 0, "until", "TIME", "keep runs and traces before this time", &until},
    {OPT_LIST, 0, "kind", "KIND", "keep records of this kind, and their parents (repeatable)", &kinds_wanted},
    {OPT_LIST, 0, "exclude-kind", "KIND", "leave out this kind, and its children (repeatable)",
     &kinds_excluded},
    {OPT_LIST, 0, "rewrite-uri", "OLD=NEW", "put NEW before artifact URIs in the place of OLD (repeatable)",
     &uri_rules},
    {OPT_FLAG, 0, "strict-uri", NULL, "exit 1 if a URI matched no --rewrite-uri", &strict_uri},
    {OPT_OPTARG, 0, "renumber-experiments", "START", "give experiments small ids, from START on (default: 1)",
     &renumber_from},
    {OPT_STRING, 0, "id-map", "FILE", "write old and new ids of experiments to FILE", &id_map},
    {OPT_STRING, 0, "use-id-map", "FILE", "take the new ids from FILE, as --id-map wrote it", &known_ids},
    {OPT_LIST, 0, "rename-experiment", "ID|NAME=NEW", "give an experiment another name (repeatable)",
     &experiment_names},
    {OPT_LIST, 0, "rename-model", "OLD=NEW", "give a registered model or prompt another name (repeatable)",
     &model_names},
    {OPT_STRING, 0, "workspace", "NAME", "put everything into this workspace", &workspace_name},
    {OPT_FLAG, 0, "merge", NULL, "make one segment of those of several sources", &merge_sources},
    {OPT_STRING, 0, "on-conflict", "HOW", "with --merge: fail (default), rename, or merge", &on_conflict},
    {OPT_FLAG, 0, "renumber-versions", NULL,
     "with --merge: model versions whose number is taken get the next", &renumber_versions},
    {OPT_STRING, 0, "fit", "DIALECT", "name what sqlite or postgresql cannot hold", &fit_dialect},
    {OPT_STRING, 0, "release", "X.Y[.Z]", "with --fit: of this MLflow (default: as ml-load)", &fit_release},
    {OPT_FLAG, 0, "truncate", NULL, "with --fit: cut texts that are too long, where nothing is lost but text",
     &truncate_texts},
    {OPT_STRING, 0, "tmpdir", "DIR", "directory for temporary files (default: the current one)", &tmpdir},
    {.type = OPT_END},
};

static const struct opt_spec spec = {
    .synopsis = "ml-transform [OPTION]...",
    .about = "Reads a record stream from standard input, writes one to standard output, changed as the "
             "options say.",
    .options = options,
    .epilog =
        "Exit status: 0 done; 1 --validate found wrong references, or --strict-uri or a --rename found\n"
        "nothing to change; 2 trouble. See ml-transform(1).",
};

/* -- where records come from and where they go */

struct source {
    struct wire_reader *stream;
    struct jsonl_reader *lines; /* the other one is NULL */
};

/* json: lines, else a stream. */
static struct source source_open(int fd, bool json)
{
    static const char name[] = "standard input";
    struct source s = {0};
    if (json)
        s.lines = jsonl_reader_new(fd, name, reseal);
    else
        s.stream = wire_reader_new(fd, name);
    return s;
}

static enum wire_event source_next(struct source *s, const struct record **rec, struct err *e)
{
    return s->lines ? jsonl_next(s->lines, rec, e) : wire_next(s->stream, rec, e);
}

static const struct wire_header *source_header(const struct source *s)
{
    return s->lines ? jsonl_reader_header(s->lines) : wire_reader_header(s->stream);
}

static void source_close(struct source *s)
{
    wire_reader_free(s->stream);
    jsonl_reader_free(s->lines);
}

struct sink {
    struct wire_writer *stream;
    struct jsonl_writer *lines; /* at most one is not NULL */
};

static struct sink sink_open(void)
{
    static const char name[] = "standard output";
    struct sink s = {0};
    if (validate || summarise)
        return s;
    if (to_json)
        s.lines = jsonl_writer_new(STDOUT_FILENO, name);
    else
        s.stream = wire_writer_new(STDOUT_FILENO, name);
    return s;
}

static void sink_header(struct sink *s, const struct wire_header *h)
{
    if (s->lines)
        jsonl_write_header(s->lines, h);
    if (s->stream)
        wire_write_header_copy(s->stream, h);
}

static void sink_record(struct sink *s, const struct record *r)
{
    if (s->lines)
        jsonl_write(s->lines, r);
    if (s->stream)
        wire_write(s->stream, r);
}

static void sink_trailer(struct sink *s)
{
    if (s->lines)
        jsonl_write_trailer(s->lines);
    if (s->stream)
        wire_write_trailer(s->stream);
}

/* What was good is handed on, without a trailer: it can be seen, and nobody takes it for a whole. */
static void sink_give_up(struct sink *s)
{
    if (s->lines)
        jsonl_writer_flush(s->lines);
    if (s->stream)
        wire_writer_flush(s->stream);
}

static void sink_close(struct sink *s)
{
    if (s->lines)
        jsonl_writer_close(s->lines);
    if (s->stream)
        wire_writer_close(s->stream);
}

/* -- passes: what must know all of the stream before it can say anything reads it more than once */

/* A descriptor of the stream that can be read again from its present offset: standard input itself when it is
 * a file, else a nameless copy of it in tmpdir. */
struct replay {
    int fd;
    off_t start;
};

static int open_nameless(void)
{
    int fd = open(tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    char *path = xasprintf("%s/.ml-transform.XXXXXX", tmpdir); /* a file system without O_TMPFILE */
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        die(tmpdir, "cannot make a temporary file: %s", strerror(errno));
    unlink(path);
    free(path);
    return fd;
}

/* Copies standard input, checked. */
static int copy_input(void)
{
    int fd = open_nameless(), out = dup(fd);
    struct source in = source_open(STDIN_FILENO, from_json);
    struct sink copy = {.stream = wire_writer_new(out, "temporary file")};
    const struct record *rec;
    enum wire_event event;
    struct err e;
    if (out < 0)
        die(NULL, "cannot open a file twice: %s", strerror(errno));
    while ((event = source_next(&in, &rec, &e)) > WIRE_END) {
        if (err_interrupted())
            err_exit_interrupted();
        if (event == WIRE_HEADER)
            sink_header(&copy, source_header(&in));
        else if (event == WIRE_RECORD)
            sink_record(&copy, rec);
        else
            sink_trailer(&copy);
    }
    if (event == WIRE_ERROR)
        err_die(&e);
    sink_close(&copy);
    source_close(&in);
    return fd;
}

static struct replay replay_open(void)
{
    struct stat st;
    off_t start = lseek(STDIN_FILENO, 0, SEEK_CUR);
    if (!from_json && start >= 0 && fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode))
        return (struct replay){STDIN_FILENO, start};
    return (struct replay){copy_input(), 0};
}

/* -- what is done with the records */

enum phase {
    PHASE_SELECT,                   /* and the two behind it */
    PHASE_MERGE = PHASE_SELECT + 3, /* ids of all sources */
    PHASE_EXPERIMENTS,              /* of a merge: written first */
    PHASE_WRITE,
};

struct job {
    struct sink sink;
    /* What was asked for; else NULL. */
    struct select *select;
    struct merge *merge;
    struct renumber *renumber;
    struct rename *rename;
    struct relocate *relocate;
    struct workspace *workspace;
    struct fit *fit;
    struct ref_check *refs;
    struct summary *summary;
    struct arena made; /* text of the record at hand */
    struct buf encoded;
    uint64_t head; /* records that may still be written */
    uint64_t records, segments;
};

/* Bytes of a record in the stream. */
static size_t bytes_of(struct job *j, const struct record *r)
{
    buf_reset(&j->encoded);
    wire_encode(r, &j->encoded);
    return j->encoded.len;
}

static void emit(struct job *j, const struct record *r)
{
    if (j->head == 0)
        return;
    j->head--;
    j->records++;
    if (j->refs)
        ref_check_add(j->refs, r);
    if (j->summary)
        summary_add(j->summary, r, bytes_of(j, r));
    if (!j->fit || fit_problems(j->fit) == 0)
        sink_record(&j->sink, r);
}

static _Noreturn void give_up(struct job *j, const struct err *e)
{
    progress_end();
    sink_give_up(&j->sink);
    err_die(e);
}

static void change(struct job *j, struct record *r)
{
    struct err e;
    arena_reset(&j->made);
    if (j->renumber && !renumber_record(j->renumber, r, &j->made, &e))
        give_up(j, &e);
    if (j->rename)
        rename_record(j->rename, r, &j->made);
    if (j->relocate)
        relocate_record(j->relocate, r, &j->made);
    if (j->workspace && !workspace_record(j->workspace, r))
        return;
    if (j->fit)
        fit_record(j->fit, r, &j->made);
    emit(j, r);
}

static void take_record(struct job *j, enum phase phase, const struct record *rec)
{
    struct record r = *rec;
    struct err e;
    if (phase < PHASE_MERGE) {
        select_collect(j->select, (int)phase, rec);
        return;
    }
    if (j->select && !select_keeps(j->select, rec))
        return;
    if (phase == PHASE_MERGE) {
        if (!merge_collect(j->merge, rec, &e))
            err_die(&e);
    } else if (!j->merge ||
               merge_take(j->merge, phase == PHASE_EXPERIMENTS ? MERGE_EXPERIMENTS : MERGE_OTHERS, &r)) {
        change(j, &r);
    }
}

/* Closes a segment; one that does not fit never is. */
static void seal(struct job *j)
{
    struct record row;
    while (j->workspace && j->segments == 0 && workspace_row(j->workspace, &row)) {
        if (j->fit)
            fit_record(j->fit, &row, &j->made);
        emit(j, &row);
    }
    j->segments++;
    if (!j->fit || fit_problems(j->fit) == 0)
        sink_trailer(&j->sink);
}

/* Headers and trailers: kept one to one, unless segments are merged. */
static void take_frame(struct job *j, enum phase phase, enum wire_event event, const struct wire_header *h)
{
    if (event == WIRE_HEADER && j->merge && phase >= PHASE_MERGE)
        merge_segment(j->merge, h);
    if (phase != PHASE_WRITE || j->merge)
        return;
    if (event == WIRE_HEADER) {
        sink_header(&j->sink, h);
        if (j->refs)
            ref_check_segment(j->refs);
    } else {
        seal(j);
    }
}

static void run_pass(struct job *j, enum phase phase, struct source *s)
{
    const struct record *rec;
    enum wire_event event;
    struct err e;
    progress_start(phase >= PHASE_EXPERIMENTS ? "writing" : "reading", "records", 0);
    while ((event = source_next(s, &rec, &e)) > WIRE_END) {
        if (err_interrupted())
            err_exit_interrupted();
        if (event == WIRE_RECORD) {
            take_record(j, phase, rec);
            progress_add(1);
        } else {
            take_frame(j, phase, event, source_header(s));
        }
    }
    if (event == WIRE_ERROR)
        give_up(j, &e);
    progress_end();
    source_close(s);
}

/* One pass over a stream that can be read again. */
static void run_again(struct job *j, enum phase phase, const struct replay *in)
{
    if (lseek(in->fd, in->start, SEEK_SET) < 0)
        die("standard input", "cannot read it again: %s", strerror(errno));
    struct source s = source_open(in->fd, false);
    if (phase == PHASE_MERGE) /* else what comes out would hide that a shard was missing */
        wire_reader_want_whole(s.stream);
    run_pass(j, phase, &s);
}

static void run(struct job *j)
{
    int passes = j->select ? select_passes(j->select) : 0;
    if (passes == 0 && !j->merge) {
        struct source s = source_open(STDIN_FILENO, from_json);
        run_pass(j, PHASE_WRITE, &s);
        return;
    }
    struct replay in = replay_open();
    for (int i = 0; i < passes; i++) {
        run_again(j, (enum phase)(PHASE_SELECT + i), &in);
        if (i == 0 && select_report(j->select) > 0)
            die_hint("ml-transform --summary shows what is there", NULL, "nothing is written");
    }
    if (j->merge) {
        struct wire_header h;
        struct err e;
        run_again(j, PHASE_MERGE, &in);
        if (!merge_settle(j->merge, &h, &e))
            err_die(&e);
        sink_header(&j->sink, &h);
        run_again(j, PHASE_EXPERIMENTS, &in);
    }
    run_again(j, PHASE_WRITE, &in);
    if (j->merge)
        seal(j);
}

/* -- beginning and end */

static void report_reference(const char *where, const char *what)
{
    err_print(where, "%s", what);
}

/* The exit code. */
static int report_references(struct job *j)
{
    uint64_t wrong = ref_check_end(j->refs, report_reference);
    if (wrong > 0)
        err_print(NULL, "%" PRIu64 " entities are missing or given twice", wrong);
    else
        err_note("%" PRIu64 " records in %" PRIu64 " segments: whole, and every reference is met", j->records,
                 j->segments);
    return wrong > 0 ? EXIT_ANSWER_NO : EXIT_DONE;
}

static void print_summary(const struct summary *summary)
{
    struct buf text = {0};
    summary_print(summary, &text);
    fputs(buf_str(&text), stdout);
    buf_free(&text);
}

static void report_numbers(const struct renumber *x)
{
    struct err e;
    if (id_map && !renumber_save(x, id_map, &e))
        err_die(&e);
    if (renumber_count(x) == 0)
        return;
    err_note("%" PRIu64 " experiments have another id%s%s", renumber_count(x), id_map ? ", see " : "",
             id_map ? id_map : "");
    err_note("permissions in a server's auth database name experiments by id: they must be granted anew");
}

static const struct schema_release *release_to_fit(void)
{
    static const struct schema_release *release;
    struct buf why = {0};
    struct err e;
    if (release)
        return release;
    release = fit_release ? schema_find_release(fit_release, &e) : schema_default_release(&why);
    if (!release)
        err_die(&e);
    if (!fit_release)
        err_note("--fit for MLflow %s: %s", release->release, buf_str(&why));
    buf_free(&why);
    return release;
}

/* What was done and found; the exit code. */
static int finish(struct job *j)
{
    int code = EXIT_DONE;
    if (j->summary)
        print_summary(j->summary);
    if (j->merge)
        merge_report(j->merge);
    if (j->renumber)
        report_numbers(j->renumber);
    if (j->rename && rename_report(j->rename) > 0)
        code = EXIT_ANSWER_NO;
    if (j->relocate && relocate_report(j->relocate) > 0 && strict_uri)
        code = EXIT_ANSWER_NO;
    if (j->workspace && strcmp(workspace_name, "default") != 0)
        err_note("with more than the default workspace MLflow's server starts with --enable-workspaces only");
    if (j->fit)
        fit_report(j->fit);
    if (j->refs && report_references(j) != EXIT_DONE)
        code = EXIT_ANSWER_NO;
    if (j->fit && fit_problems(j->fit) > 0) {
        sink_give_up(&j->sink);
        die(NULL, "%" PRIu64 " values do not fit into MLflow %s on %s: the stream is not closed",
            fit_problems(j->fit), release_to_fit()->release, fit_dialect);
    }
    sink_close(&j->sink);
    if (validate || summarise)
        io_close_stdout();
    return code;
}

static void free_job(struct job *j)
{
    select_free(j->select);
    merge_free(j->merge);
    renumber_free(j->renumber);
    rename_free(j->rename);
    relocate_free(j->relocate);
    workspace_free(j->workspace);
    fit_free(j->fit);
    ref_check_free(j->refs);
    summary_free(j->summary);
    arena_free(&j->made);
    buf_free(&j->encoded);
}

static int64_t parse_number(const char *text, const char *option, int64_t max)
{
    int64_t n;
    if (!value_parse_int(text, strlen(text), &n) || n < 0 || n > max)
        opt_usage_error(&spec, "--%s: '%s' is not a number from 0 to %" PRId64, option, text, max);
    return n;
}

/* Hands each value of an option to what understands it. */
static void each(const struct opt_list *list, const char *option, void *to,
                 bool (*add)(void *to, const char *value, struct err *e))
{
    struct err e;
    for (size_t i = 0; i < list->len; i++)
        if (!add(to, list->items[i], &e))
            opt_usage_error(&spec, "--%s: %s: %s", option, e.where, e.what);
}

#define ADDER(name, type, function)                                                                          \
    static bool name(void *to, const char *value, struct err *e)                                             \
    {                                                                                                        \
        return function((struct type *)to, value, e);                                                        \
    }
ADDER(add_experiment, select, select_experiment)
ADDER(add_run, select, select_run)
ADDER(add_status, select, select_status)
ADDER(add_stage, select, select_lifecycle)
ADDER(add_tag, select, select_tag)
ADDER(add_since, select, select_since)
ADDER(add_until, select, select_until)
ADDER(add_kind, select, select_kind)
ADDER(add_excluded, select, select_exclude_kind)
ADDER(add_uri, relocate, relocate_add)
ADDER(add_experiment_name, rename, rename_add_experiment)
ADDER(add_model_name, rename, rename_add_model)

static struct select *make_select(void)
{
    const struct opt_list stages = {&stage, stage != NULL}, from = {&since, since != NULL},
                          to = {&until, until != NULL};
    const struct {
        const struct opt_list *list;
        const char *option;
        bool (*add)(void *, const char *, struct err *);
    } criteria[] = {
        {&experiments, "experiment", add_experiment},
        {&runs, "run", add_run},
        {&statuses, "status", add_status},
        {&stages, "lifecycle", add_stage},
        {&tags, "tag", add_tag},
        {&from, "since", add_since},
        {&to, "until", add_until},
        {&kinds_wanted, "kind", add_kind},
        {&kinds_excluded, "exclude-kind", add_excluded},
    };
    struct select *x = select_new();
    size_t n = 0;
    for (size_t i = 0; i < sizeof criteria / sizeof criteria[0]; i++) {
        each(criteria[i].list, criteria[i].option, x, criteria[i].add);
        n += criteria[i].list->len;
    }
    if (n > 0)
        return x;
    select_free(x);
    return NULL;
}

static struct merge *make_merge(void)
{
    static const char *const policies[] = {"fail", "rename", "merge"};
    if (!merge_sources && (on_conflict || renumber_versions))
        opt_usage_error(&spec, "--on-conflict and --renumber-versions go with --merge");
    if (!merge_sources)
        return NULL;
    for (int i = 0; i < 3; i++)
        if (!on_conflict || strcmp(on_conflict, policies[i]) == 0)
            return merge_new((enum merge_policy)i, renumber_versions);
    opt_usage_error(&spec, "--on-conflict: '%s' is none of fail, rename, merge", on_conflict);
}

static struct renumber *make_renumber(void)
{
    struct err e;
    if (!renumber_from && (id_map || known_ids))
        opt_usage_error(&spec, "--id-map and --use-id-map go with --renumber-experiments");
    if (!renumber_from)
        return NULL;
    int64_t start = renumber_from[0] ? parse_number(renumber_from, "renumber-experiments", INT32_MAX) : 1;
    if (start == 0)
        opt_usage_error(&spec, "--renumber-experiments: 0 is the id of the Default experiment");
    struct renumber *x = renumber_new(start);
    if (known_ids && !renumber_load(x, known_ids, &e))
        err_die(&e);
    return x;
}

static struct rename *make_rename(void)
{
    if (experiment_names.len + model_names.len == 0)
        return NULL;
    struct rename *x = rename_new();
    each(&experiment_names, "rename-experiment", x, add_experiment_name);
    each(&model_names, "rename-model", x, add_model_name);
    return x;
}

static struct relocate *make_relocate(void)
{
    if (uri_rules.len == 0)
        return NULL;
    struct relocate *x = relocate_new();
    each(&uri_rules, "rewrite-uri", x, add_uri);
    return x;
}

static struct workspace *make_workspace(void)
{
    struct err e;
    struct workspace *x = workspace_name ? workspace_new(workspace_name, &e) : NULL;
    if (workspace_name && !x)
        opt_usage_error(&spec, "--workspace: %s: %s", e.where, e.what);
    return x;
}

static struct fit *make_fit(void)
{
    struct err e;
    if (!fit_dialect && (fit_release || truncate_texts))
        opt_usage_error(&spec, "--release and --truncate go with --fit");
    if (!fit_dialect)
        return NULL;
    bool postgres = strcmp(fit_dialect, "postgresql") == 0;
    if (!postgres && strcmp(fit_dialect, "sqlite") != 0)
        opt_usage_error(&spec, "--fit: '%s' is neither sqlite nor postgresql", fit_dialect);
    struct fit *x =
        fit_new(postgres ? DIALECT_POSTGRESQL : DIALECT_SQLITE, release_to_fit(), truncate_texts, &e);
    if (!x)
        err_die(&e);
    return x;
}

static void check_options(int argc, char **argv, int first)
{
    bool silent = validate || summarise;
    if (first < argc)
        opt_usage_error(&spec, "unexpected operand '%s': the stream is read from standard input",
                        argv[first]);
    if (reseal && !from_json)
        opt_usage_error(&spec, "--reseal goes with --from-json");
    if (to_json && silent)
        opt_usage_error(&spec, "--json writes the records, --validate and --summary do not");
    if (isatty(STDIN_FILENO))
        opt_usage_error(&spec, "standard input is a terminal");
    if (!silent && !to_json && isatty(STDOUT_FILENO))
        opt_usage_error(&spec, "standard output is a terminal: --json makes it readable");
}

int main(int argc, char **argv)
{
    err_program_set(argv[0]);
    io_claim_standard_files();
    err_catch_signals();
    check_options(argc, argv, opt_parse(&spec, argc, argv, NULL));
    struct job job = {
        .head = head_text ? (uint64_t)parse_number(head_text, "head", INT64_MAX) : UINT64_MAX,
        .select = make_select(),
        .merge = make_merge(),
        .renumber = make_renumber(),
        .rename = make_rename(),
        .relocate = make_relocate(),
        .workspace = make_workspace(),
        .fit = make_fit(),
        .refs = validate ? ref_check_new() : NULL,
        .summary = summarise ? summary_new() : NULL,
    };
    job.sink = sink_open();
    run(&job);
    int code = finish(&job);
    free_job(&job);
    return code;
}

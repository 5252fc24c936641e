/* The options of ml-transform, parsed into a pipeline. */
#include "tools/ml-transform-options.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "formats/schema/schema.h"

#define AT(member) OPT_AT(struct options, member)

static const struct opt table[] = {
    {OPT_FLAG, 0, "json", NULL, "write JSON Lines instead of a record stream", AT(json)},
    {OPT_FLAG, 0, "from-json", NULL, "read JSON Lines instead of a record stream", AT(from_json)},
    {OPT_FLAG, 0, "reseal", NULL, "with --from-json: recompute the trailers, for lines edited by hand",
     AT(reseal)},
    {OPT_FLAG, 0, "summary", NULL, "write a summary of the stream instead", AT(summary)},
    {OPT_FLAG, 0, "validate", NULL, "write nothing; check the stream and its references", AT(validate)},
    {OPT_STRING, 0, "head", "N", "keep the first N records", AT(head)},
    {OPT_LIST, 0, "experiment", "ID|NAME", "keep this experiment (repeatable)", AT(experiments)},
    {OPT_LIST, 0, "run", "ID", "keep this run (repeatable)", AT(runs)},
    {OPT_LIST, 0, "status", "RUNNING|SCHEDULED|FINISHED|FAILED|KILLED",
     "keep runs of this status (repeatable)", AT(statuses)},
    {OPT_STRING, 0, "lifecycle", "active|deleted", "keep what is active or what is deleted", AT(lifecycle)},
    {OPT_LIST, 0, "tag", "KEY=VALUE", "keep runs and traces with this tag (if repeated: with all of them)",
     AT(tags)},
    {OPT_STRING, 0, "since", "TIME", "keep runs and traces started at this time or later", AT(since)},
    {OPT_STRING, 0, "until", "TIME", "keep runs and traces started before this time", AT(until)},
    {OPT_LIST, 0, "kind", "KIND", "keep records of this kind and their parents (repeatable)", AT(kinds)},
    {OPT_LIST, 0, "exclude-kind", "KIND", "leave out this kind and its children (repeatable)",
     AT(excluded_kinds)},
    {OPT_LIST, 0, "rewrite-uri", "OLD=NEW", "replace the prefix OLD of artifact URIs by NEW (repeatable)",
     AT(uri_rules)},
    {OPT_FLAG, 0, "strict-uri", NULL, "exit with 1 if a URI matched no --rewrite-uri", AT(strict_uri)},
    {OPT_OPTARG, 0, "renumber-experiments", "START",
     "give experiments small ids, counting from START (default: 1)", AT(renumber_from)},
    {OPT_STRING, 0, "id-map", "FILE", "write the old and new ids of experiments to FILE", AT(id_map)},
    {OPT_STRING, 0, "use-id-map", "FILE", "take the new ids from FILE, as --id-map wrote it", AT(use_id_map)},
    {OPT_LIST, 0, "rename-experiment", "ID|NAME=NEW", "rename an experiment (repeatable)",
     AT(experiment_names)},
    {OPT_LIST, 0, "rename-model", "OLD=NEW", "rename a registered model or prompt (repeatable)",
     AT(model_names)},
    {OPT_STRING, 0, "workspace", "NAME", "put everything into this workspace", AT(workspace)},
    {OPT_FLAG, 0, "merge", NULL, "merge the segments of several sources into one", AT(merge)},
    {OPT_STRING, 0, "on-conflict", "fail|rename|merge",
     "with --merge: what to do if two experiments share a name\n(default: fail)", AT(on_conflict)},
    {OPT_FLAG, 0, "renumber-versions", NULL,
     "with --merge: give model versions whose number is taken the next one", AT(renumber_versions)},
    {OPT_STRING, 0, "fit", "sqlite|postgresql", "report what this database system cannot hold", AT(fit)},
    {OPT_STRING, 0, "release", "X.Y[.Z]", "with --fit: in this MLflow release (default: as ml-load)",
     AT(release)},
    {OPT_FLAG, 0, "truncate", NULL, "with --fit: truncate texts that are too long, where only text is lost",
     AT(truncate)},
    {OPT_FLAG, 0, "wide-experiment-ids", NULL, "with --fit postgresql: for ml-load --wide-experiment-ids",
     AT(wide_ids)},
    {OPT_STRING, 0, "tmpdir", "DIR", "directory for temporary files (default: the current one)", AT(tmpdir)},
    {.type = OPT_END},
};

static const struct opt_spec spec = {
    .synopsis = "ml-transform [OPTION]...",
    .about = "Reads a record stream from standard input, changes it as the options say, and writes it to "
             "standard output.",
    .options = table,
    .epilog =
        "Exit status: 0 done; 1 --validate found wrong references, or --strict-uri or a --rename found\n"
        "nothing to change; 2 trouble. See ml-transform(1).",
};

static int64_t parse_number(const char *text, const char *option, int64_t max)
{
    int64_t n;
    if (!value_parse_int(text, strlen(text), &n) || n < 0 || n > max)
        opt_usage_error(&spec, "--%s must be a number from 0 to %" PRId64, option, max);
    return n;
}

/* Passes each value of an option to add(). */
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
ADDER(add_uri, uri_rewriter, rewrite_uri_add)
ADDER(add_experiment_name, rename, rename_add_experiment)
ADDER(add_model_name, rename, rename_add_model)

static struct select *make_select(struct options *o, struct spill *spill)
{
    const struct opt_list stages = {&o->lifecycle, o->lifecycle != NULL},
                          from = {&o->since, o->since != NULL}, to = {&o->until, o->until != NULL};
    const struct {
        const struct opt_list *list;
        const char *option;
        bool (*add)(void *, const char *, struct err *);
    } criteria[] = {
        {&o->experiments, "experiment", add_experiment},
        {&o->runs, "run", add_run},
        {&o->statuses, "status", add_status},
        {&stages, "lifecycle", add_stage},
        {&o->tags, "tag", add_tag},
        {&from, "since", add_since},
        {&to, "until", add_until},
        {&o->kinds, "kind", add_kind},
        {&o->excluded_kinds, "exclude-kind", add_excluded},
    };
    struct select *x = select_new(spill);
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(criteria); i++) {
        each(criteria[i].list, criteria[i].option, x, criteria[i].add);
        n += criteria[i].list->len;
    }
    if (n > 0)
        return x;
    select_free(x);
    return NULL;
}

static struct merge *make_merge(const struct options *o, struct spill *spill)
{
    static const char *const policies[] = {"fail", "rename", "merge"};
    if (!o->merge && (o->on_conflict || o->renumber_versions))
        opt_usage_error(&spec, "--on-conflict and --renumber-versions require --merge");
    if (!o->merge)
        return NULL;
    for (int i = 0; i < 3; i++)
        if (!o->on_conflict || strcmp(o->on_conflict, policies[i]) == 0)
            return merge_new((enum merge_policy)i, o->renumber_versions, spill);
    opt_usage_error(&spec, "--on-conflict must be one of fail, rename, merge, not '%s'", o->on_conflict);
}

static struct renumber *make_renumber(const struct options *o, struct spill *spill)
{
    struct err e;
    if (!o->renumber_from && (o->id_map || o->use_id_map))
        opt_usage_error(&spec, "--id-map and --use-id-map require --renumber-experiments");
    if (!o->renumber_from)
        return NULL;
    int64_t start =
        o->renumber_from[0] ? parse_number(o->renumber_from, "renumber-experiments", INT32_MAX) : 1;
    if (start == 0)
        opt_usage_error(&spec,
                        "--renumber-experiments: START must not be 0, the id of the Default experiment");
    struct renumber *x = renumber_new(start, spill);
    if (o->use_id_map && !renumber_load(x, o->use_id_map, &e))
        err_die(&e);
    return x;
}

static struct rename *make_rename(const struct options *o)
{
    if (o->experiment_names.len + o->model_names.len == 0)
        return NULL;
    struct rename *x = rename_new();
    each(&o->experiment_names, "rename-experiment", x, add_experiment_name);
    each(&o->model_names, "rename-model", x, add_model_name);
    return x;
}

static struct uri_rewriter *make_rewriter(const struct options *o)
{
    if (o->uri_rules.len == 0)
        return NULL;
    struct uri_rewriter *x = rewrite_uri_new();
    each(&o->uri_rules, "rewrite-uri", x, add_uri);
    return x;
}

static struct workspace *make_workspace(const struct options *o)
{
    struct err e;
    struct workspace *x = o->workspace ? workspace_new(o->workspace, &e) : NULL;
    if (o->workspace && !x)
        opt_usage_error(&spec, "--workspace: %s: %s", e.where, e.what);
    return x;
}

static const struct schema_release *choose_release(const char *name)
{
    struct buf why = {0};
    struct err e;
    const struct schema_release *r = name ? schema_find_release(name, &e) : schema_default_release(&why);
    if (!r)
        err_die(&e);
    if (!name)
        err_note("--fit: release %s: %s", r->release, buf_str(&why));
    buf_free(&why);
    return r;
}

static struct fit *make_fit(struct options *o)
{
    struct err e;
    if (!o->fit && (o->release || o->truncate || o->wide_ids))
        opt_usage_error(&spec, "--release, --truncate and --wide-experiment-ids require --fit");
    if (!o->fit)
        return NULL;
    bool postgres = strcmp(o->fit, "postgresql") == 0;
    if (!postgres && strcmp(o->fit, "sqlite") != 0)
        opt_usage_error(&spec, "--fit must be sqlite or postgresql, not '%s'", o->fit);
    if (!postgres && o->wide_ids)
        opt_usage_error(&spec, "--wide-experiment-ids: SQLite's ids are 64 bits wide already");
    const struct fit_options options = {.dialect = postgres ? DIALECT_POSTGRESQL : DIALECT_SQLITE,
                                        .release = choose_release(o->release),
                                        .truncate = o->truncate,
                                        .wide_ids = o->wide_ids};
    o->release = options.release->release;
    struct fit *x = fit_new(&options, &e);
    if (!x)
        err_die(&e);
    return x;
}

static void check(const struct options *o, int argc, char **argv, int first)
{
    bool silent = o->validate || o->summary;
    if (first < argc)
        opt_usage_error(&spec, "extra operand '%s': the stream is read from standard input", argv[first]);
    if (o->reseal && !o->from_json)
        opt_usage_error(&spec, "--reseal requires --from-json");
    if (o->json && silent)
        opt_usage_error(&spec, "--json cannot be combined with --validate or --summary");
    if (isatty(STDIN_FILENO))
        opt_usage_error(&spec, "standard input: record stream not read from a terminal");
    if (!silent && !o->json && isatty(STDOUT_FILENO))
        opt_usage_error(&spec, "standard output: record stream not written to a terminal (use --json)");
}

void transform_options_parse(struct options *o, struct pipeline *p, int argc, char **argv)
{
    *o = (struct options){.tmpdir = "."};
    check(o, argc, argv, opt_parse(&spec, argc, argv, o));
    struct spill *spill = spill_new(o->tmpdir);
    *p = (struct pipeline){
        .spill = spill,
        .from_json = o->from_json,
        .reseal = o->reseal,
        .output = o->validate || o->summary ? PIPELINE_NOTHING
                  : o->json                 ? PIPELINE_JSON
                                            : PIPELINE_STREAM,
        .tmpdir = o->tmpdir,
        .head = o->head ? (uint64_t)parse_number(o->head, "head", INT64_MAX) : UINT64_MAX,
        .select = make_select(o, spill),
        .merge = make_merge(o, spill),
        .renumber = make_renumber(o, spill),
        .mapped = o->use_id_map != NULL,
        .rename = make_rename(o),
        .rewriter = make_rewriter(o),
        .workspace = make_workspace(o),
        .fit = make_fit(o),
        .refs = o->validate ? ref_check_new(spill) : NULL,
        .summary = o->summary ? summary_new(spill) : NULL,
    };
}

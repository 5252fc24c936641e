/* The options of mlruns-dump. */
#include "tools/mlruns-dump-options.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "formats/record/value.h"

static const struct opt table[] = {
    {OPT_LIST, 0, "experiment", "ID", "only this experiment (may be repeated), without the model registry",
     OPT_AT(struct options, experiments)},
    {OPT_FLAG, 0, "registry", NULL, "only the model registry; with --experiment, also the model registry",
     OPT_AT(struct options, registry)},
    {OPT_STRING, 0, "shard", "I/N", "only the I-th of N parts, from 0; all parts together are the whole",
     OPT_AT(struct options, shard)},
    {OPT_FLAG, 0, "list", NULL,
     "print the ids of all experiments, including deleted ones, and exit;\nwith --verbose also their names",
     OPT_AT(struct options, list)},
    {OPT_FLAG, 0, "check", NULL, "read everything and name every problem, but write no records",
     OPT_AT(struct options, check)},
    {OPT_FLAG, 0, "skip-malformed", NULL, "leave out what cannot be read, and say so in the stream",
     OPT_AT(struct options, skip_malformed)},
    {OPT_FLAG, 0, "no-spans", NULL, "leave out the spans of traces (traces.json), and say so in the stream",
     OPT_AT(struct options, no_spans)},
    {OPT_FLAG, 0, "renumber-trash", NULL,
     "give deleted experiments that share an id with an active one a new id",
     OPT_AT(struct options, renumber_trash)},
    {OPT_OPTARG, 0, "relocate", "URI",
     "the tree was moved: make artifact URIs that point to its old location\npoint to URI (default: its "
     "current location)",
     OPT_AT(struct options, relocate)},
    {OPT_STRING, 0, "since", "STATE",
     "only what has changed since the tick of STATE; everything if\nSTATE does not exist yet",
     OPT_AT(struct options, since)},
    {OPT_STRING, 0, "next-state", "FILE", "write the state for the next tick to FILE",
     OPT_AT(struct options, next_state)},
    {OPT_FLAG, 0, "no-warnings", NULL, "print no warnings, as for a second dump of the same source",
     OPT_AT(struct options, no_warnings)},
    {OPT_SIZE, 'j', "jobs", "N", "reader threads (default: the number of cores)",
     OPT_AT(struct options, jobs)},
    {OPT_STRING, 0, "tmpdir", "DIR", "directory for temporary files (default: $TMPDIR, else /var/tmp)",
     OPT_AT(struct options, tmpdir)},
    {.type = OPT_END},
};

static const struct opt_spec spec = {
    .synopsis = "mlruns-dump [OPTION]... [DIR]",
    .about = "Writes the file store of MLflow in DIR, or in DIR/mlruns, as a record stream to\n"
             "standard output. DIR is a path or a file: URL; by default ./mlruns.",
    .options = table,
    .epilog = "Exit status: 0 all was written; 1 something was left out (--skip-malformed), or\n"
              "--check found problems; 2 trouble, the stream has no trailer then.",
};

static void parse_shard(const char *shard, struct mlruns_selection *s)
{
    const char *slash = strchr(shard, '/');
    int64_t i, n;
    if (!slash || !value_parse_int(shard, (size_t)(slash - shard), &i) ||
        !value_parse_int(slash + 1, strlen(slash + 1), &n) || i < 0 || n < 1 || i >= n)
        opt_usage_error(&spec, "--shard must be I/N with I from 0 to N-1, not '%s'", shard);
    s->shard = (uint64_t)i;
    s->shards = (uint64_t)n;
}

static void check(const struct options *o)
{
    if (o->since && !o->next_state)
        opt_usage_error(&spec, "--since requires --next-state");
    if (o->next_state && (o->list || o->check || strcmp(o->shard, "0/1") != 0))
        opt_usage_error(&spec, "--next-state cannot be combined with --list, --check or --shard");
    if (o->since && strcmp(o->since, o->next_state) == 0)
        opt_usage_error(&spec, "--since and --next-state must be two files");
}

const char *dump_options_parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){.shard = "0/1"};
    int first = opt_parse(&spec, argc, argv, o);
    check(o);
    if (argc - first > 1)
        opt_usage_error(&spec, "more than one directory");
    return argc - first == 1 ? argv[first] : "./mlruns";
}

struct mlruns_selection options_selection(const struct options *o)
{
    struct mlruns_selection selection = {
        .experiments = o->experiments.items,
        .n_experiments = o->experiments.len,
        .tracking = o->experiments.len || !o->registry,
        .registry = o->registry || !o->experiments.len,
        .jobs =
            o->jobs ? (unsigned)(o->jobs > 1024 ? 1024 : o->jobs) : (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
    };
    parse_shard(o->shard, &selection);
    return selection;
}

char *options_text(const struct options *o)
{
    struct buf text = {0};
    for (size_t i = 0; i < o->experiments.len; i++)
        buf_addf(&text, "--experiment %s ", o->experiments.items[i]);
    if (o->no_spans)
        buf_adds(&text, "--no-spans ");
    buf_addf(&text, "%s%s", o->registry ? "--registry " : "", o->renumber_trash ? "--renumber-trash " : "");
    if (o->relocate)
        buf_addf(&text, "--relocate=%s ", o->relocate);
    return text.data ? text.data : xstrdup("");
}

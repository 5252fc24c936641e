/* The options of ml-transform and the pipeline that they select. */
#ifndef TOOLS_ML_TRANSFORM_OPTIONS_H
#define TOOLS_ML_TRANSFORM_OPTIONS_H

#include "common/opt.h"
#include "formats/transform/pipeline.h"

struct options {
    bool json, from_json, reseal, summary, validate;
    const char *head;
    struct opt_list experiments, runs, statuses, tags, kinds, excluded_kinds;
    const char *lifecycle, *since, *until;
    struct opt_list uri_rules, experiment_names, model_names;
    bool strict_uri;
    const char *renumber_from, *id_map, *use_id_map;
    const char *workspace;
    bool merge, renumber_versions;
    const char *on_conflict;
    const char *fit, *release; /* release: of MLflow; filled with the default where not given */
    bool truncate, wide_ids;
    const char *tmpdir;
};

/* Fills o from the command line, and p with the steps it selects. Like opt_parse(), exits on wrong
 * options. */
void transform_options_parse(struct options *o, struct pipeline *p, int argc, char **argv);

#endif

/* The options of mlruns-dump. */
#ifndef TOOLS_MLRUNS_DUMP_OPTIONS_H
#define TOOLS_MLRUNS_DUMP_OPTIONS_H

#include "common/opt.h"
#include "formats/filestore/store.h"

struct options {
    struct opt_list experiments;
    bool registry, list, check, skip_malformed, no_spans, renumber_trash, no_warnings;
    const char *shard, *relocate, *since, *next_state, *tmpdir;
    uint64_t jobs;
};

/* Fills o; ends the program where they can't be meant. Returns the directory that is named, "./mlruns" by
 * default. */
const char *dump_options_parse(struct options *o, int argc, char **argv);
/* What they choose of the store. */
struct mlruns_selection options_selection(const struct options *o);
/* What every tick of a state must have been asked alike, as one text; malloc'ed. */
char *options_text(const struct options *o);

#endif

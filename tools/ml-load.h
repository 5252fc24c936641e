/* What ml-load's files share. */
#ifndef TOOLS_ML_LOAD_H
#define TOOLS_ML_LOAD_H

#include "common/opt.h"
#include "formats/load/target.h"

struct load_tool_options {
    struct load_target_options target;
    bool drop_unsupported, spans_in_database;
    bool export;
    bool sync, acting, json;
    const char *prefer, *on_conflict, *workspace, *promote; /* NULL: not given */
};

/* Ends the program with e unless ok. */
void load_tool_require(bool ok, const struct err *e);
/* The target, looked at and ready for records; let go however the program ends. */
struct load_target *load_tool_open_target(const char *url, const struct load_tool_options *o);

/* Ends the program where options of a sync are given without one, or make no sense. */
void load_tool_check_sync(const struct opt_spec *spec, struct load_tool_options *o);
/* ml-load --sync: the exit code. */
int load_tool_sync(const char *url, const struct load_tool_options *o);

#endif

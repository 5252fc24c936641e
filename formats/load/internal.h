/* A load and its layers. Each uses only those above it in struct load; sinks (sink.h) use only the tables,
 * and are used by the stage and the references. */
#ifndef FORMATS_LOAD_INTERNAL_H
#define FORMATS_LOAD_INTERNAL_H

#include "formats/load/conversion.h"
#include "formats/load/load.h"
#include "formats/load/places.h"
#include "formats/load/problems.h"
#include "formats/load/references.h"
#include "formats/load/sink.h"
#include "formats/load/stage.h"
#include "formats/load/tables.h"
#include "formats/load/untyped_rows.h"

struct load {
    struct load_problems problems;
    struct load_tables tables;
    struct load_stage *stage;
    struct load_references *references;
    struct load_places *places;
    struct load_conversion conversion;
    struct load_untyped *untyped;
    struct load_sink *sink; /* created by load_write() or load_begin_streamed(); else NULL */
    bool any_ids;           /* load_options */
    bool checked;           /* load_check() was called */
};

#endif

/* What MLflow reads of the JSON text of a span, in all forms that its releases have written to traces.json and to the column
 * spans.content (mlflow/entities/span.py: Span.from_dict). */
#ifndef FORMATS_PYTHON_SPAN_CONTENT_H
#define FORMATS_PYTHON_SPAN_CONTENT_H

#include "common/arena.h"
#include "formats/python/text.h"

enum { SPAN_COSTS = 3, SPAN_ID_DIGITS = 16, SPAN_TRACE_ID_DIGITS = 32, SPAN_TEXT_MAX = 500 /* characters */ };

/* A text; s NULL: none. Not NUL-terminated, valid UTF-8. */
struct span_text {
    const char *s;
    size_t len; /* bytes */
};

struct span_content {
    char span_id[SPAN_ID_DIGITS + 1];        /* lower-case hexadecimal digits */
    char parent_id[SPAN_ID_DIGITS + 1];      /* "": a root */
    char trace_id[SPAN_TRACE_ID_DIGITS + 1]; /* OpenTelemetry's; "": it has none of the usual form */
    struct span_text name;
    const char *status; /* OK, ERROR or UNSET */
    int64_t start, end; /* ns since the epoch */
    bool has_end;
    /* Of the attributes, cut to SPAN_TEXT_MAX as their columns are: mlflow.spanType, mlflow.llm.model, mlflow.llm.provider, and
     * the members input_cost, output_cost and total_cost of mlflow.llm.cost. */
    struct span_text type, model, provider;
    bool has_cost[SPAN_COSTS];
    double cost[SPAN_COSTS]; /* finite */
    /* private */
    struct arena arena;
    struct pyjson json, inner;
};

/* Reads the text of a JSON object. Returns NULL, or what is wrong with it, to follow the span: "has no span_id". c is zero before
 * the first call; what it points to lives until the next. Text that is not JSON is an error, or read as far as it
 * makes sense. */
const char *span_content_read(struct span_content *c, const char *s, size_t len);
/* Reads the type, model, provider and costs alone; false: the text is not an object. */
bool span_content_attributes(struct span_content *c, const char *s, size_t len);
void span_content_free(struct span_content *c);

#endif

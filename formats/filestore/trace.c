/* Reads traces of both layouts (V2 of MLflow 2.14 to 2.x, V3 of 3.x) and their assessments. */
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/array.h"
#include "formats/stream/json.h"
#include "formats/filestore/internal.h"
#include "formats/filestore/tick.h"

#define INFO_FILE  "trace_info.yaml"
#define SOURCE_RUN "mlflow.assessment.sourceRunId"

static bool text_is_one_of(const struct yaml_value *v, const char *const *words)
{
    for (; v && v->text && *words; words++)
        if (strcmp(v->text, *words) == 0)
            return true;
    return false;
}

/* Converts an RFC 3339 time, quoted or not, to ms. */
static bool fill_time(struct walker *w, const struct yaml_value *map, const char *key, struct value *out)
{
    const struct yaml_value *v = yaml_get(map, key);
    int64_t ms;
    if (v && (v->kind == YAML_IS_TEXT || v->kind == YAML_IS_TIME) && meta_parse_time(v->text, v->len, &ms)) {
        *out = value_int(ms);
        return true;
    }
    if (!v)
        walker_problem(w, 0, "%s is missing", key);
    else
        walker_problem(w, v->line, "%s: expected a time as '2024-01-31T12:00:00.000Z', found %s", key,
                       v->text ? walker_shown(v->text, v->len) : yaml_kind_name(v->kind));
    return false;
}

/* -- assessments */

struct assessment_place {
    const struct unit *unit;
};

static const struct meta_field assessment_fields[] = {
    {"assessment_name", F_assessment_name, META_TEXT},
    {"span_id", F_assessment_span_id, META_TEXT},
    {"rationale", F_assessment_rationale, META_TEXT},
    {"overrides", F_assessment_overrides, META_TEXT},
};

/* Appends a value as JSON; false after reporting. */
static bool to_json(struct walker *w, const struct yaml_value *v, const char *key, struct buf *out)
{
    struct yaml_error e;
    if (yaml_to_json(v, out, &e))
        return true;
    walker_problem(w, e.line, "%s: %s", key, e.what);
    return false;
}

static bool fill_source(struct walker *w, const struct yaml_value *meta, struct record *r)
{
    static const char *const types[] = {"HUMAN", "LLM_JUDGE", "CODE", "SOURCE_TYPE_UNSPECIFIED"};
    const struct yaml_value *source = yaml_get(meta, "source"), *type = yaml_get(source, "source_type"),
                            *id = yaml_get(source, "source_id");
    if (!source || source->kind != YAML_IS_MAP || !type || !type->text) {
        walker_problem(w, source ? source->line : 0, "source: expected a map with source_type, found %s",
                       source ? yaml_kind_name(source->kind) : "none");
        return false;
    }
    /* MLflow ignores case and reads AI_JUDGE as LLM_JUDGE */
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++)
        if (strcasecmp(type->text, types[i]) == 0)
            r->v[F_assessment_source_type] = value_str(types[i]);
    if (strcasecmp(type->text, "AI_JUDGE") == 0)
        r->v[F_assessment_source_type] = value_str("LLM_JUDGE");
    if (value_is_null(&r->v[F_assessment_source_type])) {
        walker_problem(w, type->line, "unknown source_type: %s", walker_shown(type->text, type->len));
        return false;
    }
    if (!id) /* MLflow's default, which it does not write */
        r->v[F_assessment_source_id] = value_str("default");
    else if (id->text && id->kind != YAML_IS_NULL)
        r->v[F_assessment_source_id] = value_strn(id->text, id->len);
    return true;
}

/* {"error_code", "error_message", "stack_trace"} of a feedback; absent members are null. */
static bool fill_error(struct walker *w, const struct yaml_value *feedback, struct record *r)
{
    static const char *const members[] = {"error_code", "error_message", "stack_trace"};
    const struct yaml_value *error = yaml_get(feedback, "error");
    struct buf *out = &w->error_json;
    if (!error || error->kind == YAML_IS_NULL || (error->kind == YAML_IS_MAP && !error->first))
        return true;
    if (error->kind != YAML_IS_MAP || !yaml_get(error, "error_code")) {
        walker_problem(w, error->line, "error: expected a map with error_code, found %s",
                       yaml_kind_name(error->kind));
        return false;
    }
    buf_reset(out);
    const struct yaml_value *v;
    for (size_t i = 0; i < ARRAY_LENGTH(members); i++) {
        buf_addf(out, "%s\"%s\": ", i ? ", " : "{", members[i]);
        v = yaml_get(error, members[i]);
        if (!v)
            buf_adds(out, "null");
        else if (!to_json(w, v, members[i], out))
            return false;
    }
    buf_addc(out, '}');
    r->v[F_assessment_error] = value_strn(out->data, out->len);
    return true;
}

/* The value of an expectation: verbatim, or JSON text if it is a list or a map. null is invalid. */
static bool expectation_to_json(struct walker *w, const struct yaml_value *expectation)
{
    const struct yaml_value *v = yaml_get(expectation, "value"),
                            *serialized = yaml_get(expectation, "serialized_value");
    const struct yaml_value *text;
    if (v) {
        if (!to_json(w, v, "value", &w->json))
            return false;
    } else {
        text = yaml_get(serialized, "value");
        if (!text || !text->text) {
            walker_problem(w, expectation->line, "expectation: value and serialized_value are both missing");
            return false;
        }
        v = text;
        if (!json_normalise(text->text, text->len, &w->json)) {
            walker_problem(w, text->line, "serialized_value: not JSON: %s",
                           walker_shown(text->text, text->len));
            return false;
        }
    }
    if (strcmp(buf_str(&w->json), "null") != 0)
        return true;
    walker_problem(w, v->line,
                   "expectation: the value is null, which makes every search of traces in MLflow fail");
    return false;
}

static bool feedback_to_json(struct walker *w, const struct yaml_value *feedback, struct record *r)
{
    const struct yaml_value *v = yaml_get(feedback, "value");
    if (!v) {
        walker_problem(w, feedback->line, "feedback: value is missing");
        return false;
    }
    return to_json(w, v, "value", &w->json) && fill_error(w, feedback, r);
}

static bool issue_to_json(struct walker *w, const struct yaml_value *issue)
{
    const struct yaml_value *name = yaml_get(issue, "issue_name");
    if (!name || !name->text || name->kind == YAML_IS_NULL) {
        walker_problem(w, issue->line, "issue: issue_name is missing");
        return false;
    }
    buf_adds(&w->json, "{\"issue_name\": ");
    json_quote_ascii(name->text, name->len, &w->json);
    buf_addc(&w->json, '}');
    return true;
}

static bool has_items(const struct yaml_value *v)
{
    return v && v->kind == YAML_IS_MAP && v->first;
}

/* The first of expectation, feedback and issue that is present, in MLflow's order. */
static bool fill_value(struct walker *w, const struct yaml_value *meta, struct record *r)
{
    const struct yaml_value *expectation = yaml_get(meta, "expectation"),
                            *feedback = yaml_get(meta, "feedback"), *issue = yaml_get(meta, "issue");
    buf_reset(&w->json);
    const char *type;
    bool good;
    if (has_items(expectation)) {
        type = "expectation";
        good = expectation_to_json(w, expectation);
    } else if (has_items(feedback)) {
        type = "feedback";
        good = feedback_to_json(w, feedback, r);
    } else if (has_items(issue)) {
        type = "issue";
        good = issue_to_json(w, issue);
    } else {
        walker_problem(w, meta->line, "feedback, expectation and issue are all missing");
        return false;
    }
    r->v[F_assessment_assessment_type] = value_str(type);
    r->v[F_assessment_value] = value_text(buf_str(&w->json), w->json.len);
    return good;
}

static bool fill_valid(struct walker *w, const struct yaml_value *meta, struct record *r)
{
    const struct yaml_value *v = yaml_get(meta, "valid");
    if (v && v->kind != YAML_IS_BOOL && v->kind != YAML_IS_NULL) {
        walker_problem(w, v->line, "valid: expected a boolean, found %s", yaml_kind_name(v->kind));
        return false;
    }
    r->v[F_assessment_valid] = value_bool(!v || v->kind == YAML_IS_NULL || v->b);
    return true;
}

/* metadata, and the run that it refers to. */
static bool fill_metadata(struct walker *w, const struct yaml_value *meta, struct record *r)
{
    const struct yaml_value *metadata = yaml_get(meta, "metadata"), *run = yaml_get(meta, "run_id");
    if (metadata && metadata->kind != YAML_IS_NULL && metadata->kind != YAML_IS_MAP) {
        walker_problem(w, metadata->line, "metadata: expected a map, found %s",
                       yaml_kind_name(metadata->kind));
        return false;
    }
    if (yaml_get(metadata, SOURCE_RUN))
        run = yaml_get(metadata, SOURCE_RUN);
    if (run && run->text && run->kind != YAML_IS_NULL)
        r->v[F_assessment_run_id] = value_strn(run->text, run->len);
    if (!has_items(metadata))
        return true;
    buf_reset(&w->scratch);
    if (!to_json(w, metadata, "metadata", &w->scratch))
        return false;
    r->v[F_assessment_metadata] = value_strn(w->scratch.data, w->scratch.len);
    return true;
}

static void read_assessment(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                            void *ctx)
{
    static const char ending[] = ".yaml";
    const struct assessment_place *place = ctx;
    const char *trace = place->unit->name;
    size_t len = strlen(key);
    (void)type;
    char id[256];
    /* MLflow writes nothing else here, and reads no subdirectories */
    if (len < sizeof ending || len >= sizeof id || strchr(key, '/') ||
        strcmp(key + len - strlen(ending), ending) != 0)
        return;
    memcpy(id, key, len - strlen(ending));
    id[len - strlen(ending)] = '\0';
    struct record r;
    record_init(&r, KIND_assessment);
    const struct yaml_value *meta;
    if (meta_read(w, w->yaml, dir, name, &meta) != META_GOOD || tick_pass(w, false) ||
        !meta_is(w, meta, "assessment_id", id, false) || !meta_is(w, meta, "trace_id", trace, false) ||
        !meta_fill(w, meta, assessment_fields, ARRAY_LENGTH(assessment_fields), &r) ||
        !fill_time(w, meta, "create_time", &r.v[F_assessment_create_time]) ||
        !fill_time(w, meta, "last_update_time", &r.v[F_assessment_last_update_time]) ||
        !fill_source(w, meta, &r) || !fill_value(w, meta, &r) || !fill_valid(w, meta, &r) ||
        !fill_metadata(w, meta, &r))
        return;
    r.v[F_assessment_assessment_id] = value_text(id, strlen(id));
    r.v[F_assessment_trace_id] = value_text(trace, strlen(trace));
    tick_emit_alone(w, &r);
}

/* -- traces */

/* -- MLflow 3.x; the experiment in the file must be that of the directory. */
static const struct meta_field v3_fields[] = {
    {"execution_duration_ms", F_trace_execution_duration, META_INT},
    {"client_request_id", F_trace_client_request_id, META_TEXT},
    {"request_preview", F_trace_request_preview, META_TEXT},
    {"response_preview", F_trace_response_preview, META_TEXT},
};

static bool fill_state(struct walker *w, const struct yaml_value *meta, const char *key,
                       const char *const *words, struct record *r)
{
    const struct yaml_value *v = yaml_get(meta, key);
    if (text_is_one_of(v, words)) {
        r->v[F_trace_state] = value_strn(v->text, v->len);
        return true;
    }
    if (!v)
        walker_problem(w, 0, "%s is missing", key);
    else
        walker_problem(w, v->line, "unknown %s: %s", key,
                       v->text ? walker_shown(v->text, v->len) : yaml_kind_name(v->kind));
    return false;
}

static bool fill_v3(struct walker *w, const struct yaml_value *meta, const struct unit *unit,
                    struct record *r)
{
    static const char *const states[] = {"OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED", NULL};
    const struct yaml_value *place = yaml_get(yaml_get(meta, "trace_location"), "mlflow_experiment");
    return meta_is(w, meta, "trace_id", unit->name, true) &&
           meta_is(w, place, "experiment_id", unit->experiment, false) &&
           fill_time(w, meta, "request_time", &r->v[F_trace_request_time]) &&
           fill_state(w, meta, "state", states, r) &&
           meta_fill(w, meta, v3_fields, ARRAY_LENGTH(v3_fields), r);
}

/* -- MLflow 2.x */
static const struct meta_field v2_fields[] = {
    {"timestamp_ms", F_trace_request_time, META_INT},
    {"execution_time_ms", F_trace_execution_duration, META_INT},
};

static bool fill_v2(struct walker *w, const struct yaml_value *meta, const struct unit *unit,
                    struct record *r)
{
    static const char *const states[] = {"OK", "ERROR", "IN_PROGRESS", "TRACE_STATUS_UNSPECIFIED", NULL};
    if (!meta_is(w, meta, "request_id", unit->name, true) ||
        !meta_is(w, meta, "experiment_id", unit->experiment, true) ||
        !fill_state(w, meta, "status", states, r) ||
        !meta_fill(w, meta, v2_fields, ARRAY_LENGTH(v2_fields), r))
        return false;
    if (value_eqs(&r->v[F_trace_state], "TRACE_STATUS_UNSPECIFIED"))
        r->v[F_trace_state] = value_str("STATE_UNSPECIFIED");
    return true;
}

/* A directory without the file may contain the spans of a trace that is in a database. */
static void trace_without_info(struct walker *w, int dir)
{
    static const char *const signs[] = {"request_metadata", "tags", "assessments", NULL};
    if (walker_has_dir(dir, signs))
        walker_problem(w, 0, "missing: the trace cannot be read");
}

static bool emit_trace(struct walker *w, int dir, const struct unit *unit)
{
    const struct yaml_value *meta;
    size_t back = walker_path_down(w, INFO_FILE);
    enum meta_state state = meta_read(w, w->yaml, dir, INFO_FILE, &meta);
    bool good = false;
    struct record r;
    record_init(&r, KIND_trace);
    if (state == META_MISSING)
        trace_without_info(w, dir);
    else if (state == META_GOOD)
        good = yaml_get(meta, "request_id") ? fill_v2(w, meta, unit, &r) : fill_v3(w, meta, unit, &r);
    walker_path_back(w, back);
    if (good) {
        r.v[F_trace_trace_id] = value_text(unit->name, strlen(unit->name));
        r.v[F_trace_experiment_id] = unit_experiment_id(unit);
        tick_emit(w, &r, false);
    }
    return good;
}

static void read_tag(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                     void *ctx)
{
    if (walker_emit_value(w, dir, name, type, key, ctx) && strcmp(key, TRACE_LOCATION) == 0)
        trace_spans_locate(w);
}

void trace_read(struct walker *w, int dir, const struct unit *unit)
{
    struct value id = value_text(unit->name, strlen(unit->name));
    struct assessment_place place = {.unit = unit};
    struct record r;
    struct value_walk tags = {.r = &r, .key = F_trace_tag_key, .value = F_trace_tag_value};
    if (!emit_trace(w, dir, unit))
        return;
    record_init(&r, KIND_trace_tag);
    r.v[F_trace_tag_trace_id] = id;
    walker_each_file(w, dir, "tags", read_tag, &tags);
    record_init(&r, KIND_trace_request_metadata);
    r.v[F_trace_request_metadata_trace_id] = id;
    walker_each_value(w, dir, "request_metadata", &r, F_trace_request_metadata_key,
                      F_trace_request_metadata_value);
    walker_each_file(w, dir, "assessments", read_assessment, &place);
    trace_read_spans(w, dir, unit);
}

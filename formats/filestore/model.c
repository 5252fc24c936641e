/* Reads logged models of an experiment, and the model registry, in which prompts are registered models with a
 * tag. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/array.h"
#include "formats/filestore/internal.h"
#include "formats/filestore/tick.h"

#define META_FILE      "meta.yaml"
#define VERSION_PREFIX "version-"

enum { VERSIONS_KEPT = 32 << 10 }; /* bytes of a model's versions in memory */

/* -- logged models */

static const struct meta_field logged_fields[] = {
    {"name", F_logged_model_name, META_TEXT},
    {"artifact_location", F_logged_model_artifact_location, META_TEXT},
    {"creation_timestamp", F_logged_model_creation_timestamp, META_INT},
    {"last_updated_timestamp", F_logged_model_last_updated_timestamp, META_INT},
    {"model_type", F_logged_model_model_type, META_TEXT},
    {"source_run_id", F_logged_model_source_run_id, META_TEXT},
    {"status_message", F_logged_model_status_message, META_TEXT},
};

static bool logged_fill(struct walker *w, const struct yaml_value *meta, const struct unit *unit,
                        struct record *r)
{
    static const char *const statuses[] = {"UNSPECIFIED", "PENDING", "READY", "FAILED"};
    const char *status, *stage;
    if (!meta_is(w, meta, "model_id", unit->name, true) ||
        !meta_is(w, meta, "experiment_id", unit->experiment, true) || !(stage = meta_lifecycle(w, meta)) ||
        !(status = meta_word(w, yaml_get(meta, "status"), "status", statuses, 0, ARRAY_LENGTH(statuses), 2)))
        return false;
    r->v[F_logged_model_model_id] = value_text(unit->name, strlen(unit->name));
    r->v[F_logged_model_experiment_id] = unit_experiment_id(unit);
    r->v[F_logged_model_status] = value_str(status);
    r->v[F_logged_model_lifecycle_stage] = value_str(stage);
    return meta_fill(w, meta, logged_fields, ARRAY_LENGTH(logged_fields), r);
}

bool model_check_logged(struct walker *w, int dir, const struct unit *unit)
{
    struct record r;
    record_init(&r, KIND_logged_model);
    const struct yaml_value *meta;
    return meta_read(w, w->other_yaml, dir, META_FILE, &meta) == META_GOOD && logged_fill(w, meta, unit, &r);
}

/* A metric is stored in the experiment of the run that logs it: if that is not the model's own, MLflow
 * creates a directory with the model's name there, with nothing else in it. */
static bool is_of_other_experiment(struct walker *w, int dir, const struct unit *unit, const struct value *id)
{
    static const char *const others[] = {"params", "tags", NULL};
    return !walker_has_dir(dir, others) && reference_has_logged_model(w, unit, id);
}

/* False if there is no readable model; *elsewhere: it belongs to another experiment and has metrics here. */
static bool emit_logged_model(struct walker *w, int dir, const struct unit *unit, bool *elsewhere)
{
    static const char *const signs[] = {"metrics", "params", "tags", NULL};
    struct value id = value_text(unit->name, strlen(unit->name));
    const struct yaml_value *meta;
    size_t back = walker_path_down(w, META_FILE);
    enum meta_state state = meta_read(w, w->yaml, dir, META_FILE, &meta);
    struct record r;
    record_init(&r, KIND_logged_model);
    *elsewhere = state == META_MISSING && is_of_other_experiment(w, dir, unit, &id);
    if (state == META_MISSING && !*elsewhere && walker_has_dir(dir, signs))
        walker_problem(w, 0, "missing: the logged model cannot be read");
    bool good = state == META_GOOD && logged_fill(w, meta, unit, &r);
    walker_path_back(w, back);
    if (good)
        tick_emit(w, &r, false);
    if (*elsewhere)
        tick_good(w);
    return good;
}

void model_read_logged(struct walker *w, int dir, const struct unit *unit)
{
    struct value id = value_text(unit->name, strlen(unit->name)), experiment = unit_experiment_id(unit);
    bool elsewhere;
    if (!emit_logged_model(w, dir, unit, &elsewhere) && !elsewhere)
        return;
    struct record r;
    if (!elsewhere) {
        record_init(&r, KIND_logged_model_param);
        r.v[F_logged_model_param_model_id] = id;
        r.v[F_logged_model_param_experiment_id] = experiment;
        walker_each_value(w, dir, "params", &r, F_logged_model_param_key, F_logged_model_param_value);
        record_init(&r, KIND_logged_model_tag);
        r.v[F_logged_model_tag_model_id] = id;
        r.v[F_logged_model_tag_experiment_id] = experiment;
        walker_each_value(w, dir, "tags", &r, F_logged_model_tag_key, F_logged_model_tag_value);
    }
    record_init(&r, KIND_logged_model_metric);
    r.v[F_logged_model_metric_model_id] = id;
    r.v[F_logged_model_metric_experiment_id] = experiment;
    metric_read_model(w, dir, unit, &r);
}

/* -- model registry */

static const struct meta_field registered_fields[] = {
    {"creation_timestamp", F_registered_model_creation_timestamp, META_INT},
    {"last_updated_timestamp", F_registered_model_last_updated_timestamp, META_INT},
    {"description", F_registered_model_description, META_TEXT},
    {"workspace", F_registered_model_workspace, META_WORKSPACE},
};
/* a prompt is a registered model by another name */
_Static_assert((int)F_registered_model_name == (int)F_prompt_name &&
                   (int)F_registered_model_creation_timestamp == (int)F_prompt_creation_timestamp &&
                   (int)F_registered_model_last_updated_timestamp == (int)F_prompt_last_updated_timestamp &&
                   (int)F_registered_model_description == (int)F_prompt_description &&
                   (int)F_registered_model_workspace == (int)F_prompt_workspace,
               "prompt and registered_model have the same fields");

static const struct meta_field version_fields[] = {
    {"version", F_model_version_version, META_INT},
    {"creation_timestamp", F_model_version_creation_timestamp, META_INT},
    {"last_updated_timestamp", F_model_version_last_updated_timestamp, META_INT},
    {"description", F_model_version_description, META_TEXT},
    {"user_id", F_model_version_user_id, META_TEXT},
    {"current_stage", F_model_version_current_stage, META_TEXT},
    {"source", F_model_version_source, META_TEXT},
    {"run_id", F_model_version_run_id, META_TEXT},
    {"run_link", F_model_version_run_link, META_TEXT},
    {"status", F_model_version_status, META_TEXT},
    {"status_message", F_model_version_status_message, META_TEXT},
    {"storage_location", F_model_version_storage_location, META_TEXT},
    {"model_id", F_model_version_model_id, META_TEXT},
};

/* The fields that versions, tags and aliases take from their model. */
struct model {
    struct value name, workspace;
    char workspace_text[256];
};

/* MLflow compares the tag's value with "true" in lower case. false if it is unreadable, which is reported:
 * then the kind of the model is unknown. */
static bool find_kind(struct walker *w, int dir, bool *prompt)
{
    enum tag_state state = walker_read_tag(w, dir, "mlflow.prompt.is_prompt");
    *prompt = state == TAG_READ && w->file.len == 4 && strcasecmp(buf_str(&w->file), "true") == 0;
    if (w->tick && state == TAG_READ && w->file.len == 0) { /* it may be on its way to be written */
        walker_problem(w, 0, "the tag mlflow.prompt.is_prompt is empty: a model or a prompt?");
        state = TAG_UNREADABLE;
    }
    return state != TAG_UNREADABLE;
}

static bool emit_registered(struct walker *w, int dir, const struct unit *unit, struct model *model)
{
    bool prompt, known = find_kind(w, dir, &prompt);
    const struct yaml_value *meta;
    size_t back = walker_path_down(w, META_FILE);
    enum meta_state state = meta_read(w, w->yaml, dir, META_FILE, &meta);
    struct record r;
    const struct value *workspace = &r.v[F_registered_model_workspace];
    record_init(&r, prompt ? KIND_prompt : KIND_registered_model);
    if (state == META_MISSING)
        walker_problem(w, 0, "missing: the registered model and all its versions cannot be read");
    bool good = state == META_GOOD && meta_is(w, meta, "name", unit->name, true) &&
                meta_fill(w, meta, registered_fields, ARRAY_LENGTH(registered_fields), &r);
    if (good && workspace->len >= sizeof model->workspace_text) {
        walker_problem(w, 0, "workspace: too long");
        good = false;
    }
    walker_path_back(w, back);
    if (!good || !known)
        return false;
    if (!value_is_null(workspace)) { /* it must outlive the YAML text */
        memcpy(model->workspace_text, workspace->s, workspace->len);
        model->workspace = value_strn(model->workspace_text, workspace->len);
    }
    model->name = r.v[F_registered_model_name] = value_text(unit->name, strlen(unit->name));
    tick_emit(w, &r, false);
    return true;
}

/* The number in the directory name version-N. */
static bool version_of(const char *name, int64_t *version)
{
    name += strlen(VERSION_PREFIX);
    return value_parse_int(name, strlen(name), version);
}

static bool version_fill(struct walker *w, int dir, const struct model *model, int64_t version,
                         struct record *r)
{
    const struct yaml_value *meta;
    enum meta_state state = meta_read(w, w->yaml, dir, META_FILE, &meta);
    if (state == META_MISSING)
        walker_problem(w, 0, "missing: the version cannot be read");
    if (state != META_GOOD)
        return false;
    char name[1024];
    memcpy(name, model->name.s, model->name.len); /* a directory's name: at most 255 bytes */
    name[model->name.len] = '\0';
    if (!meta_is(w, meta, "name", name, true) ||
        !meta_fill(w, meta, version_fields, ARRAY_LENGTH(version_fields), r))
        return false;
    if (r->v[F_model_version_version].i != version) {
        walker_problem(w, yaml_get(meta, "version")->line, "version is %lld, but the path says %lld",
                       (long long)r->v[F_model_version_version].i, (long long)version);
        return false;
    }
    if (!yaml_get(meta, "status")) /* MLflow's default */
        r->v[F_model_version_status] = value_str("READY");
    r->v[F_model_version_name] = model->name;
    r->v[F_model_version_workspace] = model->workspace;
    return true;
}

/* -- the readable versions of a model, for its aliases */

static int compare_versions(int64_t a, int64_t b)
{
    char x[24];
    snprintf(x, sizeof x, "%" PRId64, a);
    char y[24];
    snprintf(y, sizeof y, "%" PRId64, b);
    return strcmp(x, y);
}

static void add_version(struct walker *w, const char *name, int64_t version)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, version);
    if (strcmp(name + strlen(VERSION_PREFIX), digits) != 0)
        shared_append(w->store->spill, &w->odd_versions, &version);
    else if (w->versions.len < VERSIONS_KEPT)
        buf_add(&w->versions, &version, sizeof version);
    else
        shared_append(w->store->spill, &w->more_versions, &version);
}

static int64_t version_at(const struct walker *w, uint64_t i)
{
    uint64_t kept = w->versions.len / sizeof(int64_t);
    int64_t version;
    if (i < kept)
        memcpy(&version, w->versions.data + i * sizeof version, sizeof version);
    else
        shared_get_item(w->store->spill, &w->more_versions, i - kept, &version);
    return version;
}

static bool has_version(const struct walker *w, int64_t version)
{
    uint64_t low = 0, high = w->versions.len / sizeof version + w->more_versions.n;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int64_t other = version_at(w, middle);
        if (other == version)
            return true;
        if (compare_versions(other, version) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (uint64_t i = 0; i < w->odd_versions.n; i++) {
        int64_t other;
        shared_get_item(w->store->spill, &w->odd_versions, i, &other);
        if (other == version)
            return true;
    }
    return false;
}

static void forget_versions(struct walker *w)
{
    buf_reset(&w->versions);
    if (w->more_versions.n)
        shared_drop_items(w->store->spill, &w->more_versions);
    if (w->odd_versions.n)
        shared_drop_items(w->store->spill, &w->odd_versions);
}

static void read_version(struct walker *w, int dir, const char *name, void *ctx)
{
    const struct model *model = ctx;
    int64_t version;
    if (!version_of(name, &version)) {
        walker_problem(w, 0, "the directory name has no version number");
        return;
    }
    struct record r;
    record_init(&r, KIND_model_version);
    size_t back = walker_path_down(w, META_FILE);
    tick_enter_anyway(w, dir, META_FILE);
    bool good = version_fill(w, dir, model, version, &r);
    if (good)
        tick_emit(w, &r, true);
    tick_leave(w);
    walker_path_back(w, back);
    struct record tag;
    if (good) {
        add_version(w, name, version);
        record_init(&tag, KIND_model_version_tag);
        tag.v[F_model_version_tag_name] = model->name;
        tag.v[F_model_version_tag_workspace] = model->workspace;
        tag.v[F_model_version_tag_version] = value_int(version);
        walker_each_value(w, dir, "tags", &tag, F_model_version_tag_key, F_model_version_tag_value);
        tick_inner_end(w);
    } else {
        tick_unlisted(w);
    }
}

/* An alias is a file with the number of an existing version. */
static void read_alias(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                       void *ctx)
{
    const struct model *model = ctx;
    if (!walker_read_file(w, dir, name, type, VALUE_COPIES) || tick_pass(w, false))
        return;
    int64_t version;
    if (python_int(buf_str(&w->file), w->file.len, &version) != NUMBER_GOOD) {
        walker_problem(w, 1, "the alias is not a version number: %s",
                       walker_shown(buf_str(&w->file), w->file.len));
        return;
    }
    if (!has_version(w, version)) {
        walker_problem(w, 1, "the alias points to version %lld, which is missing or unreadable",
                       (long long)version);
        return;
    }
    struct record r;
    record_init(&r, KIND_registered_model_alias);
    r.v[F_registered_model_alias_name] = model->name;
    r.v[F_registered_model_alias_workspace] = model->workspace;
    r.v[F_registered_model_alias_alias] = value_text(key, strlen(key));
    r.v[F_registered_model_alias_version] = value_int(version);
    walker_emit(w, &r);
}

void model_read_registered(struct walker *w, int dir, const struct unit *unit)
{
    struct model model = {0};
    if (!emit_registered(w, dir, unit, &model))
        return;
    struct record tag;
    record_init(&tag, KIND_registered_model_tag);
    tag.v[F_registered_model_tag_name] = model.name;
    tag.v[F_registered_model_tag_workspace] = model.workspace;
    walker_each_value(w, dir, "tags", &tag, F_registered_model_tag_key, F_registered_model_tag_value);
    walker_each_dir(w, dir, ".", VERSION_PREFIX, read_version, &model);
    walker_each_file(w, dir, "aliases", read_alias, &model);
    forget_versions(w);
}

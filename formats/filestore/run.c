/* Reads experiments with their tags and datasets, and runs with all their parts. */
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/array.h"
#include "formats/filestore/internal.h"
#include "formats/filestore/tick.h"

#define META_FILE "meta.yaml"

/* -- datasets */

static const struct meta_field dataset_fields[] = {
    {"name", F_dataset_name, META_TEXT},
    {"digest", F_dataset_digest, META_TEXT},
    {"source_type", F_dataset_source_type, META_TEXT},
    {"source", F_dataset_source, META_TEXT},
    {"schema", F_dataset_schema, META_TEXT},
    {"profile", F_dataset_profile, META_TEXT},
};

/* Reads the YAML file of the dataset's directory at w->path. */
static bool dataset_fill(struct walker *w, struct yaml_reader *y, int dir, struct record *r)
{
    const struct yaml_value *meta;
    size_t back = walker_path_down(w, META_FILE);
    enum meta_state state = meta_read(w, y, dir, META_FILE, &meta);
    bool good = false;
    record_init(r, KIND_dataset);
    if (state == META_MISSING)
        walker_problem(w, 0, "missing");
    else if (state == META_GOOD)
        good = meta_fill(w, meta, dataset_fields, ARRAY_LENGTH(dataset_fields), r);
    walker_path_back(w, back);
    return good;
}

/* What was read of a directory's meta.yaml, the last that was: whether it is to be passed over. */
static bool pass_meta(struct walker *w)
{
    size_t back = walker_path_down(w, META_FILE);
    bool pass = tick_pass(w, false);
    walker_path_back(w, back);
    return pass;
}

static void read_dataset(struct walker *w, int dir, const char *name, void *ctx)
{
    const struct unit *unit = ctx;
    (void)name;
    struct record r;
    if (dataset_fill(w, w->yaml, dir, &r) && !pass_meta(w)) {
        r.v[F_dataset_experiment_id] = unit_experiment_id(unit);
        walker_emit(w, &r);
    }
}

/* The name and digest of a dataset that an input refers to by its directory; the last ones are cached, since
 * most runs of an experiment share them. NULL if it is unreadable. */
static const struct dataset_name *dataset_look_up(struct walker *w, const struct unit *unit,
                                                  const struct value *dir)
{
    struct output quiet = {.discarded = true}, *out = w->out;
    if (dir->len == 0 || memchr(dir->s, '/', dir->len) || memchr(dir->s, '\0', dir->len))
        return NULL;
    buf_reset(&w->scratch);
    buf_addf(&w->scratch, "%s%s/datasets/", trash_prefix(unit->deleted), unit->experiment);
    buf_add(&w->scratch, dir->s, dir->len);
    struct dataset_name *d = &w->datasets[XXH3_64bits(w->scratch.data, w->scratch.len) % DATASET_CACHE_SIZE];
    if (d->path.len == w->scratch.len && memcmp(d->path.data, w->scratch.data, d->path.len) == 0)
        return d->good ? d : NULL;
    buf_reset(&d->path);
    buf_add(&d->path, w->scratch.data, w->scratch.len);
    buf_reset(&d->name);
    buf_reset(&d->digest);
    int fd = unit_dir_open(w, unit, buf_str(&d->path));
    /* problems of the dataset were reported with the experiment */
    w->out = &quiet;
    struct record r;
    d->good = fd >= 0 && dataset_fill(w, w->other_yaml, fd, &r);
    w->out = out;
    if (d->good) {
        buf_add(&d->name, r.v[F_dataset_name].s, r.v[F_dataset_name].len);
        buf_add(&d->digest, r.v[F_dataset_digest].s, r.v[F_dataset_digest].len);
    }
    output_free(&quiet);
    if (fd >= 0)
        close(fd);
    return d->good ? d : NULL;
}

/* -- experiments */

static const struct meta_field experiment_fields[] = {
    {"name", F_experiment_name, META_TEXT},
    {"artifact_location", F_experiment_artifact_location, META_TEXT},
    {"creation_time", F_experiment_creation_time, META_INT},
    {"last_update_time", F_experiment_last_update_time, META_INT},
    {"workspace", F_experiment_workspace, META_WORKSPACE},
};

/* Experiments of one workspace may not share a name. */
static struct id_key experiment_name(const struct record *r)
{
    struct value parts[2] = {r->v[F_experiment_name], r->v[F_experiment_workspace]};
    return id_key(0, parts, 2);
}

/* The stage in meta.yaml must be valid, but the location decides: MLflow 1.x only moves the directory to
 * .trash. */
bool experiment_fill(struct walker *w, int dir, const struct unit *unit, struct record *r)
{
    const struct yaml_value *meta;
    switch (meta_read(w, w->yaml, dir, META_FILE, &meta)) {
    case META_GOOD:
        break;
    case META_MISSING: /* a directory without data of an experiment is not read at all */
        walker_problem(w, 0, "missing: the experiment and everything in it cannot be read");
        return false;
    default:
        return false;
    }
    record_init(r, KIND_experiment);
    if (!meta_is(w, meta, "experiment_id", unit->experiment, true) || !meta_lifecycle(w, meta) ||
        !meta_fill(w, meta, experiment_fields, ARRAY_LENGTH(experiment_fields), r))
        return false;
    r->v[F_experiment_experiment_id] = unit_experiment_id(unit);
    r->v[F_experiment_lifecycle_stage] = value_str(unit->deleted ? "deleted" : "active");
    return true;
}

static bool emit_experiment(struct walker *w, int dir, const struct unit *unit)
{
    struct record r;
    if (!experiment_fill(w, dir, unit, &r))
        return false;
    if (w->clash)
        clash_names_add(w->clash, unit, experiment_name(&r));
    tick_emit(w, &r, false);
    return true;
}

void run_read_experiment(struct walker *w, int dir, const struct unit *unit)
{
    bool twin = experiment_is(unit->of, EXPERIMENT_TWIN), good = false;
    size_t back;
    if (twin) {
        clash_report_twin(w, unit);
    } else if (experiment_is(unit->of, EXPERIMENT_UNREAD)) {
        clash_report_unread(w, dir);
    } else {
        back = walker_path_down(w, META_FILE);
        good = emit_experiment(w, dir, unit);
        walker_path_back(w, back);
    }
    if (!good) {
        unit_set_bad(w, unit);
        return;
    }
    struct record tag;
    record_init(&tag, KIND_experiment_tag);
    tag.v[F_experiment_tag_experiment_id] = unit_experiment_id(unit);
    walker_each_value(w, dir, "tags", &tag, F_experiment_tag_key, F_experiment_tag_value);
    each_meta(w, dir, "datasets", read_dataset, (void *)unit);
}

/* -- inputs and outputs of runs */

static bool text_is(const struct yaml_value *v, const char *text)
{
    return v && v->text && strcmp(v->text, text) == 0;
}

static void emit_input_tags(struct walker *w, const struct yaml_value *tags, const struct record *input)
{
    struct record r;
    record_init(&r, KIND_input_tag);
    r.v[F_input_tag_run_id] = input->v[F_input_run_id];
    r.v[F_input_tag_experiment_id] = input->v[F_input_experiment_id];
    r.v[F_input_tag_dataset_name] = input->v[F_input_dataset_name];
    r.v[F_input_tag_dataset_digest] = input->v[F_input_dataset_digest];
    for (const struct yaml_item *item = tags->first; item; item = item->next) {
        if (!item->value->text || item->value->kind == YAML_IS_NULL) {
            walker_problem(w, item->key->line, "tags: the value of %s is %s",
                           walker_shown(item->key->text, item->key->len), yaml_kind_name(item->value->kind));
            continue;
        }
        r.v[F_input_tag_key] = value_strn(item->key->text, item->key->len);
        r.v[F_input_tag_value] = value_strn(item->value->text, item->value->len);
        walker_emit(w, &r);
    }
}

static void emit_dataset_input(struct walker *w, const struct unit *unit, const struct yaml_value *meta,
                               const struct yaml_value *source)
{
    const struct yaml_value *tags = yaml_get(meta, "tags");
    char scratch[24];
    struct value dir = meta_id(source, scratch);
    if (!tags || tags->kind != YAML_IS_MAP) {
        walker_problem(w, tags ? tags->line : 0, "tags: expected a map, found %s",
                       tags ? yaml_kind_name(tags->kind) : "none");
        return;
    }
    const struct dataset_name *dataset = dataset_look_up(w, unit, &dir);
    if (!dataset) {
        walker_problem(w, source->line, "source_id: the experiment has no readable dataset %s",
                       walker_shown(dir.s, dir.len));
        return;
    }
    struct record r;
    record_init(&r, KIND_input);
    r.v[F_input_run_id] = value_text(unit->name, strlen(unit->name));
    r.v[F_input_experiment_id] = unit_experiment_id(unit);
    r.v[F_input_dataset_name] = value_text(buf_str(&dataset->name), dataset->name.len);
    r.v[F_input_dataset_digest] = value_text(buf_str(&dataset->digest), dataset->digest.len);
    r.v[F_input_step] = value_int(0);
    walker_emit(w, &r);
    emit_input_tags(w, tags, &r);
}

/* `mlflow gc` removes a logged model but not the references to it, in a file store and in a database alike.
 */
static void say_if_model_is_gone(struct walker *w, const struct unit *unit, const struct yaml_value *id,
                                 const char *field)
{
    struct value text = value_text(id->text, id->len);
    if (!reference_has_logged_model(w, unit, &text))
        walker_warning(w, id->line, "%s: there is no readable logged model %s; the reference is kept", field,
                       walker_shown(id->text, id->len));
}

static void emit_model_input(struct walker *w, const struct unit *unit, const struct yaml_value *source)
{
    struct record r;
    record_init(&r, KIND_model_input);
    r.v[F_model_input_run_id] = value_text(unit->name, strlen(unit->name));
    char scratch[24];
    r.v[F_model_input_model_id] = meta_id(source, scratch);
    r.v[F_model_input_step] = value_int(0);
    say_if_model_is_gone(w, unit, source, "source_id");
    walker_emit(w, &r);
}

static void read_input(struct walker *w, int dir, const char *name, void *ctx)
{
    const struct unit *unit = ctx;
    size_t back = walker_path_down(w, META_FILE);
    const struct yaml_value *meta;
    enum meta_state state = meta_read(w, w->yaml, dir, META_FILE, &meta);
    (void)name;
    if (state == META_MISSING)
        walker_problem(w, 0, "missing");
    const struct yaml_value *type, *source;
    if (state == META_GOOD && !tick_pass(w, false)) {
        type = yaml_get(meta, "source_type");
        source = yaml_get(meta, "source_id");
        if (!source || !source->text || source->len == 0 || source->kind == YAML_IS_NULL)
            walker_problem(w, source ? source->line : 0, "source_id is %s", source ? "not an id" : "missing");
        else if (text_is(type, "DATASET"))
            emit_dataset_input(w, unit, meta, source);
        else if (text_is(type, "MODEL"))
            emit_model_input(w, unit, source);
        else
            walker_problem(w, type ? type->line : 0, "source_type must be DATASET or MODEL, not %s",
                           type && type->text ? walker_shown(type->text, type->len) : "none");
    }
    walker_path_back(w, back);
}

static const struct meta_field output_fields[] = {
    {"destination_id", F_model_output_model_id, META_TEXT},
    {"step", F_model_output_step, META_INT},
};

static void emit_model_output(struct walker *w, const struct unit *unit, const struct yaml_value *meta,
                              const struct record *r)
{
    if (value_is_null(&r->v[F_model_output_step])) {
        walker_problem(w, 0, "step is missing");
        return;
    }
    say_if_model_is_gone(w, unit, yaml_get(meta, "destination_id"), "destination_id");
    walker_emit(w, r);
}

static void read_output(struct walker *w, int dir, const char *name, void *ctx)
{
    const struct unit *unit = ctx;
    size_t back = walker_path_down(w, META_FILE);
    const struct yaml_value *meta;
    enum meta_state state = meta_read(w, w->yaml, dir, META_FILE, &meta);
    (void)name;
    struct record r;
    record_init(&r, KIND_model_output);
    if (state == META_MISSING)
        walker_problem(w, 0, "missing");
    const struct yaml_value *type;
    if (state == META_GOOD && !tick_pass(w, false)) {
        type = yaml_get(meta, "destination_type");
        if (!text_is(type, "MODEL_OUTPUT")) {
            walker_problem(w, type ? type->line : 0, "destination_type must be MODEL_OUTPUT");
        } else if (meta_fill(w, meta, output_fields, ARRAY_LENGTH(output_fields), &r)) {
            r.v[F_model_output_run_id] = value_text(unit->name, strlen(unit->name));
            emit_model_output(w, unit, meta, &r);
        }
    }
    walker_path_back(w, back);
}

/* -- runs */

static const struct meta_field run_fields[] = {
    {"run_name", F_run_run_name, META_TEXT},
    {"user_id", F_run_user_id, META_TEXT},
    {"start_time", F_run_start_time, META_INT},
    {"end_time", F_run_end_time, META_INT},
    {"deleted_time", F_run_deleted_time, META_INT},
    {"artifact_uri", F_run_artifact_uri, META_TEXT},
    {"source_name", F_run_source_name, META_TEXT},
    {"entry_point_name", F_run_entry_point_name, META_TEXT},
    {"source_version", F_run_source_version, META_TEXT},
};

/* If run_name is missing, the name is in `name` (MLflow 1.x) or in the tag mlflow.runName, as MLflow reads
 * it. */
static void find_run_name(struct walker *w, int dir, const struct yaml_value *meta, struct value *name)
{
    const struct yaml_value *old = yaml_get(meta, "name");
    if (name->len) /* null has no length */
        return;
    if (old && old->text && old->kind != YAML_IS_NULL && old->len)
        *name = value_strn(old->text, old->len);
    else if (walker_read_tag(w, dir, "mlflow.runName") == TAG_READ)
        *name = value_text(buf_str(&w->file), w->file.len);
}

static bool run_fill(struct walker *w, const struct yaml_value *meta, const struct unit *unit,
                     struct record *r)
{
    static const char *const statuses[] = {"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"};
    static const char *const sources[] = {"NOTEBOOK", "JOB", "PROJECT", "LOCAL", "UNKNOWN"};
    const struct yaml_value *source = yaml_get(meta, "source_type");
    const char *word = NULL;
    const char *status, *stage;
    /* up to 1.x the id was only in run_uuid */
    if (!meta_is(w, meta, yaml_get(meta, "run_uuid") && !yaml_get(meta, "run_id") ? "run_uuid" : "run_id",
                 unit->name, true) ||
        !meta_is(w, meta, "experiment_id", unit->experiment, true) || !(stage = meta_lifecycle(w, meta)) ||
        !(status =
              meta_word(w, yaml_get(meta, "status"), "status", statuses, 1, ARRAY_LENGTH(statuses), 1)) ||
        !meta_fill(w, meta, run_fields, ARRAY_LENGTH(run_fields), r))
        return false;
    if (source && source->kind != YAML_IS_NULL &&
        !(word = meta_word(w, source, "source_type", sources, 1, ARRAY_LENGTH(sources), 4)))
        return false;
    /* MLflow never writes a run without these, and in a database it would make every search of its experiment
     * fail */
    for (size_t i = 0; i < ARRAY_LENGTH(run_fields); i++) {
        if ((run_fields[i].field == F_run_user_id || run_fields[i].field == F_run_start_time) &&
            value_is_null(&r->v[run_fields[i].field])) {
            walker_problem(w, 0, "%s is null or missing", run_fields[i].key);
            return false;
        }
    }
    r->v[F_run_run_id] = value_text(unit->name, strlen(unit->name));
    r->v[F_run_experiment_id] = unit_experiment_id(unit);
    r->v[F_run_status] = value_str(status);
    r->v[F_run_lifecycle_stage] = value_str(stage);
    if (word)
        r->v[F_run_source_type] = value_str(word);
    return true;
}

bool run_check(struct walker *w, int dir, const struct unit *unit)
{
    struct record r;
    record_init(&r, KIND_run);
    const struct yaml_value *meta;
    return meta_read(w, w->other_yaml, dir, META_FILE, &meta) == META_GOOD && run_fill(w, meta, unit, &r);
}

/* A directory without meta.yaml and without any of a run's subdirectories is not a run, and MLflow ignores
 * it, too. A server with a database stores artifacts in such directories. */
static void run_without_meta(struct walker *w, int dir)
{
    static const char *const signs[] = {"metrics", "params", "tags", NULL};
    if (walker_has_dir(dir, signs))
        walker_problem(w, 0, "missing: the run cannot be read");
}

static bool emit_run(struct walker *w, int dir, const struct unit *unit)
{
    const struct yaml_value *meta;
    size_t back = walker_path_down(w, META_FILE);
    enum meta_state state = meta_read(w, w->yaml, dir, META_FILE, &meta);
    struct record r;
    record_init(&r, KIND_run);
    if (state == META_MISSING)
        run_without_meta(w, dir);
    bool good = state == META_GOOD && run_fill(w, meta, unit, &r);
    walker_path_back(w, back);
    if (good) {
        find_run_name(w, dir, meta, &r.v[F_run_run_name]);
        tick_emit(w, &r, false);
    }
    return good;
}

void run_read(struct walker *w, int dir, const struct unit *unit)
{
    struct value id = value_text(unit->name, strlen(unit->name));
    if (!emit_run(w, dir, unit))
        return;
    struct record r;
    record_init(&r, KIND_param);
    r.v[F_param_run_id] = id;
    walker_each_value(w, dir, "params", &r, F_param_key, F_param_value);
    record_init(&r, KIND_metric);
    r.v[F_metric_run_id] = id;
    metric_read_run(w, dir, &r);
    record_init(&r, KIND_tag);
    r.v[F_tag_run_id] = id;
    walker_each_value(w, dir, "tags", &r, F_tag_key, F_tag_value);
    each_meta(w, dir, "inputs", read_input, (void *)unit);
    each_meta(w, dir, "outputs", read_output, (void *)unit);
}

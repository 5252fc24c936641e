/* The judgement of what a database can hold. */
#include "formats/schema/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/utf8.h"
#include "formats/database/issue_categories.h"
#include "formats/database/trace_columns.h"
#include "formats/schema/schema.h"
#include "migrations/migrations.h"

enum { MAX_TABLES = 96, MAX_WORDS = 6 };

struct column {
    char *name;
    size_t name_len;
    enum column_type type;
    int64_t max_length; /* characters, where the dialect enforces it; 0: no limit */
    bool not_null;
    bool has_default;
    bool in_key;
    bool generated;
    bool is_json; /* and the dialect enforces it */
};

struct table {
    const char *name;
    struct column *columns;
    int n;
};

/* The allowed words of a field. */
struct word_list {
    enum kind kind;
    int field;
    bool closed; /* no other words are allowed */
    struct {
        const char *text;
        int since; /* the first revision that knows it */
    } words[MAX_WORDS];
    const char *what;
};

enum place { PLACE_NONE, PLACE_MISSING, PLACE_COLUMN };

struct field_limits {
    enum place place;
    bool needed;   /* the record is useless without it */
    bool required; /* it cannot be null */
    const struct column *column;
    const struct word_list *words;
};

struct kind_limits {
    bool has_is_nan;
    struct field_limits fields[RECORD_MAX_FIELDS];
};

struct limits {
    enum dialect dialect;
    int rev;
    bool wide;
    struct table tables[MAX_TABLES];
    int n_tables;
    struct kind_limits kinds[KIND_COUNT];
    const struct table **row_tables; /* for each of row_tables[]; NULL if missing */
    struct pyjson json;
    bool has_default;           /* there is an experiment 0 */
    char default_elsewhere[24]; /* id of another one named Default */
};

/* The CHECKs of MLflow's tables; the codes of a logged model's status (mlflow.entities.LoggedModelStatus);
 * and words unknown to releases before a revision although they have the column: before 3.11 a single issue
 * makes reading its whole trace fail. */
static const struct word_list word_lists[] = {
    {KIND_run,
     F_run_status,
     true,
     {{"RUNNING", 0}, {"SCHEDULED", 0}, {"FINISHED", 0}, {"FAILED", 0}, {"KILLED", REV_KILLED_RUNS}},
     "must be one of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED"},
    {KIND_run,
     F_run_source_type,
     true,
     {{"NOTEBOOK", 0}, {"JOB", 0}, {"LOCAL", 0}, {"UNKNOWN", 0}, {"PROJECT", 0}},
     "must be one of NOTEBOOK, JOB, LOCAL, UNKNOWN, PROJECT"},
    {KIND_run, F_run_lifecycle_stage, true, {{"active", 0}, {"deleted", 0}}, "must be active or deleted"},
    {KIND_experiment,
     F_experiment_lifecycle_stage,
     true,
     {{"active", 0}, {"deleted", 0}},
     "must be active or deleted"},
    {KIND_logged_model,
     F_logged_model_lifecycle_stage,
     true,
     {{"active", 0}, {"deleted", 0}},
     "must be active or deleted"},
    {KIND_logged_model,
     F_logged_model_status,
     true,
     {{"UNSPECIFIED", 0}, {"PENDING", 0}, {"READY", 0}, {"FAILED", 0}},
     "must be one of UNSPECIFIED, PENDING, READY, FAILED"},
    {KIND_assessment, F_assessment_assessment_type, false, {{"issue", REV_ISSUES}}, NULL},
};

/* -- tables */

enum column_type limits_column_type(enum dialect dialect, const char *declared)
{
    static const struct {
        const char *begin;
        enum column_type type;
    } types[] = {
        {"INTEGER", COLUMN_INT32}, {"BIGINT", COLUMN_INT64}, {"FLOAT", COLUMN_FLOAT},
        {"DOUBLE", COLUMN_FLOAT},  {"REAL", COLUMN_FLOAT},   {"BOOLEAN", COLUMN_BOOL},
        {"BLOB", COLUMN_BYTES},    {"BYTEA", COLUMN_BYTES},  {"DATE", COLUMN_DATE},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++)
        if (strncmp(declared, types[i].begin, strlen(types[i].begin)) == 0)
            return types[i].type == COLUMN_INT32 && dialect == DIALECT_SQLITE ? COLUMN_INT64 : types[i].type;
    return COLUMN_TEXT;
}

struct limits *limits_new(enum dialect dialect, int rev, bool wide)
{
    struct limits *l = xcalloc(1, sizeof *l);
    l->dialect = dialect;
    l->rev = rev;
    l->wide = wide;
    l->row_tables = xcalloc((size_t)row_tables_count, sizeof(struct table *));
    return l;
}

void limits_free(struct limits *l)
{
    if (!l)
        return;
    for (int t = 0; t < l->n_tables; t++) {
        for (int i = 0; i < l->tables[t].n; i++)
            free(l->tables[t].columns[i].name);
        free(l->tables[t].columns);
    }
    free(l->row_tables);
    pyjson_free(&l->json);
    free(l);
}

static struct column make_column(const struct limits *l, const struct db_column_info *info)
{
    struct column c = {.name = xstrdup(info->name),
                       .name_len = strlen(info->name),
                       .type = limits_column_type(l->dialect, info->type),
                       .not_null = info->not_null,
                       .has_default = info->dflt != NULL,
                       .in_key = info->key > 0,
                       .generated = info->generated};
    if (l->dialect == DIALECT_POSTGRESQL) {
        c.max_length = info->length;
        c.is_json = strncmp(info->type, "JSON", 4) == 0;
    }
    if (l->wide && c.type == COLUMN_INT32 && strcmp(info->name, "experiment_id") == 0)
        c.type = COLUMN_INT64;
    return c;
}

static const struct column *find_column(const struct table *t, const char *name, size_t len)
{
    for (int i = 0; i < t->n; i++)
        if (t->columns[i].name_len == len && memcmp(t->columns[i].name, name, len) == 0)
            return &t->columns[i];
    return NULL;
}

static const struct word_list *find_words(enum kind kind, int field)
{
    for (size_t i = 0; i < ARRAY_LENGTH(word_lists); i++)
        if (word_lists[i].kind == kind && word_lists[i].field == field)
            return &word_lists[i];
    return NULL;
}

/* Ids of datasets and inputs, which a file store does not have: loading generates them if they are null. */
static bool is_derived(const struct field_desc *f)
{
    return strcmp(f->name, "dataset_id") == 0 || strcmp(f->name, "input_id") == 0;
}

static void plan_field(struct limits *l, const struct kind_desc *k, int field, const struct table *t)
{
    const struct field_desc *f = &k->fields[field];
    struct field_limits *x = &l->kinds[k->kind].fields[field];
    x->needed = f->flags & (FIELD_K | FIELD_R);
    x->words = find_words(k->kind, field);
    if (!f->column[0]) {
        x->place = PLACE_NONE;
        return;
    }
    x->column = l->rev < f->since || (f->until && l->rev >= f->until)
                    ? NULL
                    : find_column(t, f->column, strlen(f->column));
    x->place = x->column ? PLACE_COLUMN : PLACE_MISSING;
    if (!x->column)
        return;
    bool no_null = x->column->not_null && !x->column->has_default;
    x->needed |= no_null;
    x->required = no_null && !is_derived(f);
}

void limits_add_table(struct limits *l, const char *name, const struct db_columns *columns)
{
    for (int i = 0; i < l->n_tables; i++)
        if (strcmp(l->tables[i].name, name) == 0)
            return;
    if (columns->n == 0)
        return;
    struct table *t = &l->tables[l->n_tables++];
    *t = (struct table){.name = name, .columns = xcalloc((size_t)columns->n, sizeof *t->columns)};
    for (; t->n < columns->n; t->n++)
        t->columns[t->n] = make_column(l, &columns->items[t->n]);
    for (int k = 0; k < KIND_COUNT; k++) {
        if (!kind_is_entity(&kinds[k]) || strcmp(kinds[k].table, name) != 0)
            continue;
        l->kinds[k].has_is_nan = find_column(t, "is_nan", 6) != NULL;
        for (int f = 0; f < kinds[k].n_fields; f++)
            plan_field(l, &kinds[k], f, t);
    }
    const struct row_table *rows = row_table_by_name(name, strlen(name));
    if (rows)
        l->row_tables[rows - row_tables] = t;
}

static bool read_table(struct limits *l, struct db *db, const char *name, struct err *e)
{
    struct db_columns columns;
    if (!db_table_columns(db, name, &columns, e))
        return false;
    limits_add_table(l, name, &columns);
    db_columns_free(&columns);
    return true;
}

bool limits_read(struct limits *l, struct db *db, struct err *e)
{
    for (int k = 0; k < KIND_COUNT; k++)
        if (kind_is_entity(&kinds[k]) && !read_table(l, db, kinds[k].table, e))
            return false;
    for (int i = 0; i < row_tables_count; i++)
        if (!read_table(l, db, row_tables[i].name, e))
            return false;
    return true;
}

int limits_kind_since(const struct kind_desc *k)
{
    static const struct {
        unsigned flag;
        enum kind kind;
    } parents[] = {
        {FIELD_TRACE, KIND_trace}, {FIELD_MODEL, KIND_logged_model}, {FIELD_REG, KIND_registered_model}};
    int since = k->since;
    for (int i = 0; i < k->n_fields; i++)
        for (size_t p = 0; p < ARRAY_LENGTH(parents); p++)
            if ((k->fields[i].flags & parents[p].flag) && (k->fields[i].flags & FIELD_R) &&
                kinds[parents[p].kind].since > since)
                since = kinds[parents[p].kind].since;
    return since;
}

bool limits_has_kind(const struct limits *l, enum kind kind)
{
    return l->rev >= limits_kind_since(&kinds[kind]);
}

bool limits_has_row_table(const struct limits *l, const struct row_table *t)
{
    return t && l->row_tables[t - row_tables];
}

/* -- a value */

static bool misfit(struct misfit *m, enum misfit_kind kind)
{
    m->kind = kind;
    return false;
}

static bool wrong(struct misfit *m, enum misfit_kind kind, const char *what)
{
    m->what = what;
    return misfit(m, kind);
}

/* Standard JSON, without the NaN and Infinity that Python writes. */
static bool is_json(struct pyjson *json, const struct value *v)
{
    bool in_string = false;
    for (size_t i = 0; i < v->len; i++) {
        if (in_string && v->s[i] == '\\')
            i++;
        else if (v->s[i] == '"')
            in_string = !in_string;
        else if (!in_string && (v->s[i] == 'N' || v->s[i] == 'I'))
            return false;
    }
    return pyjson_parse(json, v->s, v->len);
}

static bool judge_text(struct limits *l, const struct column *c, const struct value *v, struct misfit *m)
{
    if (v->type == VALUE_BIN)
        return misfit(m, MISFIT_NOT_UTF8);
    if (l->dialect == DIALECT_POSTGRESQL && memchr(v->s, '\0', v->len))
        return misfit(m, MISFIT_NUL);
    if (c && c->is_json && !is_json(&l->json, v))
        return wrong(m, MISFIT_TYPE, "not valid JSON, which the column's type in PostgreSQL requires");
    if (!c || c->max_length == 0 || v->len <= (uint64_t)c->max_length)
        return true;
    m->length = utf8_length(v->s, v->len);
    m->room = c->max_length;
    return m->length <= (size_t)c->max_length || misfit(m, MISFIT_LENGTH);
}

static bool judge_int(const struct column *c, const struct value *v, struct misfit *m)
{
    return c->type != COLUMN_INT32 || v->type != VALUE_INT || (v->i >= INT32_MIN && v->i <= INT32_MAX) ||
           misfit(m, MISFIT_WIDE);
}

/* -- a field of a record */

/* Whether the value is what a missing column implies anyway. */
static bool is_default(const struct field_desc *f, const struct value *v)
{
    return (f->flags & FIELD_WS && value_eqs(v, "default")) ||
           (v->type == VALUE_INT && v->i == 0 && !(f->flags & FIELD_MS));
}

static bool judge_id(const struct column *c, const struct value *v, struct misfit *m)
{
    int64_t id;
    if (!value_decimal_id(v, &id))
        return misfit(m, MISFIT_ID);
    return c->type != COLUMN_INT32 || id <= INT32_MAX || misfit(m, MISFIT_WIDE_ID);
}

static bool judge_word(const struct limits *l, const struct word_list *list, const struct value *v,
                       struct misfit *m)
{
    for (int i = 0; i < MAX_WORDS && list->words[i].text; i++) {
        if (!value_eqs(v, list->words[i].text))
            continue;
        m->since = list->words[i].since;
        return m->since <= l->rev || misfit(m, MISFIT_LATE_WORD);
    }
    return !list->closed || wrong(m, MISFIT_WORD, list->what);
}

/* Values stored in columns of the trace's row are truncated to fit or parsed as JSON, as by MLflow. */
static bool judge_promoted(struct limits *l, const struct record *r, int field, enum trace_part part,
                           struct misfit *m)
{
    bool text = part == TRACE_PART_NAME || part == TRACE_PART_SESSION;
    return field != F_trace_tag_value || !text || judge_text(l, NULL, &r->v[field], m);
}

bool limits_field(struct limits *l, const struct record *r, int field, struct misfit *m)
{
    const struct field_desc *f = &r->kind->fields[field];
    const struct field_limits *x = &l->kinds[r->kind->kind].fields[field];
    const struct value *v = &r->v[field];
    const struct column *c = x->column;
    *m = (struct misfit){.needed = x->needed};
    if (c)
        m->column = c->name, m->column_len = c->name_len;
    if (value_is_null(v))
        return !x->required || misfit(m, MISFIT_NULL);
    if (x->place == PLACE_MISSING) {
        m->since = f->since;
        return is_default(f, v) || misfit(m, MISFIT_NO_COLUMN);
    }
    if (x->place == PLACE_NONE)
        return v->type != VALUE_BIN || misfit(m, MISFIT_NOT_UTF8);
    enum trace_part part = l->rev < REV_TRACE_ANALYTICS ? TRACE_PART_NONE : trace_part_of(r);
    if (part != TRACE_PART_NONE)
        return judge_promoted(l, r, field, part, m);
    if (x->words && !judge_word(l, x->words, v, m))
        return false;
    if (f->codec == CODEC_ID)
        return judge_id(c, v, m);
    if (f->codec == CODEC_METRIC)
        return !isnan(v->f) || l->kinds[r->kind->kind].has_is_nan || misfit(m, MISFIT_NAN);
    return value_is_text(v) ? judge_text(l, c, v, m) : judge_int(c, v, m);
}

/* -- a row */

/* YYYY-MM-DD. */
static bool is_date(const struct value *v)
{
    static const char form[] = "dddd-dd-dd";
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (v->len != sizeof form - 1)
        return false;
    for (size_t i = 0; i < v->len; i++)
        if (form[i] == 'd' ? v->s[i] < '0' || v->s[i] > '9' : v->s[i] != form[i])
            return false;
    int month = (v->s[5] - '0') * 10 + v->s[6] - '0', day = (v->s[8] - '0') * 10 + v->s[9] - '0';
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1];
}

static bool judge_value(struct limits *l, const struct column *c, const struct value *v, struct misfit *m)
{
    switch (c->type) {
    case COLUMN_TEXT:
    case COLUMN_DATE:
        if (!value_is_text(v))
            return wrong(m, MISFIT_TYPE, "not text");
        if (!judge_text(l, c, v, m))
            return false;
        return c->type == COLUMN_TEXT || is_date(v) || wrong(m, MISFIT_TYPE, "not a date (YYYY-MM-DD)");
    case COLUMN_INT32:
    case COLUMN_INT64:
        if (v->type != VALUE_INT && v->type != VALUE_BOOL)
            return wrong(m, MISFIT_TYPE, "not an integer");
        return judge_int(c, v, m);
    case COLUMN_FLOAT:
        return v->type == VALUE_INT || v->type == VALUE_FLOAT || wrong(m, MISFIT_TYPE, "not a number");
    case COLUMN_BOOL:
        return v->type == VALUE_BOOL || (v->type == VALUE_INT && (v->i == 0 || v->i == 1)) ||
               wrong(m, MISFIT_TYPE, "not a boolean");
    case COLUMN_BYTES:
        return value_is_text(v) || wrong(m, MISFIT_TYPE, "not bytes");
    }
    return true;
}

/* Judges a value whose column the table does not have. */
static bool judge_elsewhere(struct limits *l, const struct table *t, const struct row_entry *entry,
                            struct misfit *m)
{
    static const char dimensions[] = "dimension_attributes";
    bool converted = strcmp(t->name, "spans") == 0 && entry->column_len == sizeof dimensions - 1 &&
                     memcmp(entry->column, dimensions, entry->column_len) == 0;
    const char *model = span_columns[SPAN_COLUMN_MODEL];
    m->needed = false;
    if (converted && find_column(t, model, strlen(model))) {
        struct value name, provider;
        uint64_t cut[2] = {0, 0};
        const char *what = span_dimensions(&l->json, &entry->v, &name, &provider, cut);
        return !what || wrong(m, MISFIT_CONVERSION, what);
    }
    return (converted && value_eqs(&entry->v, "null")) || misfit(m, MISFIT_NO_COLUMN);
}

static bool has_no_nul(void *arg, const struct value *hash, const struct value *category)
{
    (void)arg, (void)hash;
    return !memchr(category->s, '\0', category->len);
}

/* Judges the categories of an issue, as JSON from before revision 8b6ad64cb8f5, for a table with the columns
 * of that revision. */
static bool judge_categories(struct limits *l, const struct table *t, const struct row_entry *entries, int n,
                             int i, struct misfit *m)
{
    static const char last_seen[] = "last_seen_timestamp";
    if (strcmp(t->name, "issues") != 0 || entries[i].column_len != 10 ||
        memcmp(entries[i].column, "categories", 10) != 0 || !find_column(t, last_seen, strlen(last_seen)) ||
        row_entry_find(entries, n, last_seen, strlen(last_seen)) || value_is_null(&entries[i].v))
        return true;
    m->needed = false;
    const char *what = issue_categories_parse(&l->json, &entries[i].v);
    if (!what && l->dialect == DIALECT_POSTGRESQL && !issue_categories_each(&l->json, has_no_nul, NULL))
        what = "contain a NUL character, which PostgreSQL cannot store";
    return !what || wrong(m, MISFIT_CONVERSION, what);
}

static bool judge_entry(struct limits *l, const struct table *t, const struct row_entry *entry,
                        struct misfit *m)
{
    const struct column *c = find_column(t, entry->column, entry->column_len);
    if (!c || c->generated)
        return judge_elsewhere(l, t, entry, m);
    m->needed = c->not_null || c->in_key;
    return judge_value(l, c, &entry->v, m);
}

int limits_row(struct limits *l, const struct row_table *rows, const struct row_entry *entries, int n,
               struct misfit *out)
{
    const struct table *t = l->row_tables[rows - row_tables];
    int found = 0;
    for (int i = 0; i < n; i++) {
        out[found] =
            (struct misfit){.entry = i, .column = entries[i].column, .column_len = entries[i].column_len};
        found += !judge_entry(l, t, &entries[i], &out[found]) ||
                 !judge_categories(l, t, entries, n, i, &out[found]);
    }
    for (int i = 0; i < t->n && found < LIMITS_ROW_MISFITS; i++) {
        const struct column *c = &t->columns[i];
        if (c->not_null && !c->has_default && !c->generated &&
            !row_entry_find(entries, n, c->name, c->name_len))
            out[found++] = (struct misfit){.kind = MISFIT_NULL,
                                           .needed = true,
                                           .entry = -1,
                                           .column = c->name,
                                           .column_len = c->name_len};
    }
    return found;
}

/* -- the name Default */

void limits_note_experiment(struct limits *l, const struct record *r)
{
    const struct value *id = &r->v[F_experiment_experiment_id], ws = record_workspace(r);
    if (value_eqs(id, "0"))
        l->has_default = true;
    else if (value_eqs(&r->v[F_experiment_name], "Default") && value_eqs(&ws, "default"))
        snprintf(l->default_elsewhere, sizeof l->default_elsewhere, "%.*s", (int)id->len, id->s);
}

/* From 3.4 on MLflow creates an experiment 0 named Default whenever there is none; earlier releases only in an
 * empty database. */
const char *limits_stray_default(const struct limits *l)
{
    bool stray = l->rev >= REV_EVALUATION_DATASETS && l->default_elsewhere[0] && !l->has_default;
    return stray ? l->default_elsewhere : NULL;
}

#include "formats/transform/fit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "formats/schema/model.h"
#include "formats/record/idmap.h"

/* Of what does not fit this many are told for each field. */
enum { MAX_TOLD = 5 };

struct column {
    bool absent;    /* at this revision */
    int64_t length; /* characters; 0: no limit */
    bool narrow;    /* a 32-bit integer */
};

struct fault { /* of one field */
    uint64_t found, cut;
};

struct fit {
    enum dialect dialect;
    const struct schema_release *release;
    bool truncate;
    bool absent[KIND_COUNT]; /* kinds without a table */
    struct column columns[KIND_COUNT][RECORD_MAX_FIELDS];
    struct fault faults[KIND_COUNT][RECORD_MAX_FIELDS];
    uint64_t unheld[KIND_COUNT]; /* records of kinds without a table */
    struct idmap tables;         /* of rows: those that are there */
    uint64_t problems;
};

static void plan_field(struct fit *x, const struct kind_desc *k, int f, const struct db_columns *have)
{
    const struct field_desc *field = &k->fields[f];
    struct column *c = &x->columns[k->kind][f];
    const struct db_column_info *info = field->column[0] ? db_columns_find(have, field->column) : NULL;
    c->absent = field->column[0] && !info;
    if (info && x->dialect == DIALECT_POSTGRESQL) {
        c->length = info->length;
        c->narrow = strcmp(info->type, "INTEGER") == 0;
    }
}

/* The revision from which on a kind can be held: that of its table, and of what it must refer to. */
static int first_order(const struct kind_desc *k)
{
    static const struct {
        unsigned flag;
        enum kind kind;
    } needs[] = {
        {FIELD_TRACE, KIND_trace}, {FIELD_MODEL, KIND_logged_model}, {FIELD_REG, KIND_registered_model}};
    int order = k->since;
    for (int f = 0; f < k->n_fields; f++)
        for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++)
            if (k->fields[f].flags & FIELD_R && k->fields[f].flags & needs[i].flag &&
                kinds[needs[i].kind].since > order)
                order = kinds[needs[i].kind].since;
    return order;
}

static bool plan_kind(struct fit *x, struct db *pattern, const struct kind_desc *k, struct err *e)
{
    struct db_columns have;
    if (!kind_is_entity(k))
        return true;
    if (!db_table_columns(pattern, k->table, &have, e))
        return false;
    x->absent[k->kind] = have.n == 0 || first_order(k) > x->release->order;
    for (int f = 0; !x->absent[k->kind] && f < k->n_fields; f++)
        plan_field(x, k, f, &have);
    db_columns_free(&have);
    return true;
}

struct fit *fit_new(enum dialect dialect, const struct schema_release *release, bool truncate, struct err *e)
{
    struct fit *x = xcalloc(1, sizeof *x);
    struct db *pattern = schema_model(release->order, e);
    char **tables = pattern ? schema_tables(release->order, e) : NULL;
    bool good = tables != NULL;
    *x = (struct fit){.dialect = dialect, .release = release, .truncate = truncate};
    for (int k = 0; good && k < KIND_COUNT; k++)
        good = plan_kind(x, pattern, &kinds[k], e);
    for (size_t i = 0; tables && tables[i]; i++) {
        struct value name = value_str(tables[i]);
        idmap_add(&x->tables, id_key(0, &name, 1), NULL);
        free(tables[i]);
    }
    free(tables);
    db_close(pattern);
    if (good)
        return x;
    fit_free(x);
    return NULL;
}

/* -- looking */

static const char *dialect_name(const struct fit *x)
{
    return x->dialect == DIALECT_POSTGRESQL ? "PostgreSQL" : "SQLite";
}

static void fault(struct fit *x, const struct record *r, int f, const char *what, const char *hint)
{
    struct fault *fault = &x->faults[r->kind->kind][f];
    struct buf where = {0};
    x->problems++;
    if (++fault->found > MAX_TOLD)
        return;
    record_describe(r, &where);
    err_print(buf_str(&where), "field '%s' %s", r->kind->fields[f].name, what);
    if (hint && fault->found == 1)
        err_print_hint("%s", hint);
    buf_free(&where);
}

/* What is in every database, or as good as nothing, is no loss. */
static bool is_default(const struct field_desc *f, const struct value *v)
{
    return (f->flags & FIELD_WS && value_eqs(v, "default")) ||
           (v->type == VALUE_INT && v->i == 0 && !(f->flags & FIELD_MS));
}

static void look_at_absent(struct fit *x, const struct record *r, int f)
{
    const struct field_desc *field = &r->kind->fields[f];
    char what[256], hint[128];
    if (is_default(field, &r->v[f]))
        return;
    snprintf(what, sizeof what, "has no column in MLflow %s", x->release->release);
    snprintf(hint, sizeof hint, "the first release that has one is %s",
             schema_first_release_with(field->since)->release);
    fault(x, r, f, what, hint);
}

static void look_at_number(struct fit *x, const struct record *r, int f)
{
    const struct value *v = &r->v[f];
    bool id = r->kind->fields[f].codec == CODEC_ID;
    int64_t number = v->type == VALUE_INT ? v->i : 0;
    char what[128];
    /* Of an experiment's id its own record tells, not all that refer to it. */
    if (!x->columns[r->kind->kind][f].narrow || (id && r->kind->kind != KIND_experiment))
        return;
    if (id && value_is_text(v) && !value_parse_int(v->s, v->len, &number))
        number = INT64_MAX;
    if (number >= INT32_MIN && number <= INT32_MAX)
        return;
    snprintf(what, sizeof what, "is more than the 32 bits that %s has for it", dialect_name(x));
    fault(x, r, f, what, id ? "--renumber-experiments gives experiments small ids" : NULL);
}

/* Cuts a text to n characters, if that may be done. */
static bool cut(struct fit *x, struct record *r, int f, size_t n, struct arena *a)
{
    const unsigned kept =
        FIELD_K | FIELD_EXP | FIELD_RUN | FIELD_TRACE | FIELD_MODEL | FIELD_REG | FIELD_URI | FIELD_WS;
    struct value *v = &r->v[f];
    if (!x->truncate || r->kind->fields[f].flags & kept || r->kind->fields[f].codec != CODEC_TEXT)
        return false;
    size_t len = utf8_prefix(v->s, v->len, n);
    *v = value_strn(arena_strndup(a, v->s, len), len);
    x->faults[r->kind->kind][f].cut++;
    return true;
}

static void look_at_text(struct fit *x, struct record *r, int f, struct arena *a)
{
    const struct column *c = &x->columns[r->kind->kind][f];
    struct value *v = &r->v[f];
    char what[128];
    if (v->type == VALUE_BIN) {
        fault(x, r, f, "is not UTF-8, and MLflow could not read it back", NULL);
        return;
    }
    if (x->dialect == DIALECT_POSTGRESQL && memchr(v->s, '\0', v->len))
        fault(x, r, f, "holds a NUL character, which PostgreSQL cannot store", NULL);
    if (c->length == 0 || v->len <= (uint64_t)c->length)
        return;
    size_t length = utf8_length(v->s, v->len);
    if (length <= (size_t)c->length || cut(x, r, f, (size_t)c->length, a))
        return;
    snprintf(what, sizeof what, "has %zu characters, MLflow %s has room for %" PRId64, length,
             x->release->release, c->length);
    fault(x, r, f, what,
          x->truncate ? "it identifies something or is an address, so it is not cut" : "--truncate cuts it");
}

static void count_unheld(struct fit *x, const struct record *r, const char *first)
{
    x->problems++;
    if (x->unheld[r->kind->kind]++ > 0 && r->kind->kind != KIND_row)
        return;
    struct buf where = {0};
    record_describe(r, &where);
    err_print(buf_str(&where), "MLflow %s has no table for it%s%s", x->release->release,
              first ? "; the first that has one is " : "", first ? first : "");
    buf_free(&where);
}

static void look_at_row(struct fit *x, const struct record *r)
{
    if (!idmap_find(&x->tables, id_key(0, &r->v[F_row_table], 1)))
        count_unheld(x, r, NULL);
}

void fit_record(struct fit *x, struct record *r, struct arena *a)
{
    if (r->kind->kind == KIND_row)
        look_at_row(x, r);
    if (!kind_is_entity(r->kind))
        return;
    if (x->absent[r->kind->kind]) {
        if (r->kind->kind != KIND_latest_metric) /* which follows from the metrics */
            count_unheld(x, r, schema_first_release_with(first_order(r->kind))->release);
        return;
    }
    for (int f = 0; f < r->kind->n_fields; f++) {
        if (value_is_null(&r->v[f]))
            continue;
        if (x->columns[r->kind->kind][f].absent) {
            look_at_absent(x, r, f);
            continue;
        }
        look_at_number(x, r, f);
        if (value_is_text(&r->v[f]))
            look_at_text(x, r, f, a);
    }
}

uint64_t fit_problems(const struct fit *x)
{
    return x->problems;
}

void fit_report(const struct fit *x)
{
    for (int k = 0; k < KIND_COUNT; k++) {
        if (x->unheld[k] > 0)
            err_note("%s: MLflow %s has no table for %" PRIu64 " of them", kinds[k].plural,
                     x->release->release, x->unheld[k]);
        for (int f = 0; f < kinds[k].n_fields; f++) {
            const struct fault *fault = &x->faults[k][f];
            if (fault->found > 0)
                err_note("%s: %s: %" PRIu64 " do not fit", kinds[k].plural, kinds[k].fields[f].name,
                         fault->found);
            if (fault->cut > 0)
                err_note("%s: %s: %" PRIu64 " cut", kinds[k].plural, kinds[k].fields[f].name, fault->cut);
        }
    }
}

void fit_free(struct fit *x)
{
    if (!x)
        return;
    idmap_free(&x->tables);
    free(x);
}

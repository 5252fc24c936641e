/* Converts the values of a row to those that MLflow's API returns. */
#include "formats/database/fetch_cursor.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"

static void read_column(struct fetch_cursor *c, int column, struct value *v)
{
    db_column(c->stmt, column, v);
    if (v->type == VALUE_BIN && db_column_is_blob(c->stmt, column)) /* no column of a kind holds bytes */
        v->type = VALUE_ALIEN;
}

static const char *const model_status[] = {"UNSPECIFIED", "PENDING", "READY", "FAILED"};

/* Converts a number of an INTEGER column to text, its type in records. */
static void id_text(struct fetch_cursor *c, int field, struct value *v)
{
    if (value_is_text(v))
        v->type = VALUE_ALIEN;
    if (v->type != VALUE_INT)
        return;
    snprintf(c->ids[field], sizeof c->ids[field], "%" PRId64, v->i);
    *v = value_str(c->ids[field]);
}

/* Restores infinities, for which SqlAlchemyStore writes the greatest doubles. */
static void float_value(struct value *v)
{
    if (v->type == VALUE_INT)
        *v = value_float((double)v->i);
    if (v->type == VALUE_FLOAT && fabs(v->f) == DBL_MAX)
        v->f = v->f > 0 ? INFINITY : -INFINITY;
}

/* Applies is_nan to a metric's value. */
static void apply_is_nan(struct fetch_cursor *c, struct value *v)
{
    static const char column[] = "is_nan";
    struct value nan;
    db_column(c->stmt, c->is_nan, &nan);
    if (nan.type == VALUE_INT && (nan.i == 0 || nan.i == 1))
        nan = value_bool(nan.i == 1);
    if (nan.type == VALUE_BOOL && nan.b)
        *v = value_float(NAN);
    else if (nan.type != VALUE_BOOL && nan.type != VALUE_NULL)
        *v = (struct value){.type = VALUE_ALIEN, .len = sizeof column - 1, .s = column};
}

static void convert(struct fetch_cursor *c, int field, struct value *v)
{
    switch (c->kind->fields[field].codec) {
    case CODEC_ID:
        id_text(c, field, v);
        break;
    case CODEC_BOOL:
        if (v->type == VALUE_INT && (v->i == 0 || v->i == 1))
            *v = value_bool(v->i == 1);
        break;
    case CODEC_METRIC:
        float_value(v);
        if (c->is_nan >= 0)
            apply_is_nan(c, v);
        break;
    case CODEC_MODEL_METRIC:
    case CODEC_REAL:
        float_value(v);
        break;
    case CODEC_MODEL_STATUS:
        if (v->type == VALUE_INT && v->i >= 0 && v->i < (int64_t)(ARRAY_LENGTH(model_status)))
            *v = value_str(model_status[v->i]);
        else
            id_text(c, field, v);
        break;
    case CODEC_NONE: /* of another table */
        if (c->kind->fields[field].flags & FIELD_EXP)
            id_text(c, field, v);
        break;
    default:
        break;
    }
}

/* The value of a field whose column this database does not have. */
static struct value absent(const struct kind_desc *k, int field)
{
    if (k->fields[field].flags & FIELD_WS)
        return value_str("default");
    if (k->kind == KIND_metric && field == F_metric_step)
        return value_int(0); /* as filled by revision 1 */
    return value_null();
}

/* Adds a column of a promoted object to its JSON. False if its value has the wrong type. */
static bool add_part(struct buf *json, const struct promoted_value *p, int part, const struct value *v)
{
    bool is_real = strcmp(p->part_type, "BIGINT") != 0;
    char number[32];
    if (value_is_null(v))
        return true;
    if (v->type == VALUE_INT)
        snprintf(number, sizeof number, "%" PRId64, v->i);
    else if (v->type == VALUE_FLOAT && is_real)
        value_format_float(v->f, number);
    else
        return false;
    if (v->type == VALUE_INT || isfinite(v->f))
        buf_addf(json, "%s\"%s\": %s", json->len ? ", " : "{", p->columns[part], number);
    return true;
}

/* Builds the JSON of token usage or cost from columns, if the row comes from them. */
static void object_value(struct fetch_cursor *c, const struct value *key, struct value *out)
{
    const struct promoted_value *p = NULL;
    const char *alien = NULL;
    int column = c->object;
    if (!value_is_null(out))
        return;
    while ((p = fetch_next_promoted(c->f, c->kind->kind, p))) {
        bool mine = p->object && value_eqs(key, p->key);
        if (mine)
            buf_reset(&c->json);
        for (int i = 0; p->object && p->columns[i]; i++, column++) {
            struct value v;
            db_column(c->stmt, column, &v);
            if (mine && !add_part(&c->json, p, i, &v))
                alien = p->columns[i];
        }
        if (alien) {
            *out = (struct value){.type = VALUE_ALIEN, .len = (uint32_t)strlen(alien), .s = alien};
            return;
        }
        if (mine) {
            buf_adds(&c->json, c->json.len ? "}" : "{}");
            *out = value_strn(c->json.data, c->json.len);
            return;
        }
    }
}

static void read_derived(struct fetch_cursor *c)
{
    for (int i = 0; i < c->n_derived; i++) {
        struct fetch_derived *d = &c->derived[i];
        read_column(c, c->derived_column[i], &d->actual);
        d->expected = value_null();
        if (c->looked_up[i])
            db_column(c->stmt, c->derived_column[i] + 1, &d->expected);
    }
}

int fetch_next(struct fetch_cursor *c, struct record *out, struct err *e)
{
    int more = c->stmt ? db_step(c->stmt, e) : 0;
    if (more <= 0)
        return more;
    out->kind = c->kind;
    for (int i = 0; i < c->kind->n_fields; i++) {
        if (c->column[i] < 0) {
            out->v[i] = absent(c->kind, i);
            continue;
        }
        read_column(c, c->column[i], &out->v[i]);
        if (!value_is_null(&out->v[i]) || c->is_nan >= 0)
            convert(c, i, &out->v[i]);
    }
    if (c->object >= 0)
        object_value(c, &out->v[F_trace_request_metadata_key], &out->v[F_trace_request_metadata_value]);
    read_derived(c);
    return 1;
}

const struct fetch_derived *fetch_derived(const struct fetch_cursor *c, int *n)
{
    *n = c->n_derived;
    return c->derived;
}

/* Builds the sort key of a record. */
#include "formats/record/sort_key.h"

#include <math.h>

static void field_key(const struct field_desc *f, const struct value *v, struct buf *out)
{
    struct value key = *v;
    int64_t id;
    bool nan = v->type == VALUE_FLOAT && isnan(v->f);
    switch (f->codec) {
    case CODEC_ID:
        if (value_is_text(v) && value_parse_int(v->s, v->len, &id))
            key = value_int(id);
        break;
    case CODEC_METRIC:
    case CODEC_MODEL_METRIC:
        if (key.type == VALUE_FLOAT)
            key.f = isnan(key.f) ? 0.0 : value_stored_float(key.f);
        break;
    default:
        break;
    }
    value_sort_key(&key, out);
    if (f->codec == CODEC_METRIC)
        buf_addc(out, nan);
}

void record_sort_key(const struct record *r, const int *fields, int n, struct buf *out)
{
    for (int i = 0; i < n; i++)
        field_key(&r->kind->fields[fields[i]], &r->v[fields[i]], out);
}

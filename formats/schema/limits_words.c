/* Messages for values that do not fit. */
#include "formats/schema/limits.h"

#include "formats/schema/schema.h"

void limits_add_release(int rev, struct buf *out)
{
    const struct schema_release *first = schema_first_release_with(rev);
    buf_addf(out, "MLflow %s", first ? first->release : "newer than those known here");
}

static void describe_value(const struct misfit *m, const struct value *v, struct buf *out)
{
    struct buf shown = {0};
    value_describe(v, &shown);
    buf_addf(out, "'%s' ", buf_str(&shown));
    buf_free(&shown);
    if (m->kind == MISFIT_ID) {
        buf_adds(out, "is not a decimal experiment id");
    } else if (m->kind == MISFIT_LATE_WORD) {
        buf_adds(out, "is unknown to this release; the first that knows it is ");
        limits_add_release(m->since, out);
    } else {
        buf_adds(out, m->what);
    }
}

void limits_describe(const struct misfit *m, const char *name, const struct value *v, struct buf *out)
{
    if (m->kind == MISFIT_NULL) {
        buf_addf(out, "no value for the column %.*s, which is NOT NULL", (int)m->column_len, m->column);
        return;
    }
    buf_addf(out, m->kind == MISFIT_NO_COLUMN || m->kind == MISFIT_CONVERSION ? "%s " : "%s: ", name);
    switch (m->kind) {
    case MISFIT_NO_COLUMN:
        buf_adds(out, "has no column in this schema");
        if (m->since > 0) {
            buf_adds(out, "; the first release with it is ");
            limits_add_release(m->since, out);
        }
        break;
    case MISFIT_LATE_WORD:
    case MISFIT_WORD:
    case MISFIT_ID:
        describe_value(m, v, out);
        break;
    case MISFIT_WIDE_ID:
        buf_adds(out, "the id does not fit the 32-bit columns of MLflow's tables in PostgreSQL");
        break;
    case MISFIT_WIDE:
        buf_adds(out, "the number does not fit the column's 32 bits");
        break;
    case MISFIT_NAN:
        buf_adds(out, "a NaN cannot be stored in this schema; the first release that can is MLflow 1.1.0");
        break;
    case MISFIT_NOT_UTF8:
        buf_adds(out, "the text is not UTF-8; MLflow could not read it from a database");
        break;
    case MISFIT_NUL:
        buf_adds(out, "the text contains a NUL character, which PostgreSQL cannot store");
        break;
    case MISFIT_LENGTH:
        buf_addf(out, "%zu characters exceed the %lld of column %.*s", m->length, (long long)m->room,
                 (int)m->column_len, m->column);
        break;
    case MISFIT_TYPE:
    case MISFIT_CONVERSION:
        buf_adds(out, m->what);
        break;
    case MISFIT_NULL:
        break;
    }
}

void limits_describe_default(struct buf *out)
{
    buf_adds(out, "it is named Default and there is no experiment 0: MLflow tries to create one of that name "
                  "when it starts, and fails");
}

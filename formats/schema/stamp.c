/* Determines a database's revision by its stamp, or the most similar one by its structure. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/schema/internal.h"
#include "formats/schema/model.h"
#include "formats/schema/shape.h"

/* Number of tables and columns that only one of them has; types and the rest are ignored, as dialects differ
 * in them. */
static int columns_apart(const struct schema_shape *a, const struct schema_shape *b)
{
    int apart = 0;
    for (int i = 0; i < a->n; i++) {
        if (!schema_fact_is(&a->facts[i], "column"))
            continue;
        char *name = schema_fact_name(&a->facts[i]);
        apart += !schema_shape_column(b, a->facts[i].table, name);
        free(name);
    }
    return apart;
}

bool schema_nearest_of(const struct schema_shape *real, int prefer, int *rev, struct err *e)
{
    struct db *model = schema_model(0, e);
    bool ok = model != NULL;
    int best = -1, apart_of_preferred = -1;
    for (int i = 0; ok && i <= schema_head; i++) {
        struct schema_shape expected;
        ok = (i == 0 || schema_step(model, i, NULL, e)) && schema_shape_read(model, &expected, e);
        if (!ok)
            break;
        int apart = columns_apart(real, &expected) + columns_apart(&expected, real);
        if (best < 0 || apart <= best) {
            best = apart;
            *rev = i;
        }
        if (i == prefer)
            apart_of_preferred = apart;
        schema_shape_free(&expected);
    }
    if (apart_of_preferred == best && best >= 0)
        *rev = prefer;
    db_close(model);
    return ok;
}

bool schema_nearest(struct db *db, int *rev, struct err *e)
{
    struct schema_shape real;
    bool ok = schema_shape_read(db, &real, e) && schema_nearest_of(&real, -1, rev, e);
    schema_shape_free(&real);
    return ok;
}

/* -- states */

/* The tables that every revision has, with a column to recognize them by. */
static const struct {
    const char *name, *column;
    bool distinctive; /* unlikely in other programs */
} base_tables[] = {
    {"experiments", "experiment_id", false}, {"runs", "run_uuid", true}, {"tags", "key", false},
    {"metrics", "run_uuid", true},           {"params", "key", false},
};
enum { BASE_TABLES = ARRAY_LENGTH(base_tables) };

struct base {
    int there;         /* tables with these names */
    int known;         /* those that have the column */
    bool mlflow, step; /* recognized as MLflow's; metrics has step, which base does not have */
};

static bool read_base(struct db *db, struct base *out, struct err *e)
{
    *out = (struct base){0};
    for (int i = 0; i < BASE_TABLES; i++) {
        struct db_columns columns;
        bool exists;
        if (!db_table_exists(db, base_tables[i].name, &exists, e) ||
            !db_table_columns(db, base_tables[i].name, &columns, e))
            return false;
        bool known = db_columns_find(&columns, base_tables[i].column);
        out->there += exists;
        out->known += known;
        out->mlflow |= known && base_tables[i].distinctive;
        out->step |= strcmp(base_tables[i].name, "metrics") == 0 && db_columns_find(&columns, "step");
        db_columns_free(&columns);
    }
    return true;
}

/* Reads the number of stamps in alembic_version, and the first, malloc'ed. */
static bool read_stamp(struct db *db, int64_t *count, char **stamp, struct err *e)
{
    bool exists;
    *count = 0;
    *stamp = NULL;
    if (!db_table_exists(db, "alembic_version", &exists, e))
        return false;
    if (!exists)
        return true;
    return db_query_int(db, "SELECT count(*) FROM alembic_version", count, e) &&
           db_query_text(db, "SELECT version_num FROM alembic_version", stamp, e);
}

static enum schema_state_kind kind_of(const struct schema_state *s, const struct base *base)
{
    if (s->stamps > 1)
        return SCHEMA_STATE_SEVERAL;
    if (s->revision)
        return s->rev >= 0 ? SCHEMA_STATE_KNOWN : SCHEMA_STATE_UNKNOWN;
    if (!base->mlflow)
        return SCHEMA_STATE_EMPTY;
    return base->known == BASE_TABLES && !base->step ? SCHEMA_STATE_KNOWN : SCHEMA_STATE_UNSTAMPED;
}

bool schema_state_read(struct db *db, struct schema_state *out, struct err *e)
{
    struct base base;
    *out = (struct schema_state){.rev = SCHEMA_EMPTY};
    if (!read_base(db, &base, e) || !read_stamp(db, &out->stamps, &out->revision, e))
        return false;
    out->complete = base.there == BASE_TABLES;
    if (out->revision)
        out->rev = schema_find_revision(out->revision);
    out->kind = kind_of(out, &base);
    if (out->kind == SCHEMA_STATE_KNOWN && !out->revision)
        out->rev = 0;
    return out->kind == SCHEMA_STATE_EMPTY || out->kind == SCHEMA_STATE_KNOWN ||
           schema_nearest(db, &out->rev, e);
}

void schema_state_free(struct schema_state *s)
{
    free(s->revision);
    *s = (struct schema_state){0};
}

static void add_nearest(const struct schema_state *s, struct buf *out)
{
    buf_addf(out, "its structure is nearest to revision %s (", schema_revisions[s->rev].revision);
    schema_releases_of(s->rev, out);
    buf_addc(out, ')');
}

static void add_fault(const struct schema_state *s, struct buf *out)
{
    if (s->kind == SCHEMA_STATE_SEVERAL)
        buf_addf(out, "alembic_version has %lld revisions, but must have one", (long long)s->stamps);
    else if (s->kind == SCHEMA_STATE_UNSTAMPED)
        buf_adds(out, "the database has MLflow's tables but no revision in alembic_version");
    else
        buf_addf(out, "revision '%s' is not one of MLflow's up to %s", s->revision,
                 schema_releases[schema_releases_count - 1].release);
}

void schema_state_describe(const struct schema_state *s, struct buf *out)
{
    add_fault(s, out);
    buf_adds(out, "; ");
    add_nearest(s, out);
}

static bool refuse_state(struct db *db, const struct schema_state *s, struct err *e)
{
    static const char *const hints[] = {
        [SCHEMA_STATE_UNKNOWN] =
            "the database belongs to a newer MLflow, to a development version, or to another program",
        [SCHEMA_STATE_UNSTAMPED] = "restore alembic_version from a backup",
        [SCHEMA_STATE_SEVERAL] = "delete the rows that are not the database's revision",
    };
    struct buf fault = {0}, nearest = {0};
    add_fault(s, &fault);
    add_nearest(s, &nearest);
    err_set(e, db_display(db), "%s", buf_str(&fault));
    err_hint(e, "%s; %s", hints[s->kind], buf_str(&nearest));
    buf_free(&fault);
    buf_free(&nearest);
    return false;
}

/* -- revisions */

/* complete: require the tables that every revision has. */
static bool find_rev(struct db *db, bool complete, int *rev, struct err *e)
{
    struct schema_state s;
    bool ok = schema_state_read(db, &s, e);
    if (ok && s.kind != SCHEMA_STATE_EMPTY && s.kind != SCHEMA_STATE_KNOWN)
        ok = refuse_state(db, &s, e);
    if (ok && complete && s.rev > 0 && !s.complete) {
        err_set(e, db_display(db), "alembic_version says %s, but tables of MLflow are missing", s.revision);
        ok = err_hint(e, "ml-schema check lists them; restore them from a backup");
    }
    *rev = s.rev;
    schema_state_free(&s);
    return ok;
}

bool schema_rev_of(struct db *db, int *rev, struct err *e)
{
    return find_rev(db, true, rev, e);
}

bool schema_rev_to_check(struct db *db, int *rev, struct err *e)
{
    return find_rev(db, false, rev, e);
}

bool schema_stamped_rev(struct db *db, int *rev, struct err *e)
{
    int64_t stamps;
    struct base base;
    char *revision;
    if (!read_base(db, &base, e) || !read_stamp(db, &stamps, &revision, e))
        return false;
    if (stamps == 1 && revision)
        *rev = schema_find_revision(revision);
    else
        *rev = base.mlflow ? 0 : SCHEMA_EMPTY;
    free(revision);
    return true;
}

/* A database's revision: the one that it is stamped with, or the one that its structure is nearest to. */
#include <stdlib.h>

#include "formats/schema/internal.h"
#include "formats/schema/model.h"
#include "formats/schema/shape.h"

/* How many tables and columns one has and the other has not; types and all else left aside, since dialects
 * differ in them. */
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

bool schema_nearest(struct db *db, int *order, struct err *e)
{
    struct schema_shape real;
    if (!schema_shape_read(db, &real, e))
        return false;
    struct db *model = schema_model(0, e);
    bool ok = model != NULL;
    int best = -1;
    for (int i = 0; ok && i <= schema_head; i++) {
        struct schema_shape expected;
        ok = (i == 0 || schema_step(model, i, NULL, e)) && schema_shape_read(model, &expected, e);
        if (!ok)
            break;
        int apart = columns_apart(&real, &expected) + columns_apart(&expected, &real);
        if (best < 0 || apart <= best) {
            best = apart;
            *order = i;
        }
        schema_shape_free(&expected);
    }
    db_close(model);
    schema_shape_free(&real);
    return ok;
}

static const char *const base_tables[] = {"experiments", "runs", "tags", "metrics", "params"};
enum { BASE_TABLES = sizeof base_tables / sizeof *base_tables };

static bool count_base_tables(struct db *db, int *count, struct err *e)
{
    *count = 0;
    for (int i = 0; i < BASE_TABLES; i++) {
        bool exists;
        if (!db_table_exists(db, base_tables[i], &exists, e))
            return false;
        *count += exists;
    }
    return true;
}

/* The stamps in alembic_version: their number, and the first, malloc'ed. */
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

static bool order_without_stamp(struct db *db, int tables, int *order, struct err *e)
{
    if (tables == 0) {
        *order = SCHEMA_EMPTY;
        return true;
    }
    struct db_columns columns;
    if (!db_table_columns(db, "metrics", &columns, e))
        return false;
    bool base = tables == BASE_TABLES && columns.n > 0 && !db_columns_find(&columns, "step");
    db_columns_free(&columns);
    if (base) {
        *order = 0;
        return true;
    }
    int nearest;
    if (!schema_nearest(db, &nearest, e))
        return false;
    err_set(e, db_display(db), "the database has MLflow's tables but no revision in alembic_version");
    struct buf releases = {0};
    schema_releases_of(nearest, &releases);
    err_hint(e,
             "its structure is nearest to revision %s (%s); insert that into alembic_version if you know it "
             "is right",
             schema_revisions[nearest].revision, buf_str(&releases));
    buf_free(&releases);
    return false;
}

static bool order_of_stamp(struct db *db, const char *stamp, int *order, struct err *e)
{
    *order = schema_find_revision(stamp);
    if (*order >= 0)
        return true;
    err_set(e, db_display(db), "revision '%s' is none of MLflow's up to %s", stamp,
            schema_releases[schema_releases_count - 1].release);
    return err_hint(
        e, "the database belongs to a newer MLflow, to a development version, or to another program");
}

/* complete: a stamp without the tables that every revision has is an error. */
static bool find_order(struct db *db, bool complete, int *order, struct err *e)
{
    int64_t stamps;
    int tables;
    char *revision;
    if (!count_base_tables(db, &tables, e) || !read_stamp(db, &stamps, &revision, e))
        return false;
    bool ok;
    if (stamps > 1) {
        err_set(e, db_display(db), "alembic_version has %lld revisions, where one belongs",
                (long long)stamps);
        ok = err_hint(e, "delete the rows that are not the database's own revision");
    } else if (stamps == 1 && revision)
        ok = order_of_stamp(db, revision, order, e);
    else
        ok = order_without_stamp(db, tables, order, e);
    if (ok && complete && *order > 0 && tables < BASE_TABLES) {
        err_set(e, db_display(db), "alembic_version says %s, but tables of MLflow are missing", revision);
        ok = err_hint(e, "ml-schema check names them; restore them from a backup");
    }
    free(revision);
    return ok;
}

bool schema_order_of(struct db *db, int *order, struct err *e)
{
    return find_order(db, true, order, e);
}

bool schema_order_to_check(struct db *db, int *order, struct err *e)
{
    return find_order(db, false, order, e);
}

bool schema_stamped_order(struct db *db, int *order, struct err *e)
{
    int64_t stamps;
    int tables;
    char *revision;
    if (!count_base_tables(db, &tables, e) || !read_stamp(db, &stamps, &revision, e))
        return false;
    if (stamps == 1 && revision)
        *order = schema_find_revision(revision);
    else
        *order = tables ? 0 : SCHEMA_EMPTY;
    free(revision);
    return true;
}

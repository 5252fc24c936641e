/* Checks whether a database is empty enough to load into. */
#include "formats/load/emptiness.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/buf.h"
#include "formats/record/merge_rules.h"

/* Condition on rows that count. In a table not listed here every row does. */
static const char *content_condition(const char *name)
{
    static const struct {
        const char *table, *condition;
    } known[] = {
        {"alembic_version", "0 = 1"},
        {"workspaces", "name <> 'default'"},
        {"experiments", "NOT (experiment_id = 0 AND name = 'Default' AND lifecycle_stage = 'active')"},
        {"experiment_tags", "key NOT LIKE '" MERGE_WATERMARK "%'"},
        {"scheduler_leases", "0 = 1"},
        {"job_locks", "0 = 1"},
        {"sql_trace_rollup_rebuild_queue", "0 = 1"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
        if (strcmp(known[i].table, name) == 0)
            return known[i].condition;
    return "1 = 1";
}

bool load_check_empty(struct db *db, char *const *tables, struct err *e)
{
    for (; *tables; tables++) {
        int64_t found;
        char *sql = xasprintf("SELECT count(*) FROM (SELECT 1 FROM \"%s\" WHERE %s LIMIT 1) AS x", *tables,
                              content_condition(*tables));
        bool ok = db_query_int(db, sql, &found, e);
        free(sql);
        if (!ok)
            return false;
        if (found) {
            err_set(e, db_display(db), "the database is not empty: its table %s has rows", *tables);
            return err_hint(
                e, "load into a new database; to merge sources, use ml-transform --merge before loading");
        }
    }
    return true;
}

bool load_check_unused(struct db *db, struct err *e)
{
    char *name;
    if (!db_query_text(
            db,
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' "
            "ESCAPE '\\' AND name NOT LIKE 'alembic\\_version%' ESCAPE '\\' LIMIT 1",
            &name, e))
        return false;
    if (!name)
        return true;
    err_set(e, db_display(db), "not an MLflow database: it has a table %s", name);
    free(name);
    return err_hint(e, "load into a new database");
}

#include "schema_data.h"

#include <string.h>

static bool no_rows(struct db *db, const char *query, const char *what, struct err *e)
{
    int64_t rows;
    if (!db_query_int(db, query, &rows, e))
        return false;
    return rows == 0 || err_set(e, db_display(db), "%s are there to be converted", what);
}

static bool trace_analytics(struct db *db, struct err *e)
{
    return no_rows(db, "SELECT count(*) FROM trace_info", "traces", e);
}

static bool issue_categories(struct db *db, struct err *e)
{
    return no_rows(db, "SELECT count(*) FROM issues", "issues", e);
}

const struct schema_hook schema_hooks[] = {
    {"trace_analytics", trace_analytics},
    {"issue_categories", issue_categories},
    {NULL, NULL},
};

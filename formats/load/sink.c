/* Where rows go: the sink of the database's dialect, and the table whose rows it takes as they come. */
#include "formats/load/internal.h"

struct store_sink *store_new_sink(const struct store *s, struct db *db)
{
    return s->dialect == DIALECT_SQLITE ? store_sqlite_sink(db, s->tables, s->n_tables)
                                        : store_postgres_sink(db, s->tables, s->n_tables);
}

bool store_begin_at_once(struct store *s, struct db *db, struct err *e)
{
    struct store_table *t = s->plans[KIND_metric].table;
    e->what[0] = '\0';
    if (!t || t->n_key < t->n_columns)
        return true;
    s->sink = store_new_sink(s, db);
    t->at_once = s->sink->ops->begin_at_once && s->sink->ops->begin_at_once(s->sink, t, e);
    if (t->at_once)
        return true;
    s->sink->ops->free(s->sink);
    s->sink = NULL;
    return e->what[0] == '\0';
}

bool load_end_at_once(struct store *s, struct err *e)
{
    return !s->sink || !s->plans[KIND_metric].table->at_once || s->sink->ops->end_at_once(s->sink, e);
}

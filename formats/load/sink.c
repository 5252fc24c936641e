/* Where rows go: the sink of the database's dialect, and the table whose rows it takes as they come. */
#include "formats/load/internal.h"

struct load_sink *load_new_sink(const struct load *s, struct db *db)
{
    return s->dialect == DIALECT_SQLITE ? load_sqlite_sink(db, s->tables, s->n_tables)
                                        : load_postgres_sink(db, s->tables, s->n_tables);
}

void load_into_stage(struct load *s, struct load_sink *sink, const char *prefix)
{
    s->sink = sink;
    s->staged = prefix;
}

bool load_begin_streamed(struct load *s, struct db *db, struct err *e)
{
    struct load_table *t = s->plans[KIND_metric].table;
    e->what[0] = '\0';
    if (!t || t->n_key < t->n_columns)
        return true;
    s->sink = load_new_sink(s, db);
    t->streamed = s->sink->ops->begin_streamed && s->sink->ops->begin_streamed(s->sink, t, e);
    if (t->streamed)
        return true;
    s->sink->ops->free(s->sink);
    s->sink = NULL;
    return e->what[0] == '\0';
}

bool load_end_streamed(struct load *s, struct err *e)
{
    return !s->sink || !s->plans[KIND_metric].table->streamed || s->sink->ops->end_streamed(s->sink, e);
}

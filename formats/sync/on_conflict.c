/* ON CONFLICT, common to PostgreSQL and SQLite. */
#include "formats/sync/internal.h"

void sync_add_put_greater(const struct sync_table *t, struct buf *out)
{
    const char *before = "";
    buf_adds(out, "ON CONFLICT (");
    for (int i = 0; i < t->t->n_key; i++)
        buf_addf(out, "%s%s", i ? ", " : "", t->t->columns[t->t->key[i]].name);
    buf_adds(out, ") DO UPDATE SET ");
    for (int i = 0; i < t->t->n_columns; i++)
        if (!t->t->columns[i].in_key) {
            buf_addf(out, "%s%s = excluded.%s", before, t->t->columns[i].name, t->t->columns[i].name);
            before = ", ";
        }
    buf_addf(out,
             " WHERE (excluded.step, coalesce(excluded.timestamp, -1), excluded.value) > (%s.step, "
             "coalesce(%s.timestamp, "
             "-1), %s.value)",
             t->t->name, t->t->name, t->t->name);
}

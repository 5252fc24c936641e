/* Versions of registered models whose number the target has given to another one. m_versions has the number
 * in the source, src, and in the target, dst. */
#include <string.h>

#include "formats/sync/internal.h"

static const char *workspace_join(const struct sync_table *t, const char *a, const char *b, struct buf *out)
{
    buf_reset(out);
    if (sync_find_column(t, "workspace") >= 0)
        buf_addf(out, " AND %s.workspace = %s.workspace", a, b);
    return buf_str(out);
}

/* Those that the target has under another number: same model, same time of creation. */
static bool find_moved(struct sync *x, const struct sync_table *t, const char *ws, struct err *e)
{
    struct buf both = {0}, back = {0};
    const char *same = workspace_join(t, "t", "s", &both), *other = workspace_join(t, "k", "s", &back);
    bool ok = sync_exec(
        x, e,
        "INSERT INTO @@m_versions (name, workspace, src, dst) SELECT s.name, %s, s.version, min(t.version) "
        "FROM @@s_model_versions s JOIN model_versions k ON k.name = s.name AND k.version = s.version%s JOIN "
        "model_versions t ON t.name = s.name AND t.creation_time = s.creation_time%s WHERE "
        "k.creation_time <> s.creation_time GROUP BY s.name, %s, s.version",
        ws, other, same, ws);
    buf_free(&both);
    buf_free(&back);
    return ok;
}

/* The others whose number is taken get the next free ones. */
static bool renumber(struct sync *x, const struct sync_table *t, const char *ws, struct err *e)
{
    struct buf a = {0}, b = {0}, c = {0};
    int64_t before, after;
    bool ok = sync_int(x, &before, e, "SELECT count(*) FROM @@m_versions") &&
              sync_exec(x, e,
                        "INSERT INTO @@m_versions (name, workspace, src, dst) SELECT s.name, %s, s.version, "
                        "(SELECT max(v) FROM (SELECT "
                        "max(a.version) AS v FROM model_versions a WHERE a.name = s.name%s UNION ALL SELECT "
                        "max(b.version) FROM "
                        "@@s_model_versions b WHERE b.name = s.name%s) AS n) + row_number() OVER (PARTITION "
                        "BY s.name, %s ORDER BY "
                        "s.version) FROM @@s_model_versions s JOIN model_versions k ON k.name = s.name AND "
                        "k.version = s.version%s "
                        "WHERE k.creation_time <> s.creation_time AND NOT EXISTS (SELECT 1 FROM @@m_versions "
                        "m WHERE m.name = s.name "
                        "AND m.workspace = %s AND m.src = s.version)",
                        ws, workspace_join(t, "a", "s", &a), workspace_join(t, "b", "s", &b), ws,
                        workspace_join(t, "k", "s", &c), ws) &&
              sync_int(x, &after, e, "SELECT count(*) FROM @@m_versions");
    x->renumbered += ok ? (uint64_t)(after - before) : 0;
    buf_free(&a);
    buf_free(&b);
    buf_free(&c);
    return ok;
}

static bool map_versions(struct sync *x, const char *table, struct err *e)
{
    const struct sync_table *t = sync_table_named(x, table);
    if (!t)
        return true;
    const char *ws = sync_find_column(t, "workspace") >= 0 ? "s.workspace" : "''";
    return sync_exec(x, e,
                     "UPDATE @@s_%s AS s SET version = m.dst FROM @@m_versions m WHERE m.name = s.name AND "
                     "m.workspace = %s "
                     "AND m.src = s.version",
                     table, ws);
}

bool sync_identify_versions(struct sync *x, struct err *e)
{
    const struct sync_table *t = sync_table_named(x, "model_versions");
    int64_t n;
    if (!t)
        return true; /* aliases and tags of versions come with these */
    const char *ws = sync_find_column(t, "workspace") >= 0 ? "s.workspace" : "''";
    if (!sync_exec(x, e, "DELETE FROM @@m_versions") || !find_moved(x, t, ws, e) ||
        (x->o.on_conflict == SYNC_RENUMBER && !renumber(x, t, ws, e)) ||
        !sync_int(x, &n, e, "SELECT count(*) FROM @@m_versions"))
        return false;
    return n == 0 || (map_versions(x, "model_version_tags", e) &&
                      map_versions(x, "registered_model_aliases", e) && map_versions(x, "model_versions", e));
}

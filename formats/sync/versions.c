/* Renumbers versions of registered models whose number is taken in the target. m_versions maps the number in
 * the stage, src, to that in the target, dst; m_numbers the source's number. */
#include <string.h>

#include "formats/sync/internal.h"

static const char *workspace_join(const struct sync_table *t, const char *a, const char *b, struct buf *out)
{
    buf_reset(out);
    if (sync_find_column(t, "workspace") >= 0)
        buf_addf(out, " AND %s.workspace = %s.workspace", a, b);
    return buf_str(out);
}

/* Finds versions that the target has under another number: same model, same creation time. */
static bool find_moved(struct sync *x, const struct sync_table *t, const char *ws, struct err *e)
{
    struct buf both = {0}, back = {0};
    const char *same = workspace_join(t, "t", "s", &both), *other = workspace_join(t, "k", "s", &back);
    bool ok = sync_exec(
        x, e,
        "INSERT INTO @@m_versions (name, workspace, src, dst) SELECT s.name, %s, s.version, min(t.version) "
        "FROM @@s_model_versions s JOIN model_versions k ON k.name = s.name AND k.version = s.version%s JOIN "
        "model_versions t ON t.name = s.name AND t.creation_time = s.creation_time%s WHERE "
        "k.creation_time <> s.creation_time AND NOT EXISTS (SELECT 1 FROM @@m_versions m WHERE m.name = "
        "s.name AND "
        "m.workspace = %s AND m.src = s.version) GROUP BY s.name, %s, s.version",
        ws, other, same, ws, ws);
    buf_free(&both);
    buf_free(&back);
    return ok;
}

/* Gives other versions whose number is taken the next free ones. */
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

/* What the state knows of versions that rows of the table are, or belong to: a delta may not hold these. */
static bool find_known(struct sync *x, const char *table, struct err *e)
{
    const struct sync_table *t = sync_table_named(x, table);
    if (!t)
        return true;
    bool own = t->kind == KIND_model_version, in_ws = sync_find_column(t, "workspace") >= 0;
    const char *ws = in_ws ? "s.workspace" : "''";
    struct buf alive = {0};
    if (own)
        buf_addf(&alive,
                 " AND EXISTS (SELECT 1 FROM model_versions t WHERE t.name = s.name AND t.version = "
                 "CAST(k.value AS "
                 "bigint) AND t.creation_time = s.creation_time%s)",
                 in_ws ? " AND t.workspace = s.workspace" : "");
    bool ok = sync_exec(x, e,
                        "INSERT INTO @@m_versions (name, workspace, src, dst) SELECT DISTINCT s.name, %s, "
                        "s.version, CAST(k.value AS "
                        "bigint) FROM @@s_%s s JOIN @@m_state k ON k.kind = 'model_version' AND k.key = %s "
                        "|| '/' || s.name || '/' || "
                        "CAST(s.version AS text) WHERE k.value <> CAST(s.version AS text) AND NOT EXISTS "
                        "(SELECT 1 FROM @@m_versions m "
                        "WHERE m.name = s.name AND m.workspace = %s AND m.src = s.version)%s",
                        ws, table, ws, ws, buf_str(&alive));
    buf_free(&alive);
    return ok;
}

/* Associations name a prompt's version as NAME/VERSION, and no workspace. */
static bool map_association(struct sync *x, bool first, const char *type, const char *id, struct err *e)
{
    return sync_exec(x, e, "DELETE FROM @@m_ids") &&
           sync_exec(
               x, e,
               "INSERT INTO @@m_ids (src, dst) SELECT name || '/' || CAST(src AS text), min(name || '/' || "
               "CAST(dst AS text)) FROM @@m_versions GROUP BY name || '/' || CAST(src AS text)") &&
           (!first ||
            sync_exec(
                x, e,
                "INSERT INTO @@m_ids (src, dst) SELECT s.%s, min(rtrim(s.%s, '0123456789') || k.value) FROM "
                "@@s_entity_associations s JOIN @@m_state k ON k.kind = 'model_version' AND substr(k.key, "
                "length(k.key) - length(s.%s)) = '/' || s.%s WHERE s.%s = 'prompt_version' AND s.%s NOT IN "
                "(SELECT src FROM @@m_ids) GROUP BY s.%s",
                id, id, id, id, type, id, id)) &&
           sync_exec(x, e,
                     "UPDATE @@s_entity_associations AS s SET %s = m.dst FROM @@m_ids m WHERE s.%s = "
                     "'prompt_version' AND s.%s = m.src",
                     id, type, id);
}

/* Updates what each number of the source has become. */
static bool note_numbers(struct sync *x, struct err *e)
{
    return sync_exec(x, e,
                     "UPDATE @@m_numbers AS o SET dst = m.dst FROM @@m_versions m WHERE m.name = o.name AND "
                     "m.workspace = o.workspace AND m.src = o.dst") &&
           sync_exec(
               x, e,
               "INSERT INTO @@m_numbers (name, workspace, src, dst) SELECT m.name, m.workspace, m.src, m.dst "
               "FROM @@m_versions m WHERE NOT EXISTS (SELECT 1 FROM @@m_numbers o WHERE o.name = m.name AND "
               "o.workspace = m.workspace AND o.dst = m.dst)");
}

bool sync_identify_versions(struct sync *x, bool first, struct err *e)
{
    const struct sync_table *t = sync_table_named(x, "model_versions");
    const char *ws = t && sync_find_column(t, "workspace") >= 0 ? "s.workspace" : "''";
    if (!sync_exec(x, e, "DELETE FROM @@m_versions") || (first && !find_known(x, "model_versions", e)) ||
        (t && !find_moved(x, t, ws, e)) || (t && x->o.on_conflict == SYNC_RENUMBER && !renumber(x, t, ws, e)))
        return false;
    if (first && !(find_known(x, "model_version_tags", e) && find_known(x, "registered_model_aliases", e)))
        return false;
    return note_numbers(x, e) && map_versions(x, "model_version_tags", e) &&
           map_versions(x, "registered_model_aliases", e) && map_versions(x, "model_versions", e) &&
           (!sync_table_named(x, "entity_associations") ||
            (map_association(x, first, "source_type", "source_id", e) &&
             map_association(x, first, "destination_type", "destination_id", e)));
}

/* Moves all rows of other workspaces into the default one. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/schema/internal.h"

/* Every table with a workspace, parents first: on PostgreSQL foreign keys cascade a parent's change. */
static const char *const tables[] = {
    "registered_models",
    "experiments",
    "evaluation_datasets",
    "webhooks",
    "secrets",
    "endpoints",
    "model_definitions",
    "budget_policies",
    "guardrails",
    "jobs",
    "mcp_servers",
    "skills",
    "model_versions",
    "registered_model_tags",
    "model_version_tags",
    "registered_model_aliases",
    "guardrail_configs",
    "mcp_server_versions",
    "mcp_server_tags",
    "mcp_server_version_tags",
    "mcp_server_aliases",
    "mcp_access_endpoints",
    "skill_versions",
    "skill_tags",
    "skill_version_tags",
    "skill_aliases",
};

/* Columns that must be unique within a workspace, and another column to show for a clash. */
static const struct unique {
    const char *table;
    const char *columns[3];
    const char *shown;
} uniques[] = {
    {"experiments", {"name"}, "experiment_id"},
    {"registered_models", {"name"}, NULL},
    {"evaluation_datasets", {"name"}, NULL},
    {"model_versions", {"name", "version"}, NULL},
    {"registered_model_tags", {"name", "key"}, NULL},
    {"model_version_tags", {"name", "version", "key"}, NULL},
    {"registered_model_aliases", {"name", "alias"}, NULL},
    {"secrets", {"secret_name"}, NULL},
    {"endpoints", {"name"}, NULL},
    {"model_definitions", {"name"}, NULL},
    {"mcp_servers", {"name"}, NULL},
    {"skills", {"organization", "name"}, NULL},
};

static void add_column(struct buf *b, const char *column, bool first)
{
    buf_addf(b, "%st.%s", first ? "" : ", ", column);
}

/* Selects all rows that share their key with one of another workspace. */
static void clash_query(const struct unique *u, struct buf *sql)
{
    struct buf keys = {0}, joined = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(u->columns) && u->columns[i]; i++) {
        add_column(&keys, u->columns[i], i == 0);
        buf_addf(&joined, "%st.%s = c.%s", i ? " AND " : "", u->columns[i], u->columns[i]);
    }
    buf_addf(sql,
             "SELECT %s, t.workspace%s%s FROM %s t\n"
             "JOIN (SELECT %s FROM %s t GROUP BY %s HAVING count(*) > 1) c ON %s\n"
             "ORDER BY %s, t.workspace",
             keys.data, u->shown ? ", t." : "", u->shown ? u->shown : "", u->table, keys.data, u->table,
             keys.data, joined.data, keys.data);
    buf_free(&keys);
    buf_free(&joined);
}

static void add_value(struct buf *line, const char *name, const struct value *v)
{
    buf_addf(line, "%s%s=", line->len ? ", " : "", name);
    if (v->type == VALUE_INT)
        buf_addf(line, "%lld", (long long)v->i);
    else if (value_is_text(v))
        buf_addf(line, "'%.*s'", (int)v->len, v->s);
    else
        buf_adds(line, "NULL");
}

static void describe_clash(const struct unique *u, struct db_stmt *s, struct buf *line)
{
    struct value v;
    int column = 0;
    buf_reset(line);
    for (size_t i = 0; i < ARRAY_LENGTH(u->columns) && u->columns[i]; i++) {
        db_column(s, column++, &v);
        add_value(line, u->columns[i], &v);
    }
    db_column(s, column++, &v);
    add_value(line, "workspace", &v);
    if (u->shown) {
        db_column(s, column, &v);
        add_value(line, u->shown, &v);
    }
}

static bool find_clashes(struct db *db, const struct unique *u, struct schema_moves *m, struct err *e)
{
    bool there;
    if (!db_table_exists(db, u->table, &there, e) || !there)
        return !there;
    struct buf sql = {0}, line = {0};
    clash_query(u, &sql);
    struct db_stmt *s = db_prepare(db, buf_str(&sql), e);
    int row = s ? 0 : -1;
    while (s && (row = db_step(s, e)) == 1) {
        describe_clash(u, s, &line);
        m->clash(u->table, buf_str(&line), m->arg);
        m->clashes++;
    }
    db_finalize(s);
    buf_free(&sql);
    buf_free(&line);
    return row == 0;
}

/* MLflow stores the artifacts of skill versions by workspace and would not find them after a move. */
static bool check_skills(struct db *db, struct err *e)
{
    bool there;
    int64_t rows = 0;
    if (!db_table_exists(db, "skill_versions", &there, e))
        return false;
    if (there &&
        !db_query_int(
            db, "SELECT count(*) FROM skill_versions WHERE workspace <> 'default' AND source_type = 'mlflow'",
            &rows, e))
        return false;
    if (rows == 0)
        return true;
    err_set(
        e, "skill_versions",
        "%lld versions are stored by MLflow under their workspace and would not be found in the default one",
        (long long)rows);
    return err_hint(e, "remove these versions or register them again from another source");
}

static bool move_table(struct db *db, const char *table, bool really, struct schema_moves *m, struct err *e)
{
    bool there;
    if (!db_table_exists(db, table, &there, e) || !there)
        return !there;
    int64_t rows;
    char *count = xasprintf("SELECT count(*) FROM %s WHERE workspace <> 'default'", table);
    char *update = xasprintf("UPDATE %s SET workspace = 'default' WHERE workspace <> 'default'", table);
    bool ok = db_query_int(db, count, &rows, e) && (!really || !rows || db_exec(db, update, e));
    free(count);
    free(update);
    if (ok && !really) {
        m->rows(table, rows, m->arg);
        m->total += rows;
    }
    return ok;
}

bool schema_move_to_default_workspace(struct db *db, bool really, struct schema_moves *m, struct err *e)
{
    bool there;
    m->clashes = m->total = 0;
    if (!db_table_exists(db, "workspaces", &there, e))
        return false;
    if (!there) {
        err_set(e, db_display(db), "the database has no workspaces");
        return err_hint(e, "MLflow has them since 3.10 (revision 1b5f0d9ad7c1)");
    }
    if (!check_skills(db, e))
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(uniques); i++)
        if (!find_clashes(db, &uniques[i], m, e))
            return false;
    if (m->clashes) {
        err_set(e, db_display(db), "%lld rows of different workspaces have the same name",
                (long long)m->clashes);
        return err_hint(
            e, "rename these resources (deleted ones must be restored first) or delete them for good");
    }
    for (size_t i = 0; i < ARRAY_LENGTH(tables); i++)
        if (!move_table(db, tables[i], really, m, e))
            return false;
    return true;
}

/* Converts rows of issues from before revision 8b6ad64cb8f5 (MLflow 3.10 to 3.17) for tables from after it,
 * as that revision's migration does: an issue was last seen when it was created, and each of its categories
 * gets a row. */
#include <string.h>

#include "common/array.h"
#include "formats/database/issue_categories.h"
#include "formats/load/conversion.h"

static const char last_seen[] = "last_seen_timestamp";

static const struct row_entry *find(const struct row_entry *entries, int n, const char *column)
{
    const struct row_entry *entry = row_entry_find(entries, n, column, strlen(column));
    return entry && !value_is_null(&entry->v) ? entry : NULL;
}

static const char categories_table[] = "issue_categories";

struct issue {
    struct load_conversion *c;
    const struct value *id;
    struct err *e;
};

static bool stage_category(void *arg, const struct value *hash, const struct value *category)
{
    struct issue *x = arg;
    struct load_table *t = load_table_of_rows(x->c->tables, categories_table);
    struct value row[LOAD_MAX_COLUMNS] = {{.type = VALUE_NULL}};
    const struct {
        const char *column;
        const struct value *v;
    } columns[] = {{"issue_id", x->id}, {"category_hash", hash}, {"category", category}};
    for (size_t i = 0; i < ARRAY_LENGTH(columns); i++) {
        int at = load_table_find(t, columns[i].column);
        if (at >= 0)
            row[at] = *columns[i].v;
    }
    return load_stage_converted(x->c->stage, t, row, x->e);
}

bool load_convert_issue(struct load_conversion *c, const struct load_table *t, struct row_entry *entries,
                        int *n, struct err *e)
{
    const struct row_entry *id = find(entries, *n, "issue_id");
    const struct row_entry *created = find(entries, *n, "created_timestamp");
    const struct row_entry *categories = find(entries, *n, "categories");
    struct issue x = {c, id ? &id->v : NULL, e};
    if (c->tables->rev < REV_ISSUE_CATEGORIES || strcmp(t->name, "issues") != 0 ||
        !load_table_of_rows(c->tables, categories_table) || find(entries, *n, last_seen))
        return true;
    c->problems->report.converted_issues++;
    if (created)
        entries[(*n)++] = row_entry_of(last_seen, created->v);
    return !id || !categories || issue_categories_parse(&c->json, &categories->v) ||
           issue_categories_each(&c->json, stage_category, &x);
}

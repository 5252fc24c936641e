/* Revision 8b6ad64cb8f5: stores the categories of issues as rows. */
#include "formats/database/issue_categories.h"
#include "formats/database/pass.h"
#include "migrations/migrations.h"

static bool add_category(void *arg, const struct value *hash, const struct value *category)
{
    struct pass *p = arg;
    struct value id = pass_column(p, 0);
    db_bind(p->write, 1, &id);
    db_bind(p->write, 2, hash);
    db_bind(p->write, 3, category);
    return db_step(p->write, p->e) >= 0;
}

/* Writes one row for each category of an issue. */
static int issue_row(struct pass *p)
{
    struct value id = pass_column(p, 0), text = pass_column(p, 1);
    const char *wrong = issue_categories_parse(&p->json, &text);
    if (!wrong)
        return issue_categories_each(&p->json, add_category, p) ? 0 : -1;
    err_set(p->e, "issues", "issue %.*s: categories %s", (int)id.len, id.s, wrong);
    err_hint(p->e, "it must be a JSON list of strings; correct the row");
    return -1;
}

static bool issue_categories(struct db *db, struct err *e)
{
    struct pass p;
    bool ok =
        pass_start(&p, db, "issues", "SELECT issue_id, categories FROM issues WHERE categories IS NOT NULL",
                   "INSERT INTO issue_categories (issue_id, category_hash, category) VALUES (?1, ?2, ?3)\n"
                   "ON CONFLICT (issue_id, category_hash) DO UPDATE SET category = excluded.category",
                   e) &&
        pass_run(&p, issue_row);
    return pass_end(&p, ok);
}

const struct migration_hook migration_issue_categories = {
    issue_categories, "SELECT count(*) FROM issues WHERE categories IS NOT NULL"};

/* Checks whether rows of tables without a kind fit into a database. */
#include <string.h>

#include "formats/database/issue_categories.h"
#include "formats/schema/limits_tables.h"

/* YYYY-MM-DD. */
static bool is_date(const struct value *v)
{
    static const char form[] = "dddd-dd-dd";
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (v->len != sizeof form - 1)
        return false;
    for (size_t i = 0; i < v->len; i++)
        if (form[i] == 'd' ? v->s[i] < '0' || v->s[i] > '9' : v->s[i] != form[i])
            return false;
    int month = (v->s[5] - '0') * 10 + v->s[6] - '0', day = (v->s[8] - '0') * 10 + v->s[9] - '0';
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1];
}

static bool judge_value(struct limits *l, const struct limits_column *c, const struct value *v,
                        struct misfit *m)
{
    switch (c->type) {
    case COLUMN_TEXT:
    case COLUMN_DATE:
        if (!value_is_text(v))
            return limits_wrong(m, MISFIT_TYPE, "not text");
        if (!limits_judge_text(l, c, v, m))
            return false;
        return c->type == COLUMN_TEXT || is_date(v) ||
               limits_wrong(m, MISFIT_TYPE, "not a date (YYYY-MM-DD)");
    case COLUMN_INT32:
    case COLUMN_INT64:
        if (v->type != VALUE_INT && v->type != VALUE_BOOL)
            return limits_wrong(m, MISFIT_TYPE, "not an integer");
        return limits_judge_int(c, v, m);
    case COLUMN_FLOAT:
        return v->type == VALUE_INT || v->type == VALUE_FLOAT || limits_wrong(m, MISFIT_TYPE, "not a number");
    case COLUMN_BOOL:
        return v->type == VALUE_BOOL || (v->type == VALUE_INT && (v->i == 0 || v->i == 1)) ||
               limits_wrong(m, MISFIT_TYPE, "not a boolean");
    case COLUMN_BYTES:
        return value_is_text(v) || limits_wrong(m, MISFIT_TYPE, "not bytes");
    }
    return true;
}

static bool has_no_nul(void *arg, const struct value *hash, const struct value *category)
{
    (void)arg, (void)hash;
    return !memchr(category->s, '\0', category->len);
}

/* Checks the categories of an issue, as JSON from before revision 8b6ad64cb8f5, for a table with the columns
 * of that revision. */
static bool judge_categories(struct limits *l, const struct limits_table *t, const struct row_entry *entries,
                             int n, int i, struct misfit *m)
{
    static const char last_seen[] = "last_seen_timestamp";
    if (strcmp(t->name, "issues") != 0 || entries[i].column_len != 10 ||
        memcmp(entries[i].column, "categories", 10) != 0 ||
        !limits_find_column(t, last_seen, strlen(last_seen)) ||
        row_entry_find(entries, n, last_seen, strlen(last_seen)) || value_is_null(&entries[i].v))
        return true;
    m->needed = false;
    const char *what = issue_categories_parse(&l->json, &entries[i].v);
    if (!what && l->dialect == DIALECT_POSTGRESQL && !issue_categories_each(&l->json, has_no_nul, NULL))
        what = "contain a NUL character, which PostgreSQL cannot store";
    return !what || limits_wrong(m, MISFIT_CONVERSION, what);
}

static bool judge_entry(struct limits *l, const struct limits_table *t, const struct row_entry *entry,
                        struct misfit *m)
{
    const struct limits_column *c = limits_find_column(t, entry->column, entry->column_len);
    if (!c || c->generated)
        return limits_misfit(m, MISFIT_NO_COLUMN);
    m->needed = c->not_null || c->in_key;
    return judge_value(l, c, &entry->v, m);
}

int limits_row(struct limits *l, const struct row_table *rows, const struct row_entry *entries, int n,
               struct misfit *out)
{
    const struct limits_table *t = l->row_tables[rows - row_tables];
    int found = 0;
    for (int i = 0; i < n; i++) {
        out[found] =
            (struct misfit){.entry = i, .column = entries[i].column, .column_len = entries[i].column_len};
        found += !judge_entry(l, t, &entries[i], &out[found]) ||
                 !judge_categories(l, t, entries, n, i, &out[found]);
    }
    for (int i = 0; i < t->n && found < LIMITS_ROW_MISFITS; i++) {
        const struct limits_column *c = &t->columns[i];
        if (c->not_null && !c->has_default && !c->generated &&
            !row_entry_find(entries, n, c->name, c->name_len))
            out[found++] = (struct misfit){.kind = MISFIT_NULL,
                                           .needed = true,
                                           .entry = -1,
                                           .column = c->name,
                                           .column_len = c->name_len};
    }
    return found;
}

/* Rules of merging: every field of every entity has one, and they make sense together. */
#include "formats/record/merge_rules.h"
#include "formats/record/rows.h"
#include "tests/unit/tap.h"

static void test_kind(const struct kind_desc *k)
{
    const struct merge_field *m = merge_fields(k->kind);
    if (!kind_is_entity(k)) {
        ok(!m || k->kind == KIND_row, "%s: no rules", k->name);
        return;
    }
    if (!ok(m != NULL, "%s has rules", k->name))
        return;
    bool newer = false;
    for (int i = 0; i < k->n_fields; i++) {
        const struct field_desc *f = &k->fields[i];
        ok(m[i].rule != MERGE_RULE_NONE, "%s.%s has a rule", k->name, f->name);
        ok(m[m[i].unit].unit == m[i].unit, "%s.%s: its unit leads itself", k->name, f->name);
        ok(m[m[i].unit].rule == m[i].rule, "%s.%s: its unit has one rule", k->name, f->name);
        ok(!(f->flags & FIELD_K) == (m[i].rule != MERGE_RULE_KEY), "%s.%s: identity and rule agree", k->name,
           f->name);
        newer |= m[i].rule == MERGE_RULE_NEWER || m[i].rule == MERGE_RULE_NEWER_OR_EQUAL;
    }
    ok(newer == (merge_time(k->kind) >= 0), "%s: NEWER has a time, and none else", k->name);
}

/* Kinds that share a table are merged by the same rule in each column. */
static void test_shared_tables(void)
{
    for (int a = 0; a < KIND_COUNT; a++)
        for (int b = 0; b < a; b++) {
            if (!kinds[a].table[0] || strcmp(kinds[a].table, kinds[b].table) != 0)
                continue;
            for (int i = 0; i < kinds[a].n_fields; i++)
                for (int j = 0; j < kinds[b].n_fields; j++)
                    if (kinds[a].fields[i].column[0] &&
                        strcmp(kinds[a].fields[i].column, kinds[b].fields[j].column) == 0 &&
                        !((kinds[a].fields[i].flags | kinds[b].fields[j].flags) & FIELD_K))
                        is_int(merge_fields((enum kind)a)[i].rule, merge_fields((enum kind)b)[j].rule,
                               "%s and %s agree on %s", kinds[a].name, kinds[b].name,
                               kinds[a].fields[i].column);
        }
}

static void test_exceptions(void)
{
    for (int i = 0; i < merge_exceptions_count; i++) {
        const struct merge_exception *x = &merge_exceptions[i];
        ok(x->what == MERGE_CASE_NULL || merge_fields(x->kind)[x->field].unit == x->field,
           "%s.%s: an exception is its unit's", kinds[x->kind].name, kinds[x->kind].fields[x->field].name);
    }
    struct value running = value_str("RUNNING"), run = value_str("RUN"), none = value_null();
    ok(merge_listed("RUNNING,SCHEDULED", &running), "a list holds its first");
    ok(merge_listed("SCHEDULED,RUNNING", &running), "a list holds its last");
    ok(!merge_listed("RUNNING,SCHEDULED", &run), "a list does not hold a beginning");
    ok(!merge_listed("RUNNING", &none), "a list does not hold a null");
}

static void test_tables(void)
{
    for (int i = 0; i < merge_links_count; i++) {
        const struct merge_link *l = &merge_links[i];
        const struct row_table *to = row_table_by_name(l->to, strlen(l->to));
        const struct row_table *from = row_table_by_name(l->table, strlen(l->table));
        ok(to && from && merge_natural_key(l->to), "%s.%s leads to a table with a natural key", l->table,
           l->column);
        ok(to && from && to < from, "%s comes after %s", l->table, l->to);
    }
    ok(merge_natural_key("scorers") && !merge_natural_key("spans"), "natural keys");
    is_str(merge_updated("secrets"), "last_updated_at", "a time of change");
}

int main(void)
{
    for (int k = 0; k < KIND_COUNT; k++)
        test_kind(&kinds[k]);
    test_shared_tables();
    test_exceptions();
    test_tables();
    return done_testing();
}

/* The merge rules of entities.def as tables. */
#include "formats/record/merge_rules.h"

#include <string.h>

/* One table for each kind, each field's rule in the field's place. A field without a line has
 * MERGE_RULE_NONE, which the unit test finds; one with two lines does not compile (-Woverride-init), nor does
 * one that its kind does not have. */
#define KIND(k, plural, singular, owner, table, since, rank, traits)                                         \
    static const struct merge_field rules_##k[F_##k##_COUNT + 1] = {
#define MERGE(k, f, rule, unit) [F_##k##_##f] = {MERGE_RULE_##rule, F_##k##_##unit},
#define END(k)                                                                                               \
    [F_##k##_COUNT] = {MERGE_RULE_NONE, 0}                                                                   \
    }                                                                                                        \
    ;
#include "common/array.h"
#include "formats/entities.def"

/* Kinds with a rule for each field: the lines are counted where the kind is an entity. */
#define KIND(k, plural, singular, owner, table, since, rank, traits) enum { MERGED_##k = 0
#define MERGE(k, f, rule, unit)                                      +1
#define END(k)                                                                                               \
    }                                                                                                        \
    ;                                                                                                        \
    _Static_assert((int)MERGED_##k == 0 || (int)MERGED_##k == (int)F_##k##_COUNT,                            \
                   "each field of " #k " has one rule of merging");
#include "formats/entities.def"

static const struct merge_field *const tables[KIND_COUNT] = {
#define KIND(k, plural, singular, owner, table, since, rank, traits)                                         \
    [KIND_##k] = MERGED_##k ? rules_##k : NULL,
#include "formats/entities.def"
};

const struct merge_field *merge_fields(enum kind k)
{
    return tables[k];
}

/* Of each kind the field, and 1 more, so that 0 is none. */
static const int times[KIND_COUNT] = {
#define NEWER_BY(k, f) [KIND_##k] = F_##k##_##f + 1,
#include "formats/entities.def"
};

int merge_time(enum kind k)
{
    return times[k] - 1;
}

const struct merge_exception merge_exceptions[] = {
#define MERGE_WHERE(k, f, rule, by, text)                                                                    \
    {KIND_##k, MERGE_CASE_WHERE, F_##k##_##f, MERGE_RULE_##rule, F_##k##_##by, text, NULL},
#define MERGE_NULL(k, f, by, texts)                                                                          \
    {KIND_##k, MERGE_CASE_NULL, F_##k##_##f, MERGE_RULE_NONE, F_##k##_##by, texts, NULL},
#define MERGE_NEVER(k, f, text, over)                                                                        \
    {KIND_##k, MERGE_CASE_NEVER, F_##k##_##f, MERGE_RULE_NONE, -1, text, over},
#define MERGE_ABSORB(k, f, text) {KIND_##k, MERGE_CASE_ABSORB, F_##k##_##f, MERGE_RULE_NONE, -1, text, NULL},
#define MERGE_MAKER(k, f, by)                                                                                \
    {KIND_##k, MERGE_CASE_MAKER, F_##k##_##f, MERGE_RULE_NONE, F_##k##_##by, NULL, NULL},
#include "formats/entities.def"
};
const int merge_exceptions_count = ARRAY_LENGTH(merge_exceptions);

bool merge_listed(const char *list, const struct value *text)
{
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (value_is_text(text) && strcspn(at, ",") == text->len && memcmp(at, text->s, text->len) == 0)
            return true;
    }
    return false;
}

/* -- rows of tables without a kind */

static const struct {
    const char *table, *columns;
} naturals[] = {
#define NATURAL(table_, columns_) {#table_, columns_},
#include "formats/entities.def"
};

const char *merge_natural_key(const char *table)
{
    for (size_t i = 0; i < ARRAY_LENGTH(naturals); i++)
        if (strcmp(naturals[i].table, table) == 0)
            return naturals[i].columns;
    return NULL;
}

static const struct {
    const char *table, *column;
} updates[] = {
#define UPDATED(table_, column_) {#table_, #column_},
#include "formats/entities.def"
};

const char *merge_updated(const char *table)
{
    for (size_t i = 0; i < ARRAY_LENGTH(updates); i++)
        if (strcmp(updates[i].table, table) == 0)
            return updates[i].column;
    return NULL;
}

const struct merge_link merge_links[] = {
#define LINK(table_, column_, to_) {#table_, #column_, #to_},
#include "formats/entities.def"
};
const int merge_links_count = ARRAY_LENGTH(merge_links);

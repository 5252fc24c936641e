/* What a target from revision 8b6ad64cb8f5 on should have for issues from before it: when they were last
 * seen, and a row of issue_categories for each of their categories. Written from MLflow's migration; shares
 * no code with formats/load/. */
#include <sha2.h>

#include "common/utf8.h"
#include "formats/python/text.h"
#include "formats/verify/internal.h"

static const char last_seen[] = "last_seen_timestamp";

static bool is_old_issue(const struct record *r, const struct row_entry *entries, int n)
{
    struct value seen = row_entry_value(entries, n, last_seen);
    return value_eqs(&r->v[F_row_table], "issues") && value_is_null(&seen);
}

bool verify_finds_categories(struct db *db, bool *out, struct err *e)
{
    struct db_columns issues;
    bool ok = db_table_exists(db, "issue_categories", out, e) && db_table_columns(db, "issues", &issues, e);
    if (!ok)
        return false;
    *out = *out && db_columns_find(&issues, last_seen);
    db_columns_free(&issues);
    return true;
}

/* -- staging */

struct staging {
    struct verify *v;
    struct value issue;
    uint32_t n; /* number of the issue's categories so far */
};

/* Among categories with one hash the last one wins: it sorts first, the others are skipped. */
static bool stage_category(struct staging *x, const char *s, size_t len, struct err *e)
{
    char hash[SHA256_DIGEST_STRING_LENGTH];
    struct buf folded = {0};
    const char *text = s;
    size_t n = len;
    py_strip(&text, &n);
    py_lower(text, n, &folded);
    SHA256Data((const uint8_t *)buf_str(&folded), folded.len, hash);
    const struct row_entry entries[] = {row_entry_of("issue_id", x->issue),
                                        row_entry_of("category_hash", value_str(hash)),
                                        row_entry_of("category", value_strn(s, (uint32_t)len))};
    bool ok = verify_stage_expected(x->v, "issue_categories", entries, 3, UINT32_MAX - x->n++, e);
    buf_free(&folded);
    return ok;
}

static bool stage_characters(struct staging *x, const struct pyjson_value *text, struct err *e)
{
    for (size_t i = 0, n; i < text->len; i += n) {
        n = utf8_prefix(text->s + i, text->len - i, 1);
        if (!stage_category(x, text->s + i, n, e))
            return false;
    }
    return true;
}

/* Whether the object has this key before: Python keeps the first position. */
static bool had_key(const struct pyjson *d, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (d->members[k].key.len == d->members[i].key.len &&
            memcmp(d->members[k].key.s, d->members[i].key.s, d->members[i].key.len) == 0)
            return true;
    return false;
}

/* Whether the migration accepts it: all texts, without unpaired surrogates. */
static bool all_texts(const struct pyjson *d, bool object)
{
    for (size_t i = 0; i < d->n_members; i++) {
        const struct pyjson_value *v = object ? &d->members[i].key : &d->members[i].value;
        if (v->type != PYJSON_STRING || v->surrogate)
            return false;
    }
    return true;
}

bool verify_stage_categories(struct verify *v, const struct record *r, struct err *e)
{
    const struct row_entry *entries;
    if (r->kind->kind != KIND_row || !value_eqs(&r->v[F_row_table], "issues"))
        return true;
    int n = row_decode(v->row_decoder, r, &entries, e);
    if (n < 0)
        return false;
    struct staging x = {.v = v, .issue = row_entry_value(entries, n, "issue_id")};
    struct value text = row_entry_value(entries, n, "categories");
    struct pyjson *json = &v->categories;
    if (!is_old_issue(r, entries, n) || !value_is_text(&text) || !pyjson_parse(json, text.s, text.len))
        return true;
    bool object = json->top.type == PYJSON_OBJECT;
    if (json->top.type == PYJSON_STRING)
        return json->top.surrogate || stage_characters(&x, &json->top, e);
    if ((!object && json->top.type != PYJSON_ARRAY) || !all_texts(json, object))
        return true;
    for (size_t i = 0; i < json->n_members; i++) {
        const struct pyjson_value *c = object ? &json->members[i].key : &json->members[i].value;
        if (!(object && had_key(json, i)) && !stage_category(&x, c->s, c->len, e))
            return false;
    }
    return true;
}

/* -- comparing */

void verify_expect_issue(const struct record *r, struct row_entry *entries, int *n)
{
    struct value created = row_entry_value(entries, *n, "created_timestamp");
    if (is_old_issue(r, entries, *n) && !value_is_null(&created))
        entries[(*n)++] = row_entry_of(last_seen, created);
}

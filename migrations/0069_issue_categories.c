/* Revision 8b6ad64cb8f5: the categories of issues get rows of their own. */
#include <sha2.h>
#include <string.h>

#include "common/utf8.h"
#include "formats/database/pass.h"
#include "formats/python/text.h"
#include "migrations/migrations.h"

static bool refuse_issue(const struct value *id, const char *what, struct err *e)
{
    err_set(e, "issues", "issue %.*s: categories %s", (int)id->len, id->s, what);
    return err_hint(e, "it must be a JSON list of strings; correct the row");
}

static bool add_category(struct db_stmt *insert, const struct value *id, const char *s, size_t len,
                         struct err *e)
{
    char hash[SHA256_DIGEST_STRING_LENGTH];
    struct buf lower = {0};
    const char *stripped = s;
    size_t n = len;
    py_strip(&stripped, &n);
    py_lower(stripped, n, &lower);
    SHA256Data((const uint8_t *)buf_str(&lower), lower.len, hash);
    buf_free(&lower);
    struct value h = value_str(hash), category = value_strn(s, len);
    db_bind(insert, 1, id);
    db_bind(insert, 2, &h);
    db_bind(insert, 3, &category);
    return db_step(insert, e) >= 0;
}

/* The elements of a list, the keys of an object, the characters of a string: what Python's `for` gives. */
static bool add_categories(struct db_stmt *insert, const struct value *id, const struct pyjson *d,
                           struct err *e)
{
    if (d->top.type == PYJSON_STRING) {
        if (d->top.surrogate)
            return refuse_issue(id, "has half of a surrogate pair", e);
        for (size_t i = 0, n; i < d->top.len; i += n) {
            n = utf8_prefix(d->top.s + i, d->top.len - i, 1);
            if (!add_category(insert, id, d->top.s + i, n, e))
                return false;
        }
        return true;
    }
    if (d->top.type != PYJSON_ARRAY && d->top.type != PYJSON_OBJECT)
        return refuse_issue(id, "is no list", e);
    for (size_t i = 0; i < d->n_members; i++) {
        const struct pyjson_member *m = &d->members[i];
        const struct pyjson_value *v = d->top.type == PYJSON_OBJECT ? &m->key : &m->value;
        if (v->type != PYJSON_STRING || v->surrogate)
            return refuse_issue(
                id, v->surrogate ? "has half of a surrogate pair" : "has an element that is no string", e);
        bool again = false; /* a key that is given twice keeps its first place */
        for (size_t k = 0; d->top.type == PYJSON_OBJECT && k < i && !again; k++)
            again = d->members[k].key.len == v->len && memcmp(d->members[k].key.s, v->s, v->len) == 0;
        if (!again && !add_category(insert, id, v->s, v->len, e))
            return false;
    }
    return true;
}

/* An issue has as many rows to write as categories: it writes them itself. */
static int issue_row(struct pass *p)
{
    struct value id = pass_column(p, 0), text = pass_column(p, 1);
    bool ok = value_is_text(&text) && pyjson_parse(&p->json, text.s, text.len)
                  ? add_categories(p->write, &id, &p->json, p->e)
                  : refuse_issue(&id, "is no JSON", p->e);
    return ok ? 0 : -1;
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

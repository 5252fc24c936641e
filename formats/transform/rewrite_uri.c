/* Applies OLD=NEW rules to artifact URIs. */
#include "formats/transform/rewrite_uri.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "formats/record/idmap.h"
#include "formats/record/row_references.h"
#include "formats/record/uri.h"
#include "formats/stream/uris.h"

/* This many unmatched URIs are reported. */
enum { MAX_REPORTED = 50 };

struct rule {
    char *old, *new;
    struct uri match; /* in old */
    uint64_t used;
};

struct place { /* counts counts of one field */
    uint64_t rewritten, unmatched;
};

struct uri_rewriter {
    struct rule *rules;
    size_t n_rules;
    struct place places[KIND_COUNT][RECORD_MAX_FIELDS];
    struct id_key keys[MAX_REPORTED]; /* of them */
    char **unmatched;                 /* the first MAX_REPORTED different ones */
    size_t n_unmatched;
    struct buf scratch;
    struct row_editor *rows;
};

struct uri_rewriter *rewrite_uri_new(void)
{
    struct uri_rewriter *x = xcalloc(1, sizeof *x);
    x->rows = row_editor_new();
    return x;
}

/* -- rules */

/* Whether old is a prefix of u that ends at a path segment; *rest is set to the remainder. */
static bool matches(struct uri old, struct uri u, const char **rest)
{
    char last = '/';
    if (old.file != u.file || old.drive != u.drive)
        return false;
    if (u.drive && tolower((unsigned char)*old.p++) != tolower((unsigned char)*u.p++))
        return false;
    while (old.p < old.end) {
        if (u.p == u.end)
            return false;
        last = uri_next_byte(&old);
        if (last != uri_next_byte(&u))
            return false;
    }
    *rest = u.p;
    return u.p == u.end || last == '/' || *u.p == '/' || (u.drive && *u.p == '\\') ||
           (!u.file && strchr("?#", *u.p));
}

/* OLD ends at the first `=` after a path or a scheme. A `=` in OLD is written as %3D. */
bool rewrite_uri_add(struct uri_rewriter *x, const char *rule, struct err *e)
{
    const char *equals = strchr(rule, '=');
    if (!equals || equals == rule || equals[1] == '\0')
        return err_set(e, rule, "must be OLD=NEW");
    if (!utf8_valid(rule, strlen(rule)))
        return err_set(e, rule, "not UTF-8");
    struct rule r = {.old = xstrndup(rule, (size_t)(equals - rule)), .new = xstrdup(equals + 1)};
    size_t len = strlen(r.old);
    /* Ignore a trailing slash, unless it is the root. */
    while (len > 1 && strchr("/\\", r.old[len - 1]) && !strchr(":/\\", r.old[len - 2]))
        r.old[--len] = '\0';
    for (size_t i = 0; i < x->n_rules; i++) {
        if (strcmp(x->rules[i].old, r.old) != 0)
            continue;
        free(r.old);
        free(r.new);
        return err_set(e, rule, "duplicate rule for this prefix");
    }
    r.match = uri_of(r.old, len);
    x->rules = xrealloc(x->rules, (x->n_rules + 1) * sizeof *x->rules);
    x->rules[x->n_rules++] = r;
    return true;
}

/* The rule with the longest prefix. */
static struct rule *find_rule(const struct uri_rewriter *x, const struct uri *u, const char **rest)
{
    struct rule *best = NULL;
    for (size_t i = 0; i < x->n_rules; i++) {
        const char *behind;
        if (!matches(x->rules[i].match, *u, &behind) || (best && behind <= *rest))
            continue;
        best = &x->rules[i];
        *rest = behind;
    }
    return best;
}

/* Appends NEW and the rest, separated by one slash. */
static void join(const char *new, const struct uri *u, const char *rest, struct buf *out)
{
    size_t len = strlen(new);
    bool slash = rest < u->end && (*rest == '/' || (u->drive && *rest == '\\'));
    if (slash && new[len - 1] == '/')
        rest++;
    else if (rest < u->end && !slash && new[len - 1] != '/' && !strchr("?#", *rest))
        buf_add(out, "/", 1);
    for (; rest < u->end; rest++)
        buf_addc(out, u->drive && *rest == '\\' ? '/' : *rest);
}

static void note_unmatched(struct uri_rewriter *x, const char *s, size_t len)
{
    struct value v = value_strn(s, len);
    struct id_key key = id_key(0, &v, 1);
    size_t i = 0;
    while (i < x->n_unmatched && (x->keys[i].low != key.low || x->keys[i].high != key.high))
        i++;
    if (i < x->n_unmatched || i == MAX_REPORTED)
        return;
    x->keys[i] = key;
    struct buf text = {0};
    value_describe(&v, &text);
    x->unmatched = xrealloc(x->unmatched, (x->n_unmatched + 1) * sizeof *x->unmatched);
    x->unmatched[x->n_unmatched++] = text.data;
}

/* Appends the rewritten s and returns true, or returns false to keep it. local_only: count only local files
 * as unmatched. */
static bool rewrite(struct uri_rewriter *x, const char *s, size_t len, bool local_only, struct place *place,
                    struct buf *out)
{
    struct uri u = uri_of(s, len);
    const char *rest = NULL;
    if (uri_stays(&u))
        return false;
    struct rule *rule = find_rule(x, &u, &rest);
    if (!rule) {
        if (!local_only || u.file) {
            place->unmatched++;
            note_unmatched(x, s, len);
        }
        return false;
    }
    rule->used++;
    place->rewritten++;
    buf_adds(out, rule->new);
    join(rule->new, &u, rest, out);
    return true;
}

/* -- records */

static bool relocate_uri(void *arg, const struct uri_place *at, const char *s, size_t len, struct buf *out)
{
    struct uri_rewriter *x = arg;
    return rewrite(x, s, len, at->any_text, &x->places[at->kind->kind][at->field], out);
}

struct row_job {
    struct uri_rewriter *x;
    struct arena *a;
};

static bool relocate_in_row(void *arg, unsigned flags, struct value *v, struct err *e)
{
    struct row_job *job = arg;
    struct uri_rewriter *x = job->x;
    (void)flags, (void)e;
    buf_reset(&x->scratch);
    if (rewrite(x, v->s, v->len, false, &x->places[KIND_row][F_row_values], &x->scratch))
        *v = value_text(arena_strndup(job->a, x->scratch.data, x->scratch.len), x->scratch.len);
    return true;
}

bool rewrite_uri_record(struct uri_rewriter *x, struct record *r, struct arena *a, struct err *e)
{
    struct row_job job = {x, a};
    if (r->kind->kind == KIND_row && !row_edit(x->rows, r, FIELD_URI, relocate_in_row, &job, e))
        return false;
    uris_edit(r, relocate_uri, x, a);
    return true;
}

uint64_t rewrite_uri_report(const struct uri_rewriter *x, bool delta)
{
    uint64_t unmatched = 0;
    for (int k = 0; k < KIND_COUNT; k++) {
        for (int f = 0; f < kinds[k].n_fields; f++) {
            const struct place *p = &x->places[k][f];
            unmatched += p->unmatched;
            if (p->rewritten + p->unmatched > 0)
                err_note("%s: %s: %" PRIu64 " rewritten, %" PRIu64 " matched no rule", kinds[k].plural,
                         kinds[k].fields[f].name, p->rewritten, p->unmatched);
        }
    }
    for (size_t i = 0; i < x->n_unmatched; i++)
        err_note("matched no rule: %s", x->unmatched[i]);
    if (x->n_unmatched == MAX_REPORTED)
        err_note("matched no rule: more may follow; these are the first %d", MAX_REPORTED);
    for (size_t i = 0; i < x->n_rules && !delta; i++)
        if (x->rules[i].used == 0)
            err_warn(NULL, "--rewrite-uri %s=%s changed nothing", x->rules[i].old, x->rules[i].new);
    return unmatched;
}

void rewrite_uri_free(struct uri_rewriter *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->n_rules; i++) {
        free(x->rules[i].old);
        free(x->rules[i].new);
    }
    for (size_t i = 0; i < x->n_unmatched; i++)
        free(x->unmatched[i]);
    free(x->rules);
    free(x->unmatched);
    row_editor_free(x->rows);
    buf_free(&x->scratch);
    free(x);
}

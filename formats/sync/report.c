/* Reports a sync: counts by kind, conflicts and overwritten values with both sides. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"
#include "formats/load/report.h"
#include "formats/stream/json.h"
#include "formats/sync/internal.h"

/* -- values */

enum {
    SHOWN = 200,         /* bytes of a value in a message */
    FETCHED = 8000,      /* characters of a reported value: as many as most columns hold */
    JSON_MOST = 2 << 20, /* bytes of a list in the report; the rest is only counted */
};

static void show(const struct value *v, struct buf *out)
{
    struct buf text = {0};
    value_describe(v, &text);
    if (text.len > SHOWN)
        buf_addf(out, "%.*s…", SHOWN, buf_str(&text));
    else
        buf_adds(out, buf_str(&text));
    buf_free(&text);
}

static void add_json(const struct value *v, struct buf *out)
{
    struct buf text = {0};
    if (json_write_plain(v, out))
        return;
    value_describe(v, &text);
    json_quote_ascii(buf_str(&text), text.len, out);
    buf_free(&text);
}

static void note_json(struct buf *list, const char *where, const char *what, const struct value *source,
                      const struct value *target)
{
    if (list->len > JSON_MOST)
        return;
    buf_adds(list, list->len ? ",{\"entity\":" : "{\"entity\":");
    json_quote_ascii(where, strlen(where), list);
    buf_adds(list, ",\"field\":");
    json_quote_ascii(what, strlen(what), list);
    buf_adds(list, ",\"source\":");
    add_json(source, list);
    buf_adds(list, ",\"target\":");
    add_json(target, list);
    buf_addc(list, '}');
}

void sync_report_conflict(struct sync *x, const char *where, const char *field, const struct value *source,
                          const struct value *target, const char *why)
{
    struct buf a = {0}, b = {0};
    if (x->o.json && !x->quiet)
        note_json(&x->conflicts, where, field, source, target);
    show(source, &a);
    show(target, &b);
    if (!x->quiet && x->n_reported++ < SYNC_MAX_REPORTED)
        err_print(where, "%s%s%s is '%s' in the source and '%s' in the target", why ? why : "",
                  why ? ": " : "", field, buf_str(&a), buf_str(&b));
    buf_free(&a);
    buf_free(&b);
}

static void report_overwritten(struct sync *x, const char *where, const char *field,
                               const struct value *source, const struct value *target)
{
    struct buf a = {0}, b = {0};
    if (x->o.json)
        note_json(&x->overwritten, where, field, source, target);
    show(source, &a);
    show(target, &b);
    err_topic_set(ERR_COUNTS);
    if (x->n_overwritten++ < SYNC_MAX_REPORTED)
        err_note("%s: %s '%s' %s '%s'", where, field, buf_str(&b), x->o.dry_run ? "would become" : "becomes",
                 buf_str(&a));
    err_topic_set(ERR_GENERAL);
    buf_free(&a);
    buf_free(&b);
}

/* -- rows */

/* Describes a row as "Run abc" or "Row in scorers (scorer_id s)" by the columns of its key, which are the
 * statement's from `first` on. */
static char *describe(const struct sync_table *t, enum kind kind, struct db_stmt *q, int first)
{
    struct buf out = {0};
    struct record r;
    char ids[LOAD_MAX_KEY][24];
    const struct kind_desc *k = &kinds[kind];
    int known = 0, wanted = 0;
    record_init(&r, kind);
    for (int f = 0; kind != KIND_row && f < k->n_fields; f++) {
        wanted += (k->fields[f].flags & FIELD_K) != 0;
        for (int i = 0; i < t->t->n_key; i++) {
            if (strcmp(k->fields[f].column, t->t->columns[t->t->key[i]].name) != 0)
                continue;
            known += (k->fields[f].flags & FIELD_K) != 0;
            db_column(q, first + i, &r.v[f]);
            if (k->fields[f].codec == CODEC_ID && r.v[f].type == VALUE_INT)
                r.v[f] =
                    value_strn(ids[i], (size_t)snprintf(ids[i], sizeof ids[i], "%lld", (long long)r.v[f].i));
        }
    }
    if (wanted && known == wanted) {
        record_describe(&r, &out);
    } else {
        buf_addf(&out, "%s%s (", kind == KIND_row ? "Row in " : "",
                 kind == KIND_row ? t->t->name : k->singular);
        for (int i = 0; i < t->t->n_key; i++) {
            struct value v;
            db_column(q, first + i, &v);
            buf_addf(&out, "%s%s ", i ? ", " : "", t->t->columns[t->t->key[i]].name);
            show(&v, &out);
        }
        buf_addc(&out, ')');
    }
    char *text = xstrdup(buf_str(&out));
    buf_free(&out);
    return text;
}

/* The name of a column's field, for messages. */
static const char *field_name(const struct sync_table *t, int column)
{
    const char *name = t->t->columns[column].name;
    const struct kind_desc *k = &kinds[t->kind];
    for (int f = 0; t->kind != KIND_row && f < k->n_fields; f++)
        if (strcmp(k->fields[f].column, name) == 0)
            return k->fields[f].name;
    return name;
}

static bool reports_unit(const struct sync *x, const struct sync_unit *u, bool conflicts)
{
    (void)x;
    return conflicts ? u->rule == MERGE_RULE_IMM : u->rule == MERGE_RULE_SRC && u->changed > 0;
}

/* Reads a value of the query; `text` holds it if it is cut. */
static void read_value(struct db_stmt *q, int column, struct value *out, struct buf *text)
{
    db_column(q, column, out);
    size_t at = out->type == VALUE_STR ? utf8_prefix(out->s, out->len, FETCHED) : out->len;
    if (at == out->len)
        return;
    buf_reset(text);
    buf_add(text, out->s, at);
    buf_adds(text, "…");
    *out = value_text(buf_str(text), text->len);
}

/* Reports one row: the columns that differ in each reported unit. */
static void report_row(struct sync *x, struct sync_table *t, struct db_stmt *q, bool conflicts)
{
    struct value kind, bits;
    struct buf texts[2] = {0};
    db_column(q, 1, &kind);
    db_column(q, 2, &bits);
    char *where = describe(t, (enum kind)kind.i, q, 3);
    int at = 3 + t->t->n_key;
    for (int u = 0; u < t->n_units; u++)
        for (int i = 0; reports_unit(x, &t->units[u], conflicts) && i < t->units[u].n_columns; i++, at += 3) {
            struct value s, v, differ;
            read_value(q, at, &s, &texts[0]);
            read_value(q, at + 1, &v, &texts[1]);
            db_column(q, at + 2, &differ);
            if (!(bits.i & (int64_t)(1ull << u)) || differ.i == 0 || value_is_null(&v))
                continue;
            const char *field = field_name(t, t->units[u].columns[i]);
            if (conflicts)
                sync_report_conflict(x, where, field, &s, &v, NULL);
            else
                report_overwritten(x, where, field, &s, &v);
        }
    buf_free(&texts[0]);
    buf_free(&texts[1]);
    free(where);
}

/* One character more of a long text than is shown: both sides' whole would be more than a sync may take. */
static void add_fetched(const struct load_column *c, const char *side, struct buf *out)
{
    if (c->type == COLUMN_TEXT)
        buf_addf(out, ", substr(CAST(%s.%s AS text), 1, %d)", side, c->name, (int)FETCHED + 1);
    else
        buf_addf(out, ", %s.%s", side, c->name);
}

bool sync_report_values(struct sync *x, struct sync_table *t, bool conflicts, struct err *e)
{
    struct buf sql = {0};
    bool any = false;
    buf_addf(&sql, "SELECT s.sync_id, s.sync_kind, d.%s", conflicts ? "conflict" : "changed");
    for (int i = 0; i < t->t->n_key; i++)
        buf_addf(&sql, ", s.%s", t->t->columns[t->t->key[i]].name);
    for (int u = 0; u < t->n_units; u++)
        for (int i = 0; reports_unit(x, &t->units[u], conflicts) && i < t->units[u].n_columns; i++) {
            int c = t->units[u].columns[i];
            add_fetched(&t->t->columns[c], "s", &sql);
            add_fetched(&t->t->columns[c], "t", &sql);
            buf_adds(&sql, ", CASE WHEN ");
            sync_add_distinct(x, t, c, &sql);
            buf_adds(&sql, " THEN 1 ELSE 0 END");
            any = true;
        }
    buf_addf(&sql, " FROM @@s_%s s JOIN @@d_%s d ON d.sync_id = s.sync_id JOIN %s t ON ", t->t->name,
             t->t->name, t->t->name);
    sync_add_join(t, "t", "s", &sql);
    buf_addf(&sql, " WHERE d.%s ORDER BY s.sync_id",
             conflicts ? "conflict <> 0" : "changed <> 0 AND d.conflict = 0");
    struct db_stmt *q = any ? sync_query(x, e, "%s", buf_str(&sql)) : NULL;
    int got = any ? -1 : 0;
    while (q && (got = db_step(q, e)) == 1)
        report_row(x, t, q, conflicts);
    db_finalize(q);
    buf_free(&sql);
    return got == 0;
}

/* -- the whole report */

enum { COUNTS = 7 };
static const char *const names[COUNTS] = {"added",     "changed",   "equal", "kept",
                                          "held_back", "conflicts", "purged"};

static void get_counts(const struct sync_counts *c, uint64_t n[COUNTS])
{
    n[0] = c->added;
    n[1] = c->changed;
    n[2] = c->equal;
    n[3] = c->kept;
    n[4] = c->held_back;
    n[5] = c->conflicts;
    n[6] = c->purged;
}

void sync_report_json(const struct sync *x, struct buf *out)
{
    const char *before = "";
    buf_addf(out, "{\"changed\":%s,\"dry_run\":%s,\"kinds\":{", x->changed ? "true" : "false",
             x->o.dry_run ? "true" : "false");
    for (int k = 0; k < KIND_COUNT; k++) {
        uint64_t n[COUNTS], all = 0;
        get_counts(&x->counts[k], n);
        for (int i = 0; i < COUNTS; i++)
            all += n[i];
        if (!all)
            continue;
        buf_addf(out, "%s\"%s\":{", before, kinds[k].name);
        for (int i = 0; i < COUNTS; i++)
            buf_addf(out, "%s\"%s\":%llu", i ? "," : "", names[i], (unsigned long long)n[i]);
        buf_addc(out, '}');
        before = ",";
    }
    buf_addf(out,
             "},\"not_brought\":%llu,\"skipped\":%llu,\"renamed\":%llu,\"renumbered\":%llu,\"conflicts\":[",
             (unsigned long long)x->acting, (unsigned long long)x->skipped, (unsigned long long)x->renamed,
             (unsigned long long)x->renumbered);
    buf_add(out, buf_str(&x->conflicts), x->conflicts.len);
    buf_adds(out, "],\"overwritten\":[");
    buf_add(out, buf_str(&x->overwritten), x->overwritten.len);
    buf_addf(out, "],\"conflict_count\":%llu,\"overwritten_count\":%llu}\n",
             (unsigned long long)x->n_reported, (unsigned long long)x->n_overwritten);
}

static void report_kinds(const struct sync *x)
{
    for (int rank = 0; rank < 100; rank++)
        for (int k = 0; k < KIND_COUNT; k++) {
            uint64_t n[COUNTS];
            struct buf line = {0};
            if (kinds[k].report_rank != rank)
                continue;
            get_counts(&x->counts[k], n);
            for (int i = 0; i < COUNTS; i++)
                if (n[i])
                    buf_addf(&line, "%s%llu %s", line.len ? ", " : "", (unsigned long long)n[i],
                             i == 3   ? "kept (the target's)"
                             : i == 4 ? "held back"
                             : i == 5 ? "in conflict"
                             : i == 6 ? "purged in the target"
                                      : names[i]);
            if (line.len)
                err_note("  %s: %s", kinds[k].plural, buf_str(&line));
            buf_free(&line);
        }
}

void sync_report(const struct sync *x)
{
    err_topic_set(ERR_COUNTS);
    err_note(x->o.dry_run ? "dry run: nothing was written; %s:" : "%s:", !x->changed    ? "nothing to write"
                                                                         : x->o.dry_run ? "it would be synced"
                                                                                        : "synced");
    report_kinds(x);
    err_topic_set(ERR_CONVERTED);
    load_report_locations(load_report(x->load));
    if (x->n_overwritten > SYNC_MAX_REPORTED)
        err_note("%llu values of the target overwritten, of which %d were listed; --json lists all, --prefer "
                 "target keeps them",
                 (unsigned long long)x->n_overwritten, SYNC_MAX_REPORTED);
    if (x->renamed)
        err_note("%llu experiments were renamed", (unsigned long long)x->renamed);
    if (x->renumbered)
        err_note("%llu model versions were renumbered", (unsigned long long)x->renumbered);
    err_topic_set(ERR_LEFT_OUT);
    if (x->acting)
        err_note("%llu rows that trigger actions (webhooks, jobs, endpoints …) were not synced; --acting "
                 "includes them",
                 (unsigned long long)x->acting);
    err_topic_set(ERR_COUNTS);
    if (x->skipped)
        err_note("the stream's producer left out %llu entities of the source",
                 (unsigned long long)x->skipped);
    err_topic_set(ERR_GENERAL);
}

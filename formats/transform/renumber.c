/* Assigns new experiment ids, and renames experiments and models. */
#include "formats/transform/renumber.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/file.h"
#include "common/utf8.h"
#include "formats/record/idmap.h"
#include "formats/record/references.h"
#include "formats/record/row_references.h"

/* -- experiment ids */

struct entry {
    struct spill_text old, name; /* name: empty until the experiment is seen */
    char new[24];
    bool seen;
};

struct renumber {
    int64_t next;
    struct spill *spill;
    struct spill_array entries;
    struct idmap *places; /* old id -> place in entries */
    struct idmap *given;  /* new ids that a file has given */
    uint64_t changed;     /* experiments seen that get another id */
    uint64_t unknown;     /* ids that prompts list and the stream lacks */
    struct row_editor *rows;
};

struct renumber *renumber_new(int64_t start, struct spill *spill)
{
    struct renumber *x = xcalloc(1, sizeof *x);
    x->spill = spill;
    x->entries.size = sizeof(struct entry);
    x->places = idmap_new(spill);
    x->given = idmap_new(spill);
    x->next = start;
    x->rows = row_editor_new();
    return x;
}

/* Fills *entry, and *place (which may be NULL). */
static bool find(const struct renumber *x, const struct value *id, struct entry *entry, uint64_t *place)
{
    uint64_t found;
    if (!idmap_get(x->places, id_key(0, id, 1), &found))
        return false;
    spill_get_item(x->spill, &x->entries, found, entry);
    if (place)
        *place = found;
    return true;
}

static struct entry add(struct renumber *x, const struct value *id, const char *new, uint64_t *place)
{
    struct entry entry = {.old = spill_text(x->spill, id->s, id->len)};
    snprintf(entry.new, sizeof entry.new, "%s", new);
    *place = spill_append(x->spill, &x->entries, &entry);
    idmap_add(x->places, id_key(0, id, 1), *place);
    return entry;
}

static void add_experiment(struct renumber *x, const struct record *r)
{
    const struct value *id = &r->v[F_experiment_experiment_id];
    struct entry entry;
    uint64_t place;
    char new[24] = "0";
    if (!find(x, id, &entry, &place)) {
        if (!value_eqs(id, "0"))
            snprintf(new, sizeof new, "%" PRId64, x->next++);
        entry = add(x, id, new, &place);
    }
    if (entry.seen)
        return;
    struct buf name = {0};
    value_describe(&r->v[F_experiment_name], &name);
    entry.name = spill_text(x->spill, buf_str(&name), name.len);
    entry.seen = true;
    x->changed += !value_eqs(id, entry.new);
    spill_put_item(x->spill, &x->entries, place, &entry);
    buf_free(&name);
}

static bool renumber_listed(void *arg, const struct value *id, struct buf *out)
{
    struct renumber *x = arg;
    struct entry entry;
    bool found = find(x, id, &entry, NULL);
    x->unknown += !found;
    if (found)
        buf_adds(out, entry.new);
    return found;
}

static void renumber_list(struct renumber *x, struct value *v, struct arena *a)
{
    struct buf out = {0};
    ref_map_list(v, renumber_listed, x, &out);
    if (out.len > 0)
        *v = value_text(arena_strndup(a, out.data, out.len), out.len);
    buf_free(&out);
}

static bool unknown_experiment(const struct record *r, const struct value *id, struct err *e)
{
    struct buf where = {0}, text = {0};
    record_describe(r, &where);
    value_describe(id, &text);
    err_set(e, buf_str(&where), "experiment %s is not in the stream before it, so it has no new id",
            buf_str(&text));
    buf_free(&where);
    buf_free(&text);
    return false;
}

struct row_job {
    struct renumber *x;
    struct record *r;
    struct arena *a;
};

static bool renumber_value(struct renumber *x, const struct record *r, struct value *v, struct arena *a,
                           struct err *e)
{
    struct entry entry;
    if (!find(x, v, &entry, NULL))
        return unknown_experiment(r, v, e);
    *v = value_str(arena_strndup(a, entry.new, strlen(entry.new)));
    return true;
}

static bool renumber_in_row(void *arg, unsigned flags, struct value *v, struct err *e)
{
    struct row_job *job = arg;
    (void)flags;
    return renumber_value(job->x, job->r, v, job->a, e);
}

bool renumber_record(struct renumber *x, struct record *r, struct arena *a, struct err *e)
{
    struct row_job job = {x, r, a};
    if (r->kind->kind == KIND_row)
        return row_edit(x->rows, r, FIELD_EXP, renumber_in_row, &job, e);
    if (r->kind->kind == KIND_experiment)
        add_experiment(x, r);
    for (int f = 0; f < r->kind->n_fields; f++) {
        struct value *v = &r->v[f];
        if (!(r->kind->fields[f].flags & FIELD_EXP) || value_is_null(v))
            continue;
        if (!renumber_value(x, r, v, a, e))
            return false;
    }
    struct value *list = ref_experiment_list(r);
    if (list)
        renumber_list(x, list, a);
    return true;
}

static bool load_line(struct renumber *x, char *line, struct err *e, const char *where)
{
    struct entry known;
    uint64_t place;
    int64_t number;
    char *new = strchr(line, '\t');
    if (!new || new == line)
        return err_set(e, where, "must be `old id, tab, new id`");
    *new ++ = '\0';
    new[strcspn(new, "\t")] = '\0';
    struct value old = value_text(line, strlen(line));
    if (!value_parse_int(new, strlen(new), &number) || number < 0)
        return err_set(e, where, "'%s' is not a decimal experiment id", new);
    if (find(x, &old, &known, NULL))
        return err_set(e, where, "duplicate experiment %s", line);
    struct value number_text = value_str(new);
    if (!idmap_add(x->given, id_key(0, &number_text, 1), 0))
        return err_set(e, where, "duplicate new id %s", new);
    add(x, &old, new, &place);
    if (number >= x->next)
        x->next = number + 1;
    return true;
}

/* Reads line by line: the map may have any length. */
bool renumber_load(struct renumber *x, const char *path, struct err *e)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    bool good = f || err_set(e, path, "cannot read: %s", strerror(errno));
    ssize_t len = 0;
    for (size_t n = 1; good && (len = getline(&line, &room, f)) >= 0; n++) {
        char where[512];
        line[len - (len > 0 && line[len - 1] == '\n')] = '\0';
        snprintf(where, sizeof where, "%s:%zu", path, n);
        good = load_line(x, line, e, where);
    }
    if (good && ferror(f))
        good = err_set(e, path, "cannot read: %s", strerror(errno));
    free(line);
    if (f)
        fclose(f);
    return good;
}

static bool write_entries(void *arg, FILE *f)
{
    const struct renumber *x = arg;
    struct buf old = {0}, name = {0};
    for (uint64_t i = 0; i < x->entries.n && !ferror(f) && spill_check(x->spill, NULL); i++) {
        struct entry entry;
        spill_get_item(x->spill, &x->entries, i, &entry);
        spill_read_text(x->spill, entry.old, &old);
        spill_read_text(x->spill, entry.name, &name);
        fprintf(f, "%s\t%s\t%s\n", buf_str(&old), entry.new, buf_str(&name));
    }
    buf_free(&old);
    buf_free(&name);
    return !ferror(f) && spill_check(x->spill, NULL);
}

bool renumber_save(struct renumber *x, const char *path, struct err *e)
{
    if (file_write(path, write_entries, x, e))
        return true;
    spill_check(x->spill, e); /* that the file could not be written is not the cause then */
    return false;
}

uint64_t renumber_count(const struct renumber *x)
{
    return x->changed;
}

void renumber_free(struct renumber *x)
{
    if (!x)
        return;
    idmap_free(x->places);
    idmap_free(x->given);
    row_editor_free(x->rows);
    free(x);
}

/* -- names */

struct rule {
    char *old;
    const char *new; /* in old */
    uint64_t used;
};

struct rules {
    const char *option;
    struct rule *items;
    size_t n;
};

struct rename {
    struct rules experiments, models;
};

struct rename *rename_new(void)
{
    struct rename *x = xcalloc(1, sizeof *x);
    x->experiments.option = "--rename-experiment";
    x->models.option = "--rename-model";
    return x;
}

static bool add_rule(struct rules *rules, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || equals[1] == '\0')
        return err_set(e, text, "must be OLD=NEW");
    if (!utf8_valid(text, strlen(text)))
        return err_set(e, text, "not UTF-8");
    struct rule r = {.old = xstrdup(text)};
    r.old[equals - text] = '\0';
    r.new = r.old + (equals - text) + 1;
    rules->items = xrealloc(rules->items, (rules->n + 1) * sizeof *rules->items);
    rules->items[rules->n++] = r;
    return true;
}

bool rename_add_experiment(struct rename *x, const char *rule, struct err *e)
{
    return add_rule(&x->experiments, rule, e);
}

bool rename_add_model(struct rename *x, const char *rule, struct err *e)
{
    return add_rule(&x->models, rule, e);
}

/* The first rule for v. */
static struct rule *rule_for(struct rules *rules, const struct value *v)
{
    for (size_t i = 0; i < rules->n; i++)
        if (value_eqs(v, rules->items[i].old))
            return &rules->items[i];
    return NULL;
}

static void rename_experiment(struct rename *x, struct record *r)
{
    struct rule *rule = rule_for(&x->experiments, &r->v[F_experiment_experiment_id]);
    if (!rule)
        rule = rule_for(&x->experiments, &r->v[F_experiment_name]);
    if (!rule)
        return;
    rule->used++;
    r->v[F_experiment_name] = value_str(rule->new);
}

/* models:/NAME/VERSION or models:/NAME@ALIAS, the source of a copied version. */
static void rename_source(struct rename *x, struct value *v, struct arena *a)
{
    static const char scheme[] = "models:/";
    size_t skip = sizeof scheme - 1;
    if (!value_is_text(v) || v->len <= skip || memcmp(v->s, scheme, skip) != 0)
        return;
    size_t len = 0;
    while (skip + len < v->len && !strchr("/@", v->s[skip + len]))
        len++;
    struct value name = value_strn(v->s + skip, len);
    const struct rule *rule = skip + len < v->len ? rule_for(&x->models, &name) : NULL;
    if (!rule)
        return;
    struct buf out = {0};
    buf_addf(&out, "%s%s", scheme, rule->new);
    buf_add(&out, v->s + skip + len, v->len - skip - len);
    *v = value_text(arena_strndup(a, out.data, out.len), out.len);
    buf_free(&out);
}

void rename_record(struct rename *x, struct record *r, struct arena *a)
{
    if (r->kind->kind == KIND_experiment)
        rename_experiment(x, r);
    for (int f = 0; x->models.n > 0 && f < r->kind->n_fields; f++) {
        struct rule *rule = r->kind->fields[f].flags & FIELD_REG ? rule_for(&x->models, &r->v[f]) : NULL;
        if (!rule)
            continue;
        rule->used++;
        r->v[f] = value_str(rule->new);
    }
    if (r->kind->kind == KIND_model_version)
        rename_source(x, &r->v[F_model_version_source], a);
}

static uint64_t warn_unused(const struct rules *rules)
{
    uint64_t n = 0;
    for (size_t i = 0; i < rules->n; i++) {
        if (rules->items[i].used > 0)
            continue;
        n++;
        err_warn(NULL, "%s %s=%s: not found in the stream", rules->option, rules->items[i].old,
                 rules->items[i].new);
    }
    return n;
}

uint64_t rename_report(const struct rename *x)
{
    return warn_unused(&x->experiments) + warn_unused(&x->models);
}

static void free_rules(struct rules *rules)
{
    for (size_t i = 0; i < rules->n; i++)
        free(rules->items[i].old);
    free(rules->items);
}

void rename_free(struct rename *x)
{
    if (!x)
        return;
    free_rules(&x->experiments);
    free_rules(&x->models);
    free(x);
}

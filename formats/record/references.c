/* Finds references in records by their flags, and checks those of a stream. */
#include "formats/record/references.h"

#include <stdlib.h>
#include <string.h>

#include "common/arena.h"

int ref_own_field(const struct kind_desc *kind)
{
    for (int f = 0; kind->owner[0] == '\0' && f < kind->n_fields; f++)
        if (kind->fields[f].flags & FIELD_K)
            return kind->fields[f].flags & REF_FLAGS ? f : -1;
    return -1;
}

bool ref_is_hard(const struct kind_desc *kind, int field)
{
    const struct field_desc *f = &kind->fields[field];
    if (!(f->flags & REF_FLAGS) || field == ref_own_field(kind))
        return false;
    if (f->flags & FIELD_K) /* the first field of the key names the owner; a model's metric also belongs to a
                               run */
        return kind->owner[0] != '\0' && (field == 0 || f->flags & FIELD_RUN);
    return (f->flags & FIELD_R) != 0;
}

struct id_key ref_key_of(unsigned flag, const struct value *v)
{
    return id_key(flag / FIELD_EXP, v, 1);
}

struct id_key ref_key(const struct record *r, int f)
{
    unsigned flags = r->kind->fields[f].flags & REF_FLAGS;
    if (flags != FIELD_REG)
        return ref_key_of(flags, &r->v[f]);
    struct value parts[2] = {r->v[f], record_workspace(r)};
    return id_key(flags / FIELD_EXP, parts, 2);
}

int ref_version(const struct record *r, struct value parts[3])
{
    int version = r->kind->kind == KIND_model_version            ? F_model_version_version
                  : r->kind->kind == KIND_model_version_tag      ? F_model_version_tag_version
                  : r->kind->kind == KIND_registered_model_alias ? F_registered_model_alias_version
                                                                 : -1;
    if (version < 0)
        return -1;
    parts[0] = r->v[0];
    parts[1] = r->v[version];
    parts[2] = record_workspace(r);
    return version;
}

bool ref_has_no_column(const struct record *r)
{
    static const char scheme[] = "models:/";
    size_t n = sizeof scheme - 1;
    const struct value *id, *source;
    if (r->kind->kind != KIND_model_version || value_is_null(&r->v[F_model_version_model_id]))
        return false;
    id = &r->v[F_model_version_model_id];
    source = &r->v[F_model_version_source];
    return value_is_null(source) || source->len != n + id->len || memcmp(source->s, scheme, n) != 0 ||
           memcmp(source->s + n, id->s, id->len) != 0;
}

const char *ref_word(unsigned flags)
{
    return flags & FIELD_EXP     ? "experiment"
           : flags & FIELD_RUN   ? "run"
           : flags & FIELD_TRACE ? "trace"
           : flags & FIELD_MODEL ? "logged model"
                                 : "registered model";
}

struct value *ref_experiment_list(struct record *r)
{
    struct value *v = &r->v[F_registered_model_tag_value];
    bool is_list = r->kind->kind == KIND_registered_model_tag &&
                   value_eqs(&r->v[F_registered_model_tag_key], "_mlflow_experiment_ids") && value_is_text(v);
    return is_list ? v : NULL;
}

void ref_map_list(const struct value *list, bool (*map)(void *arg, const struct value *id, struct buf *out),
                  void *arg, struct buf *out)
{
    const char *p = list->s, *end = list->s + list->len;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        struct value id = value_strn(p, (size_t)(stop - p));
        if (id.len > 0 && !map(arg, &id, out))
            buf_add(out, p, id.len);
        if (comma)
            buf_addc(out, ',');
        p = stop + (comma != NULL);
    }
}

/* -- checking a stream */

/* This many missing and this many duplicate entities are reported by name. */
enum { MAX_REPORTED = 1000 };

/* An entity that is missing or duplicate. */
struct finding {
    struct id_key key;
    const char *where, *what;
};

struct ref_check {
    struct spill *spill;
    struct idmap *seen;   /* entity -> the last segment that has it */
    struct idmap *wanted; /* referred to before it was seen -> 1 */
    struct arena text;
    struct finding *missing, *duplicate;
    size_t n_missing, n_duplicate;
    uint64_t segment, duplicates;
    bool delta;
};

struct ref_check *ref_check_new(struct spill *spill)
{
    struct ref_check *c = xcalloc(1, sizeof *c);
    c->spill = spill;
    c->seen = idmap_new(spill);
    c->wanted = idmap_new(spill);
    return c;
}

void ref_check_segment(struct ref_check *c)
{
    c->segment++;
}

void ref_check_delta(struct ref_check *c)
{
    c->delta = true;
}

bool ref_check_has_delta(const struct ref_check *c)
{
    return c->delta;
}

/* what: "<before>run r1<after>". */
static struct finding note(struct ref_check *c, const struct record *r, int f, const char *before,
                           const char *after)
{
    struct finding m = {.key = ref_key(r, f)};
    struct buf text = {0};
    record_describe(r, &text);
    m.where = arena_strndup(&c->text, buf_str(&text), text.len);
    buf_reset(&text);
    buf_adds(&text, before);
    buf_adds(&text, ref_word(r->kind->fields[f].flags));
    buf_addc(&text, ' ');
    value_describe(&r->v[f], &text);
    buf_adds(&text, after);
    m.what = arena_strndup(&c->text, buf_str(&text), text.len);
    buf_free(&text);
    return m;
}

static void add_entity(struct ref_check *c, const struct record *r, int f)
{
    struct id_key key = ref_key(r, f);
    uint64_t segment;
    bool known = idmap_get(c->seen, key, &segment);
    if (known && (r->kind->kind != KIND_experiment || segment == c->segment)) {
        c->duplicates++;
        if (c->n_duplicate < MAX_REPORTED) {
            c->duplicate = xrealloc(c->duplicate, (c->n_duplicate + 1) * sizeof *c->duplicate);
            c->duplicate[c->n_duplicate++] = note(c, r, f, "duplicate ", "");
        }
    }
    idmap_set(c->seen, key, c->segment);
}

static void add_reference(struct ref_check *c, const struct record *r, int f)
{
    struct id_key key = ref_key(r, f);
    if (idmap_get(c->seen, key, NULL) || !idmap_add(c->wanted, key, 1) || c->n_missing == MAX_REPORTED)
        return;
    c->missing = xrealloc(c->missing, (c->n_missing + 1) * sizeof *c->missing);
    c->missing[c->n_missing++] = note(c, r, f, "", " is not in the stream");
}

void ref_check_add(struct ref_check *c, const struct record *r)
{
    int own = ref_own_field(r->kind);
    if (own >= 0)
        add_entity(c, r, own);
    for (int f = 0; f < r->kind->n_fields; f++)
        if (ref_is_hard(r->kind, f) && !value_is_null(&r->v[f]))
            add_reference(c, r, f);
}

uint64_t ref_check_end(struct ref_check *c, void (*report)(const char *where, const char *what))
{
    uint64_t n = c->duplicates;
    for (size_t i = 0; i < c->n_duplicate; i++)
        report(c->duplicate[i].where, c->duplicate[i].what);
    if (c->delta)
        return n;
    for (size_t i = 0; i < c->n_missing; i++)
        if (!idmap_get(c->seen, c->missing[i].key, NULL) && spill_check(c->spill, NULL))
            report(c->missing[i].where, c->missing[i].what);
    for (uint64_t i = 0; i < idmap_len(c->wanted); i++)
        n += !idmap_get(c->seen, idmap_key(c->wanted, i), NULL);
    return n;
}

uint64_t ref_check_entities(const struct ref_check *c)
{
    return idmap_len(c->seen);
}

void ref_check_free(struct ref_check *c)
{
    if (!c)
        return;
    idmap_free(c->seen);
    idmap_free(c->wanted);
    arena_free(&c->text);
    free(c->missing);
    free(c->duplicate);
    free(c);
}

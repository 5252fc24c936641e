/* The tables of kinds and fields, expanded from entities.def, and what is derived from them. */
#include "formats/record/record.h"

#include <stdio.h>
#include <string.h>

#include "common/printable.h"

/* The flags as entities.def spells them. */
enum {
    K = FIELD_K,
    R = FIELD_R,
    Q = FIELD_Q,
    EXP = FIELD_EXP,
    RUN = FIELD_RUN,
    TRACE = FIELD_TRACE,
    MODEL = FIELD_MODEL,
    REG = FIELD_REG,
    URI = FIELD_URI,
    MS = FIELD_MS,
    WS = FIELD_WS,
    PART = FIELD_PART,
    PARENT = TRAIT_PARENT,
    SHARED = TRAIT_SHARED,
    POINT = TRAIT_POINT,
};

#define KIND(k, plural_, singular_, owner_, table_, since_, rank_, traits_)                                  \
    static const struct field_desc fields_##k[] = {
#define FIELD(k, f, type_, flags_, column_, since_, until_, codec_)                                          \
    {#f, FIELD_##type_, flags_, column_, since_, until_, CODEC_##codec_, sizeof #f - 1},
#define END(k)                                                                                               \
    }                                                                                                        \
    ;                                                                                                        \
    _Static_assert(sizeof fields_##k / sizeof fields_##k[0] <= RECORD_MAX_FIELDS,                            \
                   "RECORD_MAX_FIELDS is too small");
#include "formats/entities.def"

#define KIND(k, plural_, singular_, owner_, table_, since_, rank_, traits_)                                  \
    static const struct const_desc consts_##k[] = {
#define CONST(k, column_, text_) {column_, text_},
#define END(k)                                                                                               \
    {                                                                                                        \
        NULL, NULL                                                                                           \
    }                                                                                                        \
    }                                                                                                        \
    ;                                                                                                        \
    _Static_assert(sizeof consts_##k / sizeof consts_##k[0] <= KIND_MAX_CONSTS + 1,                          \
                   "KIND_MAX_CONSTS is too small");
#include "formats/entities.def"

const struct kind_desc kinds[KIND_COUNT] = {
#define KIND(k, plural_, singular_, owner_, table_, since_, rank_, traits_)                                  \
    [KIND_##k] = {KIND_##k,                                                                                  \
                  #k,                                                                                        \
                  plural_,                                                                                   \
                  singular_,                                                                                 \
                  owner_,                                                                                    \
                  table_,                                                                                    \
                  since_,                                                                                    \
                  rank_,                                                                                     \
                  traits_,                                                                                   \
                  fields_##k,                                                                                \
                  (int)(sizeof fields_##k / sizeof fields_##k[0]),                                           \
                  consts_##k,                                                                                \
                  (int)(sizeof consts_##k / sizeof consts_##k[0]) - 1},
#include "formats/entities.def"
};

/* ml-verify sorts by the place in reports, so two kinds with one place do not compile. */
__attribute__((unused)) static void report_ranks_are_unique(int rank)
{
    switch (rank) {
#define KIND(k, plural_, singular_, owner_, table_, since_, rank_, traits_) case rank_:
#include "formats/entities.def"
        break;
    }
}

void record_init(struct record *r, enum kind kind)
{
    r->kind = &kinds[kind];
    for (int i = 0; i < r->kind->n_fields; i++)
        r->v[i] = value_null();
}

const struct kind_desc *kind_by_name(const char *name, size_t len)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (strlen(kinds[i].name) == len && memcmp(kinds[i].name, name, len) == 0)
            return &kinds[i];
    return NULL;
}

int field_by_name(const struct kind_desc *kind, const char *name, size_t len)
{
    for (int i = 0; i < kind->n_fields; i++)
        if (kind->fields[i].name_len == len && memcmp(kind->fields[i].name, name, len) == 0)
            return i;
    return -1;
}

bool kind_is_entity(const struct kind_desc *kind)
{
    return kind->table[0] != '\0';
}

struct value record_workspace(const struct record *r)
{
    for (int i = 0; i < r->kind->n_fields; i++)
        if ((r->kind->fields[i].flags & FIELD_WS) && !value_is_null(&r->v[i]))
            return r->v[i];
    return value_str("default");
}

/* -- marks of a delta */

static const char *const part_words[] = {
    [PART_UNCHANGED] = "unchanged",
    [PART_CHANGED] = "changed",
};

/* The mark stands last. NULL: the kind has none. */
static const struct value *part_field(const struct record *r)
{
    int last = r->kind->n_fields - 1;
    return r->kind->fields[last].flags & FIELD_PART ? &r->v[last] : NULL;
}

enum record_part record_part(const struct record *r)
{
    const struct value *v = part_field(r);
    if (!v || value_is_null(v))
        return PART_WHOLE;
    for (int p = PART_UNCHANGED; p <= PART_CHANGED; p++)
        if (value_eqs(v, part_words[p]))
            return (enum record_part)p;
    return PART_INVALID;
}

void record_set_part(struct record *r, enum record_part part)
{
    struct value mark = part == PART_WHOLE ? value_null() : value_str(part_words[part]);
    r->v[r->kind->n_fields - 1] = mark;
}

/* -- validation */

static bool fits(const struct value *v, enum field_type type)
{
    switch (type) {
    case FIELD_STR:
        return value_is_text(v);
    case FIELD_INT:
        return v->type == VALUE_INT;
    case FIELD_FLOAT:
        return v->type == VALUE_FLOAT;
    case FIELD_BOOL:
        return v->type == VALUE_BOOL;
    case FIELD_MAP:
        return v->type == VALUE_MAP;
    }
    return false;
}

static const char *field_type_word(enum field_type type)
{
    static const char *const words[] = {"text", "an integer", "a float", "a boolean", "a map"};
    return words[type];
}

static const char *value_type_word(enum value_type type)
{
    static const char *const words[] = {"null", "an integer", "a float", "a boolean",
                                        "text", "bytes",      "a map",   "a value of another type"};
    return words[type];
}

static bool invalid(const struct record *r, struct err *e, const char *field, const char *what,
                    const char *got)
{
    struct buf where = {0};
    record_describe(r, &where);
    err_set(e, buf_str(&where), "field '%s' %s%s", field, what, got);
    buf_free(&where);
    return false;
}

bool record_validate(const struct record *r, struct err *e)
{
    for (int i = 0; i < r->kind->n_fields; i++) {
        const struct field_desc *f = &r->kind->fields[i];
        const struct value *v = &r->v[i];
        if (v->type == VALUE_NULL) {
            if (f->flags & FIELD_R)
                return invalid(r, e, f->name, "is missing", "");
        } else if (v->type == VALUE_ALIEN) {
            return invalid(r, e, f->name, "has a value of the wrong type", "");
        } else if (!fits(v, f->type)) {
            char what[64];
            snprintf(what, sizeof what, "must be %s, not ", field_type_word(f->type));
            return invalid(r, e, f->name, what, value_type_word(v->type));
        }
    }
    return true;
}

/* -- names for messages */

static void describe_text(const struct value *v, struct buf *out)
{
    uint32_t len = v->len;
    if (len > VALUE_SHOWN_BYTES)
        for (len = VALUE_SHOWN_BYTES; len && ((unsigned char)v->s[len] & 0xc0) == 0x80;)
            len--;
    printable_add(out, v->s, len);
    if (len < v->len)
        buf_addf(out, "… (%u bytes)", v->len);
}

void value_describe(const struct value *v, struct buf *out)
{
    char text[32];
    switch (v->type) {
    case VALUE_NULL:
        buf_adds(out, "None");
        break;
    case VALUE_INT:
        buf_addf(out, "%lld", (long long)v->i);
        break;
    case VALUE_FLOAT:
        value_format_float(v->f, text);
        buf_adds(out, text);
        break;
    case VALUE_BOOL:
        buf_adds(out, v->b ? "True" : "False");
        break;
    case VALUE_STR:
    case VALUE_BIN:
        describe_text(v, out);
        break;
    case VALUE_ALIEN:
        describe_text(v, out);
        buf_adds(out, " (not of its column's type)");
        break;
    case VALUE_MAP:
        buf_addf(out, "a map of %u bytes", v->len);
        break;
    }
}

/* The first field with one of the flags; NULL if there is none. */
static const struct value *flagged(const struct record *r, unsigned flag)
{
    for (int i = 0; i < r->kind->n_fields; i++)
        if (r->kind->fields[i].flags & flag)
            return &r->v[i];
    return NULL;
}

void record_describe(const struct record *r, struct buf *out)
{
    const struct value *key = flagged(r, FIELD_K), *quoted = flagged(r, FIELD_Q);
    buf_adds(out, r->kind->singular);
    if (quoted) {
        buf_adds(out, " '");
        value_describe(quoted, out);
        buf_addc(out, '\'');
    } else if (key && r->kind->owner[0] == '\0') {
        buf_addc(out, ' ');
        value_describe(key, out);
    }
    if (key && r->kind->owner[0] != '\0') {
        buf_addf(out, " in %s ", r->kind->owner);
        value_describe(key, out);
    }
    for (int i = 0; i < r->kind->n_fields; i++) {
        unsigned both = FIELD_K | FIELD_WS;
        if ((r->kind->fields[i].flags & both) != both || value_is_null(&r->v[i]) ||
            value_eqs(&r->v[i], "default"))
            continue;
        buf_adds(out, " of workspace ");
        value_describe(&r->v[i], out);
    }
}

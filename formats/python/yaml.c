/* Builds YAML values from libyaml's events by the rules of PyYAML. */
#include "formats/python/yaml.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>
#include <yaml.h>

#include "common/arena.h"
#include "common/array.h"
#include "formats/stream/json.h"
#include "formats/record/value.h"

enum {
    MAX_DEPTH = 200, /* levels of lists and maps */
    MAX_ANCHORS = 1000,
    MAX_JSON = 64 << 20, /* bytes of a value as JSON: aliases can make it much larger than the document */
};

struct level { /* a list or map being read */
    struct yaml_value *value;
    struct yaml_item *last;
    struct yaml_value *key; /* MAP: the key whose value is next */
    size_t n;               /* items so far */
};

struct anchor {
    const char *name;
    const struct yaml_value *value;
};

struct yaml_reader {
    struct arena arena;
    struct buf scratch; /* numbers without underscores */
    struct level levels[MAX_DEPTH];
    int depth;
    size_t n_values;
    struct anchor *anchors;
    size_t n_anchors;
    const struct yaml_value *root;
    struct yaml_error *error;
};

struct yaml_reader *yaml_reader_new(void)
{
    return xcalloc(1, sizeof(struct yaml_reader));
}

void yaml_reader_trim(struct yaml_reader *r)
{
    arena_reset(&r->arena);
    buf_trim(&r->scratch);
    r->root = NULL;
}

void yaml_reader_free(struct yaml_reader *r)
{
    if (!r)
        return;
    arena_free(&r->arena);
    buf_free(&r->scratch);
    free(r->anchors);
    free(r);
}

static bool fail(struct yaml_error *e, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);

static bool fail(struct yaml_error *e, unsigned line, const char *fmt, ...)
{
    e->line = line;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->what, sizeof e->what, fmt, ap);
    va_end(ap);
    return false;
}

/* -- resolution of plain scalars: one function for each pattern of PyYAML's resolver. It matches at p and
 * returns the end of the match, or NULL. */

static const char *eat_class(const char *p, const char *set)
{
    return p + strspn(p, set);
}

static const char *eat_sign(const char *p)
{
    return *p == '-' || *p == '+' ? p + 1 : p;
}

#define DIGITS  "0123456789"
#define DIGITS_ "0123456789_"

/* One or more of `:[0-5]?[0-9]`. */
static const char *eat_sixties(const char *p)
{
    const char *start = p;
    while (*p == ':' && isdigit((unsigned char)p[1]))
        p += p[1] <= '5' && isdigit((unsigned char)p[2]) ? 3 : 2;
    return p == start ? NULL : p;
}

static bool is_int(const char *text, bool *sexagesimal)
{
    const char *p = eat_sign(text);
    const char *end;
    if (*p == '0') {
        if (p[1] == 'b')
            end = eat_class(p + 2, "01_");
        else if (p[1] == 'x')
            end = eat_class(p + 2, "0123456789abcdefABCDEF_");
        else
            return *eat_class(p + 1, "01234567_") == '\0';
        return end > p + 2 && *end == '\0';
    }
    if (*p < '1' || *p > '9')
        return false;
    p = eat_class(p, DIGITS_);
    if (*p == '\0')
        return true;
    p = eat_sixties(p);
    *sexagesimal = p && *p == '\0';
    return *sexagesimal;
}

static bool is_exponent_or_end(const char *p)
{
    if (*p == '\0')
        return true;
    if ((*p != 'e' && *p != 'E') || (p[1] != '-' && p[1] != '+') || !isdigit((unsigned char)p[2]))
        return false;
    return *eat_class(p + 2, DIGITS) == '\0';
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static bool is_float(const char *text, bool *sexagesimal)
{
    static const char *const infinities[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
    const char *p = eat_sign(text);
    if (is_one_of(p, infinities) || is_one_of(text, nans))
        return true;
    if (*text == '.')
        return isdigit((unsigned char)text[1]) && is_exponent_or_end(eat_class(text + 1, DIGITS_));
    if (!isdigit((unsigned char)*p))
        return false;
    p = eat_class(p, DIGITS_);
    if (*p == '.')
        return is_exponent_or_end(eat_class(p + 1, DIGITS_));
    p = eat_sixties(p);
    *sexagesimal = p && *p == '.' && *eat_class(p + 1, DIGITS_) == '\0';
    return *sexagesimal;
}

/* From min to max digits, then `after` (0: nothing). */
static const char *eat_digits(const char *p, int min, int max, char after)
{
    int n = 0;
    while (n < max && isdigit((unsigned char)p[n]))
        n++;
    if (n < min || (after && p[n] != after))
        return NULL;
    return p + n + (after ? 1 : 0);
}

static bool is_zone_or_end(const char *p)
{
    p = eat_class(p, " \t");
    if (*p == '\0')
        return true;
    if (*p == 'Z')
        return p[1] == '\0';
    if (*p != '-' && *p != '+')
        return false;
    p = eat_digits(p + 1, 1, 2, 0);
    if (p && *p == ':')
        p = eat_digits(p + 1, 2, 2, 0);
    return p && *p == '\0';
}

static bool is_time(const char *text)
{
    const char *p = eat_digits(text, 4, 4, '-');
    const char *day;
    if (!p || !(p = eat_digits(p, 1, 2, '-')) || !(day = eat_digits(p, 1, 2, 0)))
        return false;
    if (*day == '\0') /* only a date: two digits each */
        return strlen(text) == 10;
    if (*day == 'T' || *day == 't')
        p = day + 1;
    else if ((p = eat_class(day, " \t")) == day)
        return false;
    if (!(p = eat_digits(p, 1, 2, ':')) || !(p = eat_digits(p, 2, 2, ':')) || !(p = eat_digits(p, 2, 2, 0)))
        return false;
    if (*p == '.')
        p = eat_class(p + 1, DIGITS);
    else if (*p == '\0')
        return true;
    /* a plain scalar has no trailing blanks */
    return is_zone_or_end(p);
}

static bool is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return is_one_of(text, words);
}

static bool is_bool(const char *text, bool *value)
{
    static const char *const yes[] = {"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", NULL};
    static const char *const no[] = {"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", NULL};
    *value = is_one_of(text, yes);
    return *value || is_one_of(text, no);
}

/* -- values of numbers */

static const char *without_underscores(struct yaml_reader *r, const char *text)
{
    buf_reset(&r->scratch);
    for (; *text; text++)
        if (*text != '_')
            buf_addc(&r->scratch, *text);
    return buf_str(&r->scratch);
}

/* n = n * base + digit; false on overflow of 64 bits. n is kept negative, as the range is larger by one. */
static bool append_digit(int64_t *n, int base, int digit)
{
    return !__builtin_mul_overflow(*n, (int64_t)base, n) && !__builtin_sub_overflow(*n, (int64_t)digit, n);
}

static int digit_of(char c)
{
    return c <= '9' ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Sets the value of an INT; false if it has no digits ("0x_"), which is an error in Python. */
static bool set_int(struct yaml_reader *r, struct yaml_value *v)
{
    const char *s = without_underscores(r, v->text);
    bool negative = *s == '-';
    int64_t n = 0;
    int base = 10;
    s = eat_sign(s);
    if (s[0] == '0' && (s[1] == 'b' || s[1] == 'x')) {
        base = s[1] == 'b' ? 2 : 16;
        s += 2;
        if (*s == '\0')
            return false;
    } else if (s[0] == '0') {
        base = 8;
    }
    if (v->sexagesimal) {
        while (*s && !v->big) {
            char *end;
            unsigned long long part = strtoull(s, &end, 10);
            v->big = part > INT32_MAX || !append_digit(&n, 60, (int)part);
            s = *end == ':' ? end + 1 : end;
        }
    } else {
        for (; *s && !v->big; s++)
            v->big = !append_digit(&n, base, digit_of(*s));
    }
    if (!negative && n == INT64_MIN)
        v->big = true;
    v->i = v->big ? 0 : negative ? n : -n;
    return true;
}

static void set_float(struct yaml_reader *r, struct yaml_value *v)
{
    const char *s = without_underscores(r, v->text);
    double sign = *s == '-' ? -1.0 : 1.0;
    s = eat_sign(s);
    if (s[0] == '.' && !isdigit((unsigned char)s[1])) {
        v->f = tolower((unsigned char)s[1]) == 'n' ? NAN : sign * INFINITY;
        return;
    }
    v->f = 0;
    for (;;) {
        char *end;
        v->f = v->f * 60 + strtod(s, &end);
        if (*end != ':')
            break;
        s = end + 1;
    }
    v->f *= sign;
}

/* Sets the kind of v, whose text is set, as PyYAML resolves plain text. */
static bool resolve_plain(struct yaml_reader *r, struct yaml_value *v, bool is_key)
{
    const char *s = v->text;
    v->kind = YAML_IS_TEXT;
    if (strlen(s) != v->len) /* contains a NUL */
        return true;
    if (is_null(s)) {
        v->kind = YAML_IS_NULL;
    } else if (is_bool(s, &v->b)) {
        v->kind = YAML_IS_BOOL;
    } else if (is_float(s, &v->sexagesimal)) {
        v->kind = YAML_IS_FLOAT;
        set_float(r, v);
    } else if (is_int(s, &v->sexagesimal)) {
        v->kind = YAML_IS_INT;
        if (!set_int(r, v))
            return fail(r->error, v->line, "%s is a number without digits", s);
    } else if (is_time(s)) {
        v->kind = YAML_IS_TIME;
    } else if (strcmp(s, "<<") == 0) {
        return fail(r->error, v->line, "an unquoted << (a merge key) is not supported");
    } else if (strcmp(s, "=") == 0 && !is_key) {
        return fail(r->error, v->line, "an unquoted = is not a value");
    }
    return true;
}

/* Resolves a scalar with a tag: `!` and !!str make it text; the other YAML types must match its text. */
static bool resolve_tagged(struct yaml_reader *r, struct yaml_value *v, const char *tag, bool is_key)
{
    static const struct {
        const char *name;
        enum yaml_kind kind;
    } tags[] = {
        {"null", YAML_IS_NULL},   {"bool", YAML_IS_BOOL}, {"int", YAML_IS_INT},
        {"float", YAML_IS_FLOAT}, {"str", YAML_IS_TEXT},  {"timestamp", YAML_IS_TIME},
    };
    static const char prefix[] = "tag:yaml.org,2002:";

    v->kind = YAML_IS_TEXT;
    if (strcmp(tag, "!") == 0)
        return true;
    if (strncmp(tag, prefix, sizeof prefix - 1) == 0) {
        for (size_t i = 0; i < ARRAY_LENGTH(tags); i++) {
            if (strcmp(tag + sizeof prefix - 1, tags[i].name) != 0)
                continue;
            if (tags[i].kind == YAML_IS_TEXT)
                return true;
            if (!resolve_plain(r, v, is_key))
                return false;
            if (v->kind != tags[i].kind)
                return fail(r->error, v->line, "%.60s is not %s", v->text, yaml_kind_name(tags[i].kind));
            return true;
        }
    }
    return fail(r->error, v->line, "the tag %.100s is not supported", tag);
}

/* -- building the tree */

static struct yaml_value *new_value(struct yaml_reader *r, const yaml_event_t *event, enum yaml_kind kind)
{
    if (++r->n_values > YAML_MAX_VALUES) {
        fail(r->error, (unsigned)event->start_mark.line + 1, "more than %d values", YAML_MAX_VALUES);
        return NULL;
    }
    struct yaml_value *v = arena_alloc(&r->arena, sizeof *v);
    memset(v, 0, sizeof *v);
    v->kind = kind;
    v->line = (unsigned)event->start_mark.line + 1;
    return v;
}

static bool wants_key(const struct yaml_reader *r)
{
    const struct level *top = r->depth ? &r->levels[r->depth - 1] : NULL;
    return top && top->value->kind == YAML_IS_MAP && !top->key;
}

/* Adds a value to the tree: as the root, an item, a key or the value of the last key. */
static bool place(struct yaml_reader *r, struct yaml_value *v, unsigned line)
{
    if (r->depth == 0) {
        r->root = v;
        return true;
    }
    struct level *top = &r->levels[r->depth - 1];
    if (wants_key(r)) {
        if (!v->text)
            return fail(r->error, line, "a list or map cannot be a key");
        top->key = v;
        return true;
    }
    struct yaml_item *item = arena_alloc(&r->arena, sizeof *item);
    *item = (struct yaml_item){.key = top->key, .value = v};
    if (top->last)
        top->last->next = item;
    else
        top->value->first = item;
    top->last = item;
    top->key = NULL;
    top->n++;
    return true;
}

static bool remember_anchor(struct yaml_reader *r, const yaml_char_t *name, const struct yaml_value *v)
{
    if (!name)
        return true;
    if (r->n_anchors == MAX_ANCHORS)
        return fail(r->error, v->line, "more than %d anchors", MAX_ANCHORS);
    if (!r->anchors)
        r->anchors = xcalloc(MAX_ANCHORS, sizeof *r->anchors);
    r->anchors[r->n_anchors].name = arena_strndup(&r->arena, (const char *)name, strlen((const char *)name));
    r->anchors[r->n_anchors++].value = v;
    return true;
}

static bool on_scalar(struct yaml_reader *r, const yaml_event_t *event)
{
    struct yaml_value *v = new_value(r, event, YAML_IS_TEXT);
    bool is_key = wants_key(r), good = true;
    if (!v)
        return false;
    v->len = event->data.scalar.length;
    v->text = arena_strndup(&r->arena, (const char *)event->data.scalar.value, v->len);
    if (event->data.scalar.plain_implicit)
        good = resolve_plain(r, v, is_key);
    else if (!event->data.scalar.quoted_implicit && event->data.scalar.tag)
        good = resolve_tagged(r, v, (const char *)event->data.scalar.tag, is_key);
    return good && remember_anchor(r, event->data.scalar.anchor, v) && place(r, v, v->line);
}

static bool on_alias(struct yaml_reader *r, const yaml_event_t *event)
{
    unsigned line = (unsigned)event->start_mark.line + 1;
    const char *name = (const char *)event->data.alias.anchor;
    const struct yaml_value *v = NULL;

    for (size_t i = r->n_anchors; i > 0 && !v; i--)
        if (strcmp(r->anchors[i - 1].name, name) == 0)
            v = r->anchors[i - 1].value;
    if (!v)
        return fail(r->error, line, "undefined alias %.100s", name);
    for (int i = 0; i < r->depth; i++)
        if (r->levels[i].value == v)
            return fail(r->error, line, "recursive alias %.100s", name);
    return place(r, (struct yaml_value *)v, line);
}

static bool on_start(struct yaml_reader *r, const yaml_event_t *event, enum yaml_kind kind)
{
    bool is_map = kind == YAML_IS_MAP;
    const yaml_char_t *tag = is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    bool implicit = is_map ? event->data.mapping_start.implicit : event->data.sequence_start.implicit;
    struct yaml_value *v = new_value(r, event, kind);
    if (!v)
        return false;
    if (tag && !implicit && strcmp((const char *)tag, is_map ? YAML_MAP_TAG : YAML_SEQ_TAG) != 0)
        return fail(r->error, v->line, "the tag %.100s is not supported", (const char *)tag);
    if (r->depth == MAX_DEPTH)
        return fail(r->error, v->line, "nested deeper than %d levels", MAX_DEPTH);
    if (!remember_anchor(r, is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor,
                         v) ||
        !place(r, v, v->line))
        return false;
    r->levels[r->depth++] = (struct level){.value = v};
    return true;
}

static bool same_key(const struct yaml_value *a, const struct yaml_value *b)
{
    return a->kind == b->kind && a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* Removes duplicate keys as a Python dict does: the last value at the first position. */
static void drop_equal_keys(struct yaml_reader *r, const struct level *level)
{
    struct yaml_item *before = NULL;
    size_t size = 8;
    if (level->n < 2)
        return;
    while (size < level->n * 2)
        size *= 2;
    struct yaml_item **table = arena_alloc(&r->arena, size * sizeof(struct yaml_item *));
    memset(table, 0, size * sizeof(struct yaml_item *));
    /* the reader owns the items, which are const only for its users */
    for (struct yaml_item *item = (struct yaml_item *)level->value->first; item;
         item = (struct yaml_item *)item->next) {
        size_t slot = XXH3_64bits(item->key->text, item->key->len) & (size - 1);
        while (table[slot] && !same_key(table[slot]->key, item->key))
            slot = (slot + 1) & (size - 1);
        if (table[slot]) {
            table[slot]->value = item->value;
            before->next = item->next;
        } else {
            table[slot] = item;
            before = item;
        }
    }
}

static bool on_event(struct yaml_reader *r, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(r, event);
    case YAML_ALIAS_EVENT:
        return on_alias(r, event);
    case YAML_MAPPING_START_EVENT:
        return on_start(r, event, YAML_IS_MAP);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(r, event, YAML_IS_LIST);
    case YAML_MAPPING_END_EVENT:
        drop_equal_keys(r, &r->levels[r->depth - 1]);
        r->depth--;
        return true;
    case YAML_SEQUENCE_END_EVENT:
        r->depth--;
        return true;
    case YAML_DOCUMENT_START_EVENT:
        if (r->root)
            return fail(r->error, (unsigned)event->start_mark.line + 1, "a second document begins");
        return true;
    default:
        return true;
    }
}

/* libyaml reports an error with a mark or, for invalid bytes, with their offset. */
static void parser_error(const yaml_parser_t *parser, const char *text, size_t len, struct yaml_error *e)
{
    unsigned line = (unsigned)parser->problem_mark.line + 1;

    if (parser->error == YAML_READER_ERROR) {
        line = 1;
        for (size_t i = 0; i < len && i < parser->problem_offset; i++)
            line += text[i] == '\n';
    }
    fail(e, line, "%s%s%s", parser->context ? parser->context : "", parser->context ? ": " : "",
         parser->problem ? parser->problem : "not YAML");
}

static bool has_mark(const char *text, size_t len, const char *mark)
{
    return len >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0;
}

/* Skips a byte order mark. libyaml would read UTF-16 too, but MLflow decodes the file as UTF-8 first. */
static bool skip_mark(const char **text, size_t *len, struct yaml_error *e)
{
    static const char utf8[] = "\xef\xbb\xbf";
    if (has_mark(*text, *len, "\xff\xfe") || has_mark(*text, *len, "\xfe\xff"))
        return fail(e, 1, "the text is UTF-16, but MLflow reads UTF-8");
    if (has_mark(*text, *len, utf8)) {
        *text += sizeof utf8 - 1;
        *len -= sizeof utf8 - 1;
    }
    return true;
}

size_t yaml_values_within(const char *text, size_t len)
{
    size_t n = 1;
    for (const char *p = text; p < text + len; p++)
        n += *p == '\n' || *p == '\r' || *p == ',' || *p == ':' || *p == '[' || *p == '{' || *p == '-' ||
             *p == '?';
    return n < YAML_MAX_VALUES ? n : YAML_MAX_VALUES;
}

const struct yaml_value *yaml_parse(struct yaml_reader *r, const char *text, size_t len, struct yaml_error *e)
{
    static const struct yaml_value nothing = {.kind = YAML_IS_NULL, .line = 1, .text = ""};
    bool good = true, end = false;
    arena_reset(&r->arena);
    r->depth = 0;
    r->n_values = r->n_anchors = 0;
    r->root = NULL;
    r->error = e;
    if (!skip_mark(&text, &len, e))
        return NULL;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        xnomem("");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_event_t event;
    while (good && !end) {
        if (!yaml_parser_parse(&parser, &event)) {
            if (parser.error == YAML_MEMORY_ERROR || parser.error == YAML_NO_ERROR) /* some have no message */
                xnomem("");
            parser_error(&parser, text, len, e);
            good = false;
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        good = on_event(r, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (!good)
        return NULL;
    return r->root ? r->root : &nothing;
}

const struct yaml_value *yaml_get(const struct yaml_value *v, const char *key)
{
    size_t len = strlen(key);
    if (!v || v->kind != YAML_IS_MAP)
        return NULL;
    for (const struct yaml_item *item = v->first; item; item = item->next)
        if (item->key->len == len && memcmp(item->key->text, key, len) == 0)
            return item->value;
    return NULL;
}

const char *yaml_kind_name(enum yaml_kind kind)
{
    static const char *const names[] = {
        [YAML_IS_NULL] = "null",     [YAML_IS_BOOL] = "a boolean", [YAML_IS_INT] = "an integer",
        [YAML_IS_FLOAT] = "a float", [YAML_IS_TEXT] = "text",      [YAML_IS_TIME] = "a date",
        [YAML_IS_LIST] = "a list",   [YAML_IS_MAP] = "a map",
    };
    return names[kind];
}

/* -- JSON */

static bool scalar_to_json(const struct yaml_value *v, struct buf *out, struct yaml_error *e)
{
    char number[32];
    switch (v->kind) {
    case YAML_IS_NULL:
        buf_adds(out, "null");
        return true;
    case YAML_IS_BOOL:
        buf_adds(out, v->b ? "true" : "false");
        return true;
    case YAML_IS_INT:
        if (v->big)
            return fail(e, v->line, "%.60s is beyond 64 bits", v->text);
        buf_addf(out, "%lld", (long long)v->i);
        return true;
    case YAML_IS_FLOAT:
        if (isnan(v->f))
            buf_adds(out, "NaN");
        else if (isinf(v->f))
            buf_adds(out, v->f < 0 ? "-Infinity" : "Infinity");
        else
            buf_add(out, number, value_format_float(v->f, number));
        return true;
    case YAML_IS_TEXT:
        json_quote_ascii(v->text, v->len, out);
        return true;
    default:
        return fail(e, v->line, "%s cannot be written as JSON", yaml_kind_name(v->kind));
    }
}

/* Keys in JSON are text: json.dumps writes other keys as quoted JSON. */
static bool key_to_json(const struct yaml_value *key, struct buf *out, struct yaml_error *e)
{
    bool is_text = key->kind == YAML_IS_TEXT;
    if (!is_text)
        buf_addc(out, '"');
    if (!scalar_to_json(key, out, e))
        return false;
    if (!is_text)
        buf_addc(out, '"');
    buf_adds(out, ": ");
    return true;
}

static bool to_json(const struct yaml_value *v, struct buf *out, size_t limit, struct yaml_error *e,
                    int depth)
{
    if (out->len > limit || depth > MAX_DEPTH)
        return fail(e, v->line, "too large or too deep to be written as JSON");
    if (v->text)
        return scalar_to_json(v, out, e);
    buf_addc(out, v->kind == YAML_IS_MAP ? '{' : '[');
    for (const struct yaml_item *item = v->first; item; item = item->next) {
        if (item != v->first)
            buf_adds(out, ", ");
        if (item->key && !key_to_json(item->key, out, e))
            return false;
        if (!to_json(item->value, out, limit, e, depth + 1))
            return false;
    }
    buf_addc(out, v->kind == YAML_IS_MAP ? '}' : ']');
    return true;
}

bool yaml_to_json(const struct yaml_value *v, struct buf *out, struct yaml_error *e)
{
    return to_json(v, out, out->len + MAX_JSON, e, 0);
}

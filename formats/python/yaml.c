/* Builds YAML values from libyaml's events by the rules of PyYAML. */
#include "formats/python/yaml_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>
#include <yaml.h>

#include "common/arena.h"
#include "common/array.h"

enum { MAX_ANCHORS = 1000 };

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
    struct buf scratch; /* of yaml_resolve_…() */
    struct level levels[YAML_MAX_DEPTH];
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

bool yaml_fail(struct yaml_error *e, unsigned line, const char *fmt, ...)
{
    e->line = line;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->what, sizeof e->what, fmt, ap);
    va_end(ap);
    return false;
}

/* -- building the tree */

static struct yaml_value *new_value(struct yaml_reader *r, const yaml_event_t *event, enum yaml_kind kind)
{
    if (++r->n_values > YAML_MAX_VALUES) {
        yaml_fail(r->error, (unsigned)event->start_mark.line + 1, "more than %d values", YAML_MAX_VALUES);
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
            return yaml_fail(r->error, line, "a list or map cannot be a key");
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
        return yaml_fail(r->error, v->line, "more than %d anchors", MAX_ANCHORS);
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
        good = yaml_resolve_plain(v, is_key, &r->scratch, r->error);
    else if (!event->data.scalar.quoted_implicit && event->data.scalar.tag)
        good = yaml_resolve_tagged(v, (const char *)event->data.scalar.tag, is_key, &r->scratch, r->error);
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
        return yaml_fail(r->error, line, "undefined alias %.100s", name);
    for (int i = 0; i < r->depth; i++)
        if (r->levels[i].value == v)
            return yaml_fail(r->error, line, "recursive alias %.100s", name);
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
        return yaml_fail(r->error, v->line, "the tag %.100s is not supported", (const char *)tag);
    if (r->depth == YAML_MAX_DEPTH)
        return yaml_fail(r->error, v->line, "nested deeper than %d levels", YAML_MAX_DEPTH);
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
            return yaml_fail(r->error, (unsigned)event->start_mark.line + 1, "a second document begins");
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
    yaml_fail(e, line, "%s%s%s", parser->context ? parser->context : "", parser->context ? ": " : "",
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
        return yaml_fail(e, 1, "the text is UTF-16, but MLflow reads UTF-8");
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

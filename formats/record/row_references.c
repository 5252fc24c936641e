/* Finds and changes references in rows of kind `row`. */
#include "formats/record/row_references.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Spaces of identities. */
enum { BY_KEY = 96, BY_LINK, WHOLE };

struct row_editor {
    struct row_decoder *decoder;
    struct buf out;
};

struct row_editor *row_editor_new(void)
{
    struct row_editor *ed = xcalloc(1, sizeof *ed);
    ed->decoder = row_decoder_new();
    return ed;
}

void row_editor_free(struct row_editor *ed)
{
    if (!ed)
        return;
    row_decoder_free(ed->decoder);
    buf_free(&ed->out);
    free(ed);
}

/* Visits one value. Returns -1: the visitor failed, 1: the value was changed, 0: it was not. */
static int visit_value(struct value *v, unsigned flags, row_visitor *visit, void *arg, struct err *e)
{
    char digits[24];
    struct value text = *v;
    int64_t number;
    if (v->type == VALUE_INT) {
        snprintf(digits, sizeof digits, "%" PRId64, v->i);
        text = value_str(digits);
    }
    if (!value_is_text(&text))
        return 0;
    struct value before = text;
    if (!visit(arg, flags, &text, e))
        return -1;
    if (value_same(&before, &text))
        return 0;
    if (v->type != VALUE_INT) {
        *v = text;
        return 1;
    }
    if (!value_parse_int(text.s, text.len, &number)) {
        err_set(e, NULL, "the new id is not a number, as the table requires");
        return -1;
    }
    *v = value_int(number);
    return 1;
}

static bool applies(const struct row_ref *ref, const struct row_table *t, const struct row_entry *entries,
                    int n)
{
    if (strcmp(ref->table, t->name) != 0)
        return false;
    if (ref->by[0] == '\0')
        return true;
    const struct row_entry *by = row_entry_find(entries, n, ref->by, strlen(ref->by));
    return by && value_eqs(&by->v, ref->text);
}

bool row_edit(struct row_editor *ed, struct record *r, unsigned flags, row_visitor *visit, void *arg,
              struct err *e)
{
    struct row_entry entries[ROW_MAX_COLUMNS];
    const struct row_entry *decoded;
    const struct row_table *t = row_table_of(r);
    bool changed = false;
    if (!t)
        return true;
    int n = row_decode(ed->decoder, r, &decoded, e);
    if (n < 0)
        return false;
    memcpy(entries, decoded, (size_t)n * sizeof *entries);
    for (int i = 0; i < row_refs_count; i++) {
        const struct row_ref *ref = &row_refs[i];
        if (!(ref->flags & flags) || !applies(ref, t, entries, n))
            continue;
        const struct row_entry *found = row_entry_find(entries, n, ref->column, strlen(ref->column));
        int done = found ? visit_value(&entries[found - entries].v, ref->flags & flags, visit, arg, e) : 0;
        if (done < 0)
            return false;
        changed |= done > 0;
    }
    if (!changed)
        return true;
    buf_reset(&ed->out);
    row_encode(entries, n, &ed->out);
    r->v[F_row_values] = (struct value){.type = VALUE_MAP, .len = (uint32_t)ed->out.len, .s = ed->out.data};
    return true;
}

struct id_key row_identity(struct row_editor *ed, const struct record *r)
{
    const struct row_entry *entries;
    const struct row_table *t = row_table_of(r);
    int n = t ? row_decode(ed->decoder, r, &entries, NULL) : -1;
    if (n < 0)
        return id_key(WHOLE, r->v, 2);
    struct buf key = {0};
    row_key(t, entries, n, &key);
    struct value parts[2] = {value_str(t->name),
                             {.type = VALUE_BIN, .len = (uint32_t)key.len, .s = key.data}};
    struct id_key id = id_key(BY_KEY, parts, 2);
    buf_free(&key);
    return id;
}

/* The identity of the columns by which the rows of child refer to their parent. */
static struct id_key link_key(const struct row_table *child, const struct row_entry *entries, int n)
{
    struct value parts[ROW_MAX_COLUMNS];
    int used = 0;
    parts[used++] = value_str(child->name);
    for (const char *p = child->link; *p && used < ROW_MAX_COLUMNS;) {
        size_t len = strcspn(p, ",");
        const struct row_entry *found = row_entry_find(entries, n, p, len);
        parts[used++] = found ? found->v : value_null();
        p += len + (p[len] == ',');
    }
    return id_key(BY_LINK, parts, used);
}

void row_each_child(struct row_editor *ed, const struct record *r, void (*see)(void *arg, struct id_key),
                    void *arg)
{
    const struct row_entry *entries;
    const struct row_table *t = row_table_of(r);
    int n = t ? row_decode(ed->decoder, r, &entries, NULL) : -1;
    for (int i = 0; n >= 0 && i < row_tables_count; i++)
        if (strcmp(row_tables[i].parent, t->name) == 0)
            see(arg, link_key(&row_tables[i], entries, n));
}

bool row_parent(struct row_editor *ed, const struct record *r, struct id_key *parent)
{
    const struct row_entry *entries;
    const struct row_table *t = row_table_of(r);
    int n = t && t->parent[0] ? row_decode(ed->decoder, r, &entries, NULL) : -1;
    if (n >= 0)
        *parent = link_key(t, entries, n);
    return n >= 0;
}

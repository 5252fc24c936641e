#include "formats/schema/needs.h"

#include <stdio.h>
#include <string.h>

struct word {
    const char *at;
    size_t len;
};

enum { WORDS = 4 };

struct reader {
    struct schema_needs *needs;
    int rev;
    const char *text;         /* behind the last word */
    struct word words[WORDS]; /* the last ones, the newest first */
    struct word table;        /* that the statement makes or alters */
    bool makes, makes_if;     /* it makes it; only IF NOT EXISTS */
    bool index;               /* the statement makes an index, whose table is still to come */
};

static bool is(struct word w, const char *text)
{
    return w.len == strlen(text) && memcmp(w.at, text, w.len) == 0;
}

/* The next word, or `;`; comments are none. *text moves behind it. */
static struct word next_word(const char **text)
{
    static const char between[] = " \n(),";
    const char *p = *text + strspn(*text, between);
    while (strncmp(p, "--", 2) == 0) {
        p += strcspn(p, "\n");
        p += strspn(p, between);
    }
    size_t n = *p == ';' ? 1 : strcspn(p, " \n(),;");
    *text = p + n;
    return (struct word){p, n};
}

static bool is_name(struct word w)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    return w.len > 0 && w.len < 64 && strspn(w.at, letters) >= w.len;
}

static const struct word none = {NULL, 0};

static void add_word(struct buf *row, struct word w)
{
    if (w.at)
        buf_addf(row, "'%.*s'", (int)w.len, w.at);
    else
        buf_adds(row, "NULL");
}

/* more: further columns, each preceded by a comma. */
static void add_row(const struct reader *r, struct buf *rows, struct word a, struct word b, const char *more)
{
    if ((a.at && !is_name(a)) || (b.at && !is_name(b)))
        return;
    buf_adds(rows, ",\n(");
    add_word(rows, a);
    buf_adds(rows, ", ");
    add_word(rows, b);
    buf_addf(rows, "%s, %d)", more, r->rev);
}

static const char *truth(bool b)
{
    return b ? "true" : "false";
}

/* The words before the current one. */
static bool follows(const struct reader *r, const char *before_last, const char *last)
{
    return is(r->words[2], before_last) && is(r->words[1], last);
}

/* The type of a column stands up to what else is said of it. */
static void add_column(struct reader *r, struct word column, bool may_be_there)
{
    static const char *const ends[] = {" DEFAULT", " NOT NULL"};
    const char *type = r->text + strspn(r->text, " ");
    size_t whole = strcspn(type, ",;"), n = whole;
    for (int i = 0; i < 2; i++) {
        const char *end = memmem(type, n, ends[i], strlen(ends[i]));
        n = end ? (size_t)(end - type) : n;
    }
    struct buf more = {0};
    buf_addf(&more, ", '%.*s', %s, %s", (int)n, type, truth(may_be_there),
             truth(memmem(type, whole, ends[0], strlen(ends[0]))));
    add_row(r, &r->needs->added, r->table, column, buf_str(&more));
    buf_free(&more);
}

/* Statements that make relations and functions. */
static void read_made(struct reader *r)
{
    struct word w = r->words[0];
    bool if_not_exists = follows(r, "NOT", "EXISTS") && is(r->words[3], "IF");
    bool table = follows(r, "CREATE", "TABLE") && !is(w, "IF");
    if (table || (if_not_exists && !r->table.at)) {
        r->table = w;
        r->makes = true;
        r->makes_if = !table;
        add_row(r, &r->needs->made, w, w, table ? ", false" : ", true");
    } else if (is(r->words[1], "INDEX") && !is(r->words[2], "DROP")) {
        r->index = true;
        add_row(r, &r->needs->made, w, none, ", false");
    } else if (is(r->words[1], "ON") && r->index) {
        r->index = false;
        add_row(r, &r->needs->used, w, none, ", 'OWN'");
    } else if (follows(r, "REPLACE", "FUNCTION"))
        add_row(r, &r->needs->functions, w, none, "");
    else if (is(r->words[2], "CONSTRAINT") && !is(r->words[3], "DROP")) {
        char more[16];
        bool key = is(w, "PRIMARY") || is(w, "UNIQUE");
        snprintf(more, sizeof more, ", %s, %s", truth(key), truth(r->makes));
        add_row(r, &r->needs->keys, r->table, r->words[1], more);
        if (key)
            add_row(r, &r->needs->made, r->words[1], r->table, r->makes_if ? ", true" : ", false");
    }
}

/* Statements that change a table, or drop something. */
static void read_changed(struct reader *r)
{
    struct word w = r->words[0];
    if (follows(r, "ALTER", "TABLE")) {
        r->table = w;
        add_row(r, &r->needs->used, w, none, ", 'OWN'");
    } else if (follows(r, "DROP", "CONSTRAINT") && !is(w, "IF"))
        add_row(r, &r->needs->gone, r->table, w, "");
    else if (follows(r, "DROP", "INDEX"))
        add_row(r, &r->needs->gone, none, w, "");
    else if (follows(r, "ADD", "COLUMN") && !is(w, "IF"))
        add_column(r, w, false);
    else if (follows(r, "NOT", "EXISTS") && is(r->words[3], "IF") && !r->makes)
        add_column(r, w, true);
    else if (follows(r, "DROP", "COLUMN"))
        add_row(r, &r->needs->changed, r->table, w, ", 'drops'");
    else if (is(w, "TYPE") && is(r->words[2], "COLUMN"))
        add_row(r, &r->needs->changed, r->table, r->words[1], ", 'changes'");
    else if (is(r->words[1], "TO") && is(r->words[3], "COLUMN")) {
        add_row(r, &r->needs->changed, r->table, r->words[2], ", 'renames'");
        add_row(r, &r->needs->added, r->table, w, ", '', false, false");
    }
}

/* Statements that write rows, and keys that refer to a table. */
static void read_rows(struct reader *r)
{
    struct word w = r->words[0];
    bool begins = !r->words[2].at || is(r->words[2], ";");
    if (is(r->words[1], "REFERENCES"))
        add_row(r, &r->needs->used, w, r->table, ", 'REFERENCES'");
    else if (follows(r, "INSERT", "INTO"))
        add_row(r, &r->needs->written, w, none, ", 'INSERT'");
    else if (follows(r, "DELETE", "FROM"))
        add_row(r, &r->needs->written, w, none, ", 'DELETE'");
    else if (is(r->words[1], "UPDATE") && begins)
        add_row(r, &r->needs->written, w, none, ", 'UPDATE'");
}

/* What a block does depends on what it finds. */
static void skip_block(struct reader *r)
{
    const char *end = strstr(r->text, "$$");
    if (end)
        r->text = end + 2;
    add_row(r, &r->needs->plpgsql, none, none, "");
}

/* The words it looks for are those that migrations/ uses. */
void schema_needs_add(struct schema_needs *needs, int rev)
{
    struct reader r = {.needs = needs, .rev = rev, .text = schema_revisions[rev].postgresql};
    struct word w;
    while ((w = next_word(&r.text)).len > 0) {
        memmove(r.words + 1, r.words, (WORDS - 1) * sizeof *r.words);
        r.words[0] = w;
        if (is(w, ";")) {
            r.table = none;
            r.index = r.makes = r.makes_if = false;
        } else if (is(w, "$$"))
            skip_block(&r);
        else {
            read_made(&r);
            read_changed(&r);
            read_rows(&r);
        }
    }
}

void schema_needs_free(struct schema_needs *needs)
{
    struct buf *all[] = {&needs->made, &needs->functions, &needs->keys,    &needs->added,  &needs->changed,
                         &needs->gone, &needs->used,      &needs->written, &needs->plpgsql};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buf_free(all[i]);
}

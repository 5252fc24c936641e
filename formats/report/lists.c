/* Copies lines of the journal to the page as tables and lists, up to a number of lines and of bytes. */
#include <string.h>

#include "common/array.h"
#include "common/utf8.h"
#include "formats/report/internal.h"

enum {
    MESSAGES = 500, /* of one list */
    ITEMS = 30,     /* of the list of what to do */
    VALUES = 500,   /* conflicts or values overwritten */
    TICKS = 500,
    STRUCTURE = 200,
    LIST_BYTES = 600 << 10, /* of one list; there are at most five beside the failures */
    FAILURE_BYTES = 1500 << 10,
};

/* A list as it is copied. */
struct list {
    struct page *p;
    struct journal_reader *journal;
    struct journal_line line;
    uint64_t all, shown, most; /* lines: of its type, those on the page, and how many may be */
    uint64_t until;            /* the page's bytes at which it ends */
    bool open;                 /* a row is open, to which hints belong */
};

static struct list begin(struct page *p, uint64_t most, uint64_t bytes)
{
    return (struct list){.p = p, .journal = journal_read(), .most = most, .until = p->bytes + bytes};
}

static bool has_room(const struct list *l)
{
    return l->shown < l->most && l->p->bytes < l->until;
}

static int next(struct list *l, struct err *e)
{
    return journal_next(l->journal, &l->line, e);
}

static bool is(const struct list *l, const char *type)
{
    return strcmp(l->line.field[0], type) == 0;
}

/* The next line of a type for which there is room; counts it, and those that are passed over. */
static int next_shown(struct list *l, const char *type, struct err *e)
{
    int got;
    while ((got = next(l, e)) == 1) {
        bool fits = is(l, type) && has_room(l);
        l->all += is(l, type);
        l->shown += fits;
        if (fits)
            break;
    }
    return got;
}

static void put_cut(struct page *p, uint64_t shown, uint64_t total, const char *what)
{
    if (shown >= total)
        return;
    page_put(p, "<p class=\"cut\">");
    page_number(p, shown);
    page_put(p, " of ");
    page_number(p, total);
    page_putf(p, " %s are shown; ", what);
    page_number(p, total - shown);
    page_put(p, " more are not.</p>\n");
}

/* A cell of a table that becomes a line of its own, with its label, where the page is narrow. */
static void put_cell(struct page *p, const char *label, const char *class, const char *text)
{
    page_putf(p, "<td data-label=\"%s\"><span class=\"%s\">", label, class);
    page_short(p, text);
    page_put(p, "</span></td>");
}

/* -- messages */

enum { MESSAGE_PROGRAM = 3, MESSAGE_WHERE = 4, MESSAGE_TEXT = 5 };

static bool is_wanted(const struct list *l, unsigned levels, int topic)
{
    return data_level(&l->line) < LEVEL_COUNT && (levels & 1u << data_level(&l->line)) &&
           data_topic(&l->line) == topic;
}

static void close_row(struct list *l)
{
    if (l->open)
        page_put(l->p, "</td></tr>\n");
    l->open = false;
}

static void put_message(struct list *l)
{
    close_row(l);
    page_put(l->p, "<tr>");
    const char *where = l->line.field[MESSAGE_WHERE];
    put_cell(l->p, "Where", *where ? "text" : "dim", *where ? where : l->line.field[MESSAGE_PROGRAM]);
    page_put(l->p, "<td data-label=\"What\">");
    page_short(l->p, l->line.field[MESSAGE_TEXT]);
    l->open = true;
    l->shown++;
}

static void put_hint(struct list *l)
{
    page_put(l->p, "<p class=\"hint\">Hint: ");
    page_short(l->p, l->line.field[MESSAGE_TEXT]);
    page_put(l->p, "</p>");
}

bool list_messages(struct page *p, unsigned levels, int topic, uint64_t total, struct err *e)
{
    struct list l = begin(p, MESSAGES, LIST_BYTES);
    int got;
    page_put(p, "<table class=\"wide messages\"><thead><tr><th scope=\"col\">Where</th>"
                "<th scope=\"col\">What</th></tr></thead><tbody>\n");
    while ((got = next(&l, e)) == 1) {
        if (!is(&l, "message"))
            continue;
        if (data_level(&l.line) == LEVEL_COUNT) {
            if (l.open)
                put_hint(&l);
        } else if (is_wanted(&l, levels, topic) && has_room(&l)) {
            put_message(&l);
        } else {
            close_row(&l);
        }
    }
    close_row(&l);
    page_put(p, "</tbody></table>\n");
    put_cut(p, l.shown, total, "messages");
    journal_reader_free(l.journal);
    return got == 0;
}

bool list_items(struct page *p, int topic, struct err *e)
{
    struct list l = begin(p, ITEMS, LIST_BYTES);
    bool follows = false;
    int got;
    while ((got = next(&l, e)) == 1) {
        bool hint = data_level(&l.line) == LEVEL_COUNT;
        if (!is(&l, "message") || (hint && !follows))
            continue;
        if (hint) {
            put_hint(&l);
            continue;
        }
        page_put(p, follows ? "</li>\n" : "");
        follows = data_topic(&l.line) == topic && has_room(&l);
        if (!follows)
            continue;
        page_put(p, "<li>");
        page_short(p, l.line.field[MESSAGE_TEXT]);
        l.shown++;
    }
    page_put(p, follows ? "</li>\n" : "");
    journal_reader_free(l.journal);
    return got == 0;
}

/* -- experiments */

static void put_period(struct page *p, const char *first, const char *last)
{
    for (int i = 0; i < 2; i++) {
        page_put(p, "<td class=\"date\">");
        if (*first)
            page_date(p, data_int(i ? last : first), false);
        else
            page_put(p, "–");
        page_put(p, "</td>");
    }
}

bool list_experiments(struct page *p, const struct data *d, struct err *e)
{
    static const char *const columns[] = {"Id", "Runs", "Metric points", "Traces", "Models"};
    struct list l = begin(p, UINT64_MAX, LIST_BYTES);
    int got;
    page_put(
        p,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Experiments\"><table><thead><tr>"
        "<th scope=\"col\">Experiment</th>");
    for (size_t i = 0; i < ARRAY_LENGTH(columns); i++)
        page_putf(p, "<th scope=\"col\"%s>%s</th>", i ? " class=\"number\"" : "", columns[i]);
    page_put(p, "<th scope=\"col\">First run</th><th scope=\"col\">Last run</th></tr></thead><tbody>\n");
    while ((got = next_shown(&l, "experiment", e)) == 1) {
        page_put(p, "<tr><th scope=\"row\" class=\"name\">");
        page_short(p, l.line.field[2]);
        if (strcmp(l.line.field[3], "active") != 0) {
            page_put(p, " <span class=\"dim\">(");
            page_short(p, l.line.field[3]);
            page_put(p, ")</span>");
        }
        page_put(p, "</th><td>");
        page_short(p, l.line.field[1]);
        page_put(p, "</td>");
        for (int i = 4; i < 8; i++) {
            page_put(p, "<td class=\"number\">");
            page_number(p, (uint64_t)data_int(l.line.field[i]));
            page_put(p, "</td>");
        }
        put_period(p, l.line.field[8], l.line.field[9]);
        page_put(p, "</tr>\n");
    }
    page_put(p, "</tbody></table></div>\n");
    put_cut(p, l.shown, d->experiments, "experiments, those with the most runs,");
    journal_reader_free(l.journal);
    return got == 0;
}

/* -- what ml-verify found */

bool list_structure(struct page *p, struct err *e)
{
    struct list l = begin(p, STRUCTURE, LIST_BYTES);
    int got;
    page_put(p, "<ul>\n");
    while ((got = next_shown(&l, "structure", e)) == 1) {
        page_put(p, "<li>");
        page_short(p, l.line.field[1]);
        page_put(p, "</li>\n");
    }
    page_put(p, "</ul>\n");
    put_cut(p, l.shown, l.all, "differences of the structure");
    journal_reader_free(l.journal);
    return got == 0;
}

static void begin_kind(struct page *p, const struct data *d, enum kind k)
{
    page_putf(p, "<h3>%s: ", kinds[k].plural);
    page_number(p, d->kind[k].total - d->kind[k].passed);
    page_putf(
        p,
        "</h3>\n<table class=\"wide values\"><thead><tr><th scope=\"col\">%s</th><th scope=\"col\">Field</th>"
        "<th scope=\"col\">Source</th><th scope=\"col\">Target</th></tr></thead><tbody>\n",
        kinds[k].singular);
}

static void end_kind(struct page *p, const struct data *d, enum kind k, uint64_t shown)
{
    page_put(p, "</tbody></table>\n");
    put_cut(p, shown, d->kind[k].total - d->kind[k].passed, "that differ");
}

/* The name of an entity; and, where only one side has it, that side's cells. */
static void put_failure(struct list *l, const char *const *field)
{
    const char *verdict = field[2], *rest = *field[4] ? field[4] : "there";
    page_put(l->p, "<tr>");
    page_put(l->p, "<th scope=\"row\">");
    page_short(l->p, field[3]);
    page_put(l->p, "</th>");
    if (strcmp(verdict, "different") == 0)
        return;
    bool missing = strcmp(verdict, "missing") == 0;
    page_put(l->p, "<td></td>");
    put_cell(l->p, "Source", missing ? "text" : "absent", missing ? rest : "not there");
    put_cell(l->p, "Target", missing ? "word bad" : "text", missing ? "missing" : rest);
    page_put(l->p, "</tr>\n");
}

static void put_field(struct list *l, bool first)
{
    page_put(l->p, first ? "" : "<tr><td></td>");
    put_cell(l->p, "Field", "", l->line.field[1]);
    page_values(l->p, l->line.field[2], l->line.field[3], l->line.field[4]);
    page_put(l->p, "</tr>\n");
}

bool list_failures(struct page *p, const struct data *d, struct err *e)
{
    struct list l = begin(p, UINT64_MAX, FAILURE_BYTES);
    enum kind in = KIND_COUNT;
    bool shows = false, first = false;
    int got;
    while ((got = next(&l, e)) == 1) {
        if (is(&l, "field") && shows)
            put_field(&l, first);
        first = false;
        enum kind k = is(&l, "failure") ? data_kind(l.line.field[1]) : KIND_COUNT;
        if (k == KIND_COUNT)
            continue;
        shows = has_room(&l);
        if (k != in) {
            if (in < KIND_COUNT)
                end_kind(p, d, in, l.shown);
            begin_kind(p, d, k);
            in = k;
            l.shown = 0;
        }
        if (!shows)
            continue;
        put_failure(&l, l.line.field);
        l.shown++;
        first = true;
    }
    if (in < KIND_COUNT)
        end_kind(p, d, in, l.shown);
    journal_reader_free(l.journal);
    return got == 0;
}

/* -- of a sync */

bool list_ticks(struct page *p, struct err *e)
{
    struct list l = begin(p, TICKS, LIST_BYTES);
    int got;
    page_put(p, "<table class=\"wide\"><thead><tr><th scope=\"col\">Source</th><th scope=\"col\">Time</th>"
                "<th scope=\"col\">Result</th></tr></thead><tbody>\n");
    while ((got = next_shown(&l, "tick", e)) == 1) {
        page_put(p, "<tr>");
        put_cell(p, "Source", "text", l.line.field[1]);
        put_cell(p, "Time", "date", l.line.field[2]);
        put_cell(p, "Result", data_int(l.line.field[3]) >= EXIT_TROUBLE ? "word bad" : "", l.line.field[4]);
        page_put(p, "</tr>\n");
    }
    page_put(p, "</tbody></table>\n");
    put_cut(p, l.shown, l.all, "sources");
    journal_reader_free(l.journal);
    return got == 0;
}

bool list_values(struct page *p, const char *type, uint64_t total, struct err *e)
{
    struct list l = begin(p, VALUES, LIST_BYTES);
    int got;
    page_put(
        p, "<table class=\"wide values\"><thead><tr><th scope=\"col\">Entity</th><th scope=\"col\">Field</th>"
           "<th scope=\"col\">Source</th><th scope=\"col\">Target</th></tr></thead><tbody>\n");
    while ((got = next_shown(&l, type, e)) == 1) {
        page_put(p, "<tr><th scope=\"row\">");
        page_short(p, l.line.field[1]);
        page_put(p, "</th>");
        put_cell(p, "Field", "", l.line.field[2]);
        page_values(p, l.line.field[3], l.line.field[4], "");
        page_put(p, "</tr>\n");
    }
    page_put(p, "</tbody></table>\n");
    put_cut(p, l.shown, total, "values");
    journal_reader_free(l.journal);
    return got == 0;
}

/* The report of a run: its sections, in the order of page.html. */
#include "formats/report/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/file.h"
#include "formats/report/internal.h"

/* A report while it is written. */
struct context {
    const struct report *r;
    struct data data;
    struct page page;
    bool ok; /* so far */
    struct err error;
};

static bool is_failed(const struct context *c)
{
    return c->r->status >= EXIT_TROUBLE && !c->data.checked;
}

static bool differs(const struct context *c)
{
    return data_failures(&c->data) || strcmp(c->data.structure_verdict, "different") == 0;
}

static uint64_t count_topic(const struct context *c, int topic)
{
    uint64_t n = 0;
    for (int i = 0; i < LEVEL_COUNT; i++)
        n += c->data.messages[i][topic];
    return n;
}

/* Entities that are not in the target, as far as they are counted: a message each. */
static bool has_left_out(const struct context *c)
{
    return count_topic(c, ERR_LEFT_OUT) > 0 || c->data.all.dropped || c->data.all.held || c->data.conflicts;
}

/* -- the head */

static void put_title(struct context *c)
{
    static const char *const titles[] = {"Migration report", "Verification report", "Sync report"};
    page_put(&c->page, titles[c->r->of]);
    if (!c->r->target)
        return;
    page_put(&c->page, ": ");
    page_text(&c->page, c->r->target, strlen(c->r->target));
}

static void put_style(struct context *c)
{
    page_put(&c->page, report_page_css);
}

static void put_class(struct context *c)
{
    page_put(&c->page, is_failed(c) || differs(c) || c->r->status >= EXIT_TROUBLE      ? "bad"
                       : has_left_out(c) || c->r->status != EXIT_DONE || c->r->dry_run ? "warn"
                                                                                       : "good");
}

static void put_kind(struct context *c)
{
    static const char *const kinds_of[] = {"Migration", "Verification", "Sync"};
    page_put(&c->page, kinds_of[c->r->of]);
    page_put(&c->page, c->r->dry_run ? " · dry run" : "");
}

static void put_headline(struct context *c)
{
    static const char *const failed[] = {"Nothing was migrated", "The verification could not be completed",
                                         "The sync failed"};
    static const char *const done[] = {"Everything was migrated and verified",
                                       "The database equals its source", "Everything is in sync"};
    static const char *const some[] = {"Migrated and verified, with entities left out",
                                       "The database equals what the stream has",
                                       "Synced, with entities held back"};
    uint64_t n = data_failures(&c->data);
    if (is_failed(c)) {
        page_put(&c->page, failed[c->r->of]);
    } else if (n) {
        page_count(&c->page, n, "entity differs", "entities differ");
        page_put(&c->page, " from the source");
    } else if (differs(c)) {
        page_put(&c->page, "The structure of the database differs");
    } else if (c->r->dry_run) {
        page_put(&c->page, "Nothing was written: this was a rehearsal");
    } else {
        page_put(&c->page, has_left_out(c) ? some[c->r->of] : done[c->r->of]);
    }
}

static void put_lead(struct context *c)
{
    struct page *p = &c->page;
    if (is_failed(c)) {
        page_put(p, c->r->of == REPORT_VERIFICATION
                        ? "The reason is below."
                        : "The target is as it was. What has to be corrected is below.");
    } else if (c->data.checked) {
        page_put(p, "Each field of ");
        page_count(p, c->data.all.total, "entity", "entities");
        page_put(p, c->r->of == REPORT_SYNC ? " was compared with the target: "
                                            : " was compared in both directions: ");
        page_number(p, c->data.all.passed);
        page_put(p, c->data.all.passed == c->data.all.total ? ", all of them, are equal."
                    : c->data.all.passed == 1               ? " is equal."
                                                            : " are equal.");
    } else {
        page_put(p, c->r->dry_run ? "Every value was checked against the target." : "");
    }
}

static void put_fact(struct page *p, const char *name, const char *value)
{
    page_putf(p, "<dt>%s</dt><dd>", name);
    page_text(p, value, strlen(value));
    page_put(p, "</dd>\n");
}

static void put_facts(struct context *c)
{
    enum { SOURCES = 20 };
    struct page *p = &c->page;
    for (size_t i = 0; i < c->r->n_sources && i < SOURCES; i++)
        put_fact(p, "Source", c->r->sources[i]);
    if (c->r->n_sources > SOURCES)
        page_putf(p, "<dt>Source</dt><dd>and %zu more</dd>\n", c->r->n_sources - SOURCES);
    if (c->r->target)
        put_fact(p, "Target", c->r->target);
    if (c->data.first <= c->data.last) {
        page_put(p, "<dt>Runs from</dt><dd>");
        page_date(p, c->data.first, true);
        page_put(p, " to ");
        page_date(p, c->data.last, true);
        page_put(p, "</dd>\n");
    }
    put_fact(p, "Date", c->r->began);
}

/* -- numbers */

static void put_figure(struct page *p, const char *class, uint64_t n, const char *one, const char *many)
{
    page_putf(p, "<li%s%s%s><b>", *class ? " class=\"" : "", class, *class ? "\"" : "");
    page_number(p, n);
    page_putf(p, "</b><span>%s</span></li>\n", n == 1 ? one : many);
}

static void put_figures(struct context *c)
{
    static const enum kind shown[] = {KIND_experiment, KIND_run, KIND_metric, KIND_trace,
                                      KIND_registered_model};
    const struct data *d = &c->data;
    struct page *p = &c->page;
    if (!d->checked && !d->loaded && !d->synced)
        return;
    page_put(p, "<ul class=\"figures\">\n");
    for (size_t i = 0; i < ARRAY_LENGTH(shown); i++) {
        const struct counts *n = &d->kind[shown[i]];
        uint64_t all = d->checked ? n->total : n->rows + n->added + n->changed;
        if (all)
            put_figure(p, "", all, kinds[shown[i]].singular,
                       shown[i] == KIND_metric ? "Metric points" : kinds[shown[i]].plural);
    }
    if (d->checked)
        put_figure(p, data_failures(d) ? "bad" : "good", data_failures(d), "Difference", "Differences");
    page_put(p, "</ul>\n");
}

/* What a table of kinds shows, in the order of its columns. */
struct column {
    const char *title;
    bool wanted;
    size_t at; /* in struct counts */
    bool bad;  /* a number other than 0 is */
};

static uint64_t count_at(const struct counts *n, const struct column *column)
{
    return *(const uint64_t *)((const char *)n + column->at);
}

static void put_row(struct page *p, const char *name, const struct counts *n, const struct column *columns,
                    size_t n_columns, bool checked)
{
    page_putf(p, "<tr><th scope=\"row\">%s</th>", name);
    for (size_t i = 0; i < n_columns; i++) {
        if (!columns[i].wanted)
            continue;
        uint64_t x = count_at(n, &columns[i]);
        page_putf(p, "<td class=\"number%s\">", x == 0 ? " zero" : columns[i].bad ? " bad" : "");
        page_number(p, x);
        page_put(p, "</td>");
    }
    if (checked) {
        page_putf(p, "<td class=\"number%s\">", n->total > n->passed ? " bad" : " zero");
        page_number(p, n->total - n->passed);
        page_put(p, "</td>");
    }
    page_put(p, "</tr>\n");
}

static bool is_empty(const struct counts *n)
{
    static const struct counts none;
    return memcmp(n, &none, sizeof none) == 0;
}

static void put_kinds(struct context *c)
{
    const struct data *d = &c->data;
    struct page *p = &c->page;
    const struct column columns[] = {
        {c->r->dry_run ? "Would be loaded" : "Loaded", d->loaded, offsetof(struct counts, rows), false},
        {"Duplicates", d->all.collapsed > 0, offsetof(struct counts, collapsed), false},
        {"Left out", d->all.dropped > 0, offsetof(struct counts, dropped), true},
        {"Added", d->synced, offsetof(struct counts, added), false},
        {"Changed", d->synced, offsetof(struct counts, changed), false},
        {"Unchanged", d->synced, offsetof(struct counts, equal), false},
        {"Kept as in the target", d->all.kept > 0, offsetof(struct counts, kept), false},
        {"Held back", d->all.held > 0, offsetof(struct counts, held), false},
        {"In conflict", d->all.in_conflict > 0, offsetof(struct counts, in_conflict), true},
        {"Compared", d->checked, offsetof(struct counts, total), false},
        {"Equal", d->checked, offsetof(struct counts, passed), false},
    };
    if (!d->checked && !d->loaded && !d->synced)
        return;
    page_put(
        p, "<section><h2>By kind</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"By "
           "kind\"><table><thead><tr><th scope=\"col\">Kind</th>");
    for (size_t i = 0; i < ARRAY_LENGTH(columns); i++)
        if (columns[i].wanted)
            page_putf(p, "<th scope=\"col\" class=\"number\">%s</th>", columns[i].title);
    page_putf(p, "%s</tr></thead><tbody>\n",
              d->checked ? "<th scope=\"col\" class=\"number\">Different</th>" : "");
    for (int rank = 0; rank < 1000; rank++)
        for (int k = 0; k < KIND_COUNT; k++)
            if (kinds[k].report_rank == rank && !is_empty(&d->kind[k]))
                put_row(p, kinds[k].plural, &d->kind[k], columns, ARRAY_LENGTH(columns), d->checked);
    put_row(p, "All", &d->all, columns, ARRAY_LENGTH(columns), d->checked);
    page_put(p, "</tbody></table></div>\n</section>\n");
}

static void put_runs(struct context *c)
{
    if (c->data.first > c->data.last)
        return;
    page_put(&c->page, "<section><h2>Runs over time</h2>\n");
    chart_draw(&c->page, &c->data);
    page_put(&c->page, "</section>\n");
}

/* -- lists */

/* Writes a section around a list. */
static void begin(struct context *c, const char *title, const char *text)
{
    page_putf(&c->page, "<section><h2>%s</h2>\n", title);
    if (*text)
        page_putf(&c->page, "<p>%s</p>\n", text);
}

static void end(struct context *c, bool ok)
{
    page_put(&c->page, "</section>\n");
    c->ok = c->ok && ok;
}

static void put_messages(struct context *c, unsigned levels, int topic, const char *title, const char *text)
{
    uint64_t n = 0;
    for (int i = 0; i < LEVEL_COUNT; i++)
        n += levels & 1u << i ? c->data.messages[i][topic] : 0;
    if (n == 0 || !c->ok)
        return;
    begin(c, title, text);
    end(c, list_messages(&c->page, levels, topic, n, &c->error));
}

enum { ERRORS = 1 << LEVEL_ERROR, WARNINGS = 1 << LEVEL_WARNING, NOTES = 1 << LEVEL_NOTE };

static void put_problems(struct context *c)
{
    put_messages(c, ERRORS, ERR_GENERAL, "Problems", "");
}

static void put_left_out(struct context *c)
{
    put_messages(c, ERRORS | WARNINGS | NOTES, ERR_LEFT_OUT, "Left out or held back",
                 "These are in the source and not in the target, each with its file and the reason.");
}

static void put_converted(struct context *c)
{
    put_messages(c, ERRORS | WARNINGS | NOTES, ERR_CONVERTED, "Converted",
                 "These are in the target in the form in which MLflow itself stores them.");
}

static void put_other_messages(struct context *c)
{
    put_messages(c, WARNINGS, ERR_GENERAL, "Warnings", "");
    put_messages(c, NOTES, ERR_GENERAL, "Messages of the programs", "");
}

static void put_failures(struct context *c)
{
    if (!c->ok || !differs(c))
        return;
    begin(c, "Differences", "Left the source, right the target; what differs is marked.");
    if (c->data.structure_lines) {
        page_put(&c->page, "<h3>Structure of the database</h3>\n");
        c->ok = list_structure(&c->page, &c->error);
    }
    end(c, c->ok && list_failures(&c->page, &c->data, &c->error));
}

static void put_experiments(struct context *c)
{
    if (!c->ok || !c->data.shown_experiments)
        return;
    begin(c, "By experiment", "");
    end(c, list_experiments(&c->page, &c->data, &c->error));
}

static void put_ticks(struct context *c)
{
    if (!c->ok || !c->data.ticks)
        return;
    begin(c, "By source", "");
    end(c, list_ticks(&c->page, &c->error));
}

static void put_conflicts(struct context *c)
{
    if (c->ok && c->data.conflicts) {
        begin(c, "Conflicts", "Both sides have them with other values, and none may be overwritten.");
        end(c, list_values(&c->page, "conflict", c->data.conflicts, &c->error));
    }
    if (c->ok && c->data.overwritten) {
        begin(c, "Overwritten", "Values of the target that differed from the source&#39;s, which won.");
        end(c, list_values(&c->page, "overwritten", c->data.overwritten, &c->error));
    }
}

/* -- what to do */

static void put_command(struct page *p, const char *before, const char *command)
{
    page_putf(p, "<li>%s<pre>", before);
    page_text(p, command, strlen(command));
    page_put(p, "</pre></li>\n");
}

static void put_use(struct context *c)
{
    if (c->r->use && !is_failed(c) && !differs(c) && !c->r->dry_run)
        put_command(&c->page, "Make MLflow use the database:", c->r->use);
}

static void put_next(struct context *c)
{
    struct page *p = &c->page;
    page_put(p, "<section class=\"next\"><h2>What to do next</h2>\n<ul>\n");
    if (is_failed(c))
        page_put(p, "<li>Correct what is listed under Problems; a hint, where there is one, says how. "
                    "Then run the same command again: nothing is left over of this one.</li>\n");
    else if (differs(c))
        page_put(p,
                 "<li>Look at the differences below. Did something write to one side since the migration? "
                 "Otherwise migrate again into a new database, and keep this page for a bug report.</li>\n");
    else if (c->r->of == REPORT_VERIFICATION)
        page_put(p, "<li>Nothing: the database may be used.</li>\n");
    if (c->r->dry_run && !is_failed(c))
        page_put(p, "<li>Run the same command without <code>--dry-run</code>.</li>\n");
    put_use(c);
    if (!is_failed(c) && count_topic(c, ERR_LEFT_OUT))
        page_put(p, "<li>Look at what was left out, and whether it is missed. "
                    "The source was only read, so nothing is lost as long as it is kept.</li>\n");
    if (c->data.conflicts)
        page_put(p, "<li>Decide the conflicts: <code>--on-conflict</code> of ml-sync says how.</li>\n");
    if (!is_failed(c) && c->r->of == REPORT_SYNC)
        page_put(p, "<li>Nothing else: the next tick sends what is new.</li>\n");
    if (!is_failed(c))
        c->ok = c->ok && list_items(p, ERR_NEXT, &c->error);
    page_put(p, "</ul>\n</section>\n");
}

static void put_program(struct context *c)
{
    page_put(&c->page, err_program());
    page_put(&c->page, " (mlruns-tools) " MLRUNS_TOOLS_VERSION);
}

/* -- the page */

static void put_slot(struct context *c, const char *name, size_t len)
{
    static const struct {
        const char *name;
        void (*put)(struct context *c);
    } slots[] = {
        {"title", put_title},
        {"style", put_style},
        {"class", put_class},
        {"kind", put_kind},
        {"headline", put_headline},
        {"lead", put_lead},
        {"facts", put_facts},
        {"figures", put_figures},
        {"next", put_next},
        {"problems", put_problems},
        {"failures", put_failures},
        {"ticks", put_ticks},
        {"kinds", put_kinds},
        {"runs", put_runs},
        {"experiments", put_experiments},
        {"left_out", put_left_out},
        {"converted", put_converted},
        {"conflicts", put_conflicts},
        {"messages", put_other_messages},
        {"program", put_program},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(slots); i++)
        if (strlen(slots[i].name) == len && memcmp(slots[i].name, name, len) == 0)
            slots[i].put(c);
}

static bool put_page(void *arg, FILE *out)
{
    struct context *c = arg;
    c->page = (struct page){.out = out};
    for (const char *p = report_page_html; *p;) {
        const char *slot = strstr(p, "{{"), *slot_end = slot ? strstr(slot, "}}") : NULL;
        if (!slot_end) {
            page_put(&c->page, p);
            break;
        }
        page_putf(&c->page, "%.*s", (int)(slot - p), p);
        put_slot(c, slot + 2, (size_t)(slot_end - slot) - 2);
        p = slot_end + 2;
    }
    errno = c->ok ? errno : EIO;
    return c->ok;
}

char *report_time(void)
{
    char text[32];
    time_t t = time(NULL);
    struct tm tm;
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime_r(&t, &tm));
    return xstrdup(text);
}

bool report_may_write(const char *path, struct err *e)
{
    char *dir = file_dirname(path);
    struct stat st;
    bool exists = stat(path, &st) == 0;
    bool may = access(exists ? path : dir, W_OK) == 0 && (exists || access(dir, X_OK) == 0);
    if (may && exists && S_ISDIR(st.st_mode)) {
        may = false;
        errno = EISDIR;
    }
    if (!may)
        err_set(e, path, "cannot write the report: %s", strerror(errno));
    free(dir);
    return may;
}

bool report_write(const char *path, const struct report *r, struct err *e)
{
    struct context c = {.r = r, .ok = true};
    bool ok = data_read(&c.data, e) && file_write(path, put_page, &c, e);
    if (!c.ok)
        err_copy(e, &c.error);
    data_free(&c.data);
    return ok;
}

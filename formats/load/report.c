/* Prints ml-load's report to stderr. */
#include "formats/load/report.h"

#include <string.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/journal.h"
#include "common/progress.h"
#include "formats/load/places.h"
#include "formats/record/uri.h"

static void add_plain(struct buf *out, uint64_t n, const char *one, const char *many)
{
    buf_addf(out, "%llu %s", (unsigned long long)n, n == 1 ? one : many);
}

/* For the report of a run. */
static void journal_counts(const struct load_report *r, enum kind k)
{
    struct buf line = {0};
    journal_text(&line, "loaded");
    journal_text(&line, kinds[k].name);
    journal_count(&line, r->rows[k]);
    journal_count(&line, r->collapsed[k]);
    journal_count(&line, r->dropped[k]);
    journal_put(&line);
    buf_free(&line);
}

/* " (and 2 exact duplicates, which a database cannot hold) (and 1 dropped)" */
static void add_others(struct buf *out, const struct load_report *r, enum kind k)
{
    if (r->collapsed[k])
        buf_addf(out, " (and %llu exact duplicates, which a database cannot hold)",
                 (unsigned long long)r->collapsed[k]);
    if (r->dropped[k])
        buf_addf(out, " (and %llu dropped)", (unsigned long long)r->dropped[k]);
}

static void add_table_row(struct buf *out, const struct load_report *r, enum kind k)
{
    char number[32];
    progress_format_count(r->rows[k], number);
    buf_addf(out, "  %-24s %15s", kinds[k].plural, number);
    add_others(out, r, k);
    buf_addc(out, '\n');
}

/* A table on a terminal, else a message for each kind. */
static void report_counts(const struct load_report *r)
{
    struct buf table = {0};
    buf_addf(&table, "  %-24s %15s\n", "Kind", "Rows");
    const struct kind_desc *by_rank[KIND_COUNT] = {NULL};
    int n = 0;
    for (int k = 0; k < KIND_COUNT; k++) {
        if (!r->rows[k] && !r->dropped[k])
            continue;
        int i = n++;
        for (; i > 0 && by_rank[i - 1]->report_rank > kinds[k].report_rank; i--)
            by_rank[i] = by_rank[i - 1];
        by_rank[i] = &kinds[k];
    }
    for (int i = 0; i < n; i++) {
        enum kind k = by_rank[i]->kind;
        struct buf line = {0};
        journal_counts(r, k);
        add_table_row(&table, r, k);
        buf_addf(&line, "  %s: %llu", by_rank[i]->plural, (unsigned long long)r->rows[k]);
        add_others(&line, r, k);
        if (!err_is_terminal())
            err_note("%s", buf_str(&line));
        buf_free(&line);
    }
    if (err_is_terminal())
        err_block(buf_str(&table));
    buf_free(&table);
}

/* Whether something was dropped. */
bool load_report_dropped(const struct load_report *r)
{
    for (int k = 0; k < KIND_COUNT; k++) {
        if (r->dropped[k])
            return true;
        for (int f = 0; f < kinds[k].n_fields; f++)
            if (r->dropped_values[k][f])
                return true;
    }
    return false;
}

static bool report_dropped(const struct load_report *r)
{
    bool any = false;
    for (int k = 0; k < KIND_COUNT; k++) {
        any |= r->dropped[k] > 0;
        if (r->dropped[k])
            err_warn(NULL, "dropped on request: %llu %s", (unsigned long long)r->dropped[k], kinds[k].plural);
        for (int f = 0; f < kinds[k].n_fields; f++) {
            if (!r->dropped_values[k][f])
                continue;
            any = true;
            err_warn(NULL, "dropped on request: the %s of %llu %s", kinds[k].fields[f].name,
                     (unsigned long long)r->dropped_values[k][f], kinds[k].plural);
        }
    }
    return any;
}

/* Reports converted rows of databases from before a revision. */
static void report_old_rows(const struct load_report *r)
{
    struct buf b = {0};
    if (r->converted_metrics) {
        add_plain(&b, r->converted_metrics, "row", "rows");
        err_note("%s of span_metrics and trace_metrics went into columns of spans and trace_info, where "
                 "MLflow stores them since 3.17",
                 buf_str(&b));
        buf_reset(&b);
    }
    if (r->other_counts) {
        add_plain(&b, r->other_counts, "token count differs", "token counts differ");
        err_note("%s between trace_metrics and the trace's metadata: the former was taken, as in MLflow's "
                 "upgrade",
                 buf_str(&b));
        buf_reset(&b);
    }
    if (r->converted_issues) {
        add_plain(&b, r->converted_issues, "issue", "issues");
        err_note("%s got a time at which they were last seen, and rows of their categories, as in MLflow's "
                 "upgrade to 3.18",
                 buf_str(&b));
        buf_reset(&b);
    }
    if (r->unfinished_jobs) {
        add_plain(&b, r->unfinished_jobs, "job is", "jobs are");
        err_note("%s not finished: an MLflow server started on this database will run them (to cancel them, "
                 "as MLflow's upgrade to 3.17 does: UPDATE jobs SET status = 5 WHERE status IN (0, 1, 6))",
                 buf_str(&b));
        buf_reset(&b);
    }
    buf_free(&b);
}

void load_report_locations(const struct load_report *r)
{
    struct buf b = {0};
    if (r->traces_located) {
        add_plain(&b, r->traces_located, "trace reads its spans", "traces read their spans");
        err_note("%s from the database: traces.json can be deleted, but no other artifact", buf_str(&b));
        buf_reset(&b);
    }
    if (r->traces_not_located) {
        add_plain(&b, r->traces_not_located, "trace keeps reading its spans",
                  "traces keep reading their spans");
        err_note("%s from files, as MLflow would not return all of them unchanged from the database",
                 buf_str(&b));
        buf_reset(&b);
    }
    buf_free(&b);
}

/* What MLflow keeps of traces beside their own rows, in the releases that do. */
static void report_spans(const struct load_report *r)
{
    struct buf b = {0};
    if (r->spans_left) {
        add_plain(&b, r->spans_left, "span has no table in this release's database, and stays in its file",
                  "spans have no table in this release's database, and stay in their files");
        err_note("%s", buf_str(&b));
        buf_reset(&b);
    }
    load_report_locations(r);
    if (r->span_costs)
        add_plain(&b, r->span_costs, "cost of a span", "costs of spans");
    if (r->token_counts) {
        buf_adds(&b, b.len ? ", " : "");
        add_plain(&b, r->token_counts, "token count", "token counts");
    }
    if (r->prompt_links) {
        buf_adds(&b, b.len ? ", " : "");
        add_plain(&b, r->prompt_links, "link to a prompt", "links to prompts");
    }
    if (b.len)
        err_note("created rows from spans and traces, as MLflow of this release does: %s", buf_str(&b));
    buf_free(&b);
}

static void report_conversions(const struct load_report *r)
{
    struct buf b = {0};
    if (r->model_nans) {
        add_plain(&b, r->model_nans, "NaN metric of a logged model was", "NaN metrics of logged models were");
        err_note("%s stored as 0.0: MLflow's server fails on NULL", buf_str(&b));
        buf_reset(&b);
    }
    if (r->version_models) {
        add_plain(&b, r->version_models, "model version names", "model versions name");
        err_note("%s a logged model (model_id) that only a file store keeps: MLflow's databases have no "
                 "column for it",
                 buf_str(&b));
        buf_reset(&b);
    }
    if (r->cut_names || r->cut_sessions)
        err_note("truncated to their columns, as by MLflow: %llu trace names (4096 characters), %llu "
                 "sessions (250)",
                 (unsigned long long)r->cut_names, (unsigned long long)r->cut_sessions);
    if (r->cut_models[0] || r->cut_models[1])
        err_note("truncated to their columns, as by MLflow: %llu model names and %llu model providers (500 "
                 "characters)",
                 (unsigned long long)r->cut_models[0], (unsigned long long)r->cut_models[1]);
    if (r->usage_losses) {
        add_plain(&b, r->usage_losses, "trace or span has", "traces or spans have");
        err_note("%s token usage or cost that MLflow's columns can hold only in part", buf_str(&b));
        buf_reset(&b);
    }
    if (r->added_workspaces) {
        add_plain(&b, r->added_workspaces, "workspace", "workspaces");
        err_note("%s without a row in the stream: each got one with only its name", buf_str(&b));
        buf_reset(&b);
    }
    if (r->workspaces)
        err_note("there are workspaces other than the default: MLflow's server opens this database only with "
                 "--enable-workspaces (ml-schema migrate-to-default-workspace merges them)");
    err_topic_set(ERR_COUNTS);
    if (r->skipped)
        err_warn(NULL, "the stream's producer left out %llu entities of the source",
                 (unsigned long long)r->skipped);
    err_topic_set(ERR_CONVERTED);
    buf_free(&b);
}

/* "5 artifact locations, the spans of 1 trace and 2 archived traces" */
static void add_counts(struct buf *out, const struct load_root *root)
{
    const char *between[] = {"", " and ", ", "};
    int left = (root->locations > 0) + (root->spans > 0) + (root->archived > 0), n = left;
    if (root->locations)
        add_plain(out, root->locations, "artifact location", "artifact locations");
    left -= root->locations > 0;
    if (root->spans) {
        buf_addf(out, "%sthe spans of ", root->locations ? between[1 + (left > 1)] : "");
        add_plain(out, root->spans, "trace", "traces");
    }
    if (root->archived) {
        buf_adds(out, n > 1 ? between[1] : "");
        add_plain(out, root->archived, "archived trace", "archived traces");
    }
}

/* Appends the path of a local URI, quoted for a shell. */
static void add_path(struct buf *out, struct uri u, const char *end)
{
    struct buf path = {0};
    while (u.p < u.end)
        buf_addc(&path, uri_next_byte(&u));
    buf_adds(&path, end);
    buf_add_shell_word(out, buf_str(&path));
    buf_free(&path);
}

/* Appends the option that moves URIs from below the root to below new. False if it cannot be expressed. */
static bool add_rule(struct buf *out, const char *root, bool file, const char *new)
{
    struct buf rule = {0};
    for (const char *p = root; *p; p++) {
        if (*p == '=' && !file) {
            buf_free(&rule);
            return false;
        }
        buf_adds(&rule, *p == '=' ? "%3D" : (char[]){*p, '\0'});
    }
    buf_addf(&rule, "=%s", new);
    buf_adds(out, "--rewrite-uri ");
    buf_add_shell_word(out, buf_str(&rule));
    buf_free(&rule);
    return true;
}

static void report_local(const struct load_root *root, const char *counts)
{
    struct uri u = uri_of(root->uri, strlen(root->uri));
    struct buf rule = {0}, path = {0};
    bool with_scheme = uri_scheme(root->uri, strlen(root->uri)) > 0;
    bool posix = !u.drive && !strchr(root->uri, '\\');
    err_note("keep %s/%s: it has %s", root->uri,
             root->from_database ? " on the machine of the source's MLflow server" : "", counts);
    add_path(&path, u, "/.");
    bool ok = err_notes_wanted() && add_rule(&rule, root->uri, u.file, with_scheme ? "file:///NEW" : "/NEW");
    if (ok && posix)
        err_note_hint("to move them: cp -a %s /NEW, and load again through ml-transform %s", buf_str(&path),
                      buf_str(&rule));
    else if (ok)
        err_note_hint("to move them: copy that directory, and load again through ml-transform %s",
                      buf_str(&rule));
    buf_free(&path);
    buf_free(&rule);
}

static void report_remote(const struct load_root *root, const char *counts)
{
    struct buf rule = {0};
    bool proxied = strncmp(root->uri, "mlflow-artifacts:", 17) == 0;
    err_note("%s/ has %s: %s", root->uri, counts,
             proxied ? "the MLflow server finds them if its --artifacts-destination is that of the source's"
                     : "MLflow finds them as before");
    if (err_notes_wanted() && add_rule(&rule, root->uri, false, "URI"))
        err_note_hint("if you copy them elsewhere: load again through ml-transform %s", buf_str(&rule));
    buf_free(&rule);
}

static void report_places(const struct load_report *r)
{
    struct buf counts = {0};
    for (int i = 0; i <= LOAD_MAX_ROOTS; i++) {
        const struct load_root *root = &r->roots[i];
        struct value uri = value_str(root->uri);
        buf_reset(&counts);
        add_counts(&counts, root);
        if (counts.len == 0)
            continue;
        if (root->uri[0] == '\0')
            err_note("in other places: %s", buf_str(&counts));
        else if (load_place_is_local(&uri))
            report_local(root, buf_str(&counts));
        else
            report_remote(root, buf_str(&counts));
    }
    buf_free(&counts);
}

static void report_about_files(const struct load_report *r)
{
    struct buf b = {0};
    report_places(r);
    if (r->deleted_experiments) {
        add_plain(&b, r->deleted_experiments, "deleted experiment has its", "deleted experiments have their");
        err_note("%s files in the source's .trash: move the directory back before you restore the experiment",
                 buf_str(&b));
        buf_reset(&b);
    }
    if (r->undated_deleted_runs) {
        add_plain(&b, r->undated_deleted_runs, "deleted run has", "deleted runs have");
        err_note("%s no time of deletion: `mlflow gc` never collects them", buf_str(&b));
    }
    buf_free(&b);
}

bool load_report_print(const struct load_report *r)
{
    err_topic_set(ERR_COUNTS);
    report_counts(r);
    err_topic_set(ERR_CONVERTED);
    report_spans(r);
    report_conversions(r);
    report_old_rows(r);
    err_topic_set(ERR_LEFT_OUT);
    bool dropped = report_dropped(r);
    err_topic_set(ERR_NEXT);
    report_about_files(r);
    err_topic_set(ERR_GENERAL);
    return dropped;
}

/* ml-verify: holds a record stream against a database, field by field, both ways. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/io.h"
#include "common/opt.h"
#include "common/progress.h"
#include "formats/database/db.h"
#include "formats/database/interrupt.h"
#include "formats/stream/json.h"
#include "common/sort.h"
#include "formats/verify/verify.h"
#include "formats/stream/wire.h"

static bool exact, as_json;
static uint64_t max_failures = UINT64_MAX;
static const char *tmpdir;

static const struct opt options[] = {
    {OPT_FLAG, 0, "exact", NULL, "compare floats bit for bit, not within a relative 1e-9", &exact},
    {OPT_FLAG, 0, "json", NULL, "print a JSON object per failure, then one with the counts", &as_json},
    {OPT_SIZE, 0, "max-failures", "N", "show at most N failures; all are counted (default: show all)",
     &max_failures},
    {OPT_STRING, 0, "tmpdir", "DIR", "folder of temporary files (default: that of the database)", &tmpdir},
    {.type = OPT_END},
};
static const struct opt_spec spec = {
    .synopsis = "ml-verify [--exact] [--json] [--max-failures N] [--tmpdir DIR] [URL]",
    .about =
        "Reads a record stream from standard input and compares it with MLflow's tracking database, every\n"
        "field of every entity, in both directions: what is missing, what differs, what is there beside it.\n"
        "URL is sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database; by\n"
        "default $MLFLOW_BACKEND_STORE_URI, $MLFLOW_TRACKING_URI or sqlite:///mlflow.db.",
    .options = options,
    .epilog =
        "Exit status: 0 all is equal, 1 something differs, 2 the stream or the database could not be read.",
};

/* Failures wait here for the lines that come before them. */
static struct sorter *shown;
static uint64_t n_shown;

/* -- text */

enum { SHOWN_CHARACTERS = 400, BEFORE_DIFFERENCE = 60 };

/* Long texts are shown from shortly before their first difference. */
static void cut_to_difference(struct value *a, struct value *b, size_t *start)
{
    *start = 0;
    if (!value_has_bytes(a) || !value_has_bytes(b) ||
        (a->len <= SHOWN_CHARACTERS && b->len <= SHOWN_CHARACTERS))
        return;
    size_t same = 0;
    while (same < a->len && same < b->len && a->s[same] == b->s[same])
        same++;
    size_t from = same > BEFORE_DIFFERENCE ? same - BEFORE_DIFFERENCE : 0;
    while (from && ((unsigned char)a->s[from] & 0xc0) == 0x80)
        from--;
    *start = from;
    a->s += from;
    a->len -= (uint32_t)from;
    b->s += from;
    b->len -= (uint32_t)from;
}

static void add_value(struct buf *out, struct value v, size_t start)
{
    bool cut = value_has_bytes(&v) && v.len > SHOWN_CHARACTERS;
    if (cut) {
        v.len = SHOWN_CHARACTERS;
        while (v.len && ((unsigned char)v.s[v.len] & 0xc0) == 0x80)
            v.len--;
    }
    buf_adds(out, start && value_has_bytes(&v) ? "…" : "");
    value_describe(&v, out);
    buf_adds(out, cut ? "…" : "");
}

/* What identifies an entity beside its name: ": version=3", "" when its name is all. */
static void add_rest_of_key(struct buf *out, const struct record *r, const char *before)
{
    bool first = true;
    for (int i = 0; i < r->kind->n_fields; i++) {
        const struct field_desc *f = &r->kind->fields[i];
        bool key = f->flags & FIELD_K, named = first || (f->flags & (FIELD_Q | FIELD_WS));
        first = first && !key;
        if (!key || named)
            continue;
        buf_addf(out, "%s%s=", before, f->name);
        add_value(out, r->v[i], 0);
        before = ", ";
    }
}

static void add_text(struct buf *out, const struct verify_failure *f)
{
    buf_addf(out, "FAILED: %s\n", f->name);
    for (int i = 0; i < f->n_diffs; i++) {
        struct value source = f->diffs[i].source, target = f->diffs[i].target;
        size_t start;
        cut_to_difference(&source, &target, &start);
        buf_addf(out, "  - Field '%s': source=", f->diffs[i].field);
        add_value(out, source, start);
        buf_adds(out, ", target=");
        add_value(out, target, start);
        buf_addc(out, '\n');
    }
    if (f->verdict != VERIFY_DIFFERENT) {
        buf_adds(out, f->verdict == VERIFY_MISSING ? "  - missing in target" : "  - not in source");
        add_rest_of_key(out, f->record, ": ");
        buf_addc(out, '\n');
    } else if (err_level() > 0) {
        size_t before = out->len;
        add_rest_of_key(out, f->record, "  - where ");
        if (out->len > before)
            buf_addc(out, '\n');
    }
    buf_addc(out, '\n');
}

/* -- JSON */

static void add_json_float(struct buf *out, double f)
{
    char text[32];
    value_format_float(f, text);
    buf_addf(out, isfinite(f) ? "%s" : "{\"$float\":\"%s\"}", text);
}

static void add_json_value(struct buf *out, const struct value *v)
{
    struct buf text = {0};
    switch (v->type) {
    case VALUE_NULL:
        buf_adds(out, "null");
        break;
    case VALUE_INT:
        buf_addf(out, llabs(v->i) >> 53 || v->i == INT64_MIN ? "{\"$int\":\"%" PRId64 "\"}" : "%" PRId64,
                 v->i);
        break;
    case VALUE_FLOAT:
        add_json_float(out, v->f);
        break;
    case VALUE_BOOL:
        buf_adds(out, v->b ? "true" : "false");
        break;
    case VALUE_STR:
        json_quote_ascii(v->s, v->len, out);
        break;
    case VALUE_BIN:
    case VALUE_MAP:
    case VALUE_ALIEN:
        value_describe(v, &text);
        json_quote_ascii(buf_str(&text), text.len, out);
        break;
    }
    buf_free(&text);
}

static void add_json_key(struct buf *out, const struct record *r)
{
    const char *before = "{";
    for (int i = 0; i < r->kind->n_fields; i++) {
        if (!(r->kind->fields[i].flags & FIELD_K))
            continue;
        buf_addf(out, "%s\"%s\":", before, r->kind->fields[i].name);
        add_json_value(out, &r->v[i]);
        before = ",";
    }
    buf_addc(out, '}');
}

/* A row's table and the columns of its key. */
static void add_json_row_key(struct buf *out, const struct verify_failure *f)
{
    const struct row_table *t = row_table_of(f->record);
    buf_adds(out, "{\"table\":");
    add_json_value(out, &f->record->v[F_row_table]);
    for (const char *p = t ? t->key : ""; *p; p += *p == ',') {
        size_t len = strcspn(p, ",");
        const struct row_entry *entry = row_entry_find(f->row, f->n_row, p, len);
        const struct value null = value_null();
        buf_addf(out, ",\"%.*s\":", (int)len, p);
        add_json_value(out, entry ? &entry->v : &null);
        p += len;
    }
    buf_addc(out, '}');
}

static void add_json(struct buf *out, const struct verify_failure *f)
{
    static const char *const words[] = {"different", "missing", "extra"};
    buf_addf(out, "{\"failure\":\"%s\",\"kind\":\"%s\",\"name\":", words[f->verdict], f->record->kind->name);
    json_quote_ascii(f->name, strlen(f->name), out);
    buf_adds(out, ",\"key\":");
    if (f->record->kind->kind == KIND_row)
        add_json_row_key(out, f);
    else
        add_json_key(out, f->record);
    buf_adds(out, ",\"fields\":[");
    for (int i = 0; i < f->n_diffs; i++) {
        buf_addf(out, "%s{\"field\":\"%s\",\"source\":", i ? "," : "", f->diffs[i].field);
        add_json_value(out, &f->diffs[i].source);
        buf_adds(out, ",\"target\":");
        add_json_value(out, &f->diffs[i].target);
        buf_addc(out, '}');
    }
    buf_adds(out, "]}\n");
}

/* -- the report */

static void take_failure(const struct verify_failure *f, void *arg)
{
    struct buf *text = arg;
    struct err e;
    if (n_shown == max_failures)
        return;
    n_shown++;
    buf_reset(text);
    if (as_json)
        add_json(text, f);
    else
        add_text(text, f);
    if (!sorter_add(shown, "", 0, text->data, text->len, &e))
        err_die(&e);
}

static void print_failures(void)
{
    struct sort_entry item;
    struct err e;
    int more = sorter_finish(shown, &e) ? 1 : -1;
    while (more > 0 && (more = sorter_next(shown, &item, &e)) > 0)
        fwrite(item.data, 1, item.data_len, stdout);
    if (more < 0)
        err_die(&e);
}

static bool is_reported(const struct kind_desc *k)
{
    return kind_is_entity(k) || k->kind == KIND_row;
}

/* The kinds in the order of the report. */
static const struct kind_desc *kind_at(int order)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (kinds[i].order == order && is_reported(&kinds[i]))
            return &kinds[i];
    return NULL;
}

static int last_order(void)
{
    int last = 0;
    for (int i = 0; i < KIND_COUNT; i++)
        last = is_reported(&kinds[i]) && kinds[i].order > last ? kinds[i].order : last;
    return last;
}

static void print_text(const struct verify_result *r)
{
    puts("Migration Verification Report\n=============================\n");
    for (int order = 0; order <= last_order(); order++) {
        const struct kind_desc *k = kind_at(order);
        if (k && r->kind[k->kind].total)
            printf("%s: %" PRIu64 "/%" PRIu64 " passed\n", k->plural, r->kind[k->kind].passed,
                   r->kind[k->kind].total);
    }
    putchar('\n');
    print_failures();
    if (r->failures > n_shown)
        printf("%" PRIu64 " more failures are not shown (--max-failures)\n\n", r->failures - n_shown);
    printf("Status: %s\n", r->failures ? "FAILED" : "SUCCESS");
}

static void print_json(const struct verify_result *r, uint64_t skipped)
{
    const char *before = "";
    print_failures();
    printf("{\"status\":\"%s\",\"failures\":%" PRIu64 ",\"shown\":%" PRIu64 ",\"skipped\":%" PRIu64
           ",\"duplicates\":%" PRIu64 ",\"unplaced\":%" PRIu64 ",\"default_experiment\":%s,\"kinds\":{",
           r->failures ? "FAILED" : "SUCCESS", r->failures, n_shown, skipped, r->duplicates, r->unplaced,
           r->default_experiment ? "true" : "false");
    for (int order = 0; order <= last_order(); order++) {
        const struct kind_desc *k = kind_at(order);
        if (!k || !r->kind[k->kind].total)
            continue;
        printf("%s\"%s\":{\"passed\":%" PRIu64 ",\"total\":%" PRIu64 "}", before, k->name,
               r->kind[k->kind].passed, r->kind[k->kind].total);
        before = ",";
    }
    puts("}}");
}

static void print_notes(const struct verify_result *r, uint64_t skipped)
{
    if (skipped)
        err_warn("the stream", "its producer left %" PRIu64 " entities out; those are not verified", skipped);
    if (r->duplicates)
        err_note("%" PRIu64 " points of the stream are exact duplicates, which a database holds once",
                 r->duplicates);
    if (r->unplaced)
        err_note("%" PRIu64 " values of trace metadata have no form that this schema keeps", r->unplaced);
    if (r->underived)
        err_note("this schema is older than latest_metrics: %" PRIu64 " of them are not compared",
                 r->underived);
    if (r->server_tables)
        err_note("%" PRIu64
                 " tables that MLflow's server fills by itself, or of secrets, are not the stream's",
                 r->server_tables);
    if (r->default_experiment)
        err_note(
            "the database has an empty experiment Default, which MLflow's server adds; the stream has none");
}

/* -- reading */

static void add_record(struct verify *v, const struct record *r, uint64_t *skipped, struct err *e)
{
    if (r->kind->kind == KIND_skipped) {
        struct buf path = {0};
        value_describe(&r->v[F_skipped_path], &path);
        err_verbose("left out by the producer: %s", buf_str(&path));
        buf_free(&path);
        ++*skipped;
    } else if (!verify_add(v, r, e)) {
        err_die(e);
    }
    progress_add(1);
    if (err_interrupted())
        err_exit_interrupted();
}

static uint64_t read_stream(struct verify *v)
{
    struct wire_reader *r = wire_reader_new(STDIN_FILENO, "standard input");
    const struct record *record;
    uint64_t skipped = 0;
    struct err e;
    wire_reader_want_whole(r);
    progress_start("reading", "records", 0);
    for (;;) {
        switch (wire_next(r, &record, &e)) {
        case WIRE_ERROR:
            db_die(&e);
        case WIRE_END:
            progress_end();
            wire_reader_free(r);
            return skipped;
        case WIRE_HEADER:
            verify_segment(v, wire_reader_header(r));
            break;
        case WIRE_RECORD:
            add_record(v, record, &skipped, &e);
            break;
        case WIRE_TRAILER:
            break;
        }
    }
}

static struct db *open_database(int argc, char **argv, int first, struct db_url *u)
{
    if (argc - first > 1)
        opt_usage_error(&spec, "one database URL is enough: %s", argv[first + 1]);
    return db_open_for_program(argv[first], &tmpdir, u);
}

int main(int argc, char **argv)
{
    static struct db_url u; /* for as long as the program runs, like what follows */
    struct err e;
    struct buf text = {0};
    struct verify_result result;
    err_program_set(argv[0]);
    io_claim_standard_files();
    int first = opt_parse(&spec, argc, argv, NULL);
    if (isatty(STDIN_FILENO))
        opt_usage_error(&spec, "a record stream is expected on standard input, as from mlruns-dump");
    err_catch_signals();
    struct db *db = open_database(argc, argv, first, &u);
    struct verify_options o = {.exact = exact, .tmpdir = tmpdir, .failure = take_failure, .arg = &text};
    struct verify *v = verify_new(db, &o, &e);
    if (!v) {
        err_report(&e);
        return EXIT_TROUBLE;
    }
    shown = sorter_new(o.tmpdir, 1 << 20);
    uint64_t skipped = read_stream(v);
    progress_start("comparing", "records", 0);
    if (!verify_compare(v, &result, &e))
        db_die(&e);
    progress_end();
    if (as_json)
        print_json(&result, skipped);
    else
        print_text(&result);
    print_notes(&result, skipped);
    verify_free(v);
    sorter_free(shown);
    buf_free(&text);
    db_url_free(&u);
    io_close_stdout();
    return result.failures ? EXIT_ANSWER_NO : EXIT_DONE;
}

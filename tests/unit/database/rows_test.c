/* The list of other tables against the schema itself, and their rows as records. */
#include "common/array.h"
#include "formats/database/row_cursor.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "formats/schema/schema.h"
#include "tests/unit/tap.h"

static struct db *db;

static void open_head(void)
{
    struct err e = {0};
    struct db_url u;
    const char *dir = getenv("TMPDIR");
    char *path = xasprintf("%s/rows_test.%ld.db", dir && *dir ? dir : "/tmp", (long)getpid());
    char *url = xasprintf("sqlite:///%s", path);
    db = db_url_parse(url, &u, &e) ? db_open(&u, DB_CREATE, &e) : NULL;
    unlink(path); /* it lives as long as it is open */
    if (!db || !db_exec(db, "PRAGMA journal_mode = MEMORY", &e) || !schema_create(db, schema_head, &e))
        err_die(&e);
    db_url_free(&u);
    free(url);
    free(path);
}

static char *query(const char *sql)
{
    struct err e;
    char *text = NULL;
    if (!db_query_text(db, sql, &text, &e))
        err_die(&e);
    return text ? text : xstrdup("");
}

/* Every table of the newest schema is a kind's or in the list, and the list has no other. */
static void test_tables(void)
{
    struct err e;
    int listed = 0, unknown = 0;
    struct db_stmt *s = db_prepare(
        db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'",
        &e);
    while (db_step(s, &e) > 0) {
        struct value name;
        bool kind = false;
        db_column(s, 0, &name);
        for (int i = 0; i < KIND_COUNT; i++)
            kind = kind || value_eqs(&name, kinds[i].table);
        if (row_table_by_name(name.s, name.len))
            listed++;
        else if (!kind && !value_eqs(&name, "alembic_version"))
            printf("# %.*s is not in entities.def (%d)\n", (int)name.len, name.s, ++unknown);
    }
    db_finalize(s);
    is_int(unknown, 0, "every table of the newest schema is in entities.def");
    is_int(listed, row_tables_count, "every table in entities.def is in the newest schema");
}

static bool has_columns(const char *table, const char *columns)
{
    struct db_columns c;
    struct err e;
    bool all = db_table_columns(db, table, &c, &e);
    for (const char *p = columns; all && *p; p += *p == ',') {
        char name[64];
        size_t len = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)len, p);
        all = db_columns_find(&c, name) != NULL;
        p += len;
    }
    db_columns_free(&c);
    return all;
}

static void test_columns(void)
{
    int wrong = 0;
    for (int i = 0; i < row_tables_count; i++) {
        const struct row_table *t = &row_tables[i], *parent = row_table_by_name(t->parent, strlen(t->parent));
        char *sql =
            xasprintf("SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info('%s') WHERE pk > 0"
                      " ORDER BY pk)",
                      t->name);
        char *key = query(sql);
        if (strcmp(key, t->key) != 0)
            printf("# %s: its primary key is %s, not %s (%d)\n", t->name, key, t->key, ++wrong);
        if (t->parent[0] &&
            (!parent || parent >= t || !has_columns(t->name, t->link) || !has_columns(t->parent, t->link)))
            printf("# %s: wrong parent (%d)\n", t->name, ++wrong);
        free(key);
        free(sql);
    }
    is_int(wrong, 0, "keys are the tables' primary keys, parents come first and have the columns");
    wrong = 0;
    for (int i = 0; i < row_refs_count; i++)
        if (!has_columns(row_refs[i].table, row_refs[i].column) ||
            !has_columns(row_refs[i].table, row_refs[i].by) ||
            !row_table_by_name(row_refs[i].table, strlen(row_refs[i].table)))
            printf("# %s.%s: no such column (%d)\n", row_refs[i].table, row_refs[i].column, ++wrong);
    is_int(wrong, 0, "what refers to something is there");
    /* Every column of these names refers to what they say, in every table of the list. */
    static const struct {
        const char *column;
        unsigned flag;
    } names[] = {{"experiment_id", FIELD_EXP},
                 {"workspace", FIELD_WS},
                 {"trace_id", FIELD_TRACE},
                 {"request_id", FIELD_TRACE}};
    for (size_t n = 0; n < ARRAY_LENGTH(names); n++) {
        for (int i = 0; i < row_tables_count; i++) {
            bool listed = !has_columns(row_tables[i].name, names[n].column);
            for (int r = 0; r < row_refs_count; r++)
                listed = listed || (strcmp(row_refs[r].table, row_tables[i].name) == 0 &&
                                    (row_refs[r].flags & names[n].flag) &&
                                    strcmp(row_refs[r].column, names[n].column) == 0);
            if (!listed)
                printf("# %s.%s is not in the list (%d)\n", row_tables[i].name, names[n].column, ++wrong);
        }
    }
    is_int(wrong, 0, "nothing that refers to an experiment, a workspace or a trace is forgotten");
}

static void test_values(void)
{
    struct row_entry in[] = {
        {"a", 1, value_int(-1)},           {"b", 1, value_null()},     {"c", 1, value_float(-0.0)},
        {"d", 1, value_str("te\xc3\xbc")}, {"e", 1, value_bool(true)}, {"f", 1, value_text("\xff\0", 2)},
        {"g", 1, value_int(INT64_MIN)},    {"h", 1, value_float(NAN)}, {"i", 1, value_int(INT64_MAX)},
    };
    enum { N = ARRAY_LENGTH(in) };
    struct buf map = {0};
    struct record r;
    struct err e;
    const struct row_entry *out;
    row_encode(in, N, &map);
    record_init(&r, KIND_row);
    r.v[F_row_table] = value_str("spans");
    r.v[F_row_values] = (struct value){.type = VALUE_MAP, .len = (uint32_t)map.len, .s = map.data};
    struct row_decoder *d = row_decoder_new();
    int n = row_decode(d, &r, &out, &e);
    bool same = n == N - 1;
    for (int i = 0, j = 0; same && i < N; i++)
        if (!value_is_null(&in[i].v)) {
            same = out[j].column_len == 1 && out[j].column[0] == in[i].column[0] &&
                   value_same(&out[j].v, &in[i].v);
            j++;
        }
    ok(same, "values of every type come back, nulls are left out");
    r.v[F_row_values] = (struct value){.type = VALUE_MAP,
                                       .len = 4,
                                       .s = "\x81\xa1"
                                            "a\x90"};
    ok(row_decode(d, &r, &out, &e) == -1 && strstr(e.where, "spans"), "a value that is a list is an error");
    row_decoder_free(d);
    buf_free(&map);
}

static void test_rows(void)
{
    struct err e;
    struct record r;
    struct buf text = {0};
    int n;
    db_exec(
        db,
        "INSERT INTO webhooks (webhook_id, name, url, secret) VALUES ('b', 'n', 'u', 'hidden'), ('a', 'n', "
        "'u', NULL),"
        "('B', 'n', 'u', NULL);"
        "INSERT INTO evaluation_dataset_records (dataset_record_id, dataset_id, inputs, outputs, input_hash)"
        " VALUES ('x', 'y', '{\"a\": 1}', '1.50', 'h')",
        &e);
    struct rows_cursor *c = rows_open(db, row_table_by_name("webhooks", 8), ROWS_ORDERED, NULL, &e);
    while (rows_next(c, &r, &e) > 0) {
        const struct row_entry *entries = rows_entries(c, &n);
        row_describe(row_table_of(&r), entries, n, &text);
        buf_adds(&text, row_entry_find(entries, n, "secret", 6) ? " secret" : "");
    }
    is_str(buf_str(&text), "webhooks (webhook_id=B)webhooks (webhook_id=a)webhooks (webhook_id=b)",
           "rows by key, without secrets");
    is_int((int64_t)rows_secrets(c), 1, "secrets that were left out are counted");
    rows_close(c);
    c = rows_open(db, row_table_by_name("webhooks", 8), ROWS_WITH_SECRETS, "x.webhook_id = 'b'", &e);
    const struct row_entry *secret =
        rows_next(c, &r, &e) > 0 ? row_entry_find(rows_entries(c, &n), n, "secret", 6) : NULL;
    ok(secret && value_eqs(&secret->v, "hidden"), "with secrets, on a condition");
    rows_close(c);
    c = rows_open(db, row_table_by_name("evaluation_dataset_records", 26), 0, NULL, &e);
    const struct row_entry *entry =
        rows_next(c, &r, &e) > 0 ? row_entry_find(rows_entries(c, &n), n, "outputs", 7) : NULL;
    ok(entry && value_eqs(&entry->v, "1.5") && rows_is_json(c, "outputs", 7),
       "JSON is text, whatever SQLite made of it");
    rows_close(c);
    buf_free(&text);
}

int main(void)
{
    open_head();
    test_tables();
    test_columns();
    test_values();
    test_rows();
    db_close(db);
    return done_testing();
}

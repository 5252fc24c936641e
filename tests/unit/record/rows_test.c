/* Rows: which table a record is of. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/buf.h"
#include "formats/record/msgpack.h"
#include "formats/record/rows.h"
#include "tests/unit/tap.h"

static struct value packed(const struct row_entry *entries, int n, struct buf *out)
{
    buf_reset(out);
    row_encode(entries, n, out);
    return (struct value){.type = VALUE_MAP, .len = (uint32_t)out->len, .s = out->data};
}

static const struct row_table *table_of(const char *table, const char *const *columns, int n)
{
    struct row_entry entries[ROW_MAX_COLUMNS];
    struct buf b = {0};
    struct record r;
    for (int i = 0; i < n; i++)
        entries[i] = (struct row_entry){columns[i], strlen(columns[i]), value_int(i)};
    record_init(&r, KIND_row);
    r.v[F_row_table] = value_str(table);
    r.v[F_row_values] = packed(entries, n, &b);
    const struct row_table *t = row_table_of(&r);
    buf_free(&b);
    return t;
}

static void test_tables(void)
{
    static const char *const input[] = {"source_type",    "source_id", "destination_type",
                                        "destination_id", "mood",      "input_uuid"};
    static const char *const tag[] = {"input_uuid", "name", "mood", "value"};
    ok(table_of("inputs", input, 6) == row_table_by_name("inputs", 6), "a row of inputs");
    ok(!table_of("inputs", input, 5), "a column besides of an input, with its key");
    ok(!table_of("inputs", input + 4, 2), "and with another key");
    ok(table_of("input_tags", tag, 4) == row_table_by_name("input_tags", 10), "a row of input_tags");
    ok(!table_of("input_tags", tag, 3), "a column besides of an input's tag");
    ok(table_of("webhooks", tag, 1) == row_table_by_name("webhooks", 8),
       "other tables have their name alone");
    ok(!table_of("runs", input, 6), "a table of kinds has no rows");
}

/* A map with values of all types and lengths, and `last`. */
static void test_keys(void)
{
    enum { LONG = 70000 };
    char *text = xcalloc(1, LONG);
    memset(text, 'x', LONG);
    struct value values[] = {value_bool(true),
                             value_bool(false),
                             value_float(0.5),
                             value_int(0),
                             value_int(127),
                             value_int(-1),
                             value_int(-32),
                             value_int(200),
                             value_int(60000),
                             value_int(1 << 20),
                             value_int(INT64_C(1) << 40),
                             value_int(-100),
                             value_int(-30000),
                             value_int(-(1 << 20)),
                             value_int(INT64_MIN),
                             value_strn(text, 31),
                             value_strn(text, 255),
                             value_strn(text, 65535),
                             value_strn(text, LONG),
                             {.type = VALUE_BIN, .len = 200, .s = text},
                             {.type = VALUE_BIN, .len = 60000, .s = text},
                             {.type = VALUE_BIN, .len = LONG, .s = text}};
    enum { N = ARRAY_LENGTH(values) };
    struct row_entry entries[N + 1];
    struct buf b = {0};
    int found = 0, wrong = 0;
    for (int i = 0; i < N; i++)
        entries[i] = (struct row_entry){text, 40 + (size_t)i, values[i]};
    entries[N] = (struct row_entry){"last", 4, value_int(1)};
    struct value map = packed(entries, N + 1, &b);
    ok(unpack_has_key(map.s, map.len, "last"), "after values of all types");
    ok(!unpack_has_key(map.s, map.len, "las") && !unpack_has_key(map.s, map.len, "lasts"),
       "not a part of it");
    for (int i = 0; i < N; i++) {
        struct row_entry two[] = {entries[i], {"last", 4, values[i]}};
        map = packed(two, 2, &b);
        found += unpack_has_key(map.s, map.len, "last");
        for (uint32_t len = 0; len < map.len && len < 100; len++) { /* a block of its own, for sanitizers */
            char *cut = xcalloc(1, len + 1);
            memcpy(cut, map.s, len);
            wrong += unpack_has_key(cut, len, "nowhere");
            free(cut);
        }
    }
    is_int(found, N, "after each of them");
    is_int(wrong, 0, "a map that is cut has not what was never in it");
    ok(!unpack_has_key("\x81\xa1", 2, "a") && !unpack_has_key("\xa4last", 5, "last"),
       "a cut key, and no map");
    ok(!unpack_has_key("\x82\x90\x01\xa4last\x01", 8, "last"), "not a map of scalars");
    buf_free(&b);
    free(text);
}

int main(void)
{
    test_tables();
    test_keys();
    return done_testing();
}

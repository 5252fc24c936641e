/* Parts of the reading of file stores: numbers, times, names, and what the readers give for a tree made here.
 */
#include "common/array.h"
#include "tests/unit/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "formats/filestore/internal.h"

static void test_int(void)
{
    static const struct {
        const char *text;
        enum number result;
        int64_t value;
    } cases[] = {
        {"0", NUMBER_GOOD, 0},
        {"007", NUMBER_GOOD, 7},
        {"-12", NUMBER_GOOD, -12},
        {"+12", NUMBER_GOOD, 12},
        {"1_000", NUMBER_GOOD, 1000},
        {" 5\t", NUMBER_GOOD, 5},
        {"123456789012345678", NUMBER_GOOD, 123456789012345678},
        {"9223372036854775807", NUMBER_GOOD, INT64_MAX},
        {"-9223372036854775808", NUMBER_GOOD, INT64_MIN},
        {"9223372036854775808", NUMBER_TOO_LARGE, 0},
        {"-9223372036854775809", NUMBER_TOO_LARGE, 0},
        {"0000000000000000000000000000001", NUMBER_GOOD, 1},
        {"", NUMBER_BAD, 0},
        {"-", NUMBER_BAD, 0},
        {"1_", NUMBER_BAD, 0},
        {"_1", NUMBER_BAD, 0},
        {"1__0", NUMBER_BAD, 0},
        {"1.0", NUMBER_BAD, 0},
        {"1e3", NUMBER_BAD, 0},
        {"0x1", NUMBER_BAD, 0},
        {"1 2", NUMBER_BAD, 0},
        {"--1", NUMBER_BAD, 0},
        {"nan", NUMBER_BAD, 0},
        {"\v5\f", NUMBER_GOOD, 5},
        {"5\x1c", NUMBER_BAD, 0},
    };
    int64_t n;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        enum number result = python_int(cases[i].text, strlen(cases[i].text), &n);
        ok(result == cases[i].result && (result != NUMBER_GOOD || n == cases[i].value), "int('%s')",
           cases[i].text);
    }
    ok(python_int("1\0"
                  "2",
                  3, &n) == NUMBER_BAD,
       "a NUL is not part of an integer");
}

static void test_float(void)
{
    static const struct {
        const char *text;
        double value;
    } good[] = {
        {"0", 0.0},
        {"-0.0", -0.0},
        {"0.1", 0.1},
        {"5.", 5.0},
        {".5", 0.5},
        {"1e5", 1e5},
        {"1e-05", 1e-05},
        {"1_0.5", 10.5},
        {" 2.5\r", 2.5},
        {"inf", INFINITY},
        {"-Infinity", -INFINITY},
        {"1e400", INFINITY},
        {"-1e400", -INFINITY},
        {"5e-324", 5e-324},
        {"1e-400", 0.0},
        {"1.7976931348623157e+308", 1.7976931348623157e+308},
        {"0.84442185152504812", 0.84442185152504812},
        {"123456789012345678901234", 123456789012345678901234.0},
        {"9007199254740993", 9007199254740993.0},
        {"0.30000000000000004", 0.30000000000000004},
    };
    static const char *const bad[] = {"",   "-",    ".",      "e5",      "1e",  "1e+", "0x1p3", "1_e5",
                                      "_1", "1__0", "nan(1)", "infinit", "1,5", "1 2", "1.2.3", "2.5\x1f"};
    double x;

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        ok(python_float(good[i].text, strlen(good[i].text), &x) == NUMBER_GOOD &&
               memcmp(&x, &good[i].value, sizeof x) == 0,
           "float('%s')", good[i].text);
    ok(python_float("NaN", 3, &x) == NUMBER_GOOD && isnan(x), "float('NaN')");
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        ok(python_float(bad[i], strlen(bad[i]), &x) == NUMBER_BAD, "float('%s') is refused", bad[i]);
    ok(python_float("1\0"
                    "2",
                    3, &x) == NUMBER_BAD,
       "a NUL is not part of a float");
}

static void test_time(void)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2023-11-14T22:13:20.641Z", 1700000000641},
        {"2023-11-14T22:13:20.641999Z", 1700000000641},
        {"2023-11-14T22:13:20.6Z", 1700000000600},
        {"2023-11-14T22:13:20.123456789Z", 1700000000123},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2024-02-29T12:00:00+02:00", 1709200800000},
        {"2024-02-29T12:00:00-05:30", 1709227800000},
        {"0001-01-01T00:00:00Z", -62135596800000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    static const char *const bad[] = {
        "",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14 22:13:20Z",
        "2023-11-14t22:13:20Z",
        "2023-11-14T22:13:20z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20.1234567890Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-00-01T00:00:00Z",
        "2023-01-00T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:60:00Z",
        "2023-01-01T00:00:60Z",
        "2023-01-01T00:00:00Zx",
        "2023-01-01T00:00:00+0200",
        "1700000000000",
    };
    int64_t ms;

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        ms = -12345;
        ok(meta_parse_time(good[i].text, strlen(good[i].text), &ms), "%s is a time", good[i].text);
        is_int(ms, good[i].ms, "%s in ms", good[i].text);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        ok(!meta_parse_time(bad[i], strlen(bad[i]), &ms), "'%s' is not a time", bad[i]);
}

static void test_shown(void)
{
    is_str(walker_shown("plain text", 10), "plain text", "printable text is shown as it is");
    is_str(walker_shown("a\nb\xe9\0", 5), "a\\x0ab\\xe9\\x00", "other bytes are shown as \\xNN");
    is_str(walker_shown("\xc3\xa9", 2), "\xc3\xa9", "letters are shown as they are");
    char longer[80];
    memset(longer, 'x', sizeof longer);
    is_int((int64_t)strlen(walker_shown(longer, sizeof longer)), 63, "long text is cut");
    memset(longer, 1, sizeof longer);
    is_int((int64_t)strlen(walker_shown(longer, sizeof longer)), 243, "long text of other bytes, too");
}

/* -- a tree */

static char root[] = "/tmp/mlruns_test.XXXXXX";

static void write_file(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *p = full + 1; *p; p++) {
        if (*p == '/') {
            *p = '\0';
            mkdir(full, 0777);
            *p = '/';
        }
    }
    FILE *f = fopen(full, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) {
        printf("Bail out! %s: %s\n", full, strerror(errno));
        exit(1);
    }
}

static void count_name(void *ctx, const char *name, unsigned char type)
{
    (void)name;
    *(int *)ctx += type == DT_REG;
}

static void test_names(void)
{
    struct names_room *room = names_room_new("/tmp", NAMES_ROOM);
    struct names names = {.room = room};
    char *chunk = xmalloc(CHUNK_SIZE), last[NAMES_SIZE] = "";
    bool sorted = true;
    int n = 0;
    char path[600];
    for (int i = 0; i < 500; i++) {
        snprintf(path, sizeof path, "names/%d", i * 7919 % 1000);
        write_file(path, "");
    }
    write_file("few/b", "");
    write_file("few/a.b", "");
    write_file("few/a", "");
    write_file("few/\xc3\xa9", "");
    snprintf(path, sizeof path, "%s/few", root);
    int fd = dir_open(AT_FDCWD, path);
    struct name_list few;
    is_int(dir_list(&names, &few, fd, chunk), 0, "a directory is listed");
    close(fd);
    ok(names_next(&few) && strcmp(few.name, "a") == 0, "sorted, without . and ..");
    is_int(few.type, DT_REG, "with the type");
    ok(names_next(&few) && strcmp(few.name, "a.b") == 0, "by bytes");
    snprintf(path, sizeof path, "%s/names", root);
    fd = dir_open(AT_FDCWD, path);
    struct name_list many;
    is_int(dir_list(&names, &many, fd, chunk), 0, "a second one within it");
    for (; names_next(&many); n++) {
        sorted = sorted && strcmp(last, many.name) < 0;
        strcpy(last, many.name);
    }
    is_int(n, 500, "500 names");
    ok(sorted, "sorted, too");
    names_end(&many);
    n = 0;
    ok(lseek(fd, 0, SEEK_SET) == 0 && dir_each(fd, chunk, count_name, &n) == 0, "one by one");
    is_int(n, 500, "the same");
    close(fd);
    ok(names_next(&few) && strcmp(few.name, "b") == 0, "the first list is still there");
    ok(names_next(&few) && strcmp(few.name, "\xc3\xa9") == 0, "whatever the language");
    ok(!names_next(&few), "to its end");
    names_end(&few);
    is_int(dir_list(&names, &few, -1, chunk), EBADF, "what can't be listed gives the reason");
    names_free(&names);
    names_room_free(room);
    free(chunk);
    errno = 0;
    ok(dir_open(AT_FDCWD, "/nowhere/at/all") < 0 && errno == ENOENT, "a directory that is not there");
}

struct seen {
    struct buf data, problems;
    struct wire_counts counts;
};

static void on_records(void *ctx, const char *data, size_t len, const struct wire_counts *counts)
{
    struct seen *seen = ctx;
    buf_add(&seen->data, data, len);
    for (int i = 0; i < KIND_COUNT; i++)
        seen->counts.n[i] += counts->n[i];
}

static void on_problem(void *ctx, const char *path, const char *reason)
{
    buf_addf(&((struct seen *)ctx)->problems, "%s: %s\n", path, reason);
}

static void read_all(struct seen *seen, unsigned jobs)
{
    struct mlruns_selection selection = {.tracking = true, .registry = true, .shards = 1, .jobs = jobs};
    struct mlruns_sink sink = {
        .records = on_records, .problem = on_problem, .warning = on_problem, .ctx = seen};
    struct err e;
    struct mlruns *m = mlruns_open(root, NULL, &e);
    *seen = (struct seen){0};
    ok(m && mlruns_read(m, &selection, &sink, &e), "%u threads read it", jobs);
    mlruns_close(m);
}

static void seen_free(struct seen *seen)
{
    buf_free(&seen->data);
    buf_free(&seen->problems);
}

#define RUN "status: 1\nuser_id: u\nstart_time: 1\nexperiment_id: '1'\n"

/* A buffer that a small file makes large is freed for the next one, after it was moved as a whole. */
static void test_small_files(void)
{
    struct mlruns *m;
    struct output out = {0};
    struct walker w;
    struct err e;
    char text[5000], path[64];
    int dir;

    write_file("mlruns/1/meta.yaml", "experiment_id: 1\nname: e\nlifecycle_stage: active\n");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    m = mlruns_open(root, NULL, &e);
    snprintf(path, sizeof path, "%s/small", root);
    write_file("small/a", text);
    write_file("small/b", "");
    dir = dir_open(AT_FDCWD, path);
    walker_init(&w, m, dir, &out);
    ok(walker_read_file(&w, dir, "b", DT_REG, VALUE_COPIES) && w.file.len == 0, "an empty file is read");
    is_str(buf_str(&w.file), "", "as nothing");
    ok(walker_read_file(&w, dir, "a", DT_REG, VALUE_COPIES), "a small file is read");
    is_str(buf_str(&w.file), text, "whole");
    ok(w.file.cap <= BUF_KEPT, "into a buffer that is kept for the next");
    walker_free(&w);
    output_free(&out);
    mlruns_close(m);
    close(dir);
}

/* Runs whose output is larger than what a thread may hold back, so that each waits for its turn. */
static void test_turns(void)
{
    struct buf points = {0};
    write_file("mlruns/1/meta.yaml", "experiment_id: 1\nname: e\nlifecycle_stage: active\n");
    for (int i = 0; i < 12000; i++)
        buf_addf(&points, "%d %d.5 %d\n", i, i, i);
    char path[64], meta[200];
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "mlruns/1/run%d/meta.yaml", i);
        snprintf(meta, sizeof meta, RUN "run_id: run%d\n", i);
        write_file(path, meta);
        snprintf(path, sizeof path, "mlruns/1/run%d/metrics/m", i);
        write_file(path, i % 3 ? "1 1 1\nx\n" : buf_str(&points));
    }
    struct seen one;
    read_all(&one, 1);
    is_int((int64_t)one.counts.n[KIND_run], 40, "every run");
    is_int((int64_t)one.counts.n[KIND_metric], 14 * 12000 + 26, "every point");
    is_int((int64_t)one.counts.n[KIND_latest_metric], 40, "the latest of each");
    is_int((int64_t)one.counts.n[KIND_skipped], 26, "a record for each bad line");
    struct seen many;
    for (unsigned jobs = 2; jobs <= 7; jobs += 5) {
        read_all(&many, jobs);
        ok(many.data.len == one.data.len && memcmp(many.data.data, one.data.data, one.data.len) == 0,
           "the same bytes");
        is_str(buf_str(&many.problems), buf_str(&one.problems), "the same problems in the same order");
        seen_free(&many);
    }
    seen_free(&one);
    buf_free(&points);
}

int main(void)
{
    if (!mkdtemp(root)) {
        printf("Bail out! %s\n", strerror(errno));
        return 1;
    }
    test_int();
    test_float();
    test_time();
    test_shown();
    test_names();
    test_small_files();
    test_turns();
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", root);
    ok(system(command) == 0, "cleaned up");
    return done_testing();
}

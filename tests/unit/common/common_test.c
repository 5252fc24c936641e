/* common/: buffers, arenas, whole reads and writes, publishing a file, UTF-8, percent-decoding. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/array.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"
#include "common/io.h"
#include "common/opt.h"
#include "common/printable.h"
#include "common/progress.h"
#include "common/secret.h"
#include "common/utf8.h"
#include "tests/unit/tap.h"

static char dir[] = "/tmp/mlruns-tools-unit.XXXXXX";

static void test_buf(void)
{
    struct buf b = {0};
    is_str(buf_str(&b), "", "an empty buffer is an empty string");
    for (int i = 0; i < 1000; i++)
        buf_addf(&b, "%d,", i);
    ok(b.len == 3890, "formatted text of any length is added");
    ok(strlen(b.data) == b.len, "a NUL follows");
    buf_truncate(&b, 4);
    is_str(buf_str(&b), "0,1,", "truncate cuts");
    buf_reset(&b);
    buf_addf(&b, "%0300d", 7);
    ok(b.len == 300 && b.data[299] == '7', "a text longer than the room is formatted whole");
    buf_free(&b);
    ok(b.data == NULL && b.len == 0, "free leaves an empty buffer");
}

static void test_arena(void)
{
    struct arena a = {0};
    char *first = arena_strndup(&a, "hello world", 5);
    is_str(first, "hello", "a string is copied with its NUL");
    bool aligned = true, kept = true;
    for (size_t i = 1; i < 2000; i++) {
        char *p = arena_alloc(&a, i);
        aligned = aligned && (size_t)p % sizeof(void *) == 0;
        memset(p, 0x55, i);
        kept = kept && strcmp(first, "hello") == 0;
    }
    ok(aligned, "pieces are aligned");
    ok(kept, "pieces do not overlap");
    ok(arena_alloc(&a, 1 << 20) != NULL, "a piece larger than a block");
    arena_reset(&a);
    ok(arena_strndup(&a, "x", 1)[0] == 'x', "usable after reset");
    arena_free(&a);
}

static char *in_dir(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static void put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ok(fd >= 0 && io_write_all(fd, text, strlen(text)) && close(fd) == 0, "write %s", strrchr(path, '/'));
}

static void test_files(void)
{
    struct buf b = {0};
    struct err e;
    char *from = in_dir("from"), *to = in_dir("to"), *missing = in_dir("missing");
    put_file(from, "one\n");
    ok(file_read_whole(AT_FDCWD, from, 100, &b) == 0 && strcmp(buf_str(&b), "one\n") == 0,
       "a file is read whole");
    ok(file_read_whole(AT_FDCWD, from, 3, &b) == EFBIG, "a file beyond the limit is refused");
    ok(file_read_whole(AT_FDCWD, missing, 3, &b) == ENOENT, "an absent file is ENOENT");
    ok(file_publish(from, to, &e), "a file is published");
    ok(access(from, F_OK) != 0 && access(to, F_OK) == 0, "under its new name alone");
    put_file(from, "two\n");
    ok(!file_publish(from, to, &e) && errno == EEXIST, "an existing file is never replaced");
    ok(file_read_whole(AT_FDCWD, to, 100, &b) == 0 && strcmp(buf_str(&b), "one\n") == 0,
       "and keeps its content");
    unlink(from);
    unlink(to);
    free(from);
    free(to);
    free(missing);
    buf_free(&b);
}

static void test_streams(void)
{
    enum { N = 300000 };
    char *path = in_dir("stream");
    struct io_writer w;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    io_writer_init(&w, dup(fd), path);
    for (int i = 0; i < N; i++)
        io_write(&w, &i, sizeof i);
    io_writer_close(&w, NULL);
    ok(w.total == N * sizeof(int), "the writer counts bytes");
    struct io_reader r;
    struct err e;
    lseek(fd, 0, SEEK_SET);
    io_reader_init(&r, fd, path);
    int i = 0;
    for (bool good = true; good;) {
        while (r.len < sizeof(int) && io_fill(&r, 0, &e) > 0) {
        }
        if (r.len < sizeof(int))
            break;
        int got;
        memcpy(&got, r.data, sizeof got);
        good = got == i++;
        io_consume(&r, sizeof(int));
    }
    ok(i == N && r.len == 0 && r.eof, "the reader gives the same bytes to the end");
    ok(r.offset == N * sizeof(int), "and knows where it is");
    io_reader_free(&r);
    close(fd);
    unlink(path);
    free(path);
}

static void test_text(void)
{
    ok(utf8_valid("plain ascii text", 16), "ASCII is UTF-8");
    ok(utf8_valid("caf\xc3\xa9 \xf0\x9f\x9a\x80", 10), "two and four byte sequences are");
    ok(!utf8_valid("\xff", 1), "0xff is not");
    ok(!utf8_valid("\xc0\x80", 2), "an overlong NUL is not");
    ok(!utf8_valid("\xed\xa0\x80", 3), "a surrogate is not");
    ok(!utf8_valid("abcdefgh\xe2\x82", 10), "a cut sequence is not");
    ok(!utf8_valid("\xf4\x90\x80\x80", 4), "beyond U+10FFFF is not");
    ok(utf8_length("caf\xc3\xa9", 5) == 4, "length counts characters");
    ok(utf8_prefix("caf\xc3\xa9!", 6, 4) == 5, "a prefix ends at a character");
    ok(utf8_prefix("abc", 3, 10) == 3, "a prefix is at most the whole");
    char good[] = "a%20b%2Fc", bad[] = "a%2", nul[] = "a%00b";
    ok(io_percent_decode(good) == 5, "percent escapes are decoded");
    is_str(good, "a b/c", "to the right text");
    ok(io_percent_decode(bad) == -1, "a cut escape is refused");
    ok(io_percent_decode(nul) == -1, "an escaped NUL is refused");
    char *d = file_dirname("/a/b");
    is_str(d, "/a", "dirname of a path");
    free(d);
    d = file_dirname("b");
    is_str(d, ".", "dirname of a bare name");
    free(d);
    d = file_dirname("/b");
    is_str(d, "/", "dirname below the root");
    free(d);
}

static void test_err(void)
{
    struct err e;
    ok(!err_set(&e, "here", "%d things", 3), "err_set is false, to be returned");
    is_str(e.where, "here", "where");
    is_str(e.what, "3 things", "what");
    is_str(e.hint, "", "no hint yet");
    err_hint(&e, "try %s", "this");
    is_str(e.hint, "try this", "hint");
}

static void is_printed(const char *text, size_t len, const char *want)
{
    struct buf b = {0};
    printable_add(&b, text, len);
    is_str(buf_str(&b), want, "printable: %s", want);
    buf_free(&b);
}

#define IS_PRINTED(text, want) is_printed(text, sizeof(text) - 1, want)

static void test_printable(void)
{
    IS_PRINTED("caf\u00e9 \u65e5\u672c \u0627\u0644 \U0001F600 a\\b 'c' %s",
               "caf\u00e9 \u65e5\u672c \u0627\u0644 \U0001F600 a\\b 'c' %s");
    IS_PRINTED("a\nb\r\tc\0d\x1b[2J\x7f", "a\\x0ab\\x0d\\x09c\\x00d\\x1b[2J\\x7f");
    IS_PRINTED("\xc2\x9b \xc2\x85 \xc2\xa0", "\\xc2\\x9b \\xc2\\x85 \xc2\xa0");
    IS_PRINTED("\xff\xc3\xa9\xc3", "\\xff\xc3\xa9\\xc3");
    IS_PRINTED("\xed\xa0\x80 \xc0\xaf", "\\xed\\xa0\\x80 \\xc0\\xaf");
    IS_PRINTED("\xe2\x80\xae \xe2\x80\xaa \xe2\x81\xa6 \xe2\x81\xa9",
               "\\xe2\\x80\\xae \\xe2\\x80\\xaa \\xe2\\x81\\xa6 \\xe2\\x81\\xa9");
    IS_PRINTED("\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", "\\xe2\\x80\\x8e\\xe2\\x80\\x8f\\xd8\\x9c");
    IS_PRINTED("\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9");
    char out[8];
    ok(printable_into(out, sizeof out, "ab\x1b\x1b", 4) == 3 && strcmp(out, "ab\\x1b") == 0,
       "what does not fit is left out at the border of a character");
    ok(printable_into(out, 1, "a", 1) == 0 && out[0] == '\0', "nothing fits in no room");
}

static void test_shell_words(void)
{
    static const struct {
        const char *word, *quoted;
    } cases[] = {
        {"sqlite:////a/b-1.db", "sqlite:////a/b-1.db"},
        {"a b", "'a b'"},
        {"it's", "'it'\\''s'"},
        {"a?b&c=$d", "'a?b&c=$d'"},
    };
    struct buf b = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        buf_reset(&b);
        buf_add_shell_word(&b, cases[i].word);
        is_str(buf_str(&b), cases[i].quoted, "as the shell reads it back: %s", cases[i].word);
    }
    buf_free(&b);
}

static void test_options(void)
{
    struct options {
        bool flag, other;
        const char *word;
        uint64_t n;
        struct opt_list list;
    };
    static const struct opt table[] = {
        {OPT_FLAG, 'f', "flag", NULL, "", OPT_AT(struct options, flag)},
        {OPT_FLAG, 0, "other", NULL, "", OPT_AT(struct options, other)},
        {OPT_STRING, 0, "word", "W", "", OPT_AT(struct options, word)},
        {OPT_SIZE, 'n', "number", "N", "", OPT_AT(struct options, n)},
        {OPT_LIST, 0, "item", "I", "", OPT_AT(struct options, list)},
        {.type = OPT_END},
    };
    static const struct opt_spec spec = {.synopsis = "x", .about = "", .options = table};
    char *argv[] = {"x", "-f", "operand", "-n", "7", "--item=a", "-q", "--item", "b", NULL};
    struct options o = {.word = "default", .n = 1};
    int first = opt_parse(&spec, 9, argv, &o);
    is_str(argv[first], "operand", "the operand comes after the options");
    ok(o.flag && !o.other && o.n == 7, "options are members of the program's struct");
    is_str(o.word, "default", "an option that is not given keeps its default");
    ok(o.list.len == 2 && strcmp(o.list.items[1], "b") == 0, "a repeated option is a list");
    ok(err_level() == -1, "-q is every program's");
    err_level_set(0);
    free(o.list.items);
}

static void test_secrets(void)
{
    static const char *const cases[][2] = {
        {"postgresql://u:geheim@h/d", "postgresql://u:***@h/d"},
        {"postgresql+psycopg2://u:ge@he/im@h:5432/d?x=1", "postgresql+psycopg2://u:***@h:5432/d?x=1"},
        {"postgresql://u%3Ageheim@h/d", "postgresql://u%3A***@h/d"},
        {"postgresql://u:geheim", "postgresql://u:***"},
        {"postgresql://u:ge/heim", "postgresql://u:***"},
        {"postgresql://u:geheim%40h/d", "postgresql://u:***"},
        {"postgresql:u:geheim@h/d", "postgresql:u:***@h/d"},
        {"postgresql:/u:geheim@h/d", "postgresql:/u:***@h/d"},
        {"u:geheim@h/d", "u:***@h/d"},
        {"mysql+pymysql://u:geheim@h/d", "mysql+pymysql://u:***@h/d"},
        {"postgresql:///d?password=geheim&user=u", "postgresql:///d?password=***&user=u"},
        {"postgresql:///d?user=u&p%61ssword=geheim", "postgresql:///d?user=u&p%61ssword=***"},
        {"postgresql:///d?PASSWORD%3Dgeheim", "postgresql:///d?PASSWORD%3D***"},
        {"postgresql:///d?sslpassword=geheim;x", "postgresql:///d?sslpassword=***;x"},
        {"jdbc:postgresql://h/d?user=u&password=geheim", "jdbc:postgresql://h/d?user=u&password=***"},
        {"host=h password=ge&heim user=u", "host=h password=*** user=u"},
        {"host=h password = 'ge \\' heim' user=u", "host=h password = *** user=u"},
        {"password=u:geheim@x", "password=***"},
        {"postgresql://h/d", "postgresql://h/d"},
        {"postgresql://h:5432/d", "postgresql://h:5432/d"},
        {"postgresql://h:1,[::1]:2,i/d?target_session_attrs=any",
         "postgresql://h:1,[::1]:2,i/d?target_session_attrs=any"},
        {"postgresql:///d?host=/tmp:x", "postgresql:///d?host=/tmp:x"},
        {"sqlite:///a:b@c.db?timeout=3", "sqlite:///a:b@c.db?timeout=3"},
        {"sqlite:////C:/x.db", "sqlite:////C:/x.db"},
        {"unknown option '--a:b'", "unknown option '--a:b'"},
        {"unknown option '--url=postgresql://u:geheim@h'", "unknown option '--url=postgresql://u:***@h'"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct buf hidden = {0};
        char *masked = secret_mask(cases[i][0], &hidden), *again = secret_mask(masked, NULL);
        is_str(masked, cases[i][1], "masked: %s", cases[i][1]);
        is_str(again, cases[i][1], "and not more when it is masked again");
        free(masked);
        free(again);
        buf_free(&hidden);
    }
    struct buf hidden = {0};
    free(secret_mask("postgresql://u:ge%20heim:x@h/d", &hidden));
    char *shown = secret_mask_quoted("no port \"x\" in \"h\": ge heim:x", &hidden);
    is_str(shown, "no port \"***\" in \"***\": ***", "what quotes parts of a password shows none of it");
    free(shown);
    buf_free(&hidden);
    size_t at, len;
    ok(secret_find("keep ftp://u:geheim@h/a: it's", 0, &at, &len) && at == 13 && len == 6,
       "a password in the URL of a text");
    ok(!secret_find("postgresql://h:5432/d: at 3:4@5", 0, &at, &len), "none where none is");
}

static void test_progress(void)
{
    static const struct {
        struct progress_line line;
        int columns;
        const char *want;
    } cases[] = {
        {{"reading a", "records", .done = 7, .seconds = 0.01}, 80, "reading a: 7 records"},
        {{"reading a", "records", .done = 1234567, .seconds = 10},
         80,
         "reading a: 1,234,567 records, 123,456/s"},
        {{"loading", "rows", .done = 250, .total = 1000, .seconds = 5},
         80,
         "loading:  25%  250 rows, 50/s, 15 s left"},
        {{"loading", "rows", .done = 1000, .total = 1000, .seconds = 5},
         80,
         "loading:  99%  1,000 rows, 200/s, 0.0 s left"},
        {{"reading a", "records", .done = 90, .part = 1, .parts = 2, .seconds = 400},
         80,
         "reading a:  50%  90 records, 6:40 min left"},
        {{"reading a", "records", .done = 9, .part = 1, .parts = 100, .seconds = 100},
         80,
         "reading a:   1%  9 records"},
        {{"reading a", "records", .done = 9, .part = 2, .parts = 100, .seconds = 200},
         80,
         "reading a:   2%  9 records, 2:43 h left"},
        {{"loading", "rows", .done = 1000, .total = 1000, .seconds = 75, .ended = true},
         80,
         "loading: 1,000 rows in 1:15 min, 13/s"},
        {{"reading /a/long/path/to/mlruns", "records", .done = 250, .total = 1000, .seconds = 5},
         40,
         "…/long/path/to/mlruns:  25%  250 records"},
        {{"reading /a/long/path/to/mlruns", "records", .done = 250, .total = 1000, .seconds = 5},
         24,
         "…ng/path/to/mlruns:  25%"},
        {{"reading \xe8\xa1\xa8\xe8\xa1\xa8\xe8\xa1\xa8\xe8\xa1\xa8\xe8\xa1\xa8\xe8\xa1\xa8\xe8\xa1\xa8",
          "rows", .done = 1},
         26,
         "…ing \xe8\xa1\xa8\xe8\xa1\xa8\xe8\xa1\xa8\xe8\xa1\xa8\xe8\xa1\xa8\xe8\xa1\xa8\xe8\xa1\xa8: 1 row"},
        {{"reading \x1b[31m", "rows", .done = 1}, 80, "reading \\x1b[31m: 1 row"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char line[300];
        progress_format(&cases[i].line, cases[i].columns, line, sizeof line);
        is_str(line, cases[i].want, "progress: %s", cases[i].want);
        ok(utf8_columns(line) <= cases[i].columns, "  in %d columns", cases[i].columns);
    }
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    test_buf();
    test_arena();
    test_files();
    test_streams();
    test_text();
    test_err();
    test_printable();
    test_shell_words();
    test_options();
    test_secrets();
    test_progress();
    rmdir(dir);
    return done_testing();
}

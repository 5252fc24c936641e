/* The journal of a run: lines for its report. */
#include "common/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/file.h"
#include "common/io.h"
#include "common/printable.h"
#include "common/secret.h"

static const char variable[] = "MLRUNS_TOOLS_JOURNAL";

static int journal = -1;
static bool own, failed;

bool journal_create(const char *dir, struct err *e)
{
    char number[16];
    int fd = file_nameless(dir, e);
    if (fd < 0)
        return false;
    if (fcntl(fd, F_SETFL, O_APPEND) != 0 || fcntl(fd, F_SETFD, 0) != 0)
        return err_set(e, dir, "cannot prepare a temporary file: %s", strerror(errno));
    snprintf(number, sizeof number, "%d", fd);
    if (setenv(variable, number, 1) != 0)
        xnomem(NULL);
    journal = fd;
    own = true;
    return true;
}

/* Not any file that happens to have the number: a nameless one for appending is made by journal_create(). */
void journal_inherit(void)
{
    const char *number = getenv(variable);
    struct stat st;
    char *end;
    if (!number)
        return;
    long fd = strtol(number, &end, 10);
    if (end == number || *end || fd <= STDERR_FILENO || fd > INT_MAX)
        return;
    int flags = fcntl((int)fd, F_GETFL);
    bool ours = flags >= 0 && (flags & O_APPEND) && (flags & O_ACCMODE) == O_RDWR &&
                fstat((int)fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0;
    if (ours)
        journal = (int)fd;
}

void journal_empty(void)
{
    if (journal >= 0 && ftruncate(journal, 0) != 0)
        err_warn(NULL, "cannot empty a temporary file: %s", strerror(errno));
}

bool journal_wanted(void)
{
    return journal >= 0;
}

bool journal_is_own(void)
{
    return own;
}

/* -- writing */

static void write_line(const char *line, size_t len)
{
    if (failed || io_write_all(journal, line, len))
        return;
    failed = true; /* first: the warning is a line, too */
    err_warn(NULL, "cannot write what is to be in the report: %s", strerror(errno));
}

void journal_bytes(struct buf *line, const char *text, size_t len)
{
    if (line->len)
        buf_addc(line, '\t');
    printable_add(line, text, len);
}

void journal_text(struct buf *line, const char *text)
{
    journal_bytes(line, text, strlen(text));
}

void journal_count(struct buf *line, uint64_t n)
{
    buf_addf(line, "%s%" PRIu64, line->len ? "\t" : "", n);
}

void journal_put(struct buf *line)
{
    buf_addc(line, '\n');
    if (journal >= 0)
        write_line(line->data, line->len);
    buf_reset(line);
}

/* Appends to a line of a fixed size what fits. */
static size_t add(char *line, size_t size, size_t at, const char *text, size_t len)
{
    printable_into(line + at, size - at, text, len);
    return at + strlen(line + at);
}

static size_t add_without_secrets(char *line, size_t size, size_t at, const char *text)
{
    size_t from = 0, start, len;
    while (secret_find(text, from, &start, &len)) {
        at = add(line, size, at, text + from, start - from);
        at = add(line, size, at, "***", 3);
        from = start + len;
    }
    return add(line, size, at, text + from, strlen(text + from));
}

void journal_message(const char *level, const char *topic, const char *program, const char *where,
                     const char *text)
{
    const char *const fields[] = {level, topic, program, where ? where : "", text};
    char line[16 << 10];
    if (journal < 0)
        return;
    size_t at = add(line, sizeof line, 0, "message", 7);
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
        if (at + 2 >= sizeof line)
            break;
        line[at++] = '\t';
        at = add_without_secrets(line, sizeof line - 1, at, fields[i]);
    }
    line[at++] = '\n';
    write_line(line, at);
}

/* -- reading */

struct journal_reader {
    struct buf text;   /* read, from the line's beginning on */
    size_t line;       /* length of the current line, with its newline */
    uint64_t at, size; /* of the file: bytes read, and to be read */
};

struct journal_reader *journal_read(void)
{
    struct journal_reader *r = xcalloc(1, sizeof *r);
    struct stat st;
    r->size = fstat(journal, &st) == 0 ? (uint64_t)st.st_size : 0;
    return r;
}

/* Splits a line, which it changes. */
static void split(char *line, struct journal_line *out)
{
    out->n = 0;
    for (char *p = line; p && out->n < JOURNAL_FIELDS;) {
        out->field[out->n++] = p;
        p = strchr(p, '\t');
        if (p)
            *p++ = '\0';
    }
    for (int i = out->n; i <= JOURNAL_FIELDS; i++)
        out->field[i] = "";
}

int journal_next(struct journal_reader *r, struct journal_line *out, struct err *e)
{
    enum { PART = 64 << 10 };
    memmove(r->text.data, r->text.data + r->line, r->text.len - r->line);
    r->text.len -= r->line;
    r->line = 0;
    for (size_t searched = 0;;) {
        char *end = r->text.len ? memchr(r->text.data + searched, '\n', r->text.len - searched) : NULL;
        if (end) {
            *end = '\0';
            r->line = (size_t)(end - r->text.data) + 1;
            split(r->text.data, out);
            return 1;
        }
        size_t part = r->size - r->at < PART ? (size_t)(r->size - r->at) : PART;
        if (part == 0)
            return 0;
        searched = r->text.len;
        buf_reserve(&r->text, part);
        if (!file_nameless_read(journal, "the journal", r->text.data + r->text.len, part, r->at, e))
            return -1;
        r->text.len += part;
        r->at += part;
    }
}

void journal_reader_free(struct journal_reader *r)
{
    if (!r)
        return;
    buf_free(&r->text);
    free(r);
}

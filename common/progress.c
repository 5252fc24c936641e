/* Draws the progress line. */
#include "common/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/printable.h"
#include "common/utf8.h"

enum { TICKS_PER_LOOK = 1024, REFRESH_MS = 200, USUAL_COLUMNS = 80, LEAST_WHAT = 12, LINE = 1024 };

static const char variable[] = "MLRUNS_TOOLS_STAGE";

static enum progress_mode mode = PROGRESS_AUTO;
static struct {
    struct progress_line line;
    bool running, shown;
    int input; /* a file whose position is the progress; -1: none */
    uint64_t unseen;
    int64_t started, painted; /* ms, monotonic */
} bar;

/* -- the line */

void progress_format_count(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

/* "4.2 s", "3:07 min", "2:05 h". */
static void format_time(double seconds, char out[32])
{
    uint64_t s = (uint64_t)(seconds + 0.5);
    if (seconds < 59.95)
        snprintf(out, 32, seconds < 9.95 ? "%.1f s" : "%.0f s", seconds);
    else if (s < 3600)
        snprintf(out, 32, "%" PRIu64 ":%02" PRIu64 " min", s / 60, s % 60);
    else
        snprintf(out, 32, "%" PRIu64 ":%02" PRIu64 " h", s / 3600, s / 60 % 60);
}

static double fraction(const struct progress_line *l)
{
    double done = l->parts ? (double)l->part : (double)l->done;
    double total = l->parts ? (double)l->parts : (double)l->total;
    return total <= 0 ? -1 : done >= total ? 1 : done / total;
}

/* What follows the name, at most `level` of its details. */
static void format_details(const struct progress_line *l, int level, char *out, size_t size)
{
    char done[32], rate[32], left[32], passed[32];
    double share = fraction(l), per_second = l->seconds > 0.05 ? (double)l->done / l->seconds : 0;
    size_t n = 0;
    int unit = (int)strlen(l->unit) - (l->done == 1); /* 1 row */
    out[0] = '\0';
    progress_format_count(l->done, done);
    progress_format_count((uint64_t)per_second, rate);
    format_time(l->seconds, passed);
    if (!l->ended && share >= 0)
        n += (size_t)snprintf(out, size, "%3d%%", (int)(share < 1 ? share * 100 : 99));
    if (level >= 1 || n == 0)
        n += (size_t)snprintf(out + n, size - n, "%s%s %.*s", n ? "  " : "", done, unit, l->unit);
    if (level >= 2 && l->ended)
        n += (size_t)snprintf(out + n, size - n, " in %s", passed);
    if (level >= 3 && per_second >= 1)
        n += (size_t)snprintf(out + n, size - n, ", %s/s", rate);
    if (level >= 2 && !l->ended && share > 0.01 && l->seconds > 1) {
        format_time(l->seconds * (1 - share) / share, left);
        snprintf(out + n, size - n, ", %s left", left);
    }
}

/* Appends at most `columns` of a name, of a long one the end, which says more of a path. */
static void format_name(const char *name, int columns, char *out, size_t size)
{
    char shown[LINE];
    printable_into(shown, sizeof shown, name, strlen(name));
    int width = utf8_columns(shown);
    const char *from = shown;
    if (width <= columns) {
        snprintf(out, size, "%s", shown);
        return;
    }
    while (*from && utf8_columns(from) > columns - 1)
        from += utf8_prefix(from, strlen(from), 1);
    snprintf(out, size, "…%s", from);
}

void progress_format(const struct progress_line *l, int columns, char *out, size_t size)
{
    char details[256], name[LINE + 4];
    int level = 3, left;
    do {
        format_details(l, level, details, sizeof details);
        left = columns - (int)strlen(details) - 2;
    } while (left < LEAST_WHAT && level-- > 0);
    format_name(l->what, left > 1 ? left : 1, name, sizeof name);
    snprintf(out, size, "%s: %s", name, details);
}

/* -- the terminal */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void put(const char *s)
{
    ssize_t ignored = write(STDERR_FILENO, s, strlen(s));
    (void)ignored;
}

static int columns_of_terminal(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : USUAL_COLUMNS;
}

static void paint(int64_t now)
{
    char line[LINE + 300] = "\r";
    off_t at = bar.input >= 0 ? lseek(bar.input, 0, SEEK_CUR) : -1;
    if (at >= 0)
        bar.line.part = (uint64_t)at;
    bar.line.seconds = (double)(now - bar.started) / 1000.0;
    /* the last column stays free: some terminals would begin a new line */
    progress_format(&bar.line, columns_of_terminal() - 1, line + 1, sizeof line - 8);
    strcat(line, "\033[K");
    put(line);
    bar.painted = now;
    bar.shown = true;
}

/* -- state */

void progress_mode_set(enum progress_mode m)
{
    mode = m;
}

enum progress_mode progress_mode(void)
{
    return mode;
}

static bool is_wanted(void)
{
    return mode == PROGRESS_ALWAYS || (mode == PROGRESS_AUTO && isatty(STDERR_FILENO));
}

bool progress_share(void)
{
    return mode != PROGRESS_NEVER && isatty(STDERR_FILENO) && setenv(variable, "1", 1) == 0;
}

bool progress_is_shared(void)
{
    return getenv(variable) && isatty(STDERR_FILENO);
}

void progress_start(const char *what, const char *unit, uint64_t total)
{
    progress_end();
    if (!is_wanted())
        return;
    memset(&bar, 0, sizeof bar);
    bar.line = (struct progress_line){.what = what, .unit = unit, .total = total};
    bar.running = true;
    bar.input = -1;
    bar.started = bar.painted = now_ms();
}

void progress_start_input(const char *what, const char *unit)
{
    struct stat st;
    if (progress_is_shared()) {
        progress_end();
        return;
    }
    progress_start(what, unit, 0);
    if (bar.running && fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        bar.input = STDIN_FILENO;
        bar.line.parts = (uint64_t)st.st_size;
    }
}

bool progress_is_running(void)
{
    return bar.running;
}

void progress_set_total(uint64_t total)
{
    bar.line.total = total;
}

void progress_set_parts(uint64_t total)
{
    bar.line.parts = total;
}

void progress_add_parts(uint64_t n)
{
    bar.line.part += n;
}

void progress_add(uint64_t n)
{
    if (!bar.running)
        return;
    bar.line.done += n;
    bar.unseen += n;
    if (bar.unseen < TICKS_PER_LOOK)
        return;
    bar.unseen = 0;
    int64_t now = now_ms();
    if (now - bar.painted >= REFRESH_MS)
        paint(now);
}

void progress_end(void)
{
    if (!bar.running)
        return;
    bar.line.ended = true;
    paint(now_ms());
    put("\n");
    bar.running = bar.shown = false;
}

void progress_clear(void)
{
    if (bar.running && bar.shown) {
        put("\r\033[K");
        bar.shown = false;
    }
}

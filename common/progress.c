/* Draws the progress line. */
#include "common/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TICKS_PER_LOOK = 1024, REFRESH_MS = 200 };

static enum progress_mode mode = PROGRESS_AUTO;
static struct {
    bool running, shown;
    const char *what, *unit;
    uint64_t done, total, unseen;
    int64_t started, painted; /* ms, monotonic */
} bar;

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

static void paint(int64_t now)
{
    char line[160];
    double seconds = (double)(now - bar.started) / 1000.0;
    double rate = seconds > 0.05 ? (double)bar.done / seconds : 0;
    int n = snprintf(line, sizeof line, "\r%s: %" PRIu64, bar.what, bar.done);
    if (n > 0 && bar.total > 0 && (size_t)n < sizeof line)
        n += snprintf(line + n, sizeof line - (size_t)n, "/%" PRIu64, bar.total);
    if (n > 0 && (size_t)n < sizeof line)
        snprintf(line + n, sizeof line - (size_t)n, " %s, %.0f/s\033[K", bar.unit, rate);
    put(line);
    bar.painted = now;
    bar.shown = true;
}

void progress_mode_set(enum progress_mode m)
{
    mode = m;
}

enum progress_mode progress_mode(void)
{
    return mode;
}

void progress_start(const char *what, const char *unit, uint64_t total)
{
    progress_end();
    bool wanted = mode == PROGRESS_ALWAYS || (mode == PROGRESS_AUTO && isatty(STDERR_FILENO));
    if (!wanted)
        return;
    memset(&bar, 0, sizeof bar);
    bar.running = true;
    bar.what = what;
    bar.unit = unit;
    bar.total = total;
    bar.started = bar.painted = now_ms();
}

void progress_add(uint64_t n)
{
    if (!bar.running)
        return;
    bar.done += n;
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

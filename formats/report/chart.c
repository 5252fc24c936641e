/* Draws the chart of runs over time. */
#include <time.h>

#include "common/array.h"
#include "formats/report/internal.h"

enum { HOUR = 3600, MAX_BARS = 62, WIDTH = 1000, HEIGHT = 100, WIDEST = 70 };

enum unit { BY_HOUR, BY_DAY, BY_WEEK, BY_MONTH, BY_QUARTER, BY_YEAR, UNITS };
static const char *const words[UNITS] = {"hour", "day", "week", "month", "quarter", "year"};
static const char *const headings[UNITS] = {"Hour", "Day", "Week from", "Month", "Quarter from", "Year"};

struct bar {
    time_t from; /* its beginning */
    uint64_t runs;
};

/* The beginning of the unit of time that t is in, or of the one after it. */
static time_t start_of(time_t t, enum unit unit, bool next)
{
    struct tm tm;
    gmtime_r(&t, &tm);
    tm.tm_min = tm.tm_sec = 0;
    if (unit > BY_HOUR)
        tm.tm_hour = 0;
    if (unit == BY_WEEK)
        tm.tm_mday -= (tm.tm_wday + 6) % 7; /* Monday */
    if (unit > BY_WEEK)
        tm.tm_mday = 1;
    if (unit == BY_QUARTER)
        tm.tm_mon -= tm.tm_mon % 3;
    if (unit == BY_YEAR)
        tm.tm_mon = 0;
    tm.tm_hour += next && unit == BY_HOUR;
    tm.tm_mday += !next ? 0 : unit == BY_DAY ? 1 : unit == BY_WEEK ? 7 : 0;
    tm.tm_mon += !next ? 0 : unit == BY_MONTH ? 1 : unit == BY_QUARTER ? 3 : 0;
    tm.tm_year += next && unit == BY_YEAR;
    return timegm(&tm);
}

/* The hours from `from` to `to` in bars; their number, or 0 if there would be too many. */
static size_t make_bars(const struct data *d, enum unit unit, time_t from, time_t to, struct bar *bars,
                        size_t max)
{
    size_t n = 0;
    for (time_t t = start_of(from, unit, false); t <= to; n++) {
        time_t end = start_of(t, unit, true);
        if (n == max)
            return 0;
        bars[n] = (struct bar){.from = t};
        for (; t < end; t += HOUR)
            bars[n].runs += t >= 0 && t / HOUR < REPORT_HOURS ? d->hours[t / HOUR] : 0;
    }
    return n;
}

static void put_label(struct page *p, time_t t, enum unit unit)
{
    static const char *const formats[UNITS] = {"%Y-%m-%d %H:00", "%Y-%m-%d", "%Y-%m-%d",
                                               "%Y-%m",          "%Y-%m",    "%Y"};
    char text[64];
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, formats[unit], &tm);
    page_put(p, text);
}

static void draw(struct page *p, enum unit unit, const struct bar *bars, size_t n)
{
    size_t most = 0;
    for (size_t i = 0; i < n; i++)
        most = bars[i].runs > bars[most].runs ? i : most;
    page_put(p, "<figure class=\"chart\"><div class=\"axis\"><span>");
    page_number(p, bars[most].runs);
    page_putf(p, "</span><span>runs by %s</span></div>", words[unit]);
    page_putf(
        p,
        "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Runs by %s, from ",
        WIDTH, HEIGHT, words[unit]);
    put_label(p, bars[0].from, unit);
    page_put(p, " to ");
    put_label(p, bars[n - 1].from, unit);
    page_put(p, "; most, ");
    page_number(p, bars[most].runs);
    page_put(p, ", in ");
    put_label(p, bars[most].from, unit);
    page_put(p, "\">");
    for (int y = 0; y < HEIGHT; y += HEIGHT / 4)
        page_putf(p, "<line x1=\"0\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>", WIDTH, y, y);
    double slot = (double)WIDTH / (double)n, width = slot * 0.8 < WIDEST ? slot * 0.8 : WIDEST;
    for (size_t i = 0; i < n; i++) {
        double height = (double)HEIGHT * (double)bars[i].runs / (double)bars[most].runs;
        if (bars[i].runs == 0)
            continue;
        height = height < 1 ? 1 : height;
        page_putf(p, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>",
                  ((double)i + 0.5) * slot - width / 2, HEIGHT - height, width, height);
        put_label(p, bars[i].from, unit);
        page_put(p, ": ");
        page_count(p, bars[i].runs, "run", "runs");
        page_put(p, "</title></rect>");
    }
    page_putf(p, "</svg><div class=\"axis%s\"><span>", n == 1 ? " one" : "");
    put_label(p, bars[0].from, unit);
    if (n > 1)
        page_put(p, "</span><span>");
    if (n > 1)
        put_label(p, bars[n - 1].from, unit);
    page_put(p, "</span></div></figure>");
}

static void put_table(struct page *p, enum unit unit, const struct bar *bars, size_t n)
{
    page_putf(p,
              "<details><summary>The same as a table</summary><table><thead><tr><th scope=\"col\">%s</th>"
              "<th scope=\"col\" class=\"number\">Runs</th></tr></thead><tbody>\n",
              headings[unit]);
    for (size_t i = 0; i < n; i++) {
        if (bars[i].runs == 0)
            continue;
        page_put(p, "<tr><td>");
        put_label(p, bars[i].from, unit);
        page_put(p, "</td><td class=\"number\">");
        page_number(p, bars[i].runs);
        page_put(p, "</td></tr>\n");
    }
    page_put(p, "</tbody></table></details>\n");
}

void chart_draw(struct page *p, const struct data *d)
{
    struct bar bars[REPORT_HOURS / (365 * 24) + 4 > MAX_BARS ? REPORT_HOURS / (365 * 24) + 4 : MAX_BARS];
    time_t from = 0, to = -1;
    for (time_t h = 0; h < REPORT_HOURS; h++) {
        if (!d->hours[h])
            continue;
        from = to < 0 ? h * HOUR : from;
        to = h * HOUR;
    }
    if (to < 0)
        return;
    for (enum unit unit = BY_HOUR; unit < UNITS; unit++) {
        size_t n = make_bars(d, unit, from, to, bars, unit == BY_YEAR ? ARRAY_LENGTH(bars) : MAX_BARS);
        if (n == 0)
            continue;
        draw(p, unit, bars, n);
        put_table(p, unit, bars, n);
        return;
    }
}

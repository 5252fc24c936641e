/* Writes HTML. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "common/array.h"
#include "common/printable.h"
#include "common/utf8.h"
#include "formats/report/internal.h"

static void put(struct page *p, const char *html, size_t len)
{
    fwrite(html, 1, len, p->out);
    p->bytes += len;
}

void page_put(struct page *p, const char *html)
{
    put(p, html, strlen(html));
}

void page_putf(struct page *p, const char *fmt, ...)
{
    struct buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&b, fmt, ap);
    va_end(ap);
    put(p, buf_str(&b), b.len);
    buf_free(&b);
}

void page_text(struct page *p, const char *text, size_t len)
{
    static const struct {
        char c;
        const char *entity;
    } entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    struct buf shown = {0};
    printable_add(&shown, text, len);
    for (const char *s = buf_str(&shown), *end = s + shown.len; s < end;) {
        size_t plain = strcspn(s, "&<>\"'");
        put(p, s, plain);
        s += plain;
        for (size_t i = 0; s < end && i < ARRAY_LENGTH(entities); i++)
            if (*s == entities[i].c) {
                page_put(p, entities[i].entity);
                s++;
                break;
            }
    }
    buf_free(&shown);
}

void page_short(struct page *p, const char *text)
{
    size_t len = strlen(text), shown = len > PAGE_TEXT ? utf8_prefix(text, len, PAGE_TEXT) : len;
    page_text(p, text, shown);
    page_put(p, shown < len ? "…" : "");
}

void page_number(struct page *p, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    for (int i = 0; i < len; i++)
        page_putf(p, "%s%c", i && (len - i) % 3 == 0 ? "," : "", digits[i]);
}

void page_count(struct page *p, uint64_t n, const char *one, const char *many)
{
    page_number(p, n);
    page_putf(p, " %s", n == 1 ? one : many);
}

void page_date(struct page *p, int64_t ms, bool time_of_day)
{
    char text[64];
    struct tm tm;
    time_t t = (time_t)(ms / 1000 - (ms % 1000 < 0));
    bool ok =
        gmtime_r(&t, &tm) && strftime(text, sizeof text, time_of_day ? "%Y-%m-%d %H:%M" : "%Y-%m-%d", &tm);
    page_put(p, ok ? text : "–");
}

/* -- values */

enum { SHORT_VALUE = 24 }; /* bytes */

static bool is_inside(const char *s)
{
    return ((unsigned char)*s & 0xc0) == 0x80;
}

/* Length of the common beginning, and of the common end of what follows, at boundaries of characters. */
static void find_difference(const char *a, const char *b, size_t *before, size_t *after)
{
    size_t n = strlen(a), m = strlen(b), least = n < m ? n : m, i = 0, j = 0;
    while (i < least && a[i] == b[i])
        i++;
    while (i > 0 && (is_inside(a + i) || is_inside(b + i)))
        i--;
    while (j < least - i && a[n - 1 - j] == b[m - 1 - j])
        j++;
    while (j > 0 && (is_inside(a + n - j) || is_inside(b + m - j)))
        j--;
    /* Of short values that have little in common a part would say nothing. */
    bool apart = least < SHORT_VALUE && 3 * (i + j) < 2 * least;
    *before = apart ? 0 : i;
    *after = apart ? 0 : j;
}

static void put_value(struct page *p, const char *label, const char *class, const char *text, size_t before,
                      size_t after, bool null)
{
    size_t len = strlen(text);
    page_putf(p, "<td class=\"%s\" data-label=\"%s\"><span class=\"%s\">", class, label,
              null ? "absent" : "text");
    page_text(p, text, before);
    if (len > before + after) {
        page_put(p, null ? "" : "<mark>");
        page_text(p, text + before, len - before - after);
        page_put(p, null ? "" : "</mark>");
    }
    page_text(p, text + len - after, after);
    page_put(p, "</span></td>");
}

void page_values(struct page *p, const char *source, const char *target, const char *nulls)
{
    bool source_null = strchr(nulls, 's'), target_null = strchr(nulls, 't');
    size_t before = 0, after = 0;
    if (!source_null && !target_null)
        find_difference(source, target, &before, &after);
    put_value(p, "Source", "source", source_null ? "none" : source, before, after, source_null);
    put_value(p, "Target", "target", target_null ? "none" : target, before, after, target_null);
}

/* Reads artifact URIs byte by byte, in all their forms. */
#include "formats/record/uri.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/digits.h"

bool uri_starts(const struct uri *u, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(u->end - u->p) >= n && strncasecmp(u->p, word, n) == 0;
}

static bool has_drive(const char *p, const char *end)
{
    return end - p >= 2 && isalpha((unsigned char)p[0]) && p[1] == ':' &&
           (end - p == 2 || p[2] == '/' || p[2] == '\\');
}

struct uri uri_of(const char *s, size_t len)
{
    struct uri u = {.p = s, .end = s + len};
    if (uri_starts(&u, "file:")) {
        u.file = true;
        u.p += 5;
        if (uri_starts(&u, "//localhost/"))
            u.p += 11;
        else if (uri_starts(&u, "///") || (uri_starts(&u, "//") && has_drive(u.p + 2, u.end)))
            u.p += 2;
        else if (uri_starts(&u, "//")) /* a file of another host: compared verbatim */
            return (struct uri){.p = s, .end = s + len};
    } else {
        u.file = uri_starts(&u, "/") || has_drive(u.p, u.end);
    }
    if (u.file && uri_starts(&u, "/") && has_drive(u.p + 1, u.end))
        u.p++;
    u.drive = u.file && has_drive(u.p, u.end);
    return u;
}

char uri_byte(const char *p, const char *end, size_t *used)
{
    *used = *p == '%' && end - p >= 3 && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0 ? 3 : 1;
    return *used == 3 ? (char)(hex_digit(p[1]) * 16 + hex_digit(p[2])) : *p;
}

char uri_next_byte(struct uri *u)
{
    size_t used = 1;
    char c = u->file ? uri_byte(u->p, u->end, &used) : *u->p;
    u->p += used;
    return u->drive && c == '\\' ? '/' : c;
}

bool uri_stays(const struct uri *u)
{
    return u->p == u->end || uri_starts(u, "runs:/") || uri_starts(u, "models:/") ||
           uri_starts(u, "dummy-source");
}

size_t uri_scheme(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && (isalnum((unsigned char)s[n]) || (n > 0 && strchr("+-.", s[n]))))
        n++;
    return n > 1 && n < len && s[n] == ':' && isalpha((unsigned char)s[0]) ? n + 1 : 0;
}

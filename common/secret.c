/* Finds and masks passwords in messages. */
#include "common/secret.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/io.h"

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Length of the name of a secret parameter at s, as written there with its escapes; or 0. */
static size_t secret_name(const char *s)
{
    static const char *const names[] = {"password",           "passwd",           "pwd",
                                        "sslpassword",        "scram_client_key", "scram_server_key",
                                        "oauth_client_secret"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const char *p = s;
        for (const char *n = names[i]; *n; n++) {
            char c = *p;
            size_t taken = 1;
            if (c == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2])) {
                char hex[3] = {p[1], p[2], '\0'};
                c = (char)strtol(hex, NULL, 16);
                taken = 3;
            }
            if (tolower((unsigned char)c) != *n) {
                p = NULL;
                break;
            }
            p += taken;
        }
        if (p && !is_word(*p))
            return (size_t)(p - s);
    }
    return 0;
}

/* The value of a parameter whose name ends at p, after `=` with optional blanks; NULL: it has none. */
static const char *value_of(const char *p)
{
    p += strspn(p, " \t");
    if (*p == '=')
        p++;
    else if (strncasecmp(p, "%3d", 3) == 0)
        p += 3;
    else
        return NULL;
    return p + strspn(p, " \t");
}

/* Length of a parameter's value: quoted with backslashes, or to a blank or, in a URL, to the next one. */
static size_t value_length(const char *p, bool in_query)
{
    size_t n = 0;
    if (*p != '\'')
        return strcspn(p, in_query ? "&; \t\n\"'" : " \t\n");
    for (n = 1; p[n] && p[n] != '\''; n++)
        n += p[n] == '\\' && p[n + 1];
    return n + (p[n] == '\'');
}

/* The characters that end a URL within a text. */
static const char word_ends[] = " \t\n\"'";

/* The first `:` of a word, escaped or not, before its path; *len is its length. NULL: none. */
static const char *find_colon(const char *s, size_t *len)
{
    for (; *s && !strchr("/?#", *s) && !strchr(word_ends, *s); s++) {
        *len = *s == ':' ? 1 : 3;
        if (*s == ':' || strncasecmp(s, "%3a", 3) == 0)
            return s;
    }
    return NULL;
}

/* The end of a port at s that is followed by another host, the path or nothing; NULL: it is not a port. */
static const char *end_of_port(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n <= 5 && (s[n] == '\0' || strchr(",/?#:", s[n]) || strchr(word_ends, s[n])) ? s + n : NULL;
}

/* In hosts without an `@`: the text after one of them that is not a port, so begins a password with no host
 * after it. NULL: none. */
static const char *find_after_host(const char *s)
{
    for (;;) {
        size_t n;
        const char *colon = find_colon(*s == '[' ? s + strcspn(s, "]") : s, &n);
        const char *port = colon ? end_of_port(colon + n) : NULL;
        if (colon && !port)
            return colon + n;
        if (!port || *port != ',')
            return NULL;
        s = port + 1;
    }
}

/* Whether the scheme ending at p in text is that of a database server. */
static bool is_server(const char *text, const char *p)
{
    static const char *const servers[] = {"postgres", "mysql", "mariadb", "mssql", "oracle", "cockroachdb"};
    while (p > text && (isalnum((unsigned char)p[-1]) || strchr("+_.-", p[-1])))
        p--;
    for (size_t i = 0; i < ARRAY_LENGTH(servers); i++)
        if (strncmp(p, servers[i], strlen(servers[i])) == 0)
            return true;
    return false;
}

/* The password in an authority at s, delimited as in RFC 3986; in a server's URL also one without a host
 * after it. */
static bool find_in_authority(const char *s, bool server, const char **start, size_t *len)
{
    size_t n = strcspn(s, "/?# \t\n\"'"), escape = 0;
    const char *at = memrchr(s, '@', n), *colon = find_colon(s, &escape);
    if (at && colon && colon < at) {
        *start = colon + escape;
        *len = (size_t)(at - *start);
    } else if (!at && server && (*start = find_after_host(s))) {
        *len = strcspn(*start, word_ends);
    } else {
        return false;
    }
    return *len > 0 && strncmp(*start, "***", 3) != 0;
}

bool secret_find(const char *text, size_t from, size_t *start, size_t *len)
{
    for (const char *p = text + from; *p; p++) {
        const char *found = NULL;
        size_t name;
        bool url = strncmp(p, "://", 3) == 0, server = *p == ':' && is_server(text, p);
        const char *authority = url ? p + 3 : p + 1 + (p[1] == '/');
        if ((url || server) && find_in_authority(authority, server, &found, len)) {
            *start = (size_t)(found - text);
            return true;
        }
        if ((p == text || !is_word(p[-1])) && (name = secret_name(p)) > 0 && (found = value_of(p + name))) {
            *start = (size_t)(found - text);
            *len = value_length(found, p > text && (p[-1] == '?' || p[-1] == '&'));
            if (*len > 0 && strncmp(found, "***", 3) != 0)
                return true;
        }
    }
    return false;
}

static void hide(struct buf *hidden, const char *s, size_t len)
{
    if (!hidden || len == 0)
        return;
    buf_add(hidden, s, len);
    buf_addc(hidden, '\0');
    char *plain = xstrndup(s, len);
    if (io_percent_decode(plain) > 0 && strlen(plain) != len) {
        buf_adds(hidden, plain);
        buf_addc(hidden, '\0');
    }
    free(plain);
}

/* Everything between the first `:` of rest and its last `@` may be a password; after a scheme also what no
 * `@` follows. */
static bool find_before_host(const char *rest, bool has_scheme, const char **start, size_t *len)
{
    const char *at = strrchr(rest, '@'), *end = strchr(rest, ':'), *escaped = strcasestr(rest, "%3a");
    if (*rest == '/')
        return false;
    if (!at) {
        *start = has_scheme ? find_after_host(rest) : NULL;
        *len = *start ? strlen(*start) : 0;
        return *start;
    }
    *start = escaped && (!end || escaped < end) ? escaped + 3 : end ? end + 1 : NULL;
    *len = *start && *start < at ? (size_t)(at - *start) : 0;
    return *len > 0;
}

char *secret_mask(const char *text, struct buf *hidden)
{
    struct buf first = {0}, all = {0};
    const char *scheme = strstr(text, "://"), *colon = strchr(text, ':'), *start;
    const char *rest = scheme ? scheme + 3 : text;
    size_t len, from = 0, at;
    /* scheme:user:password@host, and the like */
    if (!scheme && colon &&
        strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+_") == (size_t)(colon - text) &&
        (strncmp(text, "postgres", 8) == 0 || strncmp(text, "sqlite", 6) == 0))
        rest = colon + 1 + strspn(colon + 1, "/");
    bool keywords = !scheme && secret_find(text, 0, &at, &len);
    if (!keywords && find_before_host(rest, rest != text, &start, &len)) {
        hide(hidden, start, len);
        buf_add(&first, text, (size_t)(start - text));
        buf_adds(&first, "***");
        buf_adds(&first, start + len);
    } else {
        buf_adds(&first, text);
    }
    while (secret_find(buf_str(&first), from, &at, &len)) {
        hide(hidden, first.data + at, len);
        buf_add(&all, first.data + from, at - from);
        buf_adds(&all, "***");
        from = at + len;
    }
    buf_adds(&all, buf_str(&first) + from);
    buf_free(&first);
    return all.data ? all.data : xstrdup("");
}

/* Whether len bytes at s are part of something hidden. */
static bool is_part(const char *s, size_t len, const struct buf *hidden)
{
    for (size_t i = 0; i < hidden->len; i += strlen(hidden->data + i) + 1)
        if (memmem(hidden->data + i, strlen(hidden->data + i), s, len))
            return true;
    return false;
}

/* Length of a whole hidden string at the beginning of s; or 0. */
static size_t begins_with_hidden(const char *s, const struct buf *hidden)
{
    size_t most = 0;
    for (size_t i = 0; i < hidden->len; i += strlen(hidden->data + i) + 1) {
        size_t n = strlen(hidden->data + i);
        if (n >= 4 && n > most && strncmp(s, hidden->data + i, n) == 0)
            most = n;
    }
    return most;
}

char *secret_mask_quoted(const char *message, const struct buf *hidden)
{
    struct buf b = {0};
    while (*message) {
        size_t whole = begins_with_hidden(message, hidden);
        size_t quoted = *message == '"' ? strcspn(message + 1, "\"") : 0;
        if (whole) {
            buf_adds(&b, "***");
            message += whole;
        } else if (quoted && is_part(message + 1, quoted, hidden)) {
            buf_adds(&b, "\"***");
            message += 1 + quoted;
        } else {
            buf_addc(&b, *message++);
        }
    }
    return b.data ? b.data : xstrdup("");
}

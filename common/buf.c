/* Grows byte buffers, and wraps malloc so that it never returns NULL. */
#include "common/buf.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void xnomem(const char *where)
{
    struct err e;
    err_set(&e, where, "out of memory");
    err_no_memory(&e);
}

void buf_reserve(struct buf *b, size_t more)
{
    size_t need = b->len + more + 1;
    if (need <= b->cap)
        return;
    if (need < b->len)
        xnomem(NULL);
    size_t cap = b->cap < 64 ? 64 : b->cap + b->cap / 2;
    if (cap < need)
        cap = need;
    b->data = xrealloc(b->data, cap);
    b->cap = cap;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    buf_reserve(b, len);
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_adds(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    buf_reserve(b, 63);
    size_t room = b->cap - b->len;
    int n = vsnprintf(b->data + b->len, room, fmt, ap);
    if (n < 0)
        xnomem(NULL); /* more than INT_MAX bytes */
    if ((size_t)n >= room) {
        buf_reserve(b, (size_t)n);
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    }
    b->len += (size_t)n;
    va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(b, fmt, ap);
    va_end(ap);
}

void buf_reset(struct buf *b)
{
    buf_truncate(b, 0);
}

void buf_fit(struct buf *b, size_t len)
{
    if (b->cap > BUF_KEPT && b->cap / 2 > len)
        buf_free(b);
    b->len = 0; /* nothing to copy */
    if (b->cap <= len) {
        buf_free(b);
        buf_reserve(b, len);
    }
    b->len = len;
    b->data[len] = '\0';
}

void buf_trim(struct buf *b)
{
    if (b->cap > BUF_KEPT)
        buf_free(b);
    buf_reset(b);
}

void buf_truncate(struct buf *b, size_t len)
{
    b->len = len;
    if (b->data)
        b->data[len] = '\0';
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

void malloc_setup(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 256 << 10); /* fixed, or it would grow with freed blocks */
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    mallopt(M_ARENA_MAX, 4);
#endif
}

static void *checked(void *p, size_t size)
{
    struct err e;
    if (p || size == 0)
        return p;
    err_set(&e, NULL, "out of memory (%zu bytes)", size);
    err_no_memory(&e);
}

void *xmalloc(size_t size)
{
    return checked(malloc(size), size);
}

void *xcalloc(size_t n, size_t size)
{
    return checked(calloc(n, size), n * size);
}

void *xrealloc(void *p, size_t size)
{
    return checked(realloc(p, size), size);
}

char *xrealpath(const char *path)
{
    char *real = realpath(path, NULL);
    if (!real && errno == ENOMEM)
        xnomem(path);
    return real;
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    char *copy = xmalloc(n + 1);
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    struct buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&b, fmt, ap);
    va_end(ap);
    return b.data;
}

void buf_add_shell_word(struct buf *b, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:/._-+,@";
    if (word[strspn(word, plain)] == '\0') {
        buf_adds(b, word);
        return;
    }
    buf_addc(b, '\'');
    for (const char *p = word; *p; p++)
        if (*p == '\'')
            buf_adds(b, "'\\''");
        else
            buf_addc(b, *p);
    buf_addc(b, '\'');
}

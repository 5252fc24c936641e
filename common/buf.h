/* A growable run of bytes. Zero-initialise it (struct buf b = {0}); buf_free releases it. Memory that can't
 * be had ends the program (err_no_memory), so no function here fails. The content is always followed by a NUL
 * that len does not count. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { BUF_KEPT = 64 << 10 };

struct buf {
    char *data; /* NULL until something is added */
    size_t len; /* bytes */
    size_t cap; /* bytes */
};

void buf_reserve(struct buf *b, size_t more); /* reserves `more` bytes beyond len, and a NUL */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_addc(struct buf *b, char c);
void buf_adds(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vaddf(struct buf *b, const char *fmt, va_list ap);
void buf_reset(struct buf *b); /* sets len to 0, keeps the memory */
/* Resizes the contents to len unspecified bytes, for the caller to fill. Frees memory far beyond that. */
void buf_fit(struct buf *b, size_t len);
/* Sets len to 0 and frees memory beyond BUF_KEPT bytes: for long-lived buffers that are occasionally
 * large. */
void buf_trim(struct buf *b);
void buf_truncate(struct buf *b, size_t len);
void buf_free(struct buf *b);
const char *buf_str(const struct buf *b); /* "" when empty; valid until the next change */

/* To be called first in main(): makes malloc return large blocks to the system when they are freed, and lets
 * threads share a few arenas, so that resident memory is what the program uses. */
void malloc_setup(void);

/* Ends the program for what could not be allocated, by another library or the system, where "" or NULL is
 * nothing to be named. */
_Noreturn void xnomem(const char *where);
/* malloc and friends that end the program when there is no memory. */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
/* realpath(3), malloc'ed; NULL with errno set on failure. */
char *xrealpath(const char *path);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Appends a word quoted for the shell, where necessary. */
void buf_add_shell_word(struct buf *b, const char *word);

#endif

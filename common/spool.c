/* Stores a byte stream, compressed by zstd, in an unnamed file. */
#include "common/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/io.h"

enum { LEVEL = 1 }; /* faster than the stream is made; a stream of metrics becomes a third */

struct spool {
    char *dir; /* for messages */
    int fd;
    bool ended; /* the frame is complete */
    uint64_t size;
    ZSTD_CCtx *packer;
    ZSTD_DCtx *unpacker;
    char *in, *out; /* of ZSTD_DStreamInSize and ZSTD_CStreamOutSize or ZSTD_DStreamOutSize bytes */
    size_t in_cap, out_cap;
};

struct spool *spool_new(const char *dir, struct err *e)
{
    struct spool *s = xcalloc(1, sizeof *s);
    s->dir = xstrdup(dir);
    s->fd = file_nameless(dir, e);
    s->packer = ZSTD_createCCtx();
    s->unpacker = ZSTD_createDCtx();
    s->in_cap = ZSTD_DStreamInSize();
    s->out_cap =
        ZSTD_CStreamOutSize() > ZSTD_DStreamOutSize() ? ZSTD_CStreamOutSize() : ZSTD_DStreamOutSize();
    s->in = xmalloc(s->in_cap);
    s->out = xmalloc(s->out_cap);
    if (s->fd >= 0 && (!s->packer || !s->unpacker))
        err_set(e, dir, "out of memory");
    else if (s->fd >= 0 && ZSTD_isError(ZSTD_CCtx_setParameter(s->packer, ZSTD_c_compressionLevel, LEVEL)))
        err_set(e, dir, "cannot initialise zstd");
    else if (s->fd >= 0)
        return s;
    spool_free(s);
    return NULL;
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    ZSTD_freeCCtx(s->packer);
    ZSTD_freeDCtx(s->unpacker);
    if (s->fd >= 0)
        close(s->fd);
    free(s->in);
    free(s->out);
    free(s->dir);
    free(s);
}

static bool pack(struct spool *s, ZSTD_inBuffer *in, ZSTD_EndDirective end, struct err *e)
{
    size_t left;
    do {
        ZSTD_outBuffer out = {.dst = s->out, .size = s->out_cap};
        left = ZSTD_compressStream2(s->packer, &out, in, end);
        if (ZSTD_isError(left))
            return err_set(e, s->dir, "cannot compress: %s", ZSTD_getErrorName(left));
        if (!io_write_all(s->fd, s->out, out.pos))
            return err_set(e, s->dir, "cannot write a temporary file: %s", strerror(errno));
        s->size += out.pos;
    } while (end == ZSTD_e_end ? left > 0 : in->pos < in->size);
    return true;
}

bool spool_write(struct spool *s, const void *data, size_t len, struct err *e)
{
    ZSTD_inBuffer in = {.src = data, .size = len};
    return pack(s, &in, ZSTD_e_continue, e);
}

static bool unpack(struct spool *s, size_t len, int fd, size_t *expected, struct err *e)
{
    ZSTD_inBuffer in = {.src = s->in, .size = len};
    ZSTD_outBuffer out;
    do {
        out = (ZSTD_outBuffer){.dst = s->out, .size = s->out_cap};
        *expected = ZSTD_decompressStream(s->unpacker, &out, &in);
        if (ZSTD_isError(*expected))
            return err_set(e, s->dir, "a temporary file is damaged: %s", ZSTD_getErrorName(*expected));
        if (io_write_all(fd, s->out, out.pos))
            continue;
        return io_write_failed(e, NULL, "cannot write to a pipe");
    } while (in.pos < in.size || out.pos == out.size);
    return true;
}

bool spool_copy(struct spool *s, int fd, struct err *e)
{
    ZSTD_inBuffer nothing = {0};
    size_t expected = 0;
    if (!s->ended && !pack(s, &nothing, ZSTD_e_end, e))
        return false;
    s->ended = true;
    ZSTD_DCtx_reset(s->unpacker, ZSTD_reset_session_only);
    for (uint64_t at = 0; at < s->size;) {
        ssize_t n = pread(s->fd, s->in, s->in_cap, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, s->dir, "cannot read a temporary file: %s", strerror(errno));
        if (n == 0)
            break;
        if (!unpack(s, (size_t)n, fd, &expected, e))
            return false;
        at += (uint64_t)n;
    }
    return expected == 0 || err_set(e, s->dir, "a temporary file was truncated");
}

uint64_t spool_size(const struct spool *s)
{
    return s->size;
}

/* SHA-256 (FIPS 180-4), for names that MLflow derives from text. */
#ifndef FORMATS_SHA256_H
#define FORMATS_SHA256_H

#include <stddef.h>

/* The digest of len bytes as 64 lower-case hex digits and a NUL. */
void sha256_hex(const void *data, size_t len, char out[65]);

#endif

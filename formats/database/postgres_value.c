/* Converts PostgreSQL's values, in text or binary format. */
#include <stdlib.h>
#include <string.h>

#include "common/digits.h"
#include "formats/database/postgres_statement.h"

static struct value number_value(const char *text)
{
    int64_t n;
    if (value_parse_int(text, strlen(text), &n))
        return value_int(n);
    return value_float(strtod(text, NULL));
}

/* Decodes \\x0123…, the format that postgres_open sets. */
static struct value bytea_value(struct arena *a, const char *text, size_t len)
{
    size_t n = len < 2 ? 0 : len / 2 - 1;
    char *bytes = arena_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(hex_digit(text[2 + 2 * i]) * 16 + hex_digit(text[3 + 2 * i]));
    return (struct value){.type = VALUE_BIN, .len = (uint32_t)n, .s = bytes};
}

static uint64_t big_endian(const char *bytes, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | (unsigned char)bytes[i];
    return n;
}

/* Decodes a binary value of one of the types accepted by wants_binary(). */
static struct value binary_value(Oid type, const char *bytes, size_t len)
{
    uint64_t bits = big_endian(bytes, len < 8 ? len : 8);
    double f;
    switch (type) {
    case OID_BOOL:
        return value_bool(bits != 0);
    case OID_INT2:
        return value_int((int16_t)bits);
    case OID_INT4:
        return value_int((int32_t)bits);
    case OID_INT8:
        return value_int((int64_t)bits);
    case OID_FLOAT8:
        memcpy(&f, &bits, sizeof f);
        return value_float(f);
    case OID_BYTEA:
        return (struct value){.type = VALUE_BIN, .len = (uint32_t)len, .s = bytes};
    default:
        return value_text(bytes, len);
    }
}

void postgres_column(struct db_stmt *stmt, int i, struct value *v)
{
    struct postgres_stmt *s = postgres_stmt_of(stmt);
    *v = value_null();
    if (PQgetisnull(s->result, s->row, i))
        return;
    const char *text = PQgetvalue(s->result, s->row, i);
    size_t len = (size_t)PQgetlength(s->result, s->row, i);
    if (PQfformat(s->result, i) == 1) {
        *v = binary_value(PQftype(s->result, i), text, len);
        return;
    }
    switch (PQftype(s->result, i)) {
    case OID_BOOL:
        *v = value_bool(*text == 't');
        break;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
        *v = value_int(strtoll(text, NULL, 10));
        break;
    case OID_FLOAT4:
    case OID_FLOAT8:
        *v = value_float(strtod(text, NULL)); /* strtod accepts NaN and Infinity */
        break;
    case OID_NUMERIC:
        *v = number_value(text);
        break;
    case OID_BYTEA:
        *v = bytea_value(&s->blobs, text, len);
        break;
    default:
        *v = value_text(text, len);
    }
}

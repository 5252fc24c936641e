/* Digits of texts of bytes: hexadecimal and base64. */
#ifndef COMMON_DIGITS_H
#define COMMON_DIGITS_H

#include <string.h>

/* The value of a hexadecimal digit of either case; -1: it is none. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#define BASE64_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* The value of a digit of base64; -1: it is none. */
static inline int base64_digit(char c)
{
    static const char digits[] = BASE64_DIGITS;
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

#endif

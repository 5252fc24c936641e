/* Converts untrusted text to a form that is safe to print. */
#include "common/printable.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/array.h"
#include "common/utf8.h"

/* The longest printable form of a character: four bytes, each as \xNN. */
enum { LONGEST = 4 * 4 };

/* Whether a well-formed sequence of n bytes may be shown. */
static bool may_be_shown(const unsigned char *s, size_t n)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0x00, 0x1F},     {0x7F, 0x9F},     {0x061C, 0x061C}, {0x200E, 0x200F},
        {0x2028, 0x202E}, {0x2066, 0x2069}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB},
    };
    uint32_t c = n == 1 ? s[0] : s[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3F);
    for (size_t i = 0; i < ARRAY_LENGTH(hidden); i++)
        if (c >= hidden[i].first && c <= hidden[i].last)
            return false;
    return true;
}

/* Writes the printable form of the first character of text, len > 0, into out, *n bytes. Returns the
 * character's length in bytes. */
static size_t next_form(const char *text, size_t len, char out[LONGEST], size_t *n)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *s = (const unsigned char *)text;
    size_t sequence = utf8_sequence(text, len), taken = sequence ? sequence : 1;
    if (sequence && may_be_shown(s, sequence)) {
        memcpy(out, text, sequence);
        *n = sequence;
        return sequence;
    }
    for (size_t i = 0; i < taken; i++) {
        char *p = out + 4 * i;
        p[0] = '\\';
        p[1] = 'x';
        p[2] = digits[s[i] >> 4];
        p[3] = digits[s[i] & 0xF];
    }
    *n = 4 * taken;
    return taken;
}

size_t printable_into(char *out, size_t size, const char *text, size_t len)
{
    size_t used = 0, room = size - 1;
    while (used < len) {
        char form[LONGEST];
        size_t n, taken = next_form(text + used, len - used, form, &n);
        if (n > room)
            break;
        memcpy(out, form, n);
        out += n;
        room -= n;
        used += taken;
    }
    *out = '\0';
    return used;
}

void printable_add(struct buf *out, const char *text, size_t len)
{
    for (size_t used = 0; used < len;) {
        char form[LONGEST];
        size_t n;
        used += next_form(text + used, len - used, form, &n);
        buf_add(out, form, n);
    }
}

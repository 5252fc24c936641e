/* TAP for unit tests: a test is a main() that calls ok(), is_str(), is_int() and ends with `return
 * done_testing();`. */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int tap_run;
static int tap_failed;

static inline __attribute__((format(printf, 2, 0))) bool tap_report(bool passed, const char *fmt, va_list ap)
{
    tap_run++;
    tap_failed += !passed;
    printf("%sok %d - ", passed ? "" : "not ", tap_run);
    vprintf(fmt, ap);
    putchar('\n');
    fflush(stdout);
    return passed;
}

/* Passes when passed is true; the rest is the name of the test, as for printf. Returns passed. */
static inline __attribute__((format(printf, 2, 3))) bool ok(bool passed, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tap_report(passed, fmt, ap);
    va_end(ap);
    return passed;
}

/* Passes when both texts are equal, or both NULL. */
static inline __attribute__((format(printf, 3, 4))) bool is_str(const char *got, const char *want,
                                                                const char *fmt, ...)
{
    bool same = got && want ? strcmp(got, want) == 0 : got == want;
    va_list ap;
    va_start(ap, fmt);
    tap_report(same, fmt, ap);
    va_end(ap);
    if (!same)
        printf("#   got: %s\n#  want: %s\n", got ? got : "(null)", want ? want : "(null)");
    return same;
}

/* Passes when both numbers are equal. */
static inline __attribute__((format(printf, 3, 4))) bool is_int(int64_t got, int64_t want, const char *fmt,
                                                                ...)
{
    va_list ap;
    va_start(ap, fmt);
    tap_report(got == want, fmt, ap);
    va_end(ap);
    if (got != want)
        printf("#   got: %" PRId64 "\n#  want: %" PRId64 "\n", got, want);
    return got == want;
}

/* Prints the plan. Returns what main() returns: 0 when all passed. */
static inline int done_testing(void)
{
    printf("1..%d\n", tap_run);
    return tap_failed ? 1 : 0;
}

#endif

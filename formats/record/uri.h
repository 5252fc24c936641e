/* The forms of artifact URIs: URIs with a scheme, file: URIs of all kinds (file:///p, file:/p, file:p,
 * file:///C:/p, file:C:\p), and plain paths, Windows paths too. */
#ifndef FORMATS_URI_H
#define FORMATS_URI_H

#include <stdbool.h>
#include <stddef.h>

/* A URI to be read byte by byte: the path of a local file, or text that is compared verbatim. It does not own
 * the bytes. */
struct uri {
    const char *p, *end;
    bool file, drive; /* drive: p begins with a letter and a colon; backslashes are slashes */
};

struct uri uri_of(const char *s, size_t len);
/* Whether the rest of u begins with the word, ignoring case. */
bool uri_starts(const struct uri *u, const char *word);
/* Whether u is not the location of artifacts: empty, runs:/ and models:/, which MLflow resolves itself, and
 * the "dummy-source" of prompt versions. */
bool uri_stays(const struct uri *u);
/* The byte at p, with %XX decoded; *used: the number of bytes read. p is before end. */
char uri_byte(const char *p, const char *end, size_t *used);
/* The next byte for comparison, with %XX decoded and \ as / where equivalent; advances u, which must not be
 * at its end. */
char uri_next_byte(struct uri *u);
/* The length of a scheme and its colon at the beginning of a text; 0: none. A single letter is a drive. */
size_t uri_scheme(const char *s, size_t len);

#endif

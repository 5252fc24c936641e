/* The forms in which artifact URIs come: URIs with a scheme, file: URIs of all kinds (file:///p, file:/p,
 * file:p, file:///C:/p, file:C:\p), and plain paths, of Windows too. */
#ifndef FORMATS_URI_H
#define FORMATS_URI_H

#include <stdbool.h>
#include <stddef.h>

/* A URI to read byte by byte: the path of a local file, or text that is compared as it is. Its bytes are
 * somebody else's. */
struct uri {
    const char *p, *end;
    bool file, drive; /* drive: p begins with a letter and a colon; backslashes are slashes */
};

struct uri uri_of(const char *s, size_t len);
/* True when what is left of u begins with the word, in any case of letters. */
bool uri_starts(const struct uri *u, const char *word);
/* True for what is no place of artifacts: nothing at all, runs:/ and models:/, which MLflow resolves itself,
 * and the "dummy-source" that it writes for the versions of prompts. */
bool uri_stays(const struct uri *u);
/* The byte that stands at p, where %XX is one; *used: how many stand for it. p is before end. */
char uri_byte(const char *p, const char *end, size_t *used);
/* The next byte as it is compared, with %XX decoded and \ as / where they are the same; u moves on and must
 * not be at its end. */
char uri_next_byte(struct uri *u);
/* The length of a scheme and its colon at the beginning of a text; 0: none. A single letter is a drive. */
size_t uri_scheme(const char *s, size_t len);

#endif

/* Text, numbers and JSON as Python reads them: MLflow's data migrations are defined by CPython's str, float,
 * Decimal and json.loads, and results must be the same. */
#ifndef FORMATS_PYTEXT_H
#define FORMATS_PYTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"

/* str.strip(): adjusts *s and *len to exclude Unicode white space at both ends. s is UTF-8. */
void py_strip(const char **s, size_t *len);
/* Appends str.lower(), with final sigma. s is UTF-8. */
void py_lower(const char *s, size_t len, struct buf *out);
/* float(str): false if Python raises ValueError. "inf" and "nan" are valid. */
bool py_float(const char *s, size_t len, double *out);
/* Decimal(str), if that is finite, integral and within 64 bits; else false. */
bool py_integer(const char *s, size_t len, int64_t *out);

enum pyjson_type {
    PYJSON_NULL,
    PYJSON_TRUE,
    PYJSON_FALSE,
    PYJSON_INT,
    PYJSON_FLOAT,
    PYJSON_STRING,
    PYJSON_ARRAY,
    PYJSON_OBJECT,
};

struct pyjson_value {
    enum pyjson_type type;
    const char *s;  /* STRING: UTF-8, decoded; INT and FLOAT: the number as it is written */
    size_t len;     /* bytes */
    bool surrogate; /* STRING: contains a lone surrogate (in three bytes), which cannot be encoded */
};

struct pyjson_member {
    struct pyjson_value key; /* null for elements of arrays */
    struct pyjson_value value;
};

/* A document: its value and, of an object or array, the members; nested members are checked but not kept. */
struct pyjson {
    struct pyjson_value top;
    struct pyjson_member *members;
    size_t n_members;
    struct arena arena;
    size_t cap; /* private */
};

/* json.loads(): false if it raises ValueError (also for a number of more than 4300 digits). NaN, Infinity and
 * -Infinity are floats. Zero-initialise d; it can be reused, which replaces its contents. Nesting depth is
 * unlimited. */
bool pyjson_parse(struct pyjson *d, const char *s, size_t len);
/* The value of an object's key, the last of duplicate ones, as in a dict; NULL if there is none. */
const struct pyjson_value *pyjson_get(const struct pyjson *d, const char *key);
/* Python's name of a value's type: "int", "NoneType". */
const char *pyjson_type_name(const struct pyjson_value *v);
void pyjson_free(struct pyjson *d);

/* An INT or FLOAT as a double; an INT beyond a double's range is infinite (Python raises OverflowError). */
double pyjson_number(const struct pyjson_value *v);

#endif

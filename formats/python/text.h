/* Text, numbers and JSON as Python reads them: MLflow's data migrations are defined by what str, float,
 * Decimal and json.loads of CPython do, and a value that is read otherwise would be another value. */
#ifndef FORMATS_PYTEXT_H
#define FORMATS_PYTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"

/* str.strip(): moves *s and *len past white space of any script at both ends. s is UTF-8. */
void py_strip(const char **s, size_t *len);
/* str.lower(), final sigma and all, appended to out. s is UTF-8. */
void py_lower(const char *s, size_t len, struct buf *out);
/* float(str): false where Python raises ValueError. "inf" and "nan" are numbers to it. */
bool py_float(const char *s, size_t len, double *out);
/* Decimal(str), where that is finite, integral and within 64 bits; else false. */
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
    bool surrogate; /* STRING: holds half of a pair (in three bytes, as UTF-8 would), which cannot be encoded
                     */
};

struct pyjson_member {
    struct pyjson_value key; /* of an array's elements: null */
    struct pyjson_value value;
};

/* A document: its own value and, of an object or array, the members, whose own members are checked and not
 * kept. */
struct pyjson {
    struct pyjson_value top;
    struct pyjson_member *members;
    size_t n_members;
    struct arena arena;
    size_t cap; /* private */
};

/* json.loads(): false where it raises ValueError (a number of more than 4300 digits among that). NaN,
 * Infinity and -Infinity are floats. Zero-initialise d; it may be used again and again; what it held before
 * is gone. Nesting of any depth is read. */
bool pyjson_parse(struct pyjson *d, const char *s, size_t len);
/* The value of an object's key, the last of equal ones, as in a dict; NULL when there is none. */
const struct pyjson_value *pyjson_get(const struct pyjson *d, const char *key);
/* Python's name of a value's type: "int", "NoneType". */
const char *pyjson_type_name(const struct pyjson_value *v);
void pyjson_free(struct pyjson *d);

/* The double of an INT or FLOAT; an INT beyond a double's range is infinite (Python raises OverflowError
 * there). */
double pyjson_number(const struct pyjson_value *v);

#endif

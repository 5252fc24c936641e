/* Numbers as Python reads them: MLflow parses metric files with int() and float(). */
#ifndef FORMATS_NUMBER_H
#define FORMATS_NUMBER_H

#include <stddef.h>
#include <stdint.h>

enum number { NUMBER_GOOD, NUMBER_BAD, NUMBER_TOO_LARGE };
enum number python_int(const char *s, size_t len, int64_t *out);
enum number python_float(const char *s, size_t len, double *out);

#endif

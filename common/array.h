/* The length of an array, which must not be a pointer: a constant expression. */
#ifndef COMMON_ARRAY_H
#define COMMON_ARRAY_H

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof *(a))

#endif

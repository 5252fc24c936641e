/* Arrays whose length the compiler knows. */
#ifndef COMMON_ARRAY_H
#define COMMON_ARRAY_H

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof *(a))

#endif

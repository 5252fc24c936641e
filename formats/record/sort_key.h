/* Records in the order of their fields, as bytes that memcmp compares. */
#ifndef FORMATS_SORT_KEY_H
#define FORMATS_SORT_KEY_H

#include "common/buf.h"
#include "formats/record/record.h"

/* Appends the sort key of the n fields of r that `fields` names: equal for equal entities of normalised
 * records (formats/verify/equality.h), and in the order in which formats/database/fetch.h gives rows. */
void record_sort_key(const struct record *r, const int *fields, int n, struct buf *out);

#endif

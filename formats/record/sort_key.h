/* Sort keys of records, to be compared by memcmp. */
#ifndef FORMATS_SORT_KEY_H
#define FORMATS_SORT_KEY_H

#include "common/buf.h"
#include "formats/record/record.h"

/* Appends the sort key of the n fields of r listed in `fields`: equal for equal entities of normalised
 * records (formats/verify/equality.h), in the row order of formats/database/fetch.h. */
void record_sort_key(const struct record *r, const int *fields, int n, struct buf *out);

#endif

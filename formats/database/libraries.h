/* What the databases' client libraries are, for --version. */
#ifndef FORMATS_DATABASE_LIBRARIES_H
#define FORMATS_DATABASE_LIBRARIES_H

#include "common/buf.h"

/* Appends names and versions, separated by ", ", to `libraries`, and to `missing` what they were built without. */
void db_libraries(struct buf *libraries, struct buf *missing);

#endif

/* Has the structure of a database judged, for ml-verify. */
#ifndef TOOLS_STRUCTURE_H
#define TOOLS_STRUCTURE_H

#include <stdbool.h>

#include "common/buf.h"
#include "formats/database/db.h"
#include "formats/verify/report.h"

/* Zero-initialise it. */
struct judgement {
    struct verify_structure structure; /* its texts are below */
    char **lines;
    struct buf why;
};

/* Compares the structure with that of the database's revision; with data_only it is not checked, and why says so. Ends the
 * program on trouble. */
void judgement_make(struct db *db, bool data_only, struct judgement *j);
void judgement_free(struct judgement *j);

#endif

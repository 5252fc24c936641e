/* The report of a load. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include <stdbool.h>

#include "formats/load/load.h"

/* Prints to stderr the rows of each kind, what was converted or dropped, and which files remain in use where
 * they are, as notes, and warnings about losses. Returns whether something was dropped on request. */
bool load_report_print(const struct load_report *r);
/* Prints how many traces with spans MLflow reads from the database from now on, and how many it does not. */
void load_report_locations(const struct load_report *r);
/* Whether something was dropped on request. */
bool load_report_dropped(const struct load_report *r);

#endif

/* What became of the records of a load, in words. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include <stdbool.h>

#include "formats/load/load.h"

/* Prints to stderr the rows of each kind, what was converted or left out, and which files stay in use where
 * they are: notes, and warnings of what is lost. True when something was left out on request. */
bool load_report_print(const struct load_report *r);
/* True when something was left out on request. */
bool load_report_dropped(const struct load_report *r);

#endif

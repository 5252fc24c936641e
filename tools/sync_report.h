/* What ml-sync says of what ml-load has done. */
#ifndef TOOLS_SYNC_REPORT_H
#define TOOLS_SYNC_REPORT_H

#include <jansson.h>
#include <stdbool.h>

/* "3 added, 1 changed", for the caller to free. result: the object that ml-load --json writes; NULL: none.
 * differs: the verification has failed. */
char *sync_summary(const json_t *result, int status, bool differs, bool dry_run);
/* Notes the values of the target that a full stream has overwritten: what was edited there since the base of a
 * state that is lost, too. */
void sync_report_overwritten(const json_t *result, bool dry_run);

/* Adds a tick (sync_tick.h) to the journal, for a report. */
void sync_journal(const json_t *tick);

#endif

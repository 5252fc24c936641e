/* A progress line with count and rate on stderr: only on a terminal, unless --progress says otherwise. Not
 * thread-safe. Cheap: the clock is read at most every 1,024 calls. */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_mode { PROGRESS_AUTO, PROGRESS_ALWAYS, PROGRESS_NEVER };

void progress_mode_set(enum progress_mode mode);
enum progress_mode progress_mode(void);
/* Starts a new line; ends a running one. unit: "records", "rows"; total 0: unknown. Keeps the pointer `what`.
 */
void progress_start(const char *what, const char *unit, uint64_t total);
void progress_add(uint64_t n);
void progress_end(void);
/* Clears the line so that a message can be printed; err.c calls it. */
void progress_clear(void);

#endif

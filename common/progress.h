/* A progress line on stderr: count and rate and, where the total is known, percent and time left; only on a
 * terminal, unless --progress says otherwise. At its end it becomes a summary and stays. It is never longer
 * than the terminal is wide. Not thread-safe. Cheap: the clock is read at most every 1,024 calls.
 *
 * A pipeline's programs share a terminal. ml-migrate and ml-sync call progress_share(): then one line stands
 * for each stage, that of the program which does the work; what the others read from it is not shown, nor are
 * notes of counts, which the lines have (err.h). */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum progress_mode { PROGRESS_AUTO, PROGRESS_ALWAYS, PROGRESS_NEVER };

void progress_mode_set(enum progress_mode mode);
enum progress_mode progress_mode(void);
/* To be called before other programs are started: on a terminal, unless --progress says never, they are stages. Returns
 * whether they are. */
bool progress_share(void);
/* Whether this program is a stage of such a pipeline, or runs one. */
bool progress_is_shared(void);

/* Starts a new line; ends a running one. unit: "records", "rows"; total 0: unknown. Keeps the pointers. */
void progress_start(const char *what, const char *unit, uint64_t total);
/* The same for reading standard input, whose position is the progress if it is a file; nothing in a stage. */
void progress_start_input(const char *what, const char *unit);
/* Whether a line is running: only then need a total be counted. */
bool progress_is_running(void);
/* The total of units, where it is known only after the start. */
void progress_set_total(uint64_t total);
/* The total of parts by which the progress is measured where units cannot be counted before; then
 * progress_add_parts() counts them. */
void progress_set_parts(uint64_t total);
void progress_add_parts(uint64_t n);
void progress_add(uint64_t n);
void progress_end(void);
/* Clears the line so that a message can be printed; err.c calls it. */
void progress_clear(void);

/* 1234567 as "1,234,567". */
void progress_format_count(uint64_t n, char out[32]);
/* A line's contents. */
struct progress_line {
    const char *what, *unit;
    uint64_t done, total; /* units; total 0: unknown */
    uint64_t part, parts; /* likewise, where they measure the progress; parts 0: done and total do */
    double seconds;       /* since the start */
    bool ended;
};
/* Formats a line of at most `columns`, without newline: what has less room is shortened, then left out. */
void progress_format(const struct progress_line *l, int columns, char *out, size_t size);

#endif

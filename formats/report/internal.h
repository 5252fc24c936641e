/* What the files of the report share: page.c (writing HTML), data.c (totals of the journal), chart.c, lists.c
 * (of the journal's lines) and report.c (the sections); each uses those before it. */
#ifndef FORMATS_REPORT_INTERNAL_H
#define FORMATS_REPORT_INTERNAL_H

#include <stdint.h>
#include <stdio.h>

#include "common/journal.h"
#include "formats/record/record.h"
#include "formats/report/report.h"

/* Files of this room, embedded by formats/embed.sh. */
extern const char report_page_html[], report_page_css[];

/* -- page.c */

struct page {
    FILE *out;
    uint64_t bytes; /* written */
};

/* Writes HTML. */
void page_put(struct page *p, const char *html);
void page_putf(struct page *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Writes text: what no browser takes for anything else, in printable form. All text goes through it. */
void page_text(struct page *p, const char *text, size_t len);
/* The same, of at most PAGE_TEXT bytes, with an ellipsis. */
enum { PAGE_TEXT = 2000 };
void page_short(struct page *p, const char *text);
/* A number with a comma after each three digits; "1 run", "2 runs". */
void page_number(struct page *p, uint64_t n);
void page_count(struct page *p, uint64_t n, const char *one, const char *many);
/* A time in ms as a date, with the time of day or without. */
void page_date(struct page *p, int64_t ms, bool time);
/* Two values side by side, as cells of a row, in which what differs is marked. */
void page_values(struct page *p, const char *source, const char *target, const char *nulls);

/* -- data.c */

enum level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_NOTE, LEVEL_COUNT };

enum { REPORT_HOURS = 130 * 366 * 24 }; /* from 1970 on */

struct counts {
    uint64_t rows, collapsed, dropped;                       /* loaded */
    uint64_t total, passed;                                  /* checked */
    uint64_t added, changed, equal, kept, held, in_conflict; /* synced */
};

struct data {
    struct counts kind[KIND_COUNT], all;
    bool loaded, checked, synced; /* there are such counts */
    uint32_t *hours;              /* runs that began in each, REPORT_HOURS */
    uint64_t runs, experiments, shown_experiments, other_runs;
    int64_t first, last;                            /* starts of runs, ms; first > last: none */
    uint64_t messages[LEVEL_COUNT][ERR_COUNTS + 1]; /* by topic */
    uint64_t ticks, conflicts, overwritten, failures_shown[KIND_COUNT], structure_lines;
    char data_verdict[32], structure_verdict[32];
};

/* Reads the journal once. false with e filled. */
bool data_read(struct data *d, struct err *e);
void data_free(struct data *d);
uint64_t data_failures(const struct data *d);
/* Of a message's line: its level, or LEVEL_COUNT for a hint; its topic (enum err_topic). */
enum level data_level(const struct journal_line *line);
int data_topic(const struct journal_line *line);
/* The kind of this name; KIND_COUNT: none. */
enum kind data_kind(const char *name);
int64_t data_int(const char *text);

/* -- chart.c */

/* Draws the runs over time, by the hour, day, week, month or year. */
void chart_draw(struct page *p, const struct data *d);

/* -- lists.c: copy lines of the journal; false with e filled */

/* Messages of a topic and these levels (a bit each), with their hints, as a table. total: their number. */
bool list_messages(struct page *p, unsigned levels, int topic, uint64_t total, struct err *e);
/* Those of a topic as the items of a list. */
bool list_items(struct page *p, int topic, struct err *e);
bool list_experiments(struct page *p, const struct data *d, struct err *e);
bool list_structure(struct page *p, struct err *e);
/* Failures, kind by kind. */
bool list_failures(struct page *p, const struct data *d, struct err *e);
bool list_ticks(struct page *p, struct err *e);
/* "conflict" or "overwritten". */
bool list_values(struct page *p, const char *type, uint64_t total, struct err *e);

#endif

/* Reads the totals of a journal. */
#include <stdlib.h>
#include <string.h>

#include "formats/report/internal.h"

enum level data_level(const struct journal_line *line)
{
    const char *level = line->field[1];
    return strcmp(level, "error") == 0     ? LEVEL_ERROR
           : strcmp(level, "warning") == 0 ? LEVEL_WARNING
           : strcmp(level, "note") == 0    ? LEVEL_NOTE
                                           : LEVEL_COUNT;
}

int data_topic(const struct journal_line *line)
{
    const char *topic = line->field[2];
    return strcmp(topic, "left out") == 0    ? ERR_LEFT_OUT
           : strcmp(topic, "converted") == 0 ? ERR_CONVERTED
           : strcmp(topic, "next") == 0      ? ERR_NEXT
           : strcmp(topic, "counts") == 0    ? ERR_COUNTS
                                             : ERR_GENERAL;
}

enum kind data_kind(const char *name)
{
    const struct kind_desc *k = kind_by_name(name, strlen(name));
    return k ? k->kind : KIND_COUNT;
}

int64_t data_int(const char *text)
{
    return strtoll(text, NULL, 10);
}

static uint64_t number(const struct journal_line *line, int field)
{
    return strtoull(line->field[field], NULL, 10);
}

/* Adds a line's numbers, from field 2 on, to those of its kind and of all. */
static void add_numbers(struct data *d, const struct journal_line *line, size_t first, int n)
{
    enum kind k = data_kind(line->field[1]);
    if (k == KIND_COUNT)
        return;
    uint64_t *own = (uint64_t *)((char *)&d->kind[k] + first), *all = (uint64_t *)((char *)&d->all + first);
    for (int i = 0; i < n; i++) {
        own[i] += number(line, 2 + i);
        all[i] += number(line, 2 + i);
    }
}

static void add_runs(struct data *d, const struct journal_line *line)
{
    int64_t first = data_int(line->field[2]), last = data_int(line->field[3]);
    d->runs += number(line, 1);
    if (line->n < 4)
        return;
    d->first = first < d->first ? first : d->first;
    d->last = last > d->last ? last : d->last;
}

static void add_line(struct data *d, const struct journal_line *line)
{
    const char *type = line->field[0];
    if (strcmp(type, "message") == 0) {
        if (data_level(line) < LEVEL_COUNT)
            d->messages[data_level(line)][data_topic(line)]++;
    } else if (strcmp(type, "loaded") == 0) {
        d->loaded = true;
        add_numbers(d, line, offsetof(struct counts, rows), 3);
    } else if (strcmp(type, "checked") == 0) {
        d->checked = true;
        add_numbers(d, line, offsetof(struct counts, total), 2);
    } else if (strcmp(type, "synced") == 0) {
        d->synced = true;
        add_numbers(d, line, offsetof(struct counts, added), 6);
    } else if (strcmp(type, "verdict") == 0) {
        snprintf(d->data_verdict, sizeof d->data_verdict, "%s", line->field[1]);
        snprintf(d->structure_verdict, sizeof d->structure_verdict, "%s", line->field[2]);
    } else if (strcmp(type, "runs") == 0) {
        add_runs(d, line);
    } else if (strcmp(type, "hour") == 0) {
        uint64_t hour = number(line, 1);
        if (hour < REPORT_HOURS)
            d->hours[hour] += (uint32_t)number(line, 2);
    } else if (strcmp(type, "experiments") == 0) {
        d->experiments += number(line, 1);
        d->other_runs += number(line, 2);
    } else if (strcmp(type, "experiment") == 0) {
        d->shown_experiments++;
    } else if (strcmp(type, "failure") == 0) {
        enum kind k = data_kind(line->field[1]);
        if (k < KIND_COUNT)
            d->failures_shown[k]++;
    } else {
        d->ticks += strcmp(type, "tick") == 0;
        d->conflicts += strcmp(type, "conflict") == 0;
        d->overwritten += strcmp(type, "overwritten") == 0;
        d->structure_lines += strcmp(type, "structure") == 0;
    }
}

bool data_read(struct data *d, struct err *e)
{
    struct journal_reader *r = journal_read();
    struct journal_line line;
    int got;
    *d = (struct data){.first = INT64_MAX, .last = INT64_MIN};
    d->hours = xcalloc(REPORT_HOURS, sizeof *d->hours);
    while ((got = journal_next(r, &line, e)) == 1)
        add_line(d, &line);
    journal_reader_free(r);
    return got == 0;
}

void data_free(struct data *d)
{
    free(d->hours);
}

uint64_t data_failures(const struct data *d)
{
    return d->all.total - d->all.passed;
}

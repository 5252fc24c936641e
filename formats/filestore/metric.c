/* Reads metric files, one point per line, in chunks, since their size is unlimited. */
#include <float.h>
#include <math.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/filestore/internal.h"
#include "formats/filestore/tick.h"

struct line_reader {
    struct walker *w;
    int fd;
    uint64_t offset;   /* file offset of the next read */
    uint64_t number;   /* number of the current line, from 1 */
    size_t start, end; /* the unread part of w->chunk */
    bool eof;
    bool failed; /* a read failed, and was reported */
    bool torn;   /* the current line has no newline: it is the last and may be truncated */
    /* of a tick: up to where all lines could be read */
    uint64_t good_end, good_lines;
    uint64_t problems; /* before the current line */
    bool bad;          /* a line could not be read */
};

/* Reads more after the unread part. false at the end of the file and on an error, which is reported. */
static bool more(struct line_reader *in)
{
    char *chunk = in->w->chunk;
    memmove(chunk, chunk + in->start, in->end - in->start);
    in->end -= in->start;
    in->start = 0;
    ssize_t n = dir_read_at(in->fd, chunk + in->end, CHUNK_SIZE - in->end, in->offset);
    if (n < 0) {
        walker_problem(in->w, 0, "%s", dir_error(errno));
        in->failed = true;
    }
    if (n <= 0) {
        in->eof = true;
        return false;
    }
    in->end += (size_t)n;
    in->offset += (uint64_t)n;
    return true;
}

/* Skips the rest of a line that does not fit. */
static void skip_line(struct line_reader *in)
{
    char *newline = NULL;
    do {
        newline = memchr(in->w->chunk + in->start, '\n', in->end - in->start);
        in->start = newline ? (size_t)(newline + 1 - in->w->chunk) : in->end;
    } while (!newline && more(in));
}

/* The next line without its newline; NULL at the end. It lives until the next call. */
static const char *next_line(struct line_reader *in, size_t *len)
{
    char *chunk = in->w->chunk;
    for (;;) {
        char *newline = memchr(chunk + in->start, '\n', in->end - in->start);
        const char *line = chunk + in->start;
        if (newline) {
            *len = (size_t)(newline - line);
            in->start += *len + 1;
            in->number++;
            return line;
        }
        if (in->end - in->start == CHUNK_SIZE) {
            in->number++;
            walker_problem(in->w, in->number, "a line longer than %d KiB", CHUNK_SIZE >> 10);
            skip_line(in);
            continue;
        }
        if (in->eof || !more(in)) {
            *len = in->end - in->start;
            line = chunk + in->start;
            in->start = in->end;
            in->torn = *len > 0;
            in->number += in->torn;
            return in->torn ? line : NULL;
        }
    }
}

/* A line's columns: split at each space, like str.split(" ") after strip(). */
enum { MAX_COLUMNS = 4 };
struct columns {
    const char *at[MAX_COLUMNS];
    size_t len[MAX_COLUMNS];
    size_t n;         /* number of columns */
    const char *rest; /* the text after the fourth column and its space; NULL: none */
    const char *end;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

static void split(const char *line, size_t len, struct columns *c)
{
    const char *p = line, *end = line + len;
    while (p < end && is_space(*p))
        p++;
    while (end > p && is_space(end[-1]))
        end--;
    c->n = 0;
    c->rest = NULL;
    c->end = end;
    for (;;) {
        const char *blank = memchr(p, ' ', (size_t)(end - p));
        if (c->n < MAX_COLUMNS) {
            c->at[c->n] = p;
            c->len[c->n] = (size_t)((blank ? blank : end) - p);
        }
        c->n++;
        if (!blank)
            return;
        p = blank + 1;
        if (c->n == MAX_COLUMNS)
            c->rest = p;
    }
}

/* An integer column; false when reported. */
static bool take_int(struct line_reader *in, const struct columns *c, size_t i, const char *what,
                     int64_t *out)
{
    enum number result = python_int(c->at[i], c->len[i], out);
    if (result != NUMBER_GOOD)
        walker_problem(in->w, in->number, "%s of the metric %s: %s", what,
                       result == NUMBER_TOO_LARGE ? "does not fit 64 bits" : "is not an integer",
                       walker_shown(c->at[i], c->len[i]));
    return result == NUMBER_GOOD;
}

struct point {
    int64_t timestamp, step;
    double value;
};

/* Timestamp, value, and step if there is a third column. */
static bool take_point(struct line_reader *in, const struct columns *c, struct point *p)
{
    p->step = 0;
    if (!take_int(in, c, 0, "timestamp", &p->timestamp))
        return false;
    if (python_float(c->at[1], c->len[1], &p->value) != NUMBER_GOOD) {
        walker_problem(in->w, in->number, "value of the metric is not a number: %s",
                       walker_shown(c->at[1], c->len[1]));
        return false;
    }
    return c->n < 3 || take_int(in, c, 2, "step", &p->step);
}

static bool open_lines(struct walker *w, struct line_reader *in, int dir, const char *name,
                       unsigned char type)
{
    *in = (struct line_reader){.w = w};
    in->fd = walker_open_file(w, dir, name, type);
    if (in->fd < 0)
        return false;
    tick_metric_begin(w, in->fd, &in->offset, &in->number);
    in->good_end = in->offset;
    in->good_lines = in->number;
    in->problems = w->out->problems;
    return true;
}

/* As next_line, and in a tick a last line without its newline is none: it may be half written. */
static const char *next_whole_line(struct line_reader *in, size_t *len)
{
    in->bad |= in->w->out->problems != in->problems;
    if (!in->bad) {
        in->good_end = in->offset - (in->end - in->start);
        in->good_lines = in->number;
    }
    const char *line = next_line(in, len);
    return line && in->torn && in->w->tick ? NULL : line;
}

/* Reports an empty file: MLflow then reads no other metric of the run either. */
static void close_lines(struct line_reader *in)
{
    if (in->number == 0 && !in->failed)
        walker_problem(in->w, 0, "metric file is empty");
    tick_metric_end(in->w, in->fd, in->good_end, in->good_lines, in->bad || in->failed, in->torn);
    close(in->fd);
}

/* -- runs */

/* The latest point by the rule of MLflow's database store: the greatest (step, timestamp, value) with NaN
 * counted as 0 and infinities as the largest doubles; of equal ones the first. */
struct latest {
    bool any;
    struct point point;
    double rank;
};

static double rank_of(double value)
{
    if (isnan(value))
        return 0;
    return isinf(value) ? copysign(DBL_MAX, value) : value;
}

static void latest_update(struct latest *l, const struct point *p)
{
    double rank = rank_of(p->value);
    if (l->any) {
        if (p->step != l->point.step) {
            if (p->step < l->point.step)
                return;
        } else if (p->timestamp != l->point.timestamp) {
            if (p->timestamp < l->point.timestamp)
                return;
        } else if (!(rank > l->rank)) {
            return;
        }
    }
    *l = (struct latest){.any = true, .point = *p, .rank = rank};
}

/* A last line without newline is truncated if it has fewer columns than the three that every MLflow since 1.0
 * writes, or than the two of older ones, as shown by the line above it. */
static bool is_cut(const struct line_reader *in, const struct columns *c, size_t above)
{
    return in->torn && c->n < (above == 2 ? 2 : 3);
}

static bool run_point(struct line_reader *in, const char *line, size_t len, size_t *columns, struct point *p)
{
    struct columns c;
    split(line, len, &c);
    if (c.n == 1 && c.len[0] == 0) {
        walker_problem(in->w, in->number, "blank metric line");
        return false;
    }
    if (is_cut(in, &c, *columns)) {
        walker_problem(in->w, in->number, "the last line is truncated: %s", walker_shown(line, len));
        return false;
    }
    if (c.n < 2) {
        walker_problem(in->w, in->number, "metric line with a single column: %s", walker_shown(line, len));
        return false;
    }
    *columns = c.n;
    if (!take_point(in, &c, p))
        return false;
    if (in->torn)
        walker_warning(in->w, in->number, "the last line has no newline; read as complete");
    return true;
}

/* The key of a run's or model's metric points into the walker's path, which does not change while its file is
 * read. */
static void run_metric(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                       void *ctx)
{
    struct record *r = ctx;
    struct latest latest = {0};
    struct value key_value = value_text(key, strlen(key));
    size_t columns = 0;
    struct line_reader in;
    if (!open_lines(w, &in, dir, name, type))
        return;
    size_t len;
    const char *line;
    while ((line = next_whole_line(&in, &len))) {
        struct point p;
        if (!run_point(&in, line, len, &columns, &p))
            continue;
        latest_update(&latest, &p);
        r->v[F_metric_key] = key_value;
        r->v[F_metric_step] = value_int(p.step);
        r->v[F_metric_timestamp] = value_int(p.timestamp);
        r->v[F_metric_value] = value_float(p.value);
        walker_emit(w, r);
    }
    close_lines(&in);
    if (!latest.any)
        return;
    struct record last;
    record_init(&last, KIND_latest_metric);
    last.v[F_latest_metric_run_id] = r->v[F_metric_run_id];
    last.v[F_latest_metric_key] = key_value;
    last.v[F_latest_metric_step] = value_int(latest.point.step);
    last.v[F_latest_metric_timestamp] = value_int(latest.point.timestamp);
    last.v[F_latest_metric_value] = value_float(latest.point.value);
    walker_emit(w, &last);
}

void metric_read_run(struct walker *w, int dir, struct record *r)
{
    walker_each_file(w, dir, "metrics", run_metric, r);
}

/* -- logged models */

/* TIMESTAMP VALUE STEP RUN_ID [DATASET_NAME DATASET_DIGEST]; the name may contain spaces, the digest may
 * not. */
struct model_walk {
    const struct unit *unit;
    struct record *r;
};

static bool model_point(struct line_reader *in, const char *line, size_t len, const struct model_walk *walk)
{
    struct record *r = walk->r;
    struct columns c;
    split(line, len, &c);
    if (c.n != 4 && c.n < 6) {
        walker_problem(in->w, in->number, "%s of a model has %zu columns instead of 4 or 6: %s",
                       in->torn ? "the last metric line, which is truncated," : "a metric line", c.n,
                       walker_shown(line, len));
        return false;
    }
    struct point p;
    if (!take_point(in, &c, &p))
        return false;
    r->v[F_logged_model_metric_run_id] = value_text(c.at[3], c.len[3]);
    if (!reference_has_run(in->w, walk->unit, &r->v[F_logged_model_metric_run_id])) {
        walker_problem(in->w, in->number, "the experiment has no readable run %s",
                       walker_shown(c.at[3], c.len[3]));
        return false;
    }
    r->v[F_logged_model_metric_timestamp] = value_int(p.timestamp);
    r->v[F_logged_model_metric_step] = value_int(p.step);
    r->v[F_logged_model_metric_value] = value_float(p.value);
    r->v[F_logged_model_metric_dataset_name] = value_null();
    r->v[F_logged_model_metric_dataset_digest] = value_null();
    if (c.n == 4)
        return true;
    const char *digest = c.end;
    while (digest[-1] != ' ')
        digest--;
    r->v[F_logged_model_metric_dataset_name] = value_text(c.rest, (size_t)(digest - 1 - c.rest));
    r->v[F_logged_model_metric_dataset_digest] = value_text(digest, (size_t)(c.end - digest));
    return true;
}

static void model_metric(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                         void *ctx)
{
    const struct model_walk *walk = ctx;
    struct line_reader in;
    if (!open_lines(w, &in, dir, name, type))
        return;
    walk->r->v[F_logged_model_metric_key] = value_text(key, strlen(key));
    const char *line;
    size_t len;
    while ((line = next_whole_line(&in, &len)))
        if (model_point(&in, line, len, walk))
            walker_emit(w, walk->r);
    close_lines(&in);
}

void metric_read_model(struct walker *w, int dir, const struct unit *unit, struct record *r)
{
    struct model_walk walk = {.unit = unit, .r = r};
    walker_each_file(w, dir, "metrics", model_metric, &walk);
}

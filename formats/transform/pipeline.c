/* Runs the passes over a stream and applies the steps to each record. */
#include "formats/transform/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/progress.h"
#include "formats/stream/jsonl.h"
#include "formats/stream/wire.h"

/* -- input and output */

struct source {
    struct wire_reader *stream;
    struct jsonl_reader *lines; /* the other one is NULL */
};

/* json: lines, else a stream. */
static struct source source_open(int fd, bool json, bool reseal)
{
    static const char name[] = "standard input";
    struct source s = {0};
    if (json)
        s.lines = jsonl_reader_new(fd, name, reseal);
    else
        s.stream = wire_reader_new(fd, name);
    if (s.stream)
        wire_reader_accept_deltas(s.stream);
    return s;
}

static enum wire_event source_next(struct source *s, const struct record **rec, struct err *e)
{
    return s->lines ? jsonl_next(s->lines, rec, e) : wire_next(s->stream, rec, e);
}

static const struct wire_header *source_header(const struct source *s)
{
    return s->lines ? jsonl_reader_header(s->lines) : wire_reader_header(s->stream);
}

static void source_close(struct source *s)
{
    wire_reader_free(s->stream);
    jsonl_reader_free(s->lines);
}

static void open_output(struct pipeline *p)
{
    static const char name[] = "standard output";
    if (p->output == PIPELINE_JSON)
        p->lines = jsonl_writer_new(STDOUT_FILENO, name);
    else if (p->output == PIPELINE_STREAM)
        p->stream = wire_writer_new(STDOUT_FILENO, name);
}

static bool write_failed(const struct pipeline *p, struct err *e)
{
    return err_copy(e, p->lines ? jsonl_writer_error(p->lines) : wire_writer_error(p->stream));
}

static bool write_header(struct pipeline *p, const struct wire_header *h, struct err *e)
{
    if (!spill_check(p->spill, e))
        return false;
    if ((p->lines && !jsonl_write_header(p->lines, h)) ||
        (p->stream && !wire_write_header_copy(p->stream, h)))
        return write_failed(p, e);
    return true;
}

static bool write_record(struct pipeline *p, const struct record *r, struct err *e)
{
    if (!spill_check(p->spill, e))
        return false;
    if ((p->lines && !jsonl_write(p->lines, r)) || (p->stream && !wire_write(p->stream, r)))
        return write_failed(p, e);
    return true;
}

static bool write_trailer(struct pipeline *p, struct err *e)
{
    if (!spill_check(p->spill, e))
        return false;
    if ((p->lines && !jsonl_write_trailer(p->lines)) || (p->stream && !wire_write_trailer(p->stream)))
        return write_failed(p, e);
    return true;
}

/* Writes the valid records without a trailer, so that they can be inspected but are not taken for a complete
 * stream. */
void pipeline_give_up(struct pipeline *p)
{
    if (p->lines)
        jsonl_writer_flush(p->lines);
    if (p->stream)
        wire_writer_flush(p->stream);
}

bool pipeline_close(struct pipeline *p, struct err *e)
{
    return (!p->lines || jsonl_writer_close(p->lines, e)) && (!p->stream || wire_writer_close(p->stream, e));
}

static bool interrupted(struct err *e)
{
    return err_interrupted() && !err_set_interrupted(e);
}

/* -- passes: steps that depend on the whole stream read it more than once */

/* A seekable descriptor of the stream, at its present offset: standard input itself if it is a file, else an
 * unnamed copy of it in tmpdir. */
struct replay {
    int fd;
    off_t start;
};

/* Copies one event. */
static bool copy_event(struct wire_writer *copy, enum wire_event event, const struct source *in,
                       const struct record *rec, struct err *e)
{
    bool ok = event == WIRE_HEADER   ? wire_write_header_copy(copy, source_header(in))
              : event == WIRE_RECORD ? wire_write(copy, rec)
                                     : wire_write_trailer(copy);
    return (ok || err_copy(e, wire_writer_error(copy))) && !interrupted(e);
}

/* Copies standard input, checking it; returns the copy's descriptor, or -1. */
static int copy_input(const struct pipeline *p, struct err *e)
{
    int fd = file_nameless(p->tmpdir, e), out = fd < 0 ? -1 : dup(fd);
    if (fd >= 0 && out < 0)
        err_set(e, NULL, "cannot reopen the file: %s", strerror(errno));
    if (out < 0)
        return -1;
    struct source in = source_open(STDIN_FILENO, p->from_json, p->reseal);
    struct wire_writer *copy = wire_writer_new(out, "temporary file");
    const struct record *rec;
    enum wire_event event;
    bool ok = true;
    while (ok && (event = source_next(&in, &rec, e)) > WIRE_END)
        ok = copy_event(copy, event, &in, rec, e);
    ok = ok && event == WIRE_END;
    ok = wire_writer_close(copy, ok ? e : NULL) && ok;
    source_close(&in);
    if (ok)
        return fd;
    close(fd);
    return -1;
}

static bool replay_open(const struct pipeline *p, struct replay *in, struct err *e)
{
    struct stat st;
    off_t start = lseek(STDIN_FILENO, 0, SEEK_CUR);
    if (!p->from_json && start >= 0 && fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode))
        *in = (struct replay){STDIN_FILENO, start};
    else
        *in = (struct replay){copy_input(p, e), 0};
    return in->fd >= 0;
}

/* -- processing of records */

enum phase {
    PHASE_SELECT,                   /* and the next two */
    PHASE_MERGE = PHASE_SELECT + 3, /* collects collects ids of all sources */
    PHASE_EXPERIMENTS,              /* of a merge: written first */
    PHASE_WRITE,
};

/* The size of a record in the stream. */
static size_t bytes_of(struct pipeline *p, const struct record *r)
{
    buf_reset(&p->encoded);
    wire_encode(r, &p->encoded);
    return p->encoded.len;
}

static bool emit(struct pipeline *p, const struct record *r, struct err *e)
{
    if (p->head == 0)
        return true;
    p->head--;
    p->records++;
    if (p->refs)
        ref_check_add(p->refs, r);
    if (p->summary)
        summary_add(p->summary, r, bytes_of(p, r));
    return (p->fit && fit_problems(p->fit) > 0) || write_record(p, r, e);
}

static bool change(struct pipeline *p, struct record *r, struct err *e)
{
    arena_reset(&p->made);
    if (p->renumber && !renumber_record(p->renumber, r, &p->made, e))
        return false;
    if (p->rename)
        rename_record(p->rename, r, &p->made);
    if (p->rewriter && !rewrite_uri_record(p->rewriter, r, &p->made, e))
        return false;
    int goes_on = p->workspace ? workspace_record(p->workspace, r, e) : 1;
    if (goes_on <= 0)
        return goes_on == 0;
    if (p->fit && !fit_record(p->fit, r, &p->made, e))
        return false;
    return emit(p, r, e);
}

static bool take_record(struct pipeline *p, enum phase phase, const struct record *rec, struct err *e)
{
    struct record r = *rec;
    if (phase < PHASE_MERGE) {
        select_collect(p->select, (int)phase, rec);
        return true;
    }
    int keeps = p->select ? select_keeps(p->select, rec, e) : 1;
    if (keeps <= 0)
        return keeps == 0;
    if (phase == PHASE_MERGE)
        return merge_collect(p->merge, rec, e);
    if (p->merge && !merge_take(p->merge, phase == PHASE_EXPERIMENTS ? MERGE_EXPERIMENTS : MERGE_OTHERS, &r))
        return true;
    return change(p, &r, e);
}

/* Writes the pending trailer, except of a segment that does not fit. */
static bool write_due_trailer(struct pipeline *p, struct err *e)
{
    bool due = p->trailer_due && (!p->fit || fit_problems(p->fit) == 0);
    p->trailer_due = false;
    return !due || write_trailer(p, e);
}

/* Closes a segment. The trailer is delayed: only the end shows whether everything fits. */
static bool seal(struct pipeline *p, struct err *e)
{
    struct record row;
    while (p->workspace && p->segments == 0 && workspace_row(p->workspace, &row)) {
        if ((p->fit && !fit_record(p->fit, &row, &p->made, e)) || !emit(p, &row, e))
            return false;
    }
    p->segments++;
    p->trailer_due = true;
    return p->fit || write_due_trailer(p, e);
}

/* Whether what is asked for can be done to a delta. */
static bool fits_delta(struct pipeline *p, const struct wire_header *h, struct err *e)
{
    if (!wire_is_delta(h))
        return true;
    if (p->merge) {
        err_set(e, "standard input", "a delta cannot be merged: what it refers to is not in it");
        return err_hint(e, "`ml-load --sync` brings one source after another into a database");
    }
    if (p->renumber && !p->mapped) {
        err_set(e, "standard input", "a delta lacks experiments whose numbers the others would get");
        return err_hint(e, "--use-id-map takes the numbers of the stream before it, --id-map keeps them");
    }
    const char *option = p->select ? select_refuses_delta(p->select) : NULL;
    if (option) {
        err_set(e, "standard input", "%s cannot select from a delta: it lacks what did not change", option);
        return err_hint(e, "--experiment, --kind and --exclude-kind can");
    }
    if (p->select)
        select_delta(p->select);
    p->delta = true;
    if (p->refs)
        ref_check_delta(p->refs);
    return true;
}

/* Handles headers and trailers: they are kept one to one, unless segments are merged. */
static bool take_frame(struct pipeline *p, enum phase phase, enum wire_event event,
                       const struct wire_header *h, struct err *e)
{
    if (event == WIRE_HEADER && !fits_delta(p, h, e))
        return false;
    if (event == WIRE_HEADER && p->merge && phase >= PHASE_MERGE)
        merge_segment(p->merge, h);
    if (phase != PHASE_WRITE || p->merge)
        return true;
    if (event == WIRE_HEADER && p->fit)
        fit_segment(p->fit, h);
    if (event != WIRE_HEADER)
        return seal(p, e);
    if (!write_due_trailer(p, e) || !write_header(p, h, e))
        return false;
    if (p->refs)
        ref_check_segment(p->refs);
    return true;
}

static bool run_pass(struct pipeline *p, enum phase phase, struct source *s, struct err *e)
{
    const struct record *rec;
    enum wire_event event;
    progress_start_input(phase >= PHASE_EXPERIMENTS ? "writing" : "reading", "records");
    bool ok = true;
    while (ok && (event = source_next(s, &rec, e)) > WIRE_END) {
        if (event == WIRE_RECORD)
            ok = take_record(p, phase, rec, e);
        else
            ok = take_frame(p, phase, event, source_header(s), e);
        progress_add(event == WIRE_RECORD);
        ok = spill_check(p->spill, e) && ok && !interrupted(e); /* which may be the cause of another error */
    }
    progress_end();
    source_close(s);
    return ok && event == WIRE_END;
}

/* Runs one pass over a seekable stream. */
static bool run_again(struct pipeline *p, enum phase phase, const struct replay *in, struct err *e)
{
    if (lseek(in->fd, in->start, SEEK_SET) < 0)
        return err_set(e, "standard input", "cannot read it again: %s", strerror(errno));
    struct source s = source_open(in->fd, false, false);
    if (p->merge) /* or the output would hide that a shard was missing */
        wire_reader_want_whole_copies(s.stream, p->tmpdir);
    return run_pass(p, phase, &s, e);
}

/* Runs the passes that only collect, and the first writing pass of a merge. */
static bool run_before(struct pipeline *p, int selecting, const struct replay *in, struct err *e)
{
    struct wire_header h;
    for (int i = 0; i < selecting; i++) {
        if (!run_again(p, (enum phase)(PHASE_SELECT + i), in, e))
            return false;
        if (i == 0 && !p->delta && select_report(p->select) > 0) {
            err_set(e, NULL, "nothing was written");
            return err_hint(e, "ml-transform --summary shows what is in the stream");
        }
    }
    if (!p->merge)
        return true;
    if (!run_again(p, PHASE_MERGE, in, e) || !merge_settle(p->merge, &h, e))
        return false;
    if (p->fit)
        fit_segment(p->fit, &h);
    return write_header(p, &h, e) && run_again(p, PHASE_EXPERIMENTS, in, e);
}

static bool run(struct pipeline *p, struct err *e)
{
    int selecting = p->select ? select_passes(p->select) : 0;
    if (selecting == 0 && !p->merge) {
        struct source s = source_open(STDIN_FILENO, p->from_json, p->reseal);
        return run_pass(p, PHASE_WRITE, &s, e);
    }
    struct replay in;
    if (!replay_open(p, &in, e) || !run_before(p, selecting, &in, e) || !run_again(p, PHASE_WRITE, &in, e))
        return false;
    return !p->merge || seal(p, e);
}

bool pipeline_run(struct pipeline *p, struct err *e)
{
    open_output(p);
    if (run(p, e)) {
        if (p->fit)
            fit_end(p->fit);
        return write_due_trailer(p, e);
    }
    if (e->class != ERR_INTERRUPTED)
        pipeline_give_up(p);
    return false;
}

void pipeline_free(struct pipeline *p)
{
    select_free(p->select);
    merge_free(p->merge);
    renumber_free(p->renumber);
    rename_free(p->rename);
    rewrite_uri_free(p->rewriter);
    workspace_free(p->workspace);
    fit_free(p->fit);
    ref_check_free(p->refs);
    summary_free(p->summary);
    spill_free(p->spill);
    arena_free(&p->made);
    buf_free(&p->encoded);
}

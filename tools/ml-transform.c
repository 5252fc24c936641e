/* ml-transform: what people need between a dump and a load: the JSON view and back, a look at a stream, and
 * changes to it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/err.h"
#include "../common/io.h"
#include "../common/opt.h"
#include "../common/progress.h"
#include "../formats/jsonl.h"
#include "../formats/refs.h"
#include "../formats/summary.h"
#include "../formats/wire.h"

static bool to_json, from_json, reseal, validate, summarise;
static const char *head_text;

static const struct opt options[] = {
    {OPT_FLAG, 0, "json", NULL, "write JSON Lines instead of a record stream", &to_json},
    {OPT_FLAG, 0, "from-json", NULL, "read JSON Lines instead of a record stream", &from_json},
    {OPT_FLAG, 0, "reseal", NULL, "with --from-json: make the trailers anew, for lines edited by hand",
     &reseal},
    {OPT_STRING, 0, "head", "N", "keep the first N records", &head_text},
    {OPT_FLAG, 0, "summary", NULL, "write a table of what is in the stream instead", &summarise},
    {OPT_FLAG, 0, "validate", NULL, "write nothing; check the stream and its references", &validate},
    {.type = OPT_END},
};

static const struct opt_spec spec = {
    .synopsis = "ml-transform [OPTION]...",
    .about = "Reads a record stream from standard input, writes one to standard output, changed as the "
             "options say.",
    .options = options,
    .epilog = "Exit status: 0 done; 1 --validate found wrong references; 2 trouble. See ml-transform(1).",
};

/* -- where records come from and where they go */

struct source {
    struct wire_reader *stream;
    struct jsonl_reader *lines; /* the other one is NULL */
};

static struct source source_open(void)
{
    static const char name[] = "standard input";
    struct source s = {0};
    if (from_json)
        s.lines = jsonl_reader_new(STDIN_FILENO, name, reseal);
    else
        s.stream = wire_reader_new(STDIN_FILENO, name);
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

struct sink {
    struct wire_writer *stream;
    struct jsonl_writer *lines; /* at most one is not NULL */
};

static struct sink sink_open(void)
{
    static const char name[] = "standard output";
    struct sink s = {0};
    if (validate || summarise)
        return s;
    if (to_json)
        s.lines = jsonl_writer_new(STDOUT_FILENO, name);
    else
        s.stream = wire_writer_new(STDOUT_FILENO, name);
    return s;
}

static void sink_header(struct sink *s, const struct wire_header *h)
{
    if (s->lines)
        jsonl_write_header(s->lines, h);
    if (s->stream)
        wire_write_header_copy(s->stream, h);
}

static void sink_record(struct sink *s, const struct record *r)
{
    if (s->lines)
        jsonl_write(s->lines, r);
    if (s->stream)
        wire_write(s->stream, r);
}

static void sink_trailer(struct sink *s)
{
    if (s->lines)
        jsonl_write_trailer(s->lines);
    if (s->stream)
        wire_write_trailer(s->stream);
}

/* What was good is handed on, without a trailer: it can be seen, and nobody takes it for a whole. */
static void sink_give_up(struct sink *s)
{
    if (s->lines)
        jsonl_writer_flush(s->lines);
    if (s->stream)
        wire_writer_flush(s->stream);
}

static void sink_close(struct sink *s)
{
    if (s->lines)
        jsonl_writer_close(s->lines);
    if (s->stream)
        wire_writer_close(s->stream);
}

/* -- what is done with them */

struct job {
    struct source source;
    struct sink sink;
    struct ref_check *refs;  /* NULL: not asked for */
    struct summary *summary; /* likewise */
    struct buf encoded;
    uint64_t head; /* records that may still be written */
    uint64_t records, segments;
};

/* Bytes of a record in the stream. */
static size_t bytes_of(struct job *j, const struct record *r)
{
    buf_reset(&j->encoded);
    wire_encode(r, &j->encoded);
    return j->encoded.len;
}

static void take_record(struct job *j, const struct record *r)
{
    j->records++;
    if (j->head == 0)
        return;
    j->head--;
    if (j->refs)
        ref_check_add(j->refs, r);
    if (j->summary)
        summary_add(j->summary, r, bytes_of(j, r));
    sink_record(&j->sink, r);
}

static void run(struct job *j)
{
    const struct record *rec;
    struct err e;
    enum wire_event event;
    progress_start("reading", "records", 0);
    while ((event = source_next(&j->source, &rec, &e)) > WIRE_END) {
        if (err_interrupted())
            err_exit_interrupted();
        if (event == WIRE_RECORD) {
            take_record(j, rec);
            progress_add(1);
        } else if (event == WIRE_HEADER) {
            sink_header(&j->sink, source_header(&j->source));
            if (j->refs)
                ref_check_segment(j->refs);
        } else {
            sink_trailer(&j->sink);
            j->segments++;
        }
    }
    progress_end();
    if (event == WIRE_ERROR) {
        sink_give_up(&j->sink);
        err_die(&e);
    }
}

static void report_reference(const char *where, const char *what)
{
    err_print(where, "%s", what);
}

/* What was found; the exit code. */
static int finish(struct job *j)
{
    int code = EXIT_DONE;
    if (j->summary) {
        struct buf text = {0};
        summary_print(j->summary, &text);
        fputs(buf_str(&text), stdout);
        buf_free(&text);
        summary_free(j->summary);
    }
    if (j->refs) {
        uint64_t wrong = ref_check_end(j->refs, report_reference);
        if (wrong > 0)
            err_print(NULL, "%" PRIu64 " entities are missing or given twice", wrong);
        else
            err_note("%" PRIu64 " records in %" PRIu64 " segments: whole, and every reference is met",
                     j->records, j->segments);
        code = wrong > 0 ? EXIT_ANSWER_NO : EXIT_DONE;
        ref_check_free(j->refs);
    }
    sink_close(&j->sink);
    if (validate || summarise)
        io_close_stdout();
    return code;
}

static uint64_t parse_head(void)
{
    int64_t n;
    if (!head_text)
        return UINT64_MAX;
    if (!value_parse_int(head_text, strlen(head_text), &n) || n < 0)
        opt_usage_error(&spec, "--head: '%s' is not a number", head_text);
    return (uint64_t)n;
}

int main(int argc, char **argv)
{
    err_program_set(argv[0]);
    err_catch_signals();
    int first = opt_parse(&spec, argc, argv);
    if (first < argc)
        opt_usage_error(&spec, "unexpected operand '%s': the stream is read from standard input",
                        argv[first]);
    if (reseal && !from_json)
        opt_usage_error(&spec, "--reseal goes with --from-json");
    if (to_json && (validate || summarise))
        opt_usage_error(&spec, "--json writes the records, --validate and --summary do not");
    if (isatty(STDIN_FILENO))
        opt_usage_error(&spec, "standard input is a terminal");
    struct job job = {.head = parse_head()};
    if (!validate && !summarise && !to_json && isatty(STDOUT_FILENO))
        opt_usage_error(&spec, "standard output is a terminal: --json makes it readable");
    job.source = source_open();
    job.sink = sink_open();
    job.refs = validate ? ref_check_new() : NULL;
    job.summary = summarise ? summary_new() : NULL;
    run(&job);
    source_close(&job.source);
    buf_free(&job.encoded);
    return finish(&job);
}

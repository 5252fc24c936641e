/* Any bytes as the files of a file store: no crash, and each record that is given out can be read back. The
 * input is files, each `number length bytes`, put into a small tree in the order of the list below. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/utf8.h"
#include "formats/filestore/store.h"
#include "formats/stream/wire.h"

#define RUN_DIR   "1/r"
#define TRACE_DIR "1/traces/t"
#define MODEL_DIR "1/models/m"

static const char *const files[] = {
    "1/meta.yaml",
    "1/tags/a",
    "1/datasets/d/meta.yaml",
    RUN_DIR "/meta.yaml",
    RUN_DIR "/params/p",
    RUN_DIR "/metrics/m",
    RUN_DIR "/inputs/i/meta.yaml",
    RUN_DIR "/outputs/o/meta.yaml",
    TRACE_DIR "/trace_info.yaml",
    TRACE_DIR "/assessments/a-1.yaml",
    MODEL_DIR "/meta.yaml",
    MODEL_DIR "/metrics/m",
    "models/x/meta.yaml",
    "models/x/version-1/meta.yaml",
    "models/x/aliases/y",
};
enum { N_FILES = ARRAY_LENGTH(files) };

/* Sound files, so that the input reaches what lies below them. */
static const char *const sound[N_FILES] = {
    "experiment_id: '1'\nname: e\n",
    "v",
    "name: n\ndigest: d\nsource: s\nsource_type: t\n",
    "run_id: r\nexperiment_id: '1'\nuser_id: u\nstart_time: 1\n",
    "v",
    "1 2 3\n",
    "source_type: DATASET\nsource_id: d\ntags: {a: b}\n",
    "destination_type: MODEL_OUTPUT\ndestination_id: m\nstep: 0\n",
    "trace_id: t\nrequest_time: '2023-11-14T22:13:20Z'\nstate: OK\n",
    "assessment_name: a\ncreate_time: '2023-11-14T22:13:20Z'\nlast_update_time: '2023-11-14T22:13:20Z'\n"
    "source: {source_type: HUMAN}\nfeedback: {value: {a: [1.5, b]}}\n",
    "model_id: m\nexperiment_id: '1'\nname: n\nartifact_location: l\ncreation_timestamp: "
    "1\nlast_updated_timestamp: 1\n",
    "1 2 3 r\n",
    "name: x\n",
    "name: x\nversion: 1\n",
    "1",
};

static char root[] = "/dev/shm/mlruns_fuzz.XXXXXX";

static void clean_up(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", root);
    if (system(command) != 0)
        perror(root);
}

static void put(const char *name, const void *data, size_t size)
{
    char path[200];
    snprintf(path, sizeof path, "%s/mlruns/%s", root, name);
    for (char *p = path + 1; *p; p++) {
        if (*p == '/') {
            *p = '\0';
            mkdir(path, 0777);
            *p = '/';
        }
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || !io_write_all(fd, data, size))
        abort();
    /* old, so that nobody waits for an empty one to be written */
    futimens(fd, (const struct timespec[2]){{.tv_sec = 1}, {.tv_sec = 1}});
    close(fd);
}

static void on_records(void *ctx, const char *data, size_t len, const struct wire_counts *counts)
{
    wire_write_encoded(ctx, data, len, counts);
}

static void on_note(void *ctx, const char *path, const char *reason)
{
    (void)ctx;
    if (!utf8_valid(reason, strlen(reason)) || *path == '\0' || *reason == '\0')
        abort();
}

/* A stream that the writer made must be read back without a complaint. */
static void read_back(int fd)
{
    struct wire_reader *reader = wire_reader_new(fd, "stream");
    const struct record *rec;
    struct err e;
    enum wire_event event;
    while ((event = wire_next(reader, &rec, &e)) > WIRE_END)
        ;
    if (event == WIRE_ERROR) {
        fprintf(stderr, "%s: %s\n", e.where, e.what);
        abort();
    }
    wire_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int stream = -1;
    struct mlruns_selection selection = {.tracking = true, .registry = true, .shards = 1, .jobs = 1};
    struct mlruns_sink sink = {.records = on_records, .problem = on_note, .warning = on_note};
    if (stream < 0) {
        stream = memfd_create("stream", 0);
        if (stream < 0 || !mkdtemp(root))
            abort();
        atexit(clean_up);
    }
    for (int i = 0; i < N_FILES; i++)
        put(files[i], sound[i], strlen(sound[i]));
    while (size >= 2) {
        size_t len = data[1] < size - 2 ? data[1] : size - 2;
        put(files[data[0] % N_FILES], data + 2, len);
        data += 2 + len;
        size -= 2 + len;
    }
    struct err e;
    struct mlruns *m = mlruns_open(root, NULL, &e);
    if (!m)
        return 0;
    if (ftruncate(stream, 0) != 0 || lseek(stream, 0, SEEK_SET) != 0)
        abort();
    struct wire_writer *writer = wire_writer_new(dup(stream), "stream");
    sink.ctx = writer;
    wire_write_header(writer, "00000000000000000000000000000000", 0, 1);
    if (!mlruns_read(m, &selection, &sink, &e))
        abort();
    wire_write_trailer(writer);
    wire_writer_close(writer, NULL);
    mlruns_close(m);
    lseek(stream, 0, SEEK_SET);
    read_back(stream);
    return 0;
}

/* Writes the sorted records, and computes latest metrics if the database has none. */
#include "formats/database/dump_stage.h"
#include "formats/database/tick.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WRITE_CHUNK = 64 << 10 };

static void append_latest(struct dbdump *d, struct wire_counts *counts)
{
    const struct record *m = &d->latest.best;
    struct record r;
    if (!d->latest.have)
        return;
    record_init(&r, KIND_latest_metric);
    r.v[F_latest_metric_run_id] = value_text(d->latest.run_id.data, d->latest.run_id.len);
    r.v[F_latest_metric_key] = value_text(d->latest.key.data, d->latest.key.len);
    r.v[F_latest_metric_step] = m->v[F_metric_step];
    r.v[F_latest_metric_timestamp] = m->v[F_metric_timestamp];
    r.v[F_latest_metric_value] = m->v[F_metric_value];
    wire_encode(&r, &d->data);
    counts->n[KIND_latest_metric]++;
    d->result->counts.n[KIND_latest_metric]++;
    d->latest.have = false;
}

static void keep_text(struct buf *out, const struct value *v)
{
    buf_reset(out);
    buf_add(out, v->s, v->len);
}

static bool is_text(const struct buf *b, const struct value *v)
{
    return b->len == v->len && (v->len == 0 || memcmp(b->data, v->s, v->len) == 0);
}

/* Among points with the greatest step and time the greatest value wins. NaN is stored as 0 and loses to a
 * real 0 (revision 89d4b8295536, which created the table, does not decide between them; SqlAlchemyStore keeps
 * the first). */
static bool loses_to_best(const struct record *best, const struct record *r)
{
    const struct value *x = &best->v[F_metric_value], *y = &r->v[F_metric_value];
    return best->v[F_metric_step].i == r->v[F_metric_step].i &&
           best->v[F_metric_timestamp].i == r->v[F_metric_timestamp].i && isnan(y->f) && x->f == 0;
}

/* A staged record is its kind, its encoding and, in a tick, its identity, whose size this returns. */
static size_t tail_len(const struct dbdump *d)
{
    return d->o->tick ? sizeof(struct dbtick_mark) : 0;
}

/* Called for every record written; inserts the latest metric of a key after its last point. */
static bool follow_latest(struct dbdump *d, const struct sort_entry *item, struct wire_counts *counts,
                          struct err *e)
{
    struct latest *l = &d->latest;
    struct record r;
    if (!l->decoder)
        return true;
    if ((unsigned char)item->data[0] != KIND_metric) {
        append_latest(d, counts);
        return true;
    }
    if (!wire_decode(l->decoder, item->data + 1, item->data_len - 1 - tail_len(d), &r, e))
        return false;
    bool same = l->have && is_text(&l->run_id, &r.v[F_metric_run_id]) && is_text(&l->key, &r.v[F_metric_key]);
    if (same && loses_to_best(&l->best, &r))
        return true;
    if (!same)
        append_latest(d, counts);
    keep_text(&l->run_id, &r.v[F_metric_run_id]);
    keep_text(&l->key, &r.v[F_metric_key]);
    l->best = r; /* its numbers */
    l->have = true;
    return true;
}

static bool hand_over(struct dbdump *d, struct wire_writer *w, struct wire_counts *counts, struct err *e)
{
    bool ok = wire_write_encoded(w, d->data.data, d->data.len, counts) || err_copy(e, wire_writer_error(w));
    buf_reset(&d->data);
    memset(counts, 0, sizeof *counts);
    return err_interrupted() ? err_set_interrupted(e) : ok;
}

/* Copies a record that the sorter holds in its file piece by piece; a metric point is needed whole. */
static bool write_large(struct dbdump *d, struct wire_writer *w, const struct sort_entry *item,
                        struct wire_counts *counts, struct err *e)
{
    struct buf piece = {0};
    struct sort_entry whole = *item;
    size_t end = item->data_len - tail_len(d);
    bool ok = sorter_read(d->stage, item, 0, 1, &piece, e);
    unsigned char kind = ok ? (unsigned char)piece.data[0] : 0;
    if (ok && d->latest.decoder) {
        ok = kind != KIND_metric || sorter_read(d->stage, item, 0, item->data_len, &piece, e);
        whole.data = piece.data;
        ok = ok && follow_latest(d, &whole, counts, e);
    }
    ok = ok && hand_over(d, w, counts, e);
    for (size_t at = 1, n; ok && at < end; at += n) {
        n = end - at < WRITE_CHUNK ? end - at : WRITE_CHUNK;
        counts->n[kind] += at == 1;
        ok = sorter_read(d->stage, item, at, n, &d->data, e) && hand_over(d, w, counts, e);
    }
    buf_free(&piece);
    return ok;
}

/* A record of a delta: written if it is new, changed, or a parent of such a record. */
static bool write_changed(struct dbdump *d, struct wire_writer *w, const struct sort_entry *item,
                          struct wire_counts *counts, struct err *e)
{
    struct sort_entry whole = *item;
    struct buf large = {0};
    struct dbtick_mark mark;
    if (!item->data && !sorter_read(d->stage, item, 0, item->data_len, &large, e))
        return false;
    whole.data = item->data ? item->data : large.data;
    size_t end = item->data_len - sizeof mark;
    memcpy(&mark, whole.data + end, sizeof mark);
    unsigned char kind = (unsigned char)whole.data[0];
    bool alone = (unsigned char)item->key[0] >= PHASE_ROWS;
    bool wanted = dbtick_change(d->o->tick, (enum kind)kind, mark.id, alone) != DBTICK_SAME;
    bool ok =
        (!wanted || follow_latest(d, &whole, counts, e)) &&
        dbtick_write(d->o->tick, (enum kind)kind, &mark, alone, whole.data + 1, end - 1, &d->data, counts, e);
    buf_free(&large);
    return ok && (d->data.len < WRITE_CHUNK || hand_over(d, w, counts, e));
}

static bool write_whole(struct dbdump *d, struct wire_writer *w, const struct sort_entry *item,
                        struct wire_counts *counts, struct err *e)
{
    if (!item->data)
        return write_large(d, w, item, counts, e);
    if (!follow_latest(d, item, counts, e))
        return false;
    counts->n[(unsigned char)item->data[0]]++;
    buf_add(&d->data, item->data + 1, item->data_len - 1 - tail_len(d));
    return d->data.len < WRITE_CHUNK || hand_over(d, w, counts, e);
}

void dbdump_header(const struct dbdump *d, struct wire_header *h)
{
    char source[33];
    snprintf(source, sizeof source, "%016" PRIx64 "%016" PRIx64, d->id[0], d->id[1]);
    wire_header_init(h, source, 0, 1);
}

bool dbdump_write(struct dbdump *d, const struct wire_header *h, struct wire_writer *w, struct err *e)
{
    struct wire_counts counts = {0};
    struct sort_entry item;
    bool delta = d->o->tick && dbtick_is_delta(d->o->tick);
    if (!wire_write_header_copy(w, h))
        return err_copy(e, wire_writer_error(w));
    int more = sorter_finish(d->stage, e) ? 1 : -1;
    buf_reset(&d->data);
    while (more > 0 && (more = sorter_next(d->stage, &item, e)) > 0)
        if (!(delta ? write_changed : write_whole)(d, w, &item, &counts, e))
            return false;
    if (more < 0)
        return false;
    append_latest(d, &counts);
    return hand_over(d, w, &counts, e);
}

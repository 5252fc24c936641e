/* Reads one unit, in a tick if it has changed. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "formats/filestore/contexts.h"
#include "formats/filestore/tick.h"
#include "formats/filestore/units.h"

/* Returns the problem of a link that leads to one of its parents; NULL: none. */
static const char *find_loop(struct walker *w, int fd, const struct unit *unit)
{
    static const char loop[] = "a link to one of its parent directories";
    if (unit->type != DT_LNK && unit->type != DT_UNKNOWN)
        return NULL;
    struct stat here, above;
    int error = dir_fstat(fd, &here);
    if (!error)
        error = dir_fstat(w->root, &above);
    if (error)
        return dir_error(error);
    if (here.st_dev == above.st_dev && here.st_ino == above.st_ino)
        return loop;
    if (!unit->experiment || unit->kind == UNIT_EXPERIMENT)
        return NULL;
    buf_reset(&w->scratch);
    buf_addf(&w->scratch, "%s%s", trash_prefix(unit->deleted), unit->experiment);
    error = dir_stat(w->root, buf_str(&w->scratch), &above);
    if (error)
        return dir_error(error);
    return here.st_dev == above.st_dev && here.st_ino == above.st_ino ? loop : NULL;
}

/* What is known of the unit stays: it is left for the next tick. */
static void hold_unit(struct walker *w, const struct unit *unit, const char *why)
{
    tick_note_held(w, why);
    if (unit->known_from)
        output_copy(w->out, unit->known_from, unit->known_to);
    if (unit->listed == UNIT_EXPERIMENT)
        unit_set_bad(w, unit);
}

static void read_unreadable(struct walker *w, const struct unit *unit)
{
    if (w->tick && unit->vanished) {
        hold_unit(w, unit, "missing");
        return;
    }
    walker_problem(w, 0, "%s", unit->trouble);
    if (unit->known_from)
        output_copy(w->out, unit->known_from, unit->known_to);
}

/* In a tick: reads the unit, open at fd, if it is not as it was. */
static void read_changed(struct walker *w, int fd, const struct unit *unit,
                         void (*read)(struct walker *, int, const struct unit *), struct contexts *contexts,
                         struct context **context)
{
    if (unit->kind == UNIT_EXPERIMENT ? unit->old_deleted == unit->deleted && !tick_differs(w, fd, unit)
                                      : !tick_differs(w, fd, unit)) {
        output_copy(w->out, unit->known_from, unit->known_to);
        return;
    }
    if (unit->kind != UNIT_EXPERIMENT && unit->of && contexts && !contexts_make(contexts, w, unit, context)) {
        hold_unit(w, unit, "its experiment cannot be read now");
        return;
    }
    tick_begin(w, fd, unit);
    read(w, fd, unit);
    tick_end(w, unit);
    if (unit->kind == UNIT_EXPERIMENT && w->tick->sent)
        experiments_mark(w->store->experiments, unit->of, EXPERIMENT_SENT, 0);
}

void unit_read(struct walker *w, const struct unit *unit, const char *path, struct contexts *contexts,
               struct context **context)
{
    static void (*const readers[])(struct walker *, int, const struct unit *) = {
        [UNIT_EXPERIMENT] = run_read_experiment,
        [UNIT_RUN] = run_read,
        [UNIT_TRACE] = trace_read,
        [UNIT_LOGGED_MODEL] = model_read_logged,
        [UNIT_REGISTERED_MODEL] = model_read_registered,
    };

    w->unit = unit;
    buf_reset(&w->path);
    buf_adds(&w->path, path);
    if (unit->kind == UNIT_UNREADABLE) {
        read_unreadable(w, unit);
        return;
    }
    int fd = unit_dir_open(w, unit, path);
    if (fd < 0 && errno == ENOENT && w->tick) {
        hold_unit(w, unit, "missing");
        return;
    }
    const char *trouble = fd < 0 ? dir_error(errno) : find_loop(w, fd, unit);
    if (!trouble && w->tick) {
        read_changed(w, fd, unit, readers[unit->kind], contexts, context);
    } else if (!trouble) {
        readers[unit->kind](w, fd, unit);
    } else {
        walker_problem(w, 0, "%s", trouble);
        if (unit->kind == UNIT_EXPERIMENT)
            unit_set_bad(w, unit);
        if (unit->known_from)
            output_copy(w->out, unit->known_from, unit->known_to);
    }
    if (fd >= 0)
        close(fd);
}

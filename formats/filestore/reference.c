/* Checks references within a file store: a database refuses rows whose target is missing or unreadable. */
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "formats/filestore/internal.h"

/* Whether the directory of an entity exists and its YAML file is readable; problems are reported when the
 * entity itself is read. The last answers are cached, since most points of a model have one run. */
static bool is_readable(struct walker *w, const struct unit *unit, const char *dir,
                        bool (*check)(struct walker *w, int dir, const struct unit *unit))
{
    struct output quiet = {.discarded = true}, *out = w->out;
    buf_reset(&w->scratch);
    buf_addf(&w->scratch, "%s%s/%s%s", trash_prefix(unit->deleted), unit->experiment, dir, unit->name);
    struct verdict *v = &w->verdicts[XXH3_64bits(w->scratch.data, w->scratch.len) % VERDICT_CACHE_SIZE];
    if (v->path.len == w->scratch.len && memcmp(v->path.data, w->scratch.data, v->path.len) == 0)
        return v->good;
    buf_reset(&v->path);
    buf_add(&v->path, w->scratch.data, w->scratch.len);
    int fd = unit_dir_open(w, unit, buf_str(&v->path));
    w->out = &quiet;
    v->good = fd >= 0 && check(w, fd, unit);
    w->out = out;
    output_free(&quiet);
    if (fd >= 0)
        close(fd);
    return v->good;
}

/* Converts an id to the name of a directory; false if it cannot be one. */
static bool dir_of(const struct value *id, char name[256])
{
    if (id->len == 0 || id->len > 255 || id->s[0] == '.' || memchr(id->s, '/', id->len) ||
        memchr(id->s, '\0', id->len))
        return false;
    memcpy(name, id->s, id->len);
    name[id->len] = '\0';
    return true;
}

bool reference_has_run(struct walker *w, const struct unit *from, const struct value *id)
{
    char name[256];
    struct unit unit = {.experiment = from->experiment, .deleted = from->deleted, .name = name};
    return dir_of(id, name) && is_readable(w, &unit, "", run_check);
}

bool reference_has_logged_model(struct walker *w, const struct unit *from, const struct value *id)
{
    char name[256];
    struct unit unit = {.experiment = from->experiment, .deleted = from->deleted, .name = name};
    if (!dir_of(id, name))
        return false;
    if (is_readable(w, &unit, "models/", model_check_logged))
        return true;
    for (uint64_t i = 0; i < experiments_count(w->store->experiments); i++) {
        struct experiment x;
        experiments_get(w->store->experiments, i, &x);
        unit.experiment = x.id;
        unit.deleted = experiment_is(&x, EXPERIMENT_DELETED);
        if (!experiment_is(&x, EXPERIMENT_BAD) && is_readable(w, &unit, "models/", model_check_logged))
            return true;
    }
    return false;
}

/* Reads meta.yaml and similar files, checks them and fills the fields of a record. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "formats/filestore/internal.h"

enum {
    RETRIES = 2,
    FRESH_SECONDS = 10,
    MANY_VALUES = 256 << 10, /* bytes of values, from which on there must be room for them */
};

/* Whether the file was just modified, so that an empty one may still be being written. */
static bool is_fresh(int dir, const char *name)
{
    struct stat st;
    struct timespec now;
    if (fstatat(dir, name, &st, 0) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
        return false;
    return now.tv_sec - st.st_mtim.tv_sec < FRESH_SECONDS;
}

bool meta_wait(int dir, const char *name, int try)
{
    if (try > RETRIES || !is_fresh(dir, name))
        return false;
    nanosleep(&(struct timespec){.tv_nsec = try * 100000000L}, NULL);
    return true;
}

static enum meta_state read_once(struct walker *w, struct yaml_reader *y, int dir, const char *name,
                                 const struct yaml_value **meta)
{
    struct stat st;
    /* the type of the entry is unknown here: a missing file is left to the caller, a dangling link is not */
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        return META_MISSING;
    if (!walker_read_file(w, dir, name, DT_UNKNOWN, YAML_COPIES))
        return META_BAD;
    size_t values = yaml_values_within(buf_str(&w->file), w->file.len) * YAML_VALUE_SIZE;
    if (values > MANY_VALUES && w->large)
        w->large(w, values);
    struct yaml_error e;
    *meta = yaml_parse(y, buf_str(&w->file), w->file.len, &e);
    if (*meta)
        return META_GOOD;
    walker_problem(w, e.line, "%s", walker_shown(e.what, strlen(e.what)));
    return META_BAD;
}

enum meta_state meta_read(struct walker *w, struct yaml_reader *y, int dir, const char *name,
                          const struct yaml_value **meta)
{
    enum meta_state state = read_once(w, y, dir, name, meta);
    for (int i = 1; state == META_GOOD && (*meta)->kind == YAML_IS_NULL && meta_wait(dir, name, i); i++)
        state = read_once(w, y, dir, name, meta);
    if (state == META_GOOD && (*meta)->kind == YAML_IS_NULL) {
        walker_problem(w, 0, "empty");
        state = META_BAD;
    } else if (state == META_GOOD && (*meta)->kind != YAML_IS_MAP) {
        walker_problem(w, (*meta)->line, "expected a map, found %s", yaml_kind_name((*meta)->kind));
        state = META_BAD;
    }
    return state;
}

static bool fill_int(struct walker *w, const struct yaml_value *v, const char *key, struct value *out)
{
    const char *why = v->big ? " beyond 64 bits" : v->sexagesimal ? " in base 60" : "";
    if (v->kind == YAML_IS_INT && !v->big && !v->sexagesimal) {
        *out = value_int(v->i);
        return true;
    }
    walker_problem(w, v->line, "%s: expected an integer, found %s%s%s%s", key, yaml_kind_name(v->kind), why,
                   v->text ? ": " : "", v->text ? walker_shown(v->text, v->len) : "");
    return false;
}

static bool fill_field(struct walker *w, const struct meta_field *f, const struct yaml_value *v,
                       struct value *out)
{
    if (f->how == META_INT)
        return fill_int(w, v, f->key, out);
    if (!v->text) {
        walker_problem(w, v->line, "%s: expected text, found %s", f->key, yaml_kind_name(v->kind));
        return false;
    }
    if (f->how != META_WORKSPACE || strcmp(v->text, "default") != 0)
        *out = value_strn(v->text, v->len);
    return true;
}

bool meta_fill(struct walker *w, const struct yaml_value *meta, const struct meta_field *fields, size_t n,
               struct record *r)
{
    for (size_t i = 0; i < n; i++) {
        const struct meta_field *f = &fields[i];
        const struct yaml_value *v = yaml_get(meta, f->key);
        if (v && v->kind != YAML_IS_NULL) {
            if (!fill_field(w, f, v, &r->v[f->field]))
                return false;
        } else if (r->kind->fields[f->field].flags & FIELD_R) {
            walker_problem(w, v ? v->line : 0, "%s is %s", f->key, v ? "null" : "missing");
            return false;
        }
    }
    return true;
}

struct value meta_id(const struct yaml_value *v, char scratch[24])
{
    if (v->kind == YAML_IS_INT && !v->big)
        return value_strn(scratch, (size_t)snprintf(scratch, 24, "%lld", (long long)v->i));
    return value_strn(v->text ? v->text : "", v->len);
}

bool meta_is(struct walker *w, const struct yaml_value *meta, const char *key, const char *want,
             bool required)
{
    const struct yaml_value *v = yaml_get(meta, key);
    if (!v || v->kind == YAML_IS_NULL) {
        if (required)
            walker_problem(w, v ? v->line : 0, "%s is %s", key, v ? "null" : "missing");
        return !required;
    }
    char scratch[24];
    struct value id = meta_id(v, scratch);
    if (value_eqs(&id, want))
        return true;
    walker_problem(w, v->line, "%s is %s, but the path says %s", key, walker_shown(id.s, id.len),
                   walker_shown(want, strlen(want)));
    return false;
}

const char *meta_lifecycle(struct walker *w, const struct yaml_value *meta)
{
    const struct yaml_value *v = yaml_get(meta, "lifecycle_stage");
    if (!v || (v->text && strcmp(v->text, "active") == 0))
        return "active";
    if (v->text && strcmp(v->text, "deleted") == 0)
        return "deleted";
    walker_problem(w, v->line, "lifecycle_stage must be active or deleted, not %s",
                   v->text ? walker_shown(v->text, v->len) : yaml_kind_name(v->kind));
    return NULL;
}

const char *meta_word(struct walker *w, const struct yaml_value *v, const char *key, const char *const *words,
                      int64_t first, int64_t n, int64_t absent)
{
    if (!v)
        return words[absent - first];
    if (v->kind == YAML_IS_INT && !v->big && v->i >= first && v->i - first < n)
        return words[v->i - first];
    walker_problem(w, v->line, "%s: expected an integer from %lld to %lld, found %s", key, (long long)first,
                   (long long)(first + n - 1),
                   v->text ? walker_shown(v->text, v->len) : yaml_kind_name(v->kind));
    return NULL;
}

/* -- times */

static bool take_number(const char **p, const char *end, int digits, int64_t *out)
{
    *out = 0;
    if (end - *p < digits)
        return false;
    for (int i = 0; i < digits; i++, ++*p) {
        if (**p < '0' || **p > '9')
            return false;
        *out = *out * 10 + (**p - '0');
    }
    return true;
}

static bool take_char(const char **p, const char *end, char c)
{
    if (*p == end || **p != c)
        return false;
    ++*p;
    return true;
}

/* Days since 1970-01-01 in the Gregorian calendar; false if there is no such day. */
static bool days_of(int64_t year, int64_t month, int64_t day, int64_t *days)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t before = year - 1;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] + (month == 2 && leap))
        return false;
    *days = before * 365 + before / 4 - before / 100 + before / 400 - 719162 + day - 1;
    for (int64_t m = 1; m < month; m++)
        *days += lengths[m - 1] + (m == 2 && leap);
    return true;
}

/* `.` and 1 to 9 digits, or nothing: whole milliseconds. */
static bool take_fraction(const char **p, const char *end, int64_t *ms)
{
    int digits = 0;
    *ms = 0;
    if (!take_char(p, end, '.'))
        return true;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p)
        if (++digits <= 3)
            *ms = *ms * 10 + (**p - '0');
    for (int i = digits; i < 3; i++)
        *ms *= 10;
    return digits >= 1 && digits <= 9;
}

static bool take_zone(const char **p, const char *end, int64_t *minutes)
{
    *minutes = 0;
    if (take_char(p, end, 'Z'))
        return true;
    bool west = *p < end && **p == '-';
    int64_t hours, rest;
    if (!take_char(p, end, west ? '-' : '+') || !take_number(p, end, 2, &hours) || !take_char(p, end, ':') ||
        !take_number(p, end, 2, &rest) || hours > 23 || rest > 59)
        return false;
    *minutes = (west ? -1 : 1) * (hours * 60 + rest);
    return true;
}

bool meta_parse_time(const char *s, size_t len, int64_t *ms)
{
    const char *p = s, *end = s + len;
    int64_t year, month, day, hour, minute, second, fraction, zone;
    if (!take_number(&p, end, 4, &year) || !take_char(&p, end, '-') || !take_number(&p, end, 2, &month) ||
        !take_char(&p, end, '-') || !take_number(&p, end, 2, &day) || !take_char(&p, end, 'T') ||
        !take_number(&p, end, 2, &hour) || !take_char(&p, end, ':') || !take_number(&p, end, 2, &minute) ||
        !take_char(&p, end, ':') || !take_number(&p, end, 2, &second) || !take_fraction(&p, end, &fraction) ||
        !take_zone(&p, end, &zone) || p != end)
        return false;
    int64_t days;
    if (hour > 23 || minute > 59 || second > 59 || !days_of(year, month, day, &days))
        return false;
    *ms = (((days * 24 + hour) * 60 + minute - zone) * 60 + second) * 1000 + fraction;
    return true;
}

#include "formats/schema/schema.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "formats/schema/data.h"

/* ---- revisions and releases */

int schema_find_revision(const char *revision)
{
    for (int i = 1; i <= schema_head; i++)
        if (strcmp(schema_revisions[i].revision, revision) == 0)
            return i;
    return -1;
}

/* True when release is text, or text plus `.patch`. */
static bool release_matches(const char *release, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(release, text, n) != 0)
        return false;
    if (!release[n])
        return true;
    return release[n] == '.' && strchr(text, '.') && !strchr(release + n + 1, '.');
}

const struct schema_release *schema_find_release(const char *text, struct err *e)
{
    for (int i = schema_releases_count - 1; i >= 0; i--)
        if (release_matches(schema_releases[i].release, text))
            return &schema_releases[i];
    err_set(e, text, "no MLflow release that is known here");
    err_hint(e, "releases from %s to %s are; 3.1 means the latest of 3.1.x (ml-schema history lists them)",
             schema_releases[0].release, schema_releases[schema_releases_count - 1].release);
    return NULL;
}

int schema_find_target(const char *text, struct err *e)
{
    if (strcmp(text, "base") == 0)
        return 0;
    if (strcmp(text, "head") == 0)
        return schema_head;
    int order = schema_find_revision(text);
    if (order > 0)
        return order;
    if (isdigit((unsigned char)text[0]) && strchr(text, '.')) {
        const struct schema_release *r = schema_find_release(text, e);
        return r ? r->order : -1;
    }
    err_set(e, text, "neither a revision of MLflow's schema nor a release");
    err_hint(e, "ml-schema history lists both");
    return -1;
}

static int last_of_span(int first)
{
    int last = first;
    while (last + 1 < schema_releases_count &&
           schema_releases[last + 1].order == schema_releases[first].order)
        last++;
    return last;
}

void schema_releases_of(int order, struct buf *out)
{
    size_t start = out->len;
    for (int i = 0; i < schema_releases_count; i++) {
        if (schema_releases[i].order != order)
            continue;
        int last = last_of_span(i);
        if (out->len > start)
            buf_adds(out, ", ");
        buf_adds(out, schema_releases[i].release);
        if (last > i)
            buf_addf(out, "%s%s", last == i + 1 ? ", " : " to ", schema_releases[last].release);
        i = last;
    }
    if (out->len == start)
        buf_adds(out, "no release");
}

const struct schema_release *schema_newest_release_of(int order)
{
    for (int i = schema_releases_count - 1; i >= 0; i--)
        if (schema_releases[i].order == order)
            return &schema_releases[i];
    return NULL;
}

const struct schema_release *schema_first_release_with(int order)
{
    const struct schema_release *first = NULL;
    for (int i = schema_releases_count - 1; i >= 0; i--)
        if (schema_releases[i].order >= order && (!first || schema_releases[i].order <= first->order))
            first = &schema_releases[i];
    return first;
}

/* ---- the release that is installed */

/* The version in a name like mlflow-3.17.2.dist-info, or mlflow_skinny-3.17.2.dist-info; NULL when it is no
 * such name. */
static char *version_of_entry(const char *name)
{
    static const char *const packages[] = {"mlflow-", "mlflow_skinny-"};
    static const char *const suffixes[] = {".dist-info", ".egg-info"};
    for (size_t p = 0; p < 2; p++) {
        size_t n = strlen(packages[p]);
        if (strncmp(name, packages[p], n) != 0)
            continue;
        for (size_t s = 0; s < 2; s++) {
            const char *end = strstr(name + n, suffixes[s]);
            if (end && !end[strlen(suffixes[s])])
                return xstrndup(name + n, (size_t)(end - name) - n);
        }
    }
    return NULL;
}

static char *version_in_directory(const char *directory)
{
    DIR *d = opendir(directory);
    if (!d)
        return NULL;
    char *version = NULL;
    const struct dirent *entry;
    while (!version && (entry = readdir(d)))
        version = version_of_entry(entry->d_name);
    closedir(d);
    return version;
}

/* Looks where Python's packages lie below a prefix (/venv, /usr, ~/.local). */
static char *version_below(const char *prefix)
{
    char *lib = xasprintf("%s/lib", prefix);
    char *version = NULL;
    DIR *d = opendir(lib);
    const struct dirent *entry;
    while (d && !version && (entry = readdir(d))) {
        if (strncmp(entry->d_name, "python", 6) != 0)
            continue;
        char *site = xasprintf("%s/%s/site-packages", lib, entry->d_name);
        char *dist = xasprintf("%s/%s/dist-packages", lib, entry->d_name);
        version = version_in_directory(site);
        if (!version)
            version = version_in_directory(dist);
        free(site);
        free(dist);
    }
    if (d)
        closedir(d);
    free(lib);
    return version;
}

/* /venv for /venv/bin/python. */
static char *prefix_of(const char *program)
{
    char *bin = io_dirname(program);
    char *prefix = io_dirname(bin);
    free(bin);
    return prefix;
}

/* The interpreter in a script's first line, NULL for what is no such script. */
static char *shebang_of(const char *script)
{
    int fd = open(script, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char line[1024];
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    if (n < 3)
        return NULL;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "#!", 2) != 0)
        return NULL;
    const char *start = line + 2 + strspn(line + 2, " \t\"'");
    return *start == '/' ? xstrndup(start, strcspn(start, " \t\"'")) : NULL;
}

/* A script's packages are those of its interpreter; for one whose first line does not tell (a wrapper that is
 * run by sh), those beside it. */
static char *version_of_program(const char *program)
{
    char *version = NULL;
    char *interpreter = shebang_of(program);
    if (interpreter) {
        char *prefix = prefix_of(interpreter);
        version = version_below(prefix);
        free(prefix);
        free(interpreter);
    }
    char *real = version ? NULL : realpath(program, NULL);
    if (real) {
        char *prefix = prefix_of(real);
        version = version_below(prefix);
        free(prefix);
        free(real);
    }
    return version;
}

/* The first `mlflow` on PATH, malloc'ed; NULL when there is none. */
static char *find_on_path(void)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        char *program = n ? xasprintf("%.*s/mlflow", (int)n, path) : xstrdup("./mlflow");
        if (access(program, X_OK) == 0)
            return program;
        free(program);
        path += n + (path[n] == ':');
    }
    return NULL;
}

static const struct schema_release *newest_installable(void)
{
    for (int i = schema_releases_count - 1; i > 0; i--)
        if (schema_releases[i].installable)
            return &schema_releases[i];
    return &schema_releases[0];
}

const struct schema_release *schema_default_release(struct buf *why)
{
    const struct schema_release *release = NULL;
    char *program = find_on_path();
    char *version = program ? version_of_program(program) : NULL;
    if (version)
        release = schema_find_release(version, NULL);
    if (release && strcmp(release->release, version) == 0)
        buf_addf(why, "MLflow %s, the release of %s", release->release, program);
    else {
        release = newest_installable();
        buf_addf(why, "MLflow %s, the newest that can be installed", release->release);
        if (version)
            buf_addf(why, " (%s is of MLflow %s, which is not known here)", program, version);
        else if (program)
            buf_addf(why, " (%s does not show its release)", program);
        else
            buf_adds(why, " (there is no mlflow on PATH)");
    }
    free(version);
    free(program);
    return release;
}

/* ---- a database's revision */

static const char *const base_tables[] = {"experiments", "runs", "tags", "metrics", "params"};
enum { BASE_TABLES = sizeof base_tables / sizeof *base_tables };

static bool count_base_tables(struct db *db, int *count, struct err *e)
{
    *count = 0;
    for (int i = 0; i < BASE_TABLES; i++) {
        bool exists;
        if (!db_table_exists(db, base_tables[i], &exists, e))
            return false;
        *count += exists;
    }
    return true;
}

/* The stamps in alembic_version: their number, and the first, malloc'ed. */
static bool read_stamp(struct db *db, int64_t *count, char **stamp, struct err *e)
{
    bool exists;
    *count = 0;
    *stamp = NULL;
    if (!db_table_exists(db, "alembic_version", &exists, e))
        return false;
    if (!exists)
        return true;
    return db_query_int(db, "SELECT count(*) FROM alembic_version", count, e) &&
           db_query_text(db, "SELECT version_num FROM alembic_version", stamp, e);
}

static bool order_without_stamp(struct db *db, int tables, int *order, struct err *e)
{
    if (tables == 0) {
        *order = SCHEMA_EMPTY;
        return true;
    }
    struct db_columns columns;
    if (!db_table_columns(db, "metrics", &columns, e))
        return false;
    bool base = tables == BASE_TABLES && columns.n > 0 && !db_columns_find(&columns, "step");
    db_columns_free(&columns);
    if (base) {
        *order = 0;
        return true;
    }
    int nearest;
    if (!schema_nearest(db, &nearest, e))
        return false;
    err_set(e, db_display(db), "the database has MLflow's tables but no revision in alembic_version");
    struct buf releases = {0};
    schema_releases_of(nearest, &releases);
    err_hint(e,
             "its structure is nearest to revision %s (%s); insert that into alembic_version if you know it "
             "is right",
             schema_revisions[nearest].revision, buf_str(&releases));
    buf_free(&releases);
    return false;
}

static bool order_of_stamp(struct db *db, const char *stamp, int *order, struct err *e)
{
    *order = schema_find_revision(stamp);
    if (*order >= 0)
        return true;
    err_set(e, db_display(db), "revision '%s' is none of MLflow's up to %s", stamp,
            schema_releases[schema_releases_count - 1].release);
    return err_hint(
        e, "the database belongs to a newer MLflow, to a development version, or to another program");
}

/* complete: a stamp without the tables that every revision has is an error. */
static bool find_order(struct db *db, bool complete, int *order, struct err *e)
{
    int64_t stamps;
    int tables;
    char *revision;
    if (!count_base_tables(db, &tables, e) || !read_stamp(db, &stamps, &revision, e))
        return false;
    bool ok;
    if (stamps > 1) {
        err_set(e, db_display(db), "alembic_version has %lld revisions, where one belongs",
                (long long)stamps);
        ok = err_hint(e, "delete the rows that are not the database's own revision");
    } else if (stamps == 1 && revision)
        ok = order_of_stamp(db, revision, order, e);
    else
        ok = order_without_stamp(db, tables, order, e);
    if (ok && complete && *order > 0 && tables < BASE_TABLES) {
        err_set(e, db_display(db), "alembic_version says %s, but tables of MLflow are missing", revision);
        ok = err_hint(e, "ml-schema check names them; restore them from a backup");
    }
    free(revision);
    return ok;
}

bool schema_order_of(struct db *db, int *order, struct err *e)
{
    return find_order(db, true, order, e);
}

bool schema_order_to_check(struct db *db, int *order, struct err *e)
{
    return find_order(db, false, order, e);
}

bool schema_stamped_order(struct db *db, int *order, struct err *e)
{
    int64_t stamps;
    int tables;
    char *revision;
    if (!count_base_tables(db, &tables, e) || !read_stamp(db, &stamps, &revision, e))
        return false;
    if (stamps == 1 && revision)
        *order = schema_find_revision(revision);
    else
        *order = tables ? 0 : SCHEMA_EMPTY;
    free(revision);
    return true;
}

/* ---- running */

const struct schema_hook *schema_find_hook(const char *name, size_t len)
{
    for (const struct schema_hook *h = schema_hooks; h->name; h++)
        if (strlen(h->name) == len && memcmp(h->name, name, len) == 0)
            return h;
    return NULL;
}

/* `table.column` of an "unless" line: true in *out when the column is there. */
static bool column_exists(struct db *db, const char *name, size_t len, bool *out, struct err *e)
{
    const char *dot = memchr(name, '.', len);
    if (!dot)
        return err_set(e, "migrations", "malformed line: unless: %.*s", (int)len, name);
    char *table = xstrndup(name, (size_t)(dot - name));
    char *column = xstrndup(dot + 1, len - (size_t)(dot + 1 - name));
    struct db_columns columns;
    bool ok = db_table_columns(db, table, &columns, e);
    if (ok) {
        *out = db_columns_find(&columns, column) != NULL;
        db_columns_free(&columns);
    }
    free(table);
    free(column);
    return ok;
}

static bool flush(struct db *db, struct buf *sql, struct err *e)
{
    bool ok = !sql->len || db_exec(db, buf_str(sql), e);
    buf_reset(sql);
    return ok;
}

/* Appends a line of a revision; wide: its columns of experiment ids get 64 bits. */
static void add_line(struct buf *sql, const char *line, size_t n, bool wide)
{
    static const struct {
        const char *narrow, *wide;
    } types[] = {{"experiment_id INTEGER", "experiment_id BIGINT"},
                 {"experiment_id SERIAL", "experiment_id BIGSERIAL"}};
    for (size_t i = 0; wide && i < sizeof types / sizeof types[0]; i++) {
        size_t len = strlen(types[i].narrow);
        const char *at = memmem(line, n, types[i].narrow, len);
        if (at) {
            buf_add(sql, line, (size_t)(at - line));
            buf_adds(sql, types[i].wide);
            n -= (size_t)(at - line) + len;
            line = at + len;
        }
    }
    buf_add(sql, line, n);
    buf_addc(sql, '\n');
}

/* Runs the text of a revision: statements, and between them lines that SQL has no words for:
 *   -- call: NAME           runs a function of schema_hooks
 *   -- unless: TABLE.COLUMN leaves the next line out when that column is there */
static bool run_text(struct db *db, const char *text, bool wide, struct err *e)
{
    struct buf sql = {0};
    bool ok = true, skip = false;
    while (ok && *text) {
        size_t n = strcspn(text, "\n");
        if (strncmp(text, "-- call: ", 9) == 0) {
            const struct schema_hook *hook = schema_find_hook(text + 9, n - 9);
            ok = flush(db, &sql, e) &&
                 (hook || err_set(e, "migrations", "no function %.*s", (int)n - 9, text + 9));
            ok = ok && hook->run(db, e);
        } else if (strncmp(text, "-- unless: ", 11) == 0)
            ok = flush(db, &sql, e) && column_exists(db, text + 11, n - 11, &skip, e);
        else if (skip)
            skip = false;
        else
            add_line(&sql, text, n, wide);
        text += n + (text[n] == '\n');
    }
    ok = ok && flush(db, &sql, e);
    buf_free(&sql);
    return ok;
}

void schema_stamp_sql(int from, int to, struct buf *sql)
{
    if (from > 0)
        buf_addf(sql, "UPDATE alembic_version SET version_num = '%s'", schema_revisions[to].revision);
    else
        buf_addf(sql,
                 "CREATE TABLE IF NOT EXISTS alembic_version (\n"
                 "    version_num VARCHAR(32) NOT NULL,\n"
                 "    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n"
                 ");\n"
                 "INSERT INTO alembic_version (version_num) VALUES ('%s')",
                 schema_revisions[to].revision);
}

static bool stamp(struct db *db, int from, int to, struct err *e)
{
    struct buf sql = {0};
    schema_stamp_sql(from, to, &sql);
    bool ok = db_exec(db, buf_str(&sql), e);
    buf_free(&sql);
    return ok;
}

/* The statements of one revision without its stamp. */
static bool run_revision(struct db *db, int order, bool wide, struct err *e)
{
    const struct schema_revision *r = &schema_revisions[order];
    bool sqlite = db_dialect(db) == DIALECT_SQLITE;
    /* Without it a rename would rewrite, or trip over, the views and triggers that users have on a rebuilt
     * table. */
    if (sqlite && !db_exec(db, "PRAGMA legacy_alter_table = ON", e))
        return false;
    bool ok = run_text(db, sqlite ? r->sqlite : r->postgresql, wide, e);
    if (sqlite)
        db_exec(db, "PRAGMA legacy_alter_table = OFF", NULL);
    if (!ok && e) {
        char *what = xstrdup(e->what);
        snprintf(e->what, sizeof e->what, "revision %s (%s): %s", r->revision, r->title, what);
        free(what);
    }
    return ok;
}

bool schema_widen(struct db *db, struct err *e)
{
    static const char sql[] =
        "DO $$ DECLARE c record; BEGIN\n"
        "FOR c IN SELECT a.attrelid::regclass AS t, a.attname FROM pg_attribute a JOIN pg_class r ON r.oid = "
        "a.attrelid\n"
        "    WHERE a.attname = 'experiment_id' AND a.atttypid = 'integer'::regtype AND r.relkind = 'r'\n"
        "    AND r.relnamespace = quote_ident(current_schema())::regnamespace AND NOT a.attisdropped\n"
        "LOOP EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint', c.t, c.attname); END LOOP;\n"
        "EXECUTE format('ALTER SEQUENCE %s AS bigint', pg_get_serial_sequence('experiments', "
        "'experiment_id'));\n"
        "END $$";
    return db_exec(db, sql, e);
}

bool schema_is_wide(struct db *db, bool *wide, struct err *e)
{
    int64_t n = 0;
    static const char sql[] =
        "SELECT count(*) FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid\n"
        "WHERE r.relname = 'experiments' AND r.relnamespace = quote_ident(current_schema())::regnamespace\n"
        "AND a.attname = 'experiment_id' AND a.atttypid = 'bigint'::regtype";
    bool ok = db_dialect(db) == DIALECT_SQLITE || db_query_int(db, sql, &n, e);
    *wide = n > 0;
    return ok;
}

bool schema_step(struct db *db, int to, uint64_t *rows, struct err *e)
{
    struct schema_extras extras;
    bool wide;
    uint64_t before = db_rows_written(db);
    bool ok = schema_extras_save(db, to, &extras, e) && schema_is_wide(db, &wide, e) &&
              run_revision(db, to, wide, e);
    if (rows)
        *rows = db_rows_written(db) - before;
    ok = ok && schema_extras_restore(db, &extras, e) && stamp(db, to - 1, to, e);
    schema_extras_free(&extras);
    return ok;
}

static bool create(struct db *db, int order, bool wide, struct err *e)
{
    for (int i = 0; i <= order; i++)
        if (!run_revision(db, i, wide, e))
            return false;
    return order == 0 || stamp(db, 0, order, e);
}

bool schema_create(struct db *db, int order, struct err *e)
{
    return create(db, order, false, e);
}

bool schema_create_wide(struct db *db, int order, struct err *e)
{
    return create(db, order, true, e);
}

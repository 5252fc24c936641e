/* Finds the installed release of MLflow by the metadata of its Python package. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"
#include "common/io.h"
#include "formats/schema/schema.h"

/* The version in a name like mlflow-3.17.2.dist-info or mlflow_skinny-3.17.2.dist-info; NULL for other
 * names. */
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

/* NULL: it does not exist or is not readable. */
static DIR *open_directory(const char *path)
{
    DIR *d = opendir(path);
    if (!d && errno == ENOMEM)
        xnomem(path);
    return d;
}

static char *version_in_directory(const char *directory)
{
    DIR *d = open_directory(directory);
    if (!d)
        return NULL;
    char *version = NULL;
    const struct dirent *entry;
    while (!version && (entry = readdir(d)))
        version = version_of_entry(entry->d_name);
    closedir(d);
    return version;
}

/* Searches Python's packages below a prefix (/venv, /usr, ~/.local). */
static char *version_below(const char *prefix)
{
    char *lib = xasprintf("%s/lib", prefix);
    char *version = NULL;
    DIR *d = open_directory(lib);
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
    char *bin = file_dirname(program);
    char *prefix = file_dirname(bin);
    free(bin);
    return prefix;
}

/* The interpreter in a script's first line; NULL if it has none. */
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

/* A script uses the packages of its interpreter; if its first line does not name Python (a wrapper run by
 * sh), those below its own prefix. */
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
    char *real = version ? NULL : xrealpath(program);
    if (real) {
        char *prefix = prefix_of(real);
        version = version_below(prefix);
        free(prefix);
        free(real);
    }
    return version;
}

/* The first `mlflow` on PATH, malloc'ed; NULL if there is none. */
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
            buf_addf(why, " (%s is MLflow %s, which is unknown here)", program, version);
        else if (program)
            buf_addf(why, " (cannot determine the release of %s)", program);
        else
            buf_adds(why, " (no mlflow on PATH)");
    }
    free(version);
    free(program);
    return release;
}

/* mlruns-tools: one command in front of the suite, as git is. It runs the program next to it; where all of them are
 * one executable, it is that, and also each program when called by its name. */
#include <errno.h>
#include <jansson.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <yaml.h>
#include <zstd.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/opt.h"
#include "common/process.h"
#include "formats/database/libraries.h"
#include "tools/suite.h"

#ifdef MLRUNS_TOOLS_ONE_EXECUTABLE
#include "tools/one_executable.h"
#endif

static const struct program {
    const char *command, *name;
    int (*main)(int, char **); /* NULL: an executable of its own */
} programs[] = {
#ifdef MLRUNS_TOOLS_ONE_EXECUTABLE
#define PROGRAM(command, program, c_name, about) {command, program, MAIN_OF(c_name)},
#else
#define PROGRAM(command, program, c_name, about) {command, program, NULL},
#endif
    SUITE(PROGRAM)
#undef PROGRAM
};

static const struct opt no_options[] = {{.type = OPT_END}};
static struct opt_spec spec = {
    .synopsis = "mlruns-tools COMMAND [ARGUMENT]...\n"
                "mlruns-tools help [COMMAND | PAGE]",
    .options = no_options,
    .epilog = "Example: mlruns-tools migrate ./mlruns sqlite:///mlflow.db --verify",
};

/* The commands, for the help text; malloc'ed. */
static char *describe(void)
{
#define ABOUT(command, program, c_name, about) {command, program, about},
    static const char *const lines[][3] = {SUITE(ABOUT)};
#undef ABOUT
    struct buf text = {0};
    buf_addf(&text, "Moves MLflow tracking data. Commands, and the programs that they run:\n\n");
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
        buf_addf(&text, "  %-12s%-14s%s\n", lines[i][0], lines[i][1], lines[i][2]);
    buf_addf(&text, "  %-12s%-14s%s", "help", "man",
             "the page of a command or program, or another of the manual");
    buf_addc(&text, '\0');
    return text.data;
}

/* A program by its command or name; NULL: none. */
static const struct program *find_program(const char *word)
{
    for (size_t i = 0; i < ARRAY_LENGTH(programs); i++)
        if (strcmp(word, programs[i].command) == 0 || strcmp(word, programs[i].name) == 0)
            return &programs[i];
    return NULL;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static _Noreturn void execute(const char *path, char **argv)
{
    execvp(path, argv);
    die(path, "cannot be run: %s", strerror(errno));
}

/* argv begins with the command. */
static int run_program(const struct program *p, int argc, char **argv)
{
    struct err e;
    if (p->main) {
        argv[0] = xstrdup(p->name);
        return p->main(argc, argv);
    }
    char *path = process_find("", p->name, &e);
    if (!path)
        err_die(&e);
    argv[0] = path;
    execute(path, argv);
}

/* -- --version */

static int print_version(void)
{
    struct buf libraries = {0}, missing = {0};
    db_libraries(&libraries, &missing);
    printf("%s (mlruns-tools) %s\n", err_program(), MLRUNS_TOOLS_VERSION);
    printf("libraries: %s, msgpack-c %s, libyaml %s, jansson %s, xxHash %u.%u.%u, zstd %s, libmd\n",
           buf_str(&libraries), msgpack_version(), yaml_get_version_string(), jansson_version_str(),
           XXH_versionNumber() / 10000, XXH_versionNumber() / 100 % 100, XXH_versionNumber() % 100,
           ZSTD_versionString());
    printf("not built in: %s\n", missing.len ? buf_str(&missing) : "nothing");
    buf_free(&libraries);
    buf_free(&missing);
    io_close_stdout();
    return EXIT_DONE;
}

/* -- help */

/* Returns the path of a page's file, malloc'ed, if there is one. */
static char *page_file(const char *directory, size_t len, bool by_section, const char *page, char section)
{
    char *path = by_section
                     ? xasprintf("%.*s/../share/man/man%c/%s.%c", (int)len, directory, section, page, section)
                     : xasprintf("%.*s/../../man/%s.%c", (int)len, directory, page, section);
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

/* The page of this very version: in share/man next to the program's directory, or in the tree that it was built in. NULL:
 * neither has it. */
static char *find_page(const char *page)
{
    static const char sections[] = "157";
    char *own = xrealpath("/proc/self/exe"), *found = NULL;
    size_t len = own ? (size_t)(base_name(own) - own) - 1 : 0;
    for (size_t i = 0; own && !found && sections[i]; i++) {
        found = page_file(own, len, true, page, sections[i]);
        if (!found)
            found = page_file(own, len, false, page, sections[i]);
    }
    free(own);
    return found;
}

static int help(const char *word)
{
    const struct program *p = find_program(word);
    const char *page = p ? p->name : word;
    char *file = strchr(page, '/') ? NULL : find_page(page), name[] = "man";
    char *man[] = {name, file ? file : xstrdup(page), NULL}, option[] = "--help";
    char *usage[] = {option, option, NULL};
    execvp(man[0], man);
    if (errno != ENOENT)
        die(NULL, "man cannot be run: %s", strerror(errno));
    if (p) {
        err_note("man is not installed; this is %s --help", p->name);
        return run_program(p, 2, usage);
    }
    if (!file)
        die(NULL, "man is not installed, and there is no page '%s' next to this program", page);
    die(NULL, "man is not installed; the page is the file %s", file);
}

/* -- which program this is */

/* Of one executable that is all programs: the one that it is called as. */
static const struct program *called_as(const char *argv0)
{
    const struct program *p = find_program(base_name(argv0));
    return p && p->main && strcmp(base_name(argv0), p->name) == 0 ? p : NULL;
}

/* Lets ml-migrate and ml-sync find the others in this executable. */
static void be_all_programs(bool alone)
{
    static const char *names[ARRAY_LENGTH(programs) + 1];
    for (size_t i = 0; i < ARRAY_LENGTH(programs); i++)
        if (programs[i].main)
            names[i] = programs[i].name;
    process_is_also(names, alone);
}

int main(int argc, char **argv)
{
    const struct program *p = called_as(argv[0]);
    be_all_programs(!p);
    if (p)
        return p->main(argc, argv);
    err_program_set(argv[0]);
    const char *word = argc > 1 ? argv[1] : "";
    if ((p = find_program(word)))
        return run_program(p, argc - 1, argv + 1);
    io_claim_standard_files();
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return print_version();
    if (strcmp(word, "help") == 0 && argc <= 3)
        return help(argc == 3 ? argv[2] : err_program());
    spec.about = describe();
    int first = opt_parse(&spec, argc, argv, NULL);
    if (first < argc && strcmp(argv[first], "help") == 0)
        opt_usage_error(&spec, "extra operand '%s'", argv[argc - 1]);
    if (first < argc)
        opt_usage_error(&spec, "unknown command '%s'", argv[first]);
    opt_usage_error(&spec, "a command is required");
}

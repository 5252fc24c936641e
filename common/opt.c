/* Parses options and prints the help from one table. */
#include "common/opt.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/progress.h"
#include "common/secret.h"

#ifndef MLRUNS_TOOLS_VERSION
#define MLRUNS_TOOLS_VERSION "unknown"
#endif

enum { MAX_OPTIONS = 64, HELP_COLUMN = 30, LONG_ONLY = 256 };

struct common {
    bool help, version, quiet, verbose;
    const char *progress;
};

static const struct opt common_options[] = {
    {OPT_FLAG, 'h', "help", NULL, "print this help and exit", OPT_AT(struct common, help)},
    {OPT_FLAG, 'V', "version", NULL, "print the version and exit", OPT_AT(struct common, version)},
    {OPT_FLAG, 'q', "quiet", NULL, "print errors and warnings only", OPT_AT(struct common, quiet)},
    {OPT_FLAG, 'v', "verbose", NULL, "print more details", OPT_AT(struct common, verbose)},
    {OPT_STRING, 0, "progress", "auto|always|never", "show a progress line (default: auto, on a terminal)",
     OPT_AT(struct common, progress)},
    {.type = OPT_END},
};

/* The program's own options followed by the common ones. */
static const struct opt *nth_option(const struct opt_spec *spec, size_t i)
{
    size_t own = 0;
    while (spec->options[own].type != OPT_END)
        own++;
    return i < own ? &spec->options[i] : &common_options[i - own];
}

static size_t count_options(const struct opt_spec *spec)
{
    size_t n = 0;
    while (nth_option(spec, n)->type != OPT_END)
        n++;
    return n;
}

static void print_lines(FILE *out, const char *lines, const char *first, const char *rest)
{
    const char *prefix = first;
    for (const char *p = lines; *p;) {
        size_t n = strcspn(p, "\n");
        fprintf(out, "%s%.*s\n", prefix, (int)n, p);
        prefix = rest;
        p += n + (p[n] == '\n');
    }
}

static void print_option(FILE *out, const struct opt *o)
{
    char left[128];
    char shortened[8] = "    ";
    char rest[HELP_COLUMN + 1];
    if (o->short_name)
        snprintf(shortened, sizeof shortened, "-%c, ", o->short_name);
    const char *joint = !o->arg ? "" : o->type == OPT_OPTARG ? "[=" : " ";
    snprintf(left, sizeof left, "  %s--%s%s%s%s", shortened, o->name, joint, o->arg ? o->arg : "",
             o->type == OPT_OPTARG ? "]" : "");
    memset(rest, ' ', HELP_COLUMN);
    rest[HELP_COLUMN] = '\0';
    if (strlen(left) + 2 > HELP_COLUMN) {
        fprintf(out, "%s\n", left);
        print_lines(out, o->help, rest, rest);
        return;
    }
    fprintf(out, "%-*s", HELP_COLUMN, left);
    print_lines(out, o->help, "", rest);
}

static void print_help(const struct opt_spec *spec)
{
    print_lines(stdout, spec->synopsis, "usage: ", "       ");
    printf("\n%s\n\n", spec->about);
    for (size_t i = 0; i < count_options(spec); i++)
        print_option(stdout, nth_option(spec, i));
    if (spec->epilog)
        printf("\n%s\n", spec->epilog);
}

/* What completions are generated from (tools/dist/completions): the synopsis and the options, tab-separated. */
static void print_table(const struct opt_spec *spec)
{
    static const char *const takes[] = {
        [OPT_FLAG] = "flag",     [OPT_STRING] = "required", [OPT_LIST] = "repeated",
        [OPT_SIZE] = "required", [OPT_OPTARG] = "optional",
    };
    print_lines(stdout, spec->synopsis, "synopsis\t", "synopsis\t");
    for (size_t i = 0; i < count_options(spec); i++) {
        const struct opt *o = nth_option(spec, i);
        printf("option\t%s\t%.1s\t%s\t%s\t", o->name, &o->short_name, takes[o->type], o->arg ? o->arg : "");
        for (const char *p = o->help; *p; p++)
            putchar(*p == '\n' ? ' ' : *p);
        putchar('\n');
    }
}

/* into: the struct that o is a member of. */
static void store(const struct opt_spec *spec, const struct opt *o, const char *arg, void *into)
{
    void *dest = (char *)into + o->at;
    struct opt_list *list;
    char *end;
    switch (o->type) {
    case OPT_FLAG:
        *(bool *)dest = true;
        break;
    case OPT_STRING:
        *(const char **)dest = arg;
        break;
    case OPT_OPTARG:
        *(const char **)dest = arg ? arg : "";
        break;
    case OPT_LIST:
        list = dest;
        list->items = xrealloc(list->items, (list->len + 1) * sizeof *list->items);
        list->items[list->len++] = arg;
        break;
    case OPT_SIZE:
        errno = 0;
        unsigned long long n = strtoull(arg, &end, 10);
        if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || errno != 0)
            opt_usage_error(spec, "--%s must be a number, not '%s'", o->name, arg);
        *(uint64_t *)dest = n;
        break;
    case OPT_END:
        break;
    }
}

static void apply_common(const struct opt_spec *spec, const struct common *c)
{
    if (c->help) {
        print_help(spec);
        io_close_stdout();
        exit(EXIT_DONE);
    }
    if (c->version) {
        printf("%s (mlruns-tools) %s\n", err_program(), MLRUNS_TOOLS_VERSION);
        io_close_stdout();
        exit(EXIT_DONE);
    }
    err_level_set(c->quiet ? -1 : c->verbose ? 1 : 0);
    if (c->quiet)
        progress_mode_set(PROGRESS_NEVER);
    if (!c->progress)
        return;
    if (strcmp(c->progress, "always") == 0)
        progress_mode_set(PROGRESS_ALWAYS);
    else if (strcmp(c->progress, "never") == 0)
        progress_mode_set(PROGRESS_NEVER);
    else if (strcmp(c->progress, "auto") != 0)
        opt_usage_error(spec, "--progress must be one of auto, always, never, not '%s'", c->progress);
}

int opt_parse(const struct opt_spec *spec, int argc, char **argv, void *options)
{
    struct common common = {.progress = NULL};
    struct option longs[MAX_OPTIONS + 1];
    char shorts[2 * MAX_OPTIONS + 2];
    size_t n = count_options(spec), n_own = n - (ARRAY_LENGTH(common_options) - 1), s = 0;
    memset(longs, 0, sizeof longs);
    if (argc == 2 && strcmp(argv[1], "--print-options") == 0) {
        print_table(spec);
        io_close_stdout();
        exit(EXIT_DONE);
    }
    if (n > MAX_OPTIONS)
        die(NULL, "too many options in the table");
    shorts[s++] = ':';
    for (size_t i = 0; i < n; i++) {
        const struct opt *o = nth_option(spec, i);
        bool takes = o->type != OPT_FLAG;
        longs[i].name = o->name;
        longs[i].has_arg = o->type == OPT_OPTARG ? optional_argument
                           : takes               ? required_argument
                                                 : no_argument;
        longs[i].val = LONG_ONLY + (int)i;
        if (o->short_name) {
            shorts[s++] = o->short_name;
            if (takes)
                shorts[s++] = ':';
        }
    }
    shorts[s] = '\0';
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        if (c == '?' || c == ':') {
            const char *given = optind > 0 && optind <= argc ? argv[optind - 1] : "";
            opt_usage_error(spec, c == ':' ? "option '%s' requires an argument" : "unknown option '%s'",
                            given);
        }
        size_t i = c >= LONG_ONLY ? (size_t)(c - LONG_ONLY) : 0;
        while (c < LONG_ONLY && nth_option(spec, i)->short_name != c)
            i++;
        store(spec, nth_option(spec, i), optarg, i < n_own ? options : &common);
    }
    apply_common(spec, &common);
    return optind;
}

void opt_usage_error(const struct opt_spec *spec, const char *fmt, ...)
{
    struct buf text = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    char *shown = secret_mask(buf_str(&text), NULL); /* the argument may be a misplaced URL */
    err_print(NULL, "%s", shown);
    free(shown);
    buf_free(&text);
    print_lines(stderr, spec->synopsis, "usage: ", "       ");
    fprintf(stderr, "Try '%s --help'.\n", err_program());
    exit(EXIT_TROUBLE);
}

/* Options: one table drives the parser and the help. In addition to its own options every program has
 * -h/--help, -V/--version, -q/--quiet, -v/--verbose and --progress=auto|always|never. Parsing is that of
 * getopt_long: `--` ends the options, `-` is an operand. A lone --print-options, which the help does not show,
 * prints the table for the generator of shell completions. */
#ifndef COMMON_OPT_H
#define COMMON_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct opt_list {       /* values of an option that may be repeated */
    const char **items; /* point into argv; the array is malloc'ed and lives as long as the program */
    size_t len;
};

enum opt_type {
    OPT_END = 0,
    OPT_FLAG,   /* bool: set to true */
    OPT_STRING, /* const char *: last one wins; points into argv */
    OPT_LIST,   /* struct opt_list: repeatable */
    OPT_SIZE,   /* uint64_t: decimal number */
    OPT_OPTARG, /* const char *: the argument is optional and joined by '='; without it set to "" */
};

struct opt {
    enum opt_type type;
    char short_name;  /* 0: none */
    const char *name; /* without the dashes */
    /* Argument's name in the help, NULL for a flag; choices as one|two, which are completed as names like FILE,
     * DIR, URL, KIND, X.Y[.Z] are (tools/dist/completions). */
    const char *arg;
    const char *help; /* one or more lines, split by \n */
    size_t at;        /* of the value in the struct of options that opt_parse() fills: OPT_AT */
};
/* The member of a struct that holds an option's value. */
#define OPT_AT(type, member) offsetof(type, member)

struct opt_spec {
    const char *synopsis; /* usage lines, split by \n, each beginning with the program's name; equal to man's
                             SYNOPSIS */
    const char *about;    /* what the program does; free text */
    const struct opt *options; /* ends with {OPT_END} */
    const char *epilog;        /* printed last in the help; NULL: none */
};

/* Parses argv into *options, a struct of the type in the table's OPT_AT, initialised with the defaults (NULL
 * if the table has no options); handles --help and --version, sets the message level and progress mode.
 * Returns the index in argv of the first operand (argv is permuted as by getopt_long). A wrong option is a
 * usage error. For subcommands pass argv from the subcommand on. */
int opt_parse(const struct opt_spec *spec, int argc, char **argv, void *options);

/* Exits with code 2 after printing the message and the usage. */
_Noreturn void opt_usage_error(const struct opt_spec *spec, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif

/* Declares what migrations/embed.sh generates from this directory: the revisions of MLflow's schema, its
 * releases, and the parts of revisions written in C, next to their SQL. */
#ifndef MIGRATIONS_H
#define MIGRATIONS_H

#include <stdbool.h>

#include "formats/database/db.h"

struct schema_revision {
    int rev;              /* its position in the chain, from 0 */
    const char *revision; /* as in alembic_version; "base" for 0 */
    const char *title;
    const char *sqlite; /* the statements that upgrade from the previous revision */
    const char *postgresql;
};
extern const struct schema_revision schema_revisions[]; /* schema_head + 1 of them, by rev */
extern const int schema_head;

/* By rev: the digest of the facts of a SQLite database of that revision (formats/schema/shape.h), from
 * shapes.tsv; "" if that has none. tests/unit compares them with the chain. */
extern const char *const schema_shapes[];

struct schema_release {
    const char *release;  /* "3.17.2" */
    const char *revision; /* the revision of its databases, the only one that it opens */
    int rev;
    bool installable; /* pip can install it with all its dependencies */
};
extern const struct schema_release schema_releases[]; /* by version */
extern const int schema_releases_count;

/* The revisions that code refers to, by their rev: X(NAME, rev, id). tests/unit compares them with the
 * chain. */
#define NAMED_REVISIONS(X)                                                                                   \
    X(USER_TAGS, 2, "90e64c465722")            /* a run's user is also a tag */                              \
    X(LATEST_METRICS, 6, "89d4b8295536")       /* latest metrics have a table */                             \
    X(KILLED_RUNS, 8, "cfd24bdc0731")          /* a run's status may be KILLED */                            \
    X(IS_NAN_CHECK, 14, "39d1c3be5f05")        /* every is_nan has a check */                                \
    X(DATASET_CASCADE, 28, "0584bdc529eb")     /* deleting an experiment deletes its datasets */             \
    X(TRACES_V3, 32, "cbc13b556ace")           /* traces of MLflow 3 */                                      \
    X(SPANS, 34, "a1b2c3d4e5f6")               /* spans */                                                   \
    X(EVALUATION_DATASETS, 38, "71994744cf8e") /* MLflow 3.4 */                                              \
    X(JOBS, 40, "bf29a5ff90ea")                /* MLflow 3.5 to 3.7 */                                       \
    X(TRACE_METRICS, 42, "b7c8d9e0f1a2")       /* token counts of traces have rows */                        \
    X(SPAN_METRICS, 48, "c8d9e0f1a2b3")        /* models and costs of spans */                               \
    X(WORKSPACES, 49, "1b5f0d9ad7c1")          /* workspaces */                                              \
    X(ISSUES, 51, "76601a5f987d")              /* issues */                                                  \
    X(TRACE_ANALYTICS, 66, "75868b020152")  /* a trace's name, session, tokens and costs are in columns */   \
    X(JOB_EXECUTORS, 67, "dc11669786a5")    /* jobs have executors */                                        \
    X(ISSUE_CATEGORIES, 69, "8b6ad64cb8f5") /* categories of issues are rows */
enum named_revision {
#define X(name, rev, id) REV_##name = rev,
    NAMED_REVISIONS(X)
#undef X
};

/* What the SQL of a revision cannot do. `-- call: NAME` in it runs migration_NAME, defined in the revision's
 * C file. */
struct migration_hook {
    bool (*run)(struct db *db, struct err *e);
    const char *rows; /* a query that counts the rows that it converts; NULL: it converts none */
};
struct migration_call {
    const char *name;
    const struct migration_hook *hook;
};
extern const struct migration_call migration_calls[]; /* ends with a NULL name */

#endif

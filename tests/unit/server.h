/* A PostgreSQL server of the tests' own, for unit tests. */
#ifndef TESTS_SERVER_H
#define TESTS_SERVER_H

#include <stdlib.h>

#include "formats/database/db.h"
#include "tests/unit/tap.h"

static inline void stop_server(void)
{
    char command[512];
    snprintf(command, sizeof command, "sh tests/postgres.sh stop %s", getenv("PGDIR"));
    if (system(command) != 0)
        puts("# the server did not stop");
}

/* Starts it, to be stopped at exit, and puts what it prints (NAME=VALUE lines) into the environment. */
static inline bool start_server(void)
{
    char line[512];
    FILE *f = popen("sh tests/postgres.sh start", "r");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strchr(line, '=');
        line[strcspn(line, "\n")] = '\0';
        if (value) {
            *value++ = '\0';
            setenv(line, value, 1);
        }
    }
    bool started = f && pclose(f) == 0 && getenv("PGDIR");
    if (started)
        atexit(stop_server);
    return ok(started, "a PostgreSQL server starts");
}

/* Connects to it; the program ends where that fails. */
static inline struct db *open_server(void)
{
    struct db_url u;
    struct err e;
    if (!db_url_parse("postgresql:///mlflow", &u, &e))
        err_die(&e);
    struct db *db = db_open(&u, DB_WRITE, &e);
    if (!db)
        err_die(&e);
    db_url_free(&u);
    return db;
}

#endif

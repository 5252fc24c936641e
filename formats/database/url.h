/* Database URLs: which dialect, and where. */
#ifndef FORMATS_URL_H
#define FORMATS_URL_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"

enum dialect { DIALECT_SQLITE, DIALECT_POSTGRESQL };

struct db_url {
    enum dialect dialect;
    char *path; /* SQLite: the file, decoded; NULL for PostgreSQL */
    /* SQLite: the path with its escapes where it has some, else NULL. SQLAlchemy decodes them since 2.1; to
     * MLflow with an older one this is the file's name. */
    char *undecoded;
    char *options;     /* SQLite: what follows `?`, or NULL */
    char *conninfo;    /* PostgreSQL: a URI for libpq, password included; NULL for SQLite */
    char *display;     /* for messages, passwords as *** */
    struct buf hidden; /* what display does not show (secret_mask) */
};

/* Parses MLflow's URLs: sqlite:///rel.db, sqlite:////abs.db, sqlite+pysqlite:///…, postgresql://…,
 * postgres://…, postgresql+psycopg2://…, with percent-encoding. Messages never show a password. u is the
 * caller's; db_url_free frees it. */
bool db_url_parse(const char *text, struct db_url *u, struct err *e);
/* The URL to use when none is given: $MLFLOW_BACKEND_STORE_URI, $MLFLOW_TRACKING_URI where it names a
 * database, else sqlite:///mlflow.db. Static storage or environment. */
const char *db_default_url(void);
/* True when text looks like a database URL (has one of the schemes above). */
bool db_url_is_database(const char *text);
void db_url_free(struct db_url *u);
/* The URL, without escapes, by which every MLflow opens the SQLite file; malloc'ed. NULL: no URL means this
 * file to all of them. */
char *db_url_of_file(const char *path);
/* Warns of a URL that is not the same file to every MLflow: for programs that make the file. */
void db_url_warn(const struct db_url *u);

#endif

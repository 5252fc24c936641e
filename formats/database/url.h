/* Parses database URLs: the dialect and the place. */
#ifndef FORMATS_URL_H
#define FORMATS_URL_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"

enum dialect { DIALECT_SQLITE, DIALECT_POSTGRESQL };

struct db_url {
    enum dialect dialect;
    char *path; /* SQLite: the file, decoded; NULL for PostgreSQL */
    /* SQLite: the path before decoding if it has escapes, else NULL. SQLAlchemy decodes them since 2.1; for
     * MLflow with an older one this is the file's name. */
    char *undecoded;
    char *options;     /* SQLite: what follows `?`, or NULL */
    char *conninfo;    /* PostgreSQL: a URI for libpq, password included; NULL for SQLite */
    char *display;     /* for messages, passwords as *** */
    struct buf hidden; /* secrets that display masks (secret_mask) */
};

/* Parses MLflow's URLs: sqlite:///rel.db, sqlite:////abs.db, sqlite+pysqlite:///…, postgresql://…,
 * postgres://…, postgresql+psycopg2://…, with percent-encoding. Messages never show a password. The caller
 * frees u with db_url_free. */
bool db_url_parse(const char *text, struct db_url *u, struct err *e);
/* The default URL: $MLFLOW_BACKEND_STORE_URI, else $MLFLOW_TRACKING_URI if it names a database, else
 * sqlite:///mlflow.db. Static storage or environment. */
const char *db_default_url(void);
/* Whether text looks like a database URL (has one of the schemes above). */
bool db_url_is_database(const char *text);
void db_url_free(struct db_url *u);
/* The URL without escapes by which every MLflow opens the SQLite file; malloc'ed. NULL: there is none that
 * all of them read the same. */
char *db_url_of_file(const char *path);
/* Warns if versions of MLflow disagree on the URL's file; for programs that create the file. */
void db_url_warn(const struct db_url *u);

#endif

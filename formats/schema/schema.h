/* MLflow's database schema: its revisions, the releases that belong to them, and the runner that takes a
 * database from one revision to the next. The SQL lies in migrations/ and is built into the library
 * (migrations/embed.sh).
 *
 * A revision is known by its `rev`, its place in the chain: 0 is what MLflow 0.9.1 had ("base"), schema_head
 * is the newest. */
#ifndef FORMATS_SCHEMA_H
#define FORMATS_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "formats/database/db.h"
#include "formats/database/others.h"
#include "migrations/migrations.h"

#define SCHEMA_EMPTY (-1) /* the revision of a database without MLflow's tables */

/* The revision of an id; -1 when it is none of ours. */
int schema_find_revision(const char *revision);
/* "3.1.4" exactly, or "3.1": its latest patch. NULL with e filled when there is no such release. */
const struct schema_release *schema_find_release(const char *text, struct err *e);
/* The revision of an id, "base" or "head", or of a release; -1 with e filled. */
int schema_find_target(const char *text, struct err *e);
/* The releases that open a database of this revision: "3.0.1, 3.1.1 to 3.1.4"; "no release" when there is
 * none.
 */
void schema_releases_of(int rev, struct buf *out);
/* The newest release of this revision, NULL when there is none; and the first of this revision or a later
 * one. */
const struct schema_release *schema_newest_release_of(int rev);
const struct schema_release *schema_first_release_with(int rev);
/* Appends the releases whose databases have the table, or the column of it where column is not NULL
 * ("MLflow 3.10.0 to 3.16.1", "MLflow 3.17.0 and newer"); nothing when no revision has it. */
void schema_releases_with(const char *table, const char *column, struct buf *out);
/* The release to make a database for when none is asked for: that of the `mlflow` on PATH, read from its
 * package's metadata without running it, else the newest installable one. why says which and where from, in
 * words for a message. */
const struct schema_release *schema_default_release(struct buf *why);

enum schema_state_kind {
    SCHEMA_STATE_EMPTY, /* no tables of MLflow's; those of others that bear such a name have other columns */
    SCHEMA_STATE_KNOWN, /* stamped with a revision that is known here, or base, which has no stamp */
    SCHEMA_STATE_UNKNOWN,   /* stamped with one that is not: of a newer MLflow, or of another program */
    SCHEMA_STATE_UNSTAMPED, /* tables of MLflow's, and no revision in alembic_version */
    SCHEMA_STATE_SEVERAL,   /* revisions in alembic_version */
};
struct schema_state {
    enum schema_state_kind kind;
    int rev;        /* of KNOWN; of the three after it the revision whose tables and columns are nearest */
    char *revision; /* in alembic_version, of several the first; or NULL */
    int64_t stamps; /* their number */
    bool complete;  /* the tables that every revision has are there */
};
/* Reads what a database is. Free it with schema_state_free, also after false. */
bool schema_state_read(struct db *db, struct schema_state *out, struct err *e);
void schema_state_free(struct schema_state *s);
/* Appends what is wrong with a state that is neither EMPTY nor KNOWN, in words, and the nearest revision. */
void schema_state_describe(const struct schema_state *s, struct buf *out);

/* The revision of a database, SCHEMA_EMPTY for one without MLflow's tables. One without a stamp is known by
 * its structure when that is base's; a foreign or newer stamp, two stamps, a stamp without tables are errors.
 * Reads only. */
bool schema_rev_of(struct db *db, int *rev, struct err *e);
/* The same for schema_check, which names what is missing: a stamp without tables is no error. */
bool schema_rev_to_check(struct db *db, int *rev, struct err *e);

/* Makes all of MLflow's tables of a revision in an empty database, with the rows that the revisions
 * themselves insert (the default workspace) and the stamp. Inside the caller's transaction. */
bool schema_create(struct db *db, int rev, struct err *e);
/* The same on PostgreSQL with 64-bit columns of experiment ids, for the ids that a file store makes. */
bool schema_create_wide(struct db *db, int rev, struct err *e);
/* Makes those columns, and the sequence that gives ids, 64 bits wide in a database that is there. Quick only
 * while its tables are empty. */
bool schema_widen(struct db *db, struct err *e);
/* Whether a database has such columns, which its upgrades then extend to new tables. MLflow's own upgrade
 * does not. */
bool schema_is_wide(struct db *db, bool *wide, struct err *e);

/* Keeps other upgraders, ours and MLflow's, out until the connection closes: SQLite's exclusive lock on the
 * file, an advisory lock on PostgreSQL. Says on stderr when it has to wait, for at most timeout ms. */
bool schema_lock(struct db *db, int timeout, struct err *e);
/* PostgreSQL: lets other upgraders in again while the connection stays. */
bool schema_unlock(struct db *db, struct err *e);

/* Takes a database that is locked from its revision to a later one (or makes it, when it is empty), each
 * revision with its stamp in a transaction of its own, and tells each on stderr. When it fails the database
 * is at the revision before. *rev is where it is at the end. */
bool schema_upgrade(struct db *db, int to, int *rev, struct err *e);

typedef void schema_report(const char *line, void *arg);

/* What a comparison of structures finds. */
struct schema_findings {
    schema_report *difference; /* called with each, a line without its end */
    schema_report *tolerated;  /* likewise with what is told and does not count */
    void *arg;
    int differences; /* their number; set by the comparison */
};
/* Compares a database's structure with that of a revision: tables, columns, keys, constraints, indexes and
 * triggers that are missing or differ; constraints, unique indexes, triggers and rules of others that could
 * refuse, change or lose MLflow's rows; tables and columns that only a later revision has. Tables, columns
 * and other indexes and triggers of others are no finding, nor are the shapes that only old releases have
 * made. Reads the catalog alone, within the transaction that may be open: no right is needed, and nothing is
 * made. */
bool schema_check(struct db *db, int rev, struct schema_findings *f, struct err *e);

/* For programs that read a database of whatever revision. Of one whose revision is not known *others is what
 * no known revision has, tables and columns, and warning says so in words; of any other both stay empty.
 * Zero-initialise both; others_free and buf_free them. Without MLflow's tables, with several revisions or
 * without one it fails as schema_rev_of does where `strict`. */
bool schema_read_unknown(struct db *db, bool strict, struct others *others, struct buf *warning,
                         struct err *e);

enum schema_verdict { SCHEMA_SOUND, SCHEMA_DIFFERENT, SCHEMA_NOT_JUDGED, SCHEMA_FAILED };
/* Whether a database is as its own revision wants it: what schema_check finds, and a stamp that is missing or
 * one of several. Where it cannot be judged (a revision that is not known, a table that may not be read) why
 * says so. SCHEMA_FAILED, with e filled: it could not be read for any other reason. Begins and ends a
 * transaction that reads. */
enum schema_verdict schema_judge(struct db *db, struct schema_findings *f, struct buf *why, struct err *e);

/* Finds what MLflow's own upgrade leaves in a SQLite database when it is killed or fails, and with `really`
 * takes it back in one transaction, to the whole of the revision that the database is stamped with. Each
 * finding is given to report. What was not left by MLflow, or holds rows that would be lost, is an error, and
 * nothing is changed. On PostgreSQL, with `really` alone: drops the check of statuses without KILLED that
 * MLflow 1.5.0 has left, which hinders no upgrade. */
bool schema_recover(struct db *db, bool really, schema_report *report, void *arg, int *found, struct err *e);

/* Finds what would stop an upgrade in the middle, without a change: things of users that bear the name of
 * something to come, would be lost, or depend on what changes; on PostgreSQL also what is missing and what
 * the role may not do. Each is given to report; on SQLite, where the upgrade is tried on an empty copy of the
 * structure, the first one. What rows may hold is not looked at. No transaction may be open. */
bool schema_obstacles(struct db *db, int from, int to, schema_report *report, void *arg, int *found,
                      struct err *e);

/* A script for psql or the sqlite3 shell that does what the runner does, from a revision (-1: an empty
 * database) to another; it stops where there are rows that only the runner can convert. */
void schema_script(enum dialect dialect, int from, int to, struct buf *out);

/* What moving all rows to the default workspace finds. */
struct schema_moves {
    void (*rows)(const char *table, int64_t rows,
                 void *arg); /* of every table that has workspaces, zeros too */
    void (*clash)(const char *table, const char *row, void *arg); /* a row whose name is taken twice */
    void *arg;
    int64_t total; /* rows */
    int64_t clashes;
};
/* Checks and counts (each given to m->rows) or, with `really`, checks and moves. In the caller's transaction.
 * Clashes are an error after all of them were given to m->clash. */
bool schema_move_to_default_workspace(struct db *db, bool really, struct schema_moves *m, struct err *e);

/* Appends the tables that a revision rewrites whole on SQLite, separated by ", "; nothing when there are
 * none. */
void schema_rebuilt_tables(int rev, struct buf *out);
/* What the data migration of a revision would touch in a database, in words ("466860 metric entries …");
 * appends nothing when the revision moves no data or the tables are not there yet. */
bool schema_estimate(struct db *db, int rev, struct buf *out, struct err *e);

/* Takes a database of revision `to - 1` to `to`, its stamp included. Inside the caller's transaction; on
 * SQLite foreign keys must be off (db_open leaves them so). *rows is how many rows its statements wrote, the
 * stamp not counted; NULL is fine. */
bool schema_step(struct db *db, int to, uint64_t *rows, struct err *e);

#endif

/* User-defined indexes, triggers and columns on MLflow's tables. */
#ifndef FORMATS_SCHEMA_USER_OBJECTS_H
#define FORMATS_SCHEMA_USER_OBJECTS_H

#include "formats/schema/schema.h"

/* User-defined objects on tables that a revision rebuilds (on SQLite), saved while it runs. */
struct schema_user_objects {
    struct schema_user_object {
        char *name;
        char *sql;
    } * items;
    int n;
};
/* Zero-initialises x; false if a user-defined column would be lost. Free it in either case. */
bool schema_user_objects_save(struct db *db, int rev, struct schema_user_objects *x, struct err *e);
bool schema_user_objects_restore(struct db *db, const struct schema_user_objects *x, struct err *e);
void schema_user_objects_free(struct schema_user_objects *x);
/* Calls fn with queries that count what schema_user_objects_save would save or refuse at that revision, each
 * with a description; not at all if the revision rebuilds no table. */
void schema_user_objects_each(int rev, void (*fn)(const char *query, const char *words, void *arg),
                              void *arg);

#endif

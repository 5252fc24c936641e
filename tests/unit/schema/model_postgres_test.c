/* The model of PostgreSQL that is read from migrations/, for every revision, against what a server makes of
 * them. */
#include "tests/unit/server.h"

#include "formats/schema/internal.h"
#include "formats/schema/model_postgres.h"

static int show_missing(const struct schema_shape *a, const struct schema_shape *b, const char *where)
{
    int n = 0;
    for (int i = 0; i < a->n; i++)
        if (!schema_shape_find(b, a->facts[i].table, a->facts[i].text)) {
            printf("# only %s: %s: %s\n", where, a->facts[i].table, a->facts[i].text);
            n++;
        }
    return n;
}

static bool same_as_server(struct db *db, int rev, bool wide)
{
    struct schema_shape real, model;
    struct err e;
    if (!schema_shape_read(db, &real, &e))
        err_die(&e);
    if (!schema_model_postgres(rev, wide, &model, &e))
        err_die(&e);
    bool same = real.n == model.n && real.n > 0;
    same = show_missing(&real, &model, "on the server") + show_missing(&model, &real, "in the model") == 0 &&
           same;
    schema_shape_free(&real);
    schema_shape_free(&model);
    return same;
}

/* All revisions in one transaction, which is rolled back. */
static void compare(struct db *db, bool wide)
{
    struct err e;
    if (!db_begin_write(db, &e) || !(wide ? schema_create_wide : schema_create)(db, 0, &e))
        err_die(&e);
    for (int i = 0; i <= schema_head; i++) {
        if (i > 0 && !schema_step(db, i, NULL, &e))
            err_die(&e);
        struct buf name = {0};
        buf_addf(&name, "revision %s%s", schema_revisions[i].revision, wide ? " with wide ids" : "");
        ok(same_as_server(db, i, wide), "%s", buf_str(&name));
        buf_free(&name);
    }
    db_rollback(db);
}

int main(void)
{
    if (!start_server())
        return done_testing();
    struct db *db = open_server();
    compare(db, false);
    compare(db, true);
    db_close(db);
    return done_testing();
}

/* Reads rows and updates them, in batches of keys. */
#include "formats/database/pass.h"

#include "common/progress.h"

bool pass_start(struct pass *p, struct db *db, const char *what, const char *read, const char *write,
                struct err *e)
{
    *p = (struct pass){.db = db, .what = what, .e = e};
    p->read = db_prepare(db, read, e);
    p->write = p->read ? db_prepare(db, write, e) : NULL;
    return p->write != NULL;
}

bool pass_run(struct pass *p, int (*row)(struct pass *))
{
    int more = db_step(p->read, p->e);
    if (more == 1)
        progress_start(p->what, "rows", 0);
    for (; more == 1; more = db_step(p->read, p->e)) {
        if (err_interrupted())
            return err_set_interrupted(p->e);
        progress_add(1);
        int changed = row(p);
        if (changed < 0 || (changed > 0 && db_step(p->write, p->e) < 0))
            return false;
    }
    return more == 0;
}

bool pass_end(struct pass *p, bool ok)
{
    progress_end();
    db_finalize(p->read);
    db_finalize(p->write);
    pyjson_free(&p->json);
    return ok;
}

struct value pass_column(struct pass *p, int i)
{
    struct value v;
    db_column(p->read, i, &v);
    return v;
}

/* Lists the experiments of a database. */
#include "formats/database/experiment_list.h"

#include <inttypes.h>

#include "common/buf.h"
#include "common/printable.h"
#include "formats/record/value.h"

bool experiment_list_write(struct db *db, bool names, FILE *out, struct err *e)
{
    struct db_stmt *s =
        db_prepare(db, "SELECT experiment_id, name FROM experiments ORDER BY experiment_id", e);
    struct buf shown = {0};
    int more = -1;
    while (s && (more = db_step(s, e)) > 0) {
        struct value id, name;
        db_column(s, 0, &id);
        db_column(s, 1, &name);
        if (id.type != VALUE_INT)
            continue; /* SQLite: no id to MLflow either */
        fprintf(out, "%" PRId64, id.i);
        shown.len = 0;
        if (names && name.type == VALUE_STR)
            printable_add(&shown, name.s, name.len);
        fprintf(out, "%s%.*s\n", names ? "\t" : "", (int)shown.len, shown.len ? shown.data : "");
    }
    db_finalize(s);
    buf_free(&shown);
    return more == 0;
}

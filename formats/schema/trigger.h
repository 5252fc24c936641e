/* What a trigger or rule of a user's does to MLflow's rows, read from its text. For the schema's own files.
 */
#ifndef FORMATS_SCHEMA_TRIGGER_H
#define FORMATS_SCHEMA_TRIGGER_H

#include "formats/schema/shape.h"

/* Appends what the trigger or rule of the fact does that may refuse, change, leave out or delete rows of the
 * tables of `mlflow` ("deletes from runs"); nothing for one that only looks at rows, or writes those of
 * others or columns of others. What a function calls or a text is put together from at run time is not
 * followed, apart from the literals of EXECUTE. */
void schema_trigger_effect(const struct schema_fact *f, const struct schema_shape *mlflow, struct buf *out);

#endif

/* Determines the effect of a user-defined trigger or rule on MLflow's rows from its text. Private to
 * formats/schema/. */
#ifndef FORMATS_SCHEMA_TRIGGER_H
#define FORMATS_SCHEMA_TRIGGER_H

#include "formats/schema/shape.h"

/* Appends how the trigger or rule may reject, change, drop or delete rows of the tables of `mlflow` ("deletes
 * from runs"); nothing if it only reads them, or writes to other tables or user-defined columns. Functions
 * that it calls and SQL built at run time are not analysed, except for literals in EXECUTE. */
void schema_trigger_effect(const struct schema_fact *f, const struct schema_shape *mlflow, struct buf *out);

#endif

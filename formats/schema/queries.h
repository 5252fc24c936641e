/* The .sql files of this room (formats/database/sql_files.h). */
#ifndef FORMATS_SCHEMA_QUERIES_H
#define FORMATS_SCHEMA_QUERIES_H

extern const char schema_obstacle_dependents_postgresql[], schema_obstacle_missing_postgresql[],
    schema_obstacle_names_postgresql[], schema_obstacle_rights_postgresql[],
    schema_obstacle_tables_postgresql[], schema_obstacle_writes_postgresql[];
extern const char schema_old_statuses_postgresql[], schema_relation_postgresql[], schema_widen_postgresql[];
extern const char schema_shape_postgresql[], schema_shape_triggers_postgresql[], schema_shape_keys_sqlite[],
    schema_shape_columns_sqlite[];

#endif

/* The programs of the suite: command of mlruns-tools, program, its name in C, what it does. */
#define SUITE(X)                                                                                             \
    X("migrate", "ml-migrate", ml_migrate, "move file stores and databases into a database")                 \
    X("sync", "ml-sync", ml_sync, "bring what is new into a database in use, again and again")               \
    X("dump", "mlruns-dump", mlruns_dump, "file store to records")                                           \
    X("dbdump", "mldb-dump", mldb_dump, "database to records")                                               \
    X("transform", "ml-transform", ml_transform, "records to records; JSON Lines and back")                  \
    X("load", "ml-load", ml_load, "records into a database")                                                 \
    X("verify", "ml-verify", ml_verify, "compare records with a database, field by field")                   \
    X("schema", "ml-schema", ml_schema, "create, upgrade, check and repair MLflow's schema")

/* Versions of SQLite, libpq and its TLS library, and what they were built without. */
#include "formats/database/libraries.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <string.h>

#ifdef MLRUNS_TOOLS_STATIC_LIBRARIES
#include <openssl/crypto.h>
#endif

static void add_missing(struct buf *missing, const char *what)
{
    buf_addf(missing, "%s%s", missing->len ? ", " : "", what);
}

/* libpq's defaults show what it was built with: "disable" where there is no choice. */
static bool is_disabled(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->compiled && strcmp(o->compiled, "disable") == 0;
    return true;
}

void db_libraries(struct buf *libraries, struct buf *missing)
{
    PQconninfoOption *defaults = PQconndefaults();
    int libpq = PQlibVersion();
    buf_addf(libraries, "SQLite %s, libpq %d.%d", sqlite3_libversion(), libpq / 10000, libpq % 10000);
#ifdef MLRUNS_TOOLS_STATIC_LIBRARIES
    /* not OpenSSL_version(), with which come the paths of its build */
    buf_addf(libraries, ", OpenSSL %u.%u.%u", OPENSSL_version_major(), OPENSSL_version_minor(),
             OPENSSL_version_patch());
    add_missing(missing, "LDAP look-up of services");
#endif
    if (is_disabled(defaults, "sslmode"))
        add_missing(missing, "TLS");
    else if (libpq < 160000)
        add_missing(missing, "sslrootcert=system (libpq 16)");
    if (is_disabled(defaults, "gssencmode"))
        add_missing(missing, "Kerberos (GSSAPI)");
    if (sqlite3_compileoption_used("OMIT_LOAD_EXTENSION"))
        add_missing(missing, "extensions of SQLite");
    PQconninfoFree(defaults);
}

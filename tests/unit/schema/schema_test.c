/* Releases and revisions. */
#include "common/array.h"
#include "tests/unit/tap.h"

#include <stdlib.h>

#include "common/err.h"
#include "formats/schema/model.h"
#include "formats/schema/shape.h"

static void test_chain(void)
{
    is_int(schema_head, 70, "the newest revision's rev");
    for (int i = 0; i <= schema_head; i++)
        if (schema_revisions[i].rev != i || !schema_revisions[i].sqlite || !schema_revisions[i].postgresql)
            ok(false, "revision %d is in its place and has both texts", i);
    for (int i = 0; i < schema_releases_count; i++)
        if (schema_find_revision(schema_releases[i].revision) != schema_releases[i].rev)
            ok(false, "release %s has a revision of the chain", schema_releases[i].release);
#define X(name, rev, id) is_int(schema_find_revision(id), REV_##name, "REV_" #name " is " id);
    NAMED_REVISIONS(X)
#undef X
    is_int(schema_find_revision("1bd49d398cd23"), 41, "a revision by its id");
    is_int(schema_find_revision("1bd49d398cd2"), -1, "a part of an id is none");
}

static void test_releases(void)
{
    static const struct {
        const char *text, *release;
    } cases[] = {
        {"3.1", "3.1.4"}, {"3.1.0", "3.1.0"}, {"3.0", "3.0.1"}, {"2.13", "2.13.3"},
        {"1.0", "1.0.0"}, {"3.10", "3.10.1"}, {"3", NULL},      {"3.1.", NULL},
        {"", NULL},       {"3.1.0.0", NULL},  {"03.1", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct err e;
        const struct schema_release *r = schema_find_release(cases[i].text, &e);
        is_str(r ? r->release : NULL, cases[i].release, "release '%s'", cases[i].text);
    }
    struct buf b = {0};
    schema_releases_of(31, &b);
    is_str(buf_str(&b), "3.0.1, 3.1.1 to 3.1.4", "the releases of a revision");
    buf_reset(&b);
    schema_releases_of(1, &b);
    is_str(buf_str(&b), "no release", "a revision that no release ends at");
    buf_free(&b);
    is_str(schema_first_release_with(31)->release, "3.0.1", "the first release with a revision");
    is_str(schema_first_release_with(29)->release, "3.0.0", "the first release with one that none ends at");
    is_int(schema_find_target("head", NULL), schema_head, "head");
    is_int(schema_find_target("base", NULL), 0, "base");
    is_int(schema_find_target("3.1", NULL), 31, "a release as a target");
    is_int(schema_find_target("zzz", NULL), -1, "nonsense as a target");
}

/* Each revision's line of shapes.tsv; a failure shows what it must be. */
static void test_shapes(void)
{
    struct err e;
    struct schema_shape shape;
    char digest[SCHEMA_DIGEST];
    struct db *db = schema_model(0, &e);
    for (int i = 0; i <= schema_head; i++) {
        const char *revision = schema_revisions[i].revision;
        bool read = db && (i == 0 || schema_step(db, i, NULL, &e)) && schema_shape_read(db, &shape, &e);
        if (!read) {
            ok(false, "%s: %s", revision, e.what);
            break;
        }
        schema_shape_digest(&shape, digest);
        is_str(schema_shapes[i], digest, "shapes.tsv has the digest of %s", revision);
        schema_shape_free(&shape);
    }
    db_close(db);
}

int main(void)
{
    test_chain();
    test_shapes();
    test_releases();
    return done_testing();
}

/* Has the structure of a database judged, for ml-verify. */
#include "tools/structure.h"

#include <stdlib.h>

#include "common/err.h"
#include "formats/schema/schema.h"

static void take_difference(const char *line, void *arg)
{
    struct judgement *j = arg;
    j->lines = xrealloc(j->lines, (j->structure.n_lines + 1) * sizeof *j->lines);
    j->lines[j->structure.n_lines++] = xstrdup(line);
}

static void take_tolerated(const char *line, void *arg)
{
    (void)arg;
    err_verbose("%s", line);
}

void judgement_make(struct db *db, bool data_only, struct judgement *j)
{
    static const int verdicts[] = {
        [SCHEMA_SOUND] = VERIFY_STRUCTURE_SOUND,
        [SCHEMA_DIFFERENT] = VERIFY_STRUCTURE_DIFFERENT,
        [SCHEMA_NOT_JUDGED] = VERIFY_STRUCTURE_NOT_CHECKED,
    };
    struct schema_findings f = {.difference = take_difference, .tolerated = take_tolerated, .arg = j};
    if (data_only) {
        j->structure.verdict = VERIFY_STRUCTURE_NOT_CHECKED;
        buf_adds(&j->why, "--data-only");
    } else {
        struct err e;
        enum schema_verdict verdict = schema_judge(db, &f, &j->why, &e);
        if (verdict == SCHEMA_FAILED)
            err_die(&e);
        j->structure.verdict = verdicts[verdict];
    }
    if (err_interrupted())
        err_exit_interrupted();
    j->structure.lines = (const char *const *)j->lines;
    j->structure.why = buf_str(&j->why);
}

void judgement_free(struct judgement *j)
{
    for (size_t i = 0; i < j->structure.n_lines; i++)
        free(j->lines[i]);
    free(j->lines);
    buf_free(&j->why);
}

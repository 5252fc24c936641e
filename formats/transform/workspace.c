/* Moves records into one workspace, and adds the rows of workspaces. */
#include "formats/transform/workspace.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/record/row_references.h"

static const char table[] = "workspaces";
/* As inserted by MLflow's revision 1b5f0d9ad7c1. */
static const char default_description[] = "Default workspace for legacy resources";

enum { DEFAULT, OWN, N_ROWS };

struct workspace {
    const char *names[N_ROWS];
    bool there[N_ROWS]; /* read, or returned by workspace_row */
    struct row_editor *rows;
    struct buf values;
};

static bool is_name(const char *s)
{
    static const char inner[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    static const char *const reserved[] = {"workspaces", "api", "ajax-api", "static-files"};
    size_t len = strlen(s);
    for (size_t i = 0; i < ARRAY_LENGTH(reserved); i++)
        if (strcmp(s, reserved[i]) == 0)
            return false;
    return len >= 2 && len <= 63 && strspn(s, inner) == len && s[0] != '-' && s[len - 1] != '-';
}

struct workspace *workspace_new(const char *name, struct err *e)
{
    if (!is_name(name)) {
        err_set(e, name, "a workspace name must be 2 to 63 lower-case letters, digits and inner hyphens");
        return NULL;
    }
    struct workspace *x = xcalloc(1, sizeof *x);
    x->names[DEFAULT] = "default";
    x->names[OWN] = name;
    x->there[OWN] = strcmp(name, "default") == 0;
    x->rows = row_editor_new();
    return x;
}

struct sight { /* a row of the table of workspaces */
    struct workspace *x;
    bool again;
};

static bool see_name(void *arg, unsigned flags, struct value *v, struct err *e)
{
    struct sight *sight = arg;
    (void)flags, (void)e;
    for (int i = 0; i < N_ROWS; i++) {
        if (!value_eqs(v, sight->x->names[i]))
            continue;
        sight->again = sight->x->there[i];
        sight->x->there[i] = true;
        break;
    }
    return true;
}

static bool put_in_row(void *arg, unsigned flags, struct value *v, struct err *e)
{
    const struct workspace *x = arg;
    (void)flags, (void)e;
    *v = value_str(x->names[OWN]);
    return true;
}

int workspace_record(struct workspace *x, struct record *r, struct err *e)
{
    struct sight sight = {x, false};
    bool is_row = r->kind->kind == KIND_row, is_workspace = is_row && value_eqs(&r->v[F_row_table], table);
    if (is_row && !row_edit(x->rows, r, FIELD_WS, is_workspace ? see_name : put_in_row,
                            is_workspace ? (void *)&sight : (void *)x, e))
        return -1;
    for (int f = 0; f < r->kind->n_fields; f++)
        if (r->kind->fields[f].flags & FIELD_WS)
            r->v[f] = value_str(x->names[OWN]);
    return !sight.again;
}

bool workspace_row(struct workspace *x, struct record *r)
{
    int i = x->there[DEFAULT] ? OWN : DEFAULT;
    if (x->there[i])
        return false;
    x->there[i] = true;
    struct row_entry entries[] = {
        {"name", 4, value_str(x->names[i])},
        {"description", 11, i == DEFAULT ? value_str(default_description) : value_null()},
    };
    buf_reset(&x->values);
    row_encode(entries, 2, &x->values);
    record_init(r, KIND_row);
    r->v[F_row_table] = value_str(table);
    r->v[F_row_values] =
        (struct value){.type = VALUE_MAP, .len = (uint32_t)x->values.len, .s = x->values.data};
    return true;
}

void workspace_free(struct workspace *x)
{
    if (!x)
        return;
    row_editor_free(x->rows);
    buf_free(&x->values);
    free(x);
}

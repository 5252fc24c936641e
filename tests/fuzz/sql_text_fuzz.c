/* Any bytes as SQL, in both dialects: never a crash; tokens and statements lie within the text, one after the
 * other. With -DREPLAY it is a program of its own that runs the files named. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/database/sql_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct sql_text whole, struct sql_text part, const char *from)
{
    if (part.at < from || part.end < part.at || part.end > whole.end)
        abort();
}

static void check_tokens(struct sql_text whole)
{
    struct sql_text rest = whole, grouped = whole;
    struct sql_piece p;
    while ((p = sql_token(&rest)).kind != SQL_NOTHING) {
        check_within(whole, p.text, whole.at);
        check_within(whole, p.inside, p.text.at);
        free(sql_unquoted(p));
    }
    while (sql_piece(&grouped).kind != SQL_NOTHING)
        ;
}

static void check_statements(struct sql_text whole)
{
    struct sql_text rest = whole, statement, list, item;
    const char *from = whole.at;
    while (sql_statement(&rest, &statement)) {
        check_within(whole, statement, from);
        from = statement.end;
        for (list = statement; sql_item(&list, &item);)
            check_within(statement, item, statement.at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    for (int d = DIALECT_SQLITE; d <= DIALECT_POSTGRESQL; d++) {
        struct sql_text whole = sql_text((enum dialect)d, text);
        check_tokens(whole);
        check_statements(whole);
        struct buf normal = {0};
        sql_normal(whole, &normal);
        buf_free(&normal);
    }
    free(text);
    return 0;
}

#ifdef REPLAY
#include "replay.h"
#endif

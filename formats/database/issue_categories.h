/* The rows of issue_categories that MLflow 3.18 (revision 8b6ad64cb8f5) derives from the JSON text in
 * issues.categories, by the rules of MLflow's migration. Shared by loading and the migration, not by
 * ml-verify. */
#ifndef FORMATS_ISSUE_CATEGORIES_H
#define FORMATS_ISSUE_CATEGORIES_H

#include "formats/python/text.h"
#include "formats/record/value.h"

/* Parses the text into json. Returns NULL, or what is wrong, to be printed after "categories ". */
const char *issue_categories_parse(struct pyjson *json, const struct value *text);

/* Called with a category and the hex digits of the hash that identifies it; false ends the iteration. */
typedef bool issue_category_visitor(void *arg, const struct value *hash, const struct value *category);

/* Calls visit with each category of the parsed text: the elements of a list, the keys of an object, the
 * characters of a string. Among equal hashes the last one wins. Returns false if visit did. */
bool issue_categories_each(const struct pyjson *json, issue_category_visitor *visit, void *arg);

#endif

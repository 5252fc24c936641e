/* The rows of issue_categories that MLflow 3.18 (revision 8b6ad64cb8f5) makes of the JSON text in
 * issues.categories. The rules are those of MLflow's migration; loading and the migration share them.
 * ml-verify does not. */
#ifndef FORMATS_ISSUE_CATEGORIES_H
#define FORMATS_ISSUE_CATEGORIES_H

#include "formats/python/text.h"
#include "formats/record/value.h"

/* Parses the text into json. NULL, or what is wrong with it, to follow "categories ". */
const char *issue_categories_parse(struct pyjson *json, const struct value *text);

/* A category and the hex digits of the hash that identifies it. false ends the visit. */
typedef bool issue_category_visitor(void *arg, const struct value *hash, const struct value *category);

/* Shows each category of a text that was parsed: the elements of a list, the keys of an object, the
 * characters of a string. Of those with one hash the last is the one that stays. What the visitor says. */
bool issue_categories_each(const struct pyjson *json, issue_category_visitor *visit, void *arg);

#endif

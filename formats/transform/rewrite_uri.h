/* Rewrites artifact URIs by OLD=NEW rules, in every URI field, by whole path segments, the longest OLD
 * first. */
#ifndef FORMATS_TRANSFORM_REWRITE_URI_H
#define FORMATS_TRANSFORM_REWRITE_URI_H

#include "common/arena.h"
#include "formats/record/record.h"

struct uri_rewriter;
struct uri_rewriter *rewrite_uri_new(void);
/* Adds a rule "OLD=NEW". All forms in which MLflow and its users write local files are equivalent: /p,
 * file:/p, file:///p, file://localhost/p, C:\p, file:///C:/p, file://C:/p, with or without percent-encoding.
 * false with e filled for a malformed rule or a duplicate OLD. */
bool rewrite_uri_add(struct uri_rewriter *x, const char *rule, struct err *e);
/* Rewrites the URIs of r: fields flagged URI (in a dataset's source, which is JSON, the texts), and the tags
 * with a trace's URIs. New text lives in a. runs:/ and models:/ are kept. false with e filled for a row whose
 * values cannot be read. */
bool rewrite_uri_record(struct uri_rewriter *x, struct record *r, struct arena *a, struct err *e);
/* Reports on stderr how many URIs of each field were rewritten and which matched no rule (those of datasets
 * only if they are local files), and warns of rules that changed nothing, which in a delta is ordinary. Returns
 * the number of unmatched ones. */
uint64_t rewrite_uri_report(const struct uri_rewriter *x, bool delta);
void rewrite_uri_free(struct uri_rewriter *x);

#endif

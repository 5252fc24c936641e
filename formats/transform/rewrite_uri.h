/* Artifact URIs that move: OLD=NEW rules over every field that holds one, by whole path segments, the longest
 * OLD first. */
#ifndef FORMATS_RELOCATE_H
#define FORMATS_RELOCATE_H

#include "common/arena.h"
#include "formats/record/record.h"

struct relocate;
struct relocate *relocate_new(void);
/* A rule "OLD=NEW". Local files are the same in all the forms in which MLflow and its users have written
 * them: /p, file:/p, file:///p, file://localhost/p, C:\p, file:///C:/p, file://C:/p, with or without
 * percent-encoding. false with e filled when it is no rule, or OLD has one already. */
bool relocate_add(struct relocate *x, const char *rule, struct err *e);
/* Rewrites the URIs of r: fields flagged URI (a dataset's source is JSON: the texts in it), and the tag that
 * says where a trace's artifacts are. New text lives in a. runs:/ and models:/ stay. false with e filled for
 * a row whose values can't be read. */
bool relocate_record(struct relocate *x, struct record *r, struct arena *a, struct err *e);
/* Tells on stderr how many of each field were rewritten and which URIs matched no rule (those of datasets
 * only when they are local files). Returns how many matched none. */
uint64_t relocate_report(const struct relocate *x);
void relocate_free(struct relocate *x);

#endif

/* Shared by the files of the YAML reader: yaml.c (values from libyaml's events), yaml_scalar.c, yaml_json.c. */
#ifndef FORMATS_PYTHON_YAML_INTERNAL_H
#define FORMATS_PYTHON_YAML_INTERNAL_H

#include "common/buf.h"
#include "formats/python/yaml.h"

enum { YAML_MAX_DEPTH = 200 }; /* levels of lists and maps */

/* Fills e and returns false. */
bool yaml_fail(struct yaml_error *e, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Sets the kind and value of v, whose text is set, as PyYAML resolves plain text. scratch is overwritten. false with e
 * filled. */
bool yaml_resolve_plain(struct yaml_value *v, bool is_key, struct buf *scratch, struct yaml_error *e);
/* The same for a scalar with a tag: `!` and !!str make it text; the other YAML types must match its text. */
bool yaml_resolve_tagged(struct yaml_value *v, const char *tag, bool is_key, struct buf *scratch,
                         struct yaml_error *e);

#endif

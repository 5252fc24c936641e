/* Any bytes as YAML: no crash, no leak; what parses can be written as JSON or is refused. */
#include <stddef.h>
#include <stdint.h>

#include "formats/python/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct yaml_reader *reader;
    static struct buf json;
    if (!reader)
        reader = yaml_reader_new();
    struct yaml_error error;
    const struct yaml_value *v = yaml_parse(reader, (const char *)data, size, &error);
    if (!v)
        return 0;
    buf_reset(&json);
    yaml_to_json(v, &json, &error);
    yaml_get(v, "name");
    return 0;
}

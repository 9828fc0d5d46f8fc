/* libyaml says memory shortage by 0 and an error in the parser. */
#include <yaml.h>

#include "tests/fault/strike.h"

static int no_memory(yaml_parser_t *p)
{
    p->error = YAML_MEMORY_ERROR;
    return 0;
}

FAIL(STRIKE_OTHER, int, yaml_parser_initialize, (yaml_parser_t * p), (p), 0)
FAIL(STRIKE_OTHER, int, yaml_parser_load, (yaml_parser_t * p, yaml_document_t *d), (p, d), no_memory(p))
FAIL(STRIKE_OTHER, int, yaml_parser_parse, (yaml_parser_t * p, yaml_event_t *e), (p, e), no_memory(p))

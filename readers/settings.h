/* What the settings' tables share with the registry; the tables themselves are in registry.h. */
#pragma once

#include "readers/registry.h"

enum reader_driver { READER_ASCII125, READER_MODBUS };

/* NULL when there is none of that name. */
const struct bus_settings *settings_bus(const struct conf_list *buses, const char *name);

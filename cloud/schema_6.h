/* Version 6 of the schema: accounts, rights, audit, mail, administration. */
#pragma once

extern const char *const schema_6[]; /* NULL-terminated, in this order */

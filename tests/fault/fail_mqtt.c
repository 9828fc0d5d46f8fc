/* libmosquitto: everything may want memory. */
#include <mosquitto.h>

#include "tests/fault/strike.h"

#define MQTT(name, params, args) FAIL(STRIKE_OTHER, int, name, params, args, MOSQ_ERR_NOMEM)

FAIL(STRIKE_OTHER, struct mosquitto *, mosquitto_new, (const char *id, bool clean, void *arg), (id, clean, arg), NULL)
MQTT(mosquitto_int_option, (struct mosquitto * m, enum mosq_opt_t option, int v), (m, option, v))
MQTT(mosquitto_tls_set,
     (struct mosquitto * m, const char *file, const char *path, const char *cert, const char *key,
      int (*fn)(char *, int, int, void *)),
     (m, file, path, cert, key, fn))
MQTT(mosquitto_tls_opts_set, (struct mosquitto * m, int verify, const char *version, const char *ciphers),
     (m, verify, version, ciphers))
MQTT(mosquitto_publish_v5,
     (struct mosquitto * m, int *mid, const char *topic, int n, const void *p, int qos, bool retain,
      const mosquitto_property *properties),
     (m, mid, topic, n, p, qos, retain, properties))
MQTT(mosquitto_subscribe_v5,
     (struct mosquitto * m, int *mid, const char *sub, int qos, int options, const mosquitto_property *properties),
     (m, mid, sub, qos, options, properties))
MQTT(mosquitto_will_set_v5,
     (struct mosquitto * m, const char *topic, int n, const void *p, int qos, bool retain,
      mosquitto_property *properties),
     (m, topic, n, p, qos, retain, properties))

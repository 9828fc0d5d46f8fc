/* The keys of punchcloud.yaml: one table yields validation, the example file and the manual's list. */
#include "cloud/settings.h"

#include <string.h>

#include "base/str.h"
#include "cloud/address.h"
#include "cloud/mail.h"

#define AT(member) offsetof(struct settings, member)

/* A member's offset within its own map: conf fills maps relative to their own start. */
#define IN(map, member) (AT(map.member) - AT(map)) /* NOLINT(bugprone-macro-parentheses): a member's name */

static const char *const log_names[] = {"error", "warn", "note", "info", "debug", NULL};

static const struct conf_key api_keys[] = {
    {.name = "listen",
     .type = CONF_STRING,
     .off = IN(api, listen),
     .min = 3,
     .max = 255,
     .def = "127.0.0.1:8443",
     .help = "Address and port of the HTTPS API; [::]:8443 for all addresses."},
    {.name = "names",
     .type = CONF_STRINGS,
     .off = IN(api, names),
     .min = 1,
     .max = 16,
     .def = "[localhost, 127.0.0.1]",
     .help = "Names and addresses under which clients reach the API; they stand in its certificate."},
    {.name = "public_url",
     .type = CONF_STRING,
     .off = IN(api, public_url),
     .min = 9,
     .max = 200,
     .help = "What links in mails begin with, behind a proxy; else the first of names and the port of listen.",
     .example = "https://punch.example.com"},
    {.name = "threads",
     .type = CONF_UINT,
     .off = IN(api, threads),
     .min = 1,
     .max = 64,
     .def = "4",
     .help = "Threads that answer requests."},
    {.name = "connections",
     .type = CONF_UINT,
     .off = IN(api, connections),
     .min = 8,
     .max = 4096,
     .def = "256",
     .help = "Connections at one time, all together."},
    {.name = "per_address",
     .type = CONF_UINT,
     .off = IN(api, per_address),
     .min = 0,
     .max = 4096,
     .def = "64",
     .help = "Connections at one time from one address; 0 is no limit, for behind a proxy."},
    {.name = "password_threads",
     .type = CONF_UINT,
     .off = IN(api, password_threads),
     .min = 0,
     .max = 16,
     .def = "0",
     .help = "Threads that check passwords, 64 MiB each; 0 is half of the cores, at least one."},
    {.name = "streams",
     .type = CONF_UINT,
     .off = IN(api, streams),
     .min = 1,
     .max = 1024,
     .def = "64",
     .help = "Live streams at one time, all together; half from one address, half of one customer."},
    {.name = "request_timeout",
     .type = CONF_MS,
     .off = IN(api, request_timeout),
     .min = 1000,
     .max = 600000,
     .def = "30s",
     .help = "For a TLS handshake, again for a request, again for taking the reply (longer for a large one)."},
    {.name = "idle",
     .type = CONF_MS,
     .off = IN(api, idle),
     .min = 1000,
     .max = 600000,
     .def = "15s",
     .help = "A connection that brings no request for so long after a reply is closed."},
    {.name = "proxies",
     .type = CONF_STRINGS,
     .off = IN(api, proxies),
     .min = 0,
     .max = 64,
     .help = "Networks of the proxies in front; X-Forwarded-For is believed from these only.",
     .example = "[192.0.2.10, \"2001:db8:1::/64\"]"},
    {.name = "proxy_ca",
     .type = CONF_STRING,
     .off = IN(api, proxy_ca),
     .min = 1,
     .max = 4000,
     .help = "Certificates of which one must have issued each TLS client's own (origin pull): only the proxy comes in.",
     .example = "/etc/punchcloud.proxy-ca.pem"},
    {.name = "hsts",
     .type = CONF_MS,
     .off = IN(api, hsts),
     .min = 0,
     .max = 730LL * 24 * 3600 * 1000,
     .def = "365d",
     .help =
         "For so long a browser that was here comes by TLS only (Strict-Transport-Security); 0 says nothing of it."},
};
static const struct conf_table api_table = {
    .what = "api", .size = sizeof(((struct settings *)0)->api), .keys = api_keys, .n = ARRAY_LEN(api_keys)};

static const struct conf_key limits_keys[] = {
    {.name = "source",
     .type = CONF_UINT,
     .off = IN(limits, source),
     .min = 0,
     .max = 10000000,
     .def = "12000",
     .help = "Requests a minute from one address (IPv6: from one network of 64 bits); 0 is no limit."},
    {.name = "token",
     .type = CONF_UINT,
     .off = IN(limits, token),
     .min = 0,
     .max = 10000000,
     .def = "6000",
     .help = "Requests a minute with one token or session; 0 is no limit."},
    {.name = "tenant",
     .type = CONF_UINT,
     .off = IN(limits, tenant),
     .min = 0,
     .max = 10000000,
     .def = "30000",
     .help = "Requests a minute of one customer, all together; 0 is no limit."},
};
static const struct conf_table limits_table = {
    .what = "limits", .size = sizeof(((struct settings *)0)->limits), .keys = limits_keys, .n = ARRAY_LEN(limits_keys)};

static const struct conf_key contact_keys[] = {
    {.name = "security",
     .type = CONF_STRINGS,
     .off = IN(contact, security),
     .min = 0,
     .max = 4,
     .help = "Where to report a security problem: mailto:, https: or tel: URIs, for /.well-known/security.txt.",
     .example = "[\"mailto:security@example.com\"]"},
    {.name = "languages",
     .type = CONF_STRING,
     .off = IN(contact, languages),
     .min = 2,
     .max = 100,
     .def = "en, de, ro",
     .help = "Languages that are understood there, as in RFC 9116."},
    {.name = "canonical",
     .type = CONF_STRING,
     .off = IN(contact, canonical),
     .min = 8,
     .max = 500,
     .help = "Under which URL security.txt is reached.",
     .example = "https://punch.example.com/.well-known/security.txt"},
    {.name = "dpo",
     .type = CONF_STRING,
     .off = IN(contact, dpo),
     .min = 1,
     .max = 200,
     .help = "How to reach the data-protection officer of who runs this service; GET /v1/contact shows it.",
     .example = "privacy@example.com"},
};
static const struct conf_table contact_table = {.what = "contact",
                                                .size = sizeof(((struct settings *)0)->contact),
                                                .keys = contact_keys,
                                                .n = ARRAY_LEN(contact_keys)};

static const struct conf_key broker_keys[] = {
    {.name = "address",
     .type = CONF_STRING,
     .off = IN(broker, address),
     .min = 3,
     .max = 255,
     .def = "localhost:8883",
     .help = "Host and port of the MQTT broker; it is also written into the gateways' bundles."},
    {.name = "names",
     .type = CONF_STRINGS,
     .off = IN(broker, names),
     .min = 1,
     .max = 16,
     .def = "[localhost, 127.0.0.1]",
     .help = "Names and addresses of the broker; they stand in its certificate."},
};
static const struct conf_table broker_table = {
    .what = "broker", .size = sizeof(((struct settings *)0)->broker), .keys = broker_keys, .n = ARRAY_LEN(broker_keys)};

static const struct conf_key ingest_keys[] = {
    {.name = "queue",
     .type = CONF_UINT,
     .off = IN(ingest, queue),
     .min = 16,
     .max = 65536,
     .def = "1024",
     .help = "Messages waiting for the store; more are dropped, counted and sent again by their gateways."},
    {.name = "batch",
     .type = CONF_MS,
     .off = IN(ingest, batch_ms),
     .min = 1,
     .max = 1000,
     .def = "50ms",
     .help = "A transaction is committed at least this often."},
    {.name = "backoff_min",
     .type = CONF_MS,
     .off = IN(ingest, backoff_min),
     .min = 100,
     .max = 60000,
     .def = "1s",
     .help = "First pause between attempts to reach the broker."},
    {.name = "backoff_max",
     .type = CONF_MS,
     .off = IN(ingest, backoff_max),
     .min = 100,
     .max = 600000,
     .def = "30s",
     .help = "Longest pause between attempts to reach the broker."},
};
static const struct conf_table ingest_table = {
    .what = "ingest", .size = sizeof(((struct settings *)0)->ingest), .keys = ingest_keys, .n = ARRAY_LEN(ingest_keys)};

static const struct conf_key passwords_keys[] = {
    {.name = "memory",
     .type = CONF_SIZE,
     .off = IN(passwords, memory),
     .min = 19 << 20, /* the least that OWASP's Password Storage Cheat Sheet takes for enough, with two passes */
     .max = 1 << 30,
     .def = "64MiB",
     .help = "Memory that the hash of a password takes (Argon2id)."},
    {.name = "passes",
     .type = CONF_UINT,
     .off = IN(passwords, passes),
     .min = 2,
     .max = 64,
     .def = "3",
     .help = "How often that memory is passed over."},
    {.name = "lanes",
     .type = CONF_UINT,
     .off = IN(passwords, lanes),
     .min = 1,
     .max = 16,
     .def = "1",
     .help = "Parts of it that are passed over side by side."},
};
static const struct conf_table passwords_table = {.what = "passwords",
                                                  .size = sizeof(((struct settings *)0)->passwords),
                                                  .keys = passwords_keys,
                                                  .n = ARRAY_LEN(passwords_keys)};
static const char *const tls_names[] = {"starttls", "tls", NULL};

static const struct conf_key mail_keys[] = {
    {.name = "server",
     .type = CONF_STRING,
     .off = IN(mail, server),
     .min = 3,
     .max = 255,
     .help = "Host and port of the SMTP server; without one nothing is mailed, and links are handed out by hand.",
     .example = "mail.example.com:587"},
    {.name = "tls",
     .type = CONF_ENUM,
     .off = IN(mail, tls),
     .def = "starttls",
     .names = tls_names,
     .help = "STARTTLS (mostly port 587) or TLS from the first byte (465); the certificate is checked either way."},
    {.name = "from",
     .type = CONF_STRING,
     .off = IN(mail, from),
     .min = 3,
     .max = MAIL_ADDRESS_MAX,
     .help = "Address that messages come from.",
     .example = "punchline@example.com"},
    {.name = "user",
     .type = CONF_STRING,
     .off = IN(mail, user),
     .min = 1,
     .max = 255,
     .help = "Name to log in with; none: no login.",
     .example = "punchline"},
    {.name = "password_file",
     .type = CONF_STRING,
     .off = IN(mail, password_file),
     .min = 1,
     .max = 4000,
     .help = "File whose first line is the password; read anew for each message.",
     .example = "/etc/punchcloud.mail-password"},
    {.name = "ca_file",
     .type = CONF_STRING,
     .off = IN(mail, ca_file),
     .min = 1,
     .max = 4000,
     .help = "Certificates that the server's must lead to, instead of the system's.",
     .example = "/etc/punchcloud.mail-ca.pem"},
};
static const struct conf_table mail_table = {
    .what = "mail", .size = sizeof(((struct settings *)0)->mail), .keys = mail_keys, .n = ARRAY_LEN(mail_keys)};

static const struct conf_key webhooks_keys[] = {
    {.name = "allow",
     .type = CONF_STRINGS,
     .off = IN(webhooks, allow),
     .min = 0,
     .max = 32,
     .help = "Networks that webhooks may reach though they are not public; for receivers in the same building.",
     .example = "[10.20.0.0/16]"},
    {.name = "ca_file",
     .type = CONF_STRING,
     .off = IN(webhooks, ca_file),
     .min = 1,
     .max = 4000,
     .help = "Certificates that a receiver's must lead to, instead of the system's.",
     .example = "/etc/punchcloud.webhook-ca.pem"},
};
static const struct conf_table webhooks_table = {.what = "webhooks",
                                                 .size = sizeof(((struct settings *)0)->webhooks),
                                                 .keys = webhooks_keys,
                                                 .n = ARRAY_LEN(webhooks_keys)};

static const struct conf_key keys[] = {
    {.name = "state",
     .type = CONF_STRING,
     .off = AT(state),
     .min = 1,
     .max = 200,
     .def = "/var/lib/punchcloud",
     .help = "Folder of the store, the keyrings, the certificates and the control socket."},
    {.name = "escrow",
     .type = CONF_STRINGS,
     .off = AT(escrow),
     .min = 1,
     .max = 8,
     .def = "[/var/lib/punchcloud-escrow]",
     .help = "Folders that get a second copy of every key before it is used; put them on another disk."},
    {.name = "log",
     .type = CONF_ENUM,
     .off = AT(log),
     .def = "info",
     .names = log_names,
     .help = "Lines less important than this are not logged."},
    {.name = "api", .type = CONF_MAP, .off = AT(api), .sub = &api_table, .help = "The HTTPS API."},
    {.name = "limits", .type = CONF_MAP, .off = AT(limits), .sub = &limits_table, .help = "How much one may ask for."},
    {.name = "contact", .type = CONF_MAP, .off = AT(contact), .sub = &contact_table, .help = "Whom to turn to."},
    {.name = "broker", .type = CONF_MAP, .off = AT(broker), .sub = &broker_table, .help = "The MQTT broker."},
    {.name = "ingest", .type = CONF_MAP, .off = AT(ingest), .sub = &ingest_table, .help = "From broker to store."},
    {.name = "passwords",
     .type = CONF_MAP,
     .off = AT(passwords),
     .sub = &passwords_table,
     .help = "What the hash of a password costs; one made at another cost is made anew at the next login."},
    {.name = "mail", .type = CONF_MAP, .off = AT(mail), .sub = &mail_table, .help = "Mail to people, by SMTP."},
    {.name = "webhooks",
     .type = CONF_MAP,
     .off = AT(webhooks),
     .sub = &webhooks_table,
     .help = "Messages to customers' own programs, by HTTPS."},
    {.name = "metrics",
     .type = CONF_MAP,
     .off = AT(metrics),
     .sub = &metrics_table,
     .help = "Counters for Prometheus."},
};

static void check_outgoing(struct conf *c, struct settings *s)
{
    struct address_net net;
    char *const *allow = s->webhooks.allow.items;
    for (size_t i = 0; i < s->webhooks.allow.n; i++)
        if (address_net(allow[i], &net) != 0)
            conf_mistake(c, &s->webhooks.allow, "\"%.60s\" is no network such as 10.20.0.0/16", allow[i]);
    if (!s->mail.server)
        return;
    if (!strrchr(s->mail.server, ':'))
        conf_mistake(c, &s->mail.server, "write it as host:port, such as mail.example.com:587");
    if (!s->mail.from || !mail_address_valid(s->mail.from))
        conf_mistake(c, s->mail.from ? &s->mail.from : &s->mail.server, "mail needs `from`, an address");
    if (!s->mail.user != !s->mail.password_file)
        conf_mistake(c, &s->mail.server, "`user` and `password_file` go together");
}

/* What stands in a line of security.txt adds none of its own. */
static bool plain_line(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
            return false;
    return true;
}

static void check_contact(struct conf *c, struct settings *s)
{
    static const char *const schemes[] = {"mailto:", "https://", "tel:"};
    char *const *uris = s->contact.security.items;
    for (size_t i = 0; i < s->contact.security.n; i++) {
        size_t j = 0;
        while (j < ARRAY_LEN(schemes) && !str_starts(uris[i], schemes[j]))
            j++;
        if (j == ARRAY_LEN(schemes) || !plain_line(uris[i]))
            conf_mistake(c, &s->contact.security, "write it as mailto:, https: or tel: URI");
    }
    if (s->contact.canonical && (!str_starts(s->contact.canonical, "https://") || !plain_line(s->contact.canonical)))
        conf_mistake(c, &s->contact.canonical, "write it as https: URL");
    if (!plain_line(s->contact.languages))
        conf_mistake(c, &s->contact.languages, "write language tags, such as: en, de");
}

static void check_proxies(struct conf *c, struct settings *s)
{
    struct address_net net;
    char *const *proxies = s->api.proxies.items;
    for (size_t i = 0; i < s->api.proxies.n; i++)
        if (address_net(proxies[i], &net) != 0)
            conf_mistake(c, &s->api.proxies, "\"%.60s\" is no network such as 192.0.2.0/24", proxies[i]);
}

static void check_public_url(struct conf *c, struct settings *s)
{
    const char *url = s->api.public_url;
    if (url && (!str_starts(url, "https://") || !plain_line(url) || strpbrk(url, " #?") || url[strlen(url) - 1] == '/'))
        conf_mistake(c, &s->api.public_url, "write it as https: URL without a slash at its end");
}

static void check(struct conf *c, void *object)
{
    struct settings *s = object;
    char *const *escrow = s->escrow.items;
    if (s->ingest.backoff_max < s->ingest.backoff_min)
        conf_mistake(c, &s->ingest.backoff_max, "backoff_max is shorter than backoff_min");
    for (size_t i = 0; i < s->escrow.n; i++)
        if (strcmp(escrow[i], s->state) == 0)
            conf_mistake(c, &s->escrow, "an escrow folder is the state folder itself; a copy there saves nothing");
    if (!strrchr(s->api.listen, ':'))
        conf_mistake(c, &s->api.listen, "write it as address:port, such as 127.0.0.1:8443");
    if (!strrchr(s->broker.address, ':'))
        conf_mistake(c, &s->broker.address, "write it as host:port, such as localhost:8883");
    check_public_url(c, s);
    check_outgoing(c, s);
    check_proxies(c, s);
    check_contact(c, s);
}

const struct conf_table settings_table = {
    .what = "configuration", .size = sizeof(struct settings), .keys = keys, .n = ARRAY_LEN(keys), .check = check};

int settings_load(const char *path, struct settings *ret, struct conf **ret_conf)
{
    return conf_load(path, &settings_table, ret, ret_conf);
}

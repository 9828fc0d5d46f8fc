/* Reads a configuration file along its table. Two passes of libyaml: the first over its events, which are bounded
 * and have no memory, refuses what we do not take (a second document, aliases, anchors, tags, deep nesting); the
 * second loads the document, whose nodes keep line and column, and walks it with the table in hand.
 *
 * Aliases are refused, not resolved: nothing in our files needs them, and nested ones grow exponentially ("billion
 * laughs"). A section whose keys are all commented out (`spool:` and nothing below) is an empty section. */
#include "base/conf_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/file.h"

struct walk {
    struct conf *c;
    yaml_document_t *doc;
};

static struct conf_mark mark_of(yaml_mark_t m)
{
    return (struct conf_mark){.line = m.line, .col = m.column};
}

static void report_syntax(struct conf *c, const yaml_parser_t *p)
{
    struct conf_mark mark = mark_of(p->problem_mark);
    char context[160] = "", began[40] = "", hint[64] = "";
    size_t offset = p->problem_mark.index;

    if (p->error == YAML_MEMORY_ERROR) {
        c->no_memory = true;
        return;
    }
    if (p->error == YAML_READER_ERROR)
        mark = conf_mark_of(c->text, p->problem_offset);
    if (p->context)
        snprintf(context, sizeof(context), "%s, ", p->context);
    if (p->context && p->context_mark.line != p->problem_mark.line)
        snprintf(began, sizeof(began), " (begun in line %zu)", p->context_mark.line + 1);
    /* libyaml's index counts characters; it is the offset as long as all before is ASCII, which is all a hint needs */
    if (p->error == YAML_SCANNER_ERROR && offset < c->text.n && c->text.p[offset] == '\t')
        snprintf(hint, sizeof(hint), "; indent with blanks, not with tabs");
    conf_report(c, mark, "this is not YAML: %s%s%s%s", context, p->problem ? p->problem : "unreadable", began, hint);
}

/* False when the document must not be loaded. */
struct scan {
    struct conf *c;
    unsigned documents, depth;
};
static bool scan_event(struct scan *s, const yaml_event_t *ev)
{
    struct conf_mark mark = mark_of(ev->start_mark);
    const yaml_char_t *anchor = NULL, *tag = NULL;
    char shown[CONF_SHOW];

    if (ev->type == YAML_SCALAR_EVENT) {
        anchor = ev->data.scalar.anchor;
        tag = ev->data.scalar.tag;
    } else if (ev->type == YAML_SEQUENCE_START_EVENT) {
        anchor = ev->data.sequence_start.anchor;
        tag = ev->data.sequence_start.tag;
        s->depth++;
    } else if (ev->type == YAML_MAPPING_START_EVENT) {
        anchor = ev->data.mapping_start.anchor;
        tag = ev->data.mapping_start.tag;
        s->depth++;
    } else if (ev->type == YAML_SEQUENCE_END_EVENT || ev->type == YAML_MAPPING_END_EVENT) {
        s->depth--;
    } else if (ev->type == YAML_DOCUMENT_START_EVENT && ++s->documents > 1) {
        conf_report(s->c, mark, "a second document begins here; a configuration is one document");
        return false;
    } else if (ev->type == YAML_ALIAS_EVENT) {
        const char *name = (const char *)ev->data.alias.anchor;
        conf_report(s->c, mark, "aliases (\"*%s\") are not taken here: write the value out",
                    conf_show(name, strlen(name), shown));
        return false;
    }
    if (anchor)
        conf_report(s->c, mark, "anchors (\"&%s\") are not taken here: leave it out",
                    conf_show((const char *)anchor, strlen((const char *)anchor), shown));
    if (tag)
        conf_report(s->c, mark, "tags (\"%s\") are not taken here: leave it out",
                    conf_show((const char *)tag, strlen((const char *)tag), shown));
    if (s->depth > CONF_DEPTH_MAX) {
        conf_report(s->c, mark, "this is nested more than %d deep", CONF_DEPTH_MAX);
        return false;
    }
    return true;
}

static bool scan(struct conf *c, yaml_parser_t *p)
{
    struct scan s = {.c = c};

    for (;;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(p, &ev)) {
            report_syntax(c, p);
            return false;
        }
        bool good = scan_event(&s, &ev), end = ev.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&ev);
        if (!good || end)
            return good;
    }
}

static bool is_nothing(const yaml_node_t *n)
{
    return n->type == YAML_SCALAR_NODE && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && n->data.scalar.length == 0;
}

static const char *node_name(const yaml_node_t *n)
{
    if (n->type == YAML_SEQUENCE_NODE)
        return "a list";
    return n->type == YAML_MAPPING_NODE ? "a group of keys" : "a single value";
}

static struct conf_scalar scalar_of(const yaml_node_t *n)
{
    return (struct conf_scalar){.s = (const char *)n->data.scalar.value,
                                .n = n->data.scalar.length,
                                .quoted = n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE};
}

static size_t key_size(const struct conf_key *k)
{
    return k->type == CONF_MAP ? k->sub->size : conf_value_size(k->type);
}

static const char *key_at(const void *from, size_t i)
{
    const struct conf_table *t = from;
    return i < t->n ? t->keys[i].name : NULL;
}

static void read_object(struct walk *w, const yaml_node_t *node, const struct conf_table *t, void *object);

/* CONF_UINT for the items of CONF_UINTS, and so on. */
static enum conf_type item_type(enum conf_type list)
{
    return list == CONF_UINTS ? CONF_UINT : CONF_STRING;
}

static void read_scalar(struct conf *c, const struct conf_key *k, enum conf_type type, bool ranged,
                        const yaml_node_t *node, void *at)
{
    char why[CONF_WHY];

    if (node->type != YAML_SCALAR_NODE) {
        conf_report(c, mark_of(node->start_mark), "\"%s\" wants %s, not %s", k->name, conf_type_name(type),
                    node_name(node));
        return;
    }
    int r = conf_value(c, k, type, ranged, scalar_of(node), at, why);
    if (r == CONF_BAD)
        conf_report(c, mark_of(node->start_mark), "%s", why);
}

static void read_list(struct walk *w, const struct conf_key *k, const yaml_node_t *node, struct conf_list *list)
{
    struct conf *c = w->c;
    size_t max = k->max > 0 ? (size_t)k->max : CONF_LIST_MAX, min = k->min > 0 ? (size_t)k->min : 0;
    size_t size = k->type == CONF_LIST ? k->sub->size : conf_value_size(item_type(k->type)), n = 0;

    if (node->type == YAML_SEQUENCE_NODE)
        n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    else if (!is_nothing(node)) {
        conf_report(c, mark_of(node->start_mark), "\"%s\" wants %s, not %s", k->name, conf_type_name(k->type),
                    node_name(node));
        return;
    }
    if (n < min || n > max) {
        const yaml_node_t *at = n > max ? yaml_document_get_node(w->doc, node->data.sequence.items.start[max]) : node;
        conf_report(c, mark_of(at->start_mark), "\"%s\" has %zu items; %s %zu are allowed", k->name, n,
                    n > max ? "at most" : "at least", n > max ? max : min);
        return;
    }
    if (n == 0)
        return;
    char *items = conf_alloc(c, n * size);
    if (!items)
        return;
    for (size_t i = 0; i < n; i++) {
        const yaml_node_t *item = yaml_document_get_node(w->doc, node->data.sequence.items.start[i]);
        if (k->type == CONF_LIST) {
            read_object(w, item, k->sub, items + i * size);
        } else {
            conf_place(c, items + i * size, size, mark_of(item->start_mark));
            read_scalar(c, k, item_type(k->type), false, item, items + i * size);
        }
    }
    *list = (struct conf_list){.items = items, .n = n};
}

static void read_value(struct walk *w, const struct conf_key *k, const yaml_node_t *node, char *at)
{
    conf_place(w->c, at, key_size(k), mark_of(node->start_mark));
    if (k->type == CONF_MAP)
        read_object(w, node, k->sub, at);
    else if (k->type == CONF_LIST || k->type == CONF_UINTS || k->type == CONF_STRINGS)
        read_list(w, k, node, (struct conf_list *)(void *)at);
    else
        read_scalar(w->c, k, k->type, true, node, at);
}

/* `def` of a list of scalars is one flow line, "[a, b]". What a table says is ours: a bad default is a bug. */
static void default_list(struct conf *c, const struct conf_key *k, struct conf_list *list)
{
    size_t len = strlen(k->def), n = 1;
    size_t size = conf_value_size(item_type(k->type));
    char why[CONF_WHY];

    ASSERT(len >= 2 && k->def[0] == '[' && k->def[len - 1] == ']');
    if (strspn(k->def + 1, " ") == len - 2)
        return;
    for (size_t i = 0; i < len; i++)
        n += k->def[i] == ',';
    char *items = conf_alloc(c, n * size), *text = conf_alloc(c, len);
    if (!items || !text)
        return;
    memcpy(text, k->def + 1, len - 2);
    char *save = NULL, *s = strtok_r(text, ", ", &save);
    for (size_t i = 0; i < n; i++, s = strtok_r(NULL, ", ", &save)) {
        ASSERT(s);
        struct conf_scalar v = {.s = s, .n = strlen(s)};
        ASSERT(conf_value(c, k, item_type(k->type), false, v, items + i * size, why) <= 0);
    }
    ASSERT(!s);
    *list = (struct conf_list){.items = items, .n = n};
}

static void default_scalar(struct conf *c, const struct conf_key *k, void *at)
{
    size_t len = strlen(k->def);
    bool quoted = len >= 2 && k->def[0] == '"' && k->def[len - 1] == '"';
    char why[CONF_WHY], *text = conf_alloc(c, len + 1);

    if (!text)
        return;
    memcpy(text, k->def + quoted, len - (quoted ? 2 : 0));
    ASSERT(conf_value(c, k, k->type, true, (struct conf_scalar){.s = text, .n = strlen(text), .quoted = quoted}, at,
                      why) <= 0);
}

/* A key that is not in the file. A section that is not there is one without keys: what it requires is missed, what
 * it checks is checked. So a required key is never NULL once a file was accepted. */
static void read_absent(struct walk *w, const struct conf_key *k, const yaml_node_t *object_node, char *at)
{
    yaml_char_t none[1] = "";
    yaml_node_t nothing = {.type = YAML_SCALAR_NODE,
                           .data.scalar = {.value = none, .length = 0, .style = YAML_PLAIN_SCALAR_STYLE},
                           .start_mark = object_node->start_mark};

    if (k->type == CONF_MAP)
        read_object(w, &nothing, k->sub, at);
    else if (k->def && (k->type == CONF_UINTS || k->type == CONF_STRINGS))
        default_list(w->c, k, (struct conf_list *)(void *)at);
    else if (k->def)
        default_scalar(w->c, k, at);
}

static void unknown_key(struct conf *c, const struct conf_table *t, const yaml_node_t *key)
{
    struct conf_scalar v = scalar_of(key);
    const char *near = conf_suggest(v.s, v.n, key_at, t);
    char shown[CONF_SHOW];

    conf_report(c, mark_of(key->start_mark), "unknown key \"%s\" in %s%s%s%s", conf_show(v.s, v.n, shown), t->what,
                near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* One `key: value`. first[i] is 1 + the line that gave key i. */
static void read_pair(struct walk *w, const struct conf_table *t, const yaml_node_t *key, const yaml_node_t *value,
                      size_t *first, char *object)
{
    if (key->type != YAML_SCALAR_NODE) {
        conf_report(w->c, mark_of(key->start_mark), "a key in %s is a word, not %s", t->what, node_name(key));
        return;
    }
    struct conf_scalar v = scalar_of(key);
    for (size_t i = 0; i < t->n; i++) {
        const struct conf_key *k = &t->keys[i];
        if (strlen(k->name) != v.n || memcmp(k->name, v.s, v.n) != 0)
            continue;
        if (first[i]) {
            conf_report(w->c, mark_of(key->start_mark), "\"%s\" is given twice in this %s, first in line %zu", k->name,
                        t->what, first[i]);
            return;
        }
        first[i] = key->start_mark.line + 1;
        read_value(w, k, value, object + k->off);
        return;
    }
    unknown_key(w->c, t, key);
}

static void read_object(struct walk *w, const yaml_node_t *node, const struct conf_table *t, void *object)
{
    size_t first[CONF_KEYS_MAX] = {0}, before = w->c->n_mistakes;
    struct conf_mark mark = mark_of(node->start_mark);

    ASSERT(t->n <= CONF_KEYS_MAX);
    conf_place(w->c, object, t->size, mark);
    if (node->type == YAML_MAPPING_NODE) {
        yaml_node_pair_t *pair = node->data.mapping.pairs.start, *end = node->data.mapping.pairs.top;
        for (; pair < end; pair++)
            read_pair(w, t, yaml_document_get_node(w->doc, pair->key), yaml_document_get_node(w->doc, pair->value),
                      first, object);
    } else if (!is_nothing(node)) {
        conf_report(w->c, mark, "%s wants keys and their values (\"key: value\"), not %s", t->what, node_name(node));
        return;
    }
    for (size_t i = 0; i < t->n; i++) {
        if (first[i])
            continue;
        if (t->keys[i].required)
            conf_report(w->c, mark, "%s lacks the key \"%s\": %s", t->what, t->keys[i].name,
                        conf_type_name(t->keys[i].type));
        else
            read_absent(w, &t->keys[i], node, (char *)object + t->keys[i].off);
    }
    if (w->c->n_mistakes == before && !w->c->no_memory && t->check)
        t->check(w->c, object);
}

static int walk(struct conf *c, yaml_parser_t *p, const struct conf_table *t, void *object)
{
    yaml_document_t doc;
    struct walk w = {.c = c, .doc = &doc};
    /* A file of nothing but comments has no root; it is an object without keys. */
    yaml_char_t none[1] = "";
    yaml_node_t empty = {.type = YAML_SCALAR_NODE,
                         .data.scalar = {.value = none, .length = 0, .style = YAML_PLAIN_SCALAR_STYLE}};

    if (!yaml_parser_load(p, &doc)) {
        report_syntax(c, p);
        return -EINVAL;
    }
    yaml_node_t *root = yaml_document_get_root_node(&doc);
    read_object(&w, root ? root : &empty, t, object);
    yaml_document_delete(&doc);
    return 0;
}

/* False when the bytes are no text: reported, and nothing of them goes to libyaml. */
static bool check_text(struct conf *c)
{
    for (size_t i = 0; i < c->text.n;) {
        uint32_t ch = 0;
        size_t len = conf_utf8(c->text.p + i, c->text.n - i, &ch);
        if (len == 0) {
            conf_report(c, conf_mark_of(c->text, i), "byte 0x%02x: this is not UTF-8 text", c->text.p[i]);
            return false;
        }
        if (conf_control(ch) && ch != '\t' && ch != '\n' && ch != '\r') {
            conf_report(c, conf_mark_of(c->text, i), "control character U+%04X", (unsigned)ch);
            return false;
        }
        i += len;
    }
    return true;
}

static int conf_new(const char *name, struct bytes text, struct conf **ret_conf)
{
    struct conf *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    buf_init(&c->out, (size_t)256 * 1024);
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
        text = BYTES(text.p + 3, text.n - 3);
    size_t name_len = strlen(name) + 1;
    uint8_t *copy = conf_alloc(c, text.n + 1);
    c->name = conf_alloc(c, name_len);
    if (!copy || !c->name) {
        conf_free(c);
        return -ENOMEM;
    }
    memcpy(c->name, name, name_len);
    if (text.n)
        memcpy(copy, text.p, text.n);
    c->text = BYTES(copy, text.n);
    *ret_conf = c;
    return 0;
}

static int parser_new(struct conf *c, yaml_parser_t *p)
{
    if (!yaml_parser_initialize(p))
        return -ENOMEM;
    yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(p, c->text.p, c->text.n);
    return 0;
}

/* Both passes, each with a parser of its own. */
static int read_all(struct conf *c, const struct conf_table *t, void *object)
{
    yaml_parser_t p;
    int r = parser_new(c, &p);
    if (r < 0)
        return r;
    bool good = scan(c, &p);
    yaml_parser_delete(&p);
    if (!good)
        return 0;

    r = parser_new(c, &p);
    if (r < 0)
        return r;
    r = walk(c, &p, t, object);
    yaml_parser_delete(&p);
    return r == -EINVAL ? 0 : r;
}

static int finish(struct conf *c, const struct conf_table *t, void *object, int r, struct conf **ret_conf)
{
    if (c->no_memory)
        r = -ENOMEM;
    if (r < 0 || c->n_mistakes > 0)
        memset(object, 0, t->size);
    if (r < 0) {
        conf_free(c);
        return r;
    }
    *ret_conf = c;
    return c->n_mistakes > 0 ? CONF_BAD : 0;
}

/* `large`: the text is more than we look at, and is not looked at. */
static int parse(const char *name, struct bytes text, bool large, const struct conf_table *t, void *object,
                 struct conf **ret_conf)
{
    struct conf *c;
    int r = conf_new(name, large ? BYTES_NONE : text, &c);

    if (r < 0)
        return r;
    memset(object, 0, t->size);
    if (large)
        conf_report(c, (struct conf_mark){0}, "larger than 1 MiB: this is no configuration");
    else if (check_text(c))
        r = read_all(c, t, object);
    return finish(c, t, object, r, ret_conf);
}

int conf_parse(const char *name, struct bytes text, const struct conf_table *t, void *object, struct conf **ret_conf)
{
    return parse(name, text, text.n > CONF_FILE_MAX, t, object, ret_conf);
}

int conf_load(const char *path, const struct conf_table *t, void *object, struct conf **ret_conf)
{
    struct buf text CLEANUP(buf_done);

    buf_init(&text, CONF_FILE_MAX);
    int r = file_read(path, &text);
    if (r < 0 && r != -ENOBUFS)
        return r;
    return parse(path, buf_bytes(&text), r == -ENOBUFS, t, object, ret_conf);
}

void conf_free(struct conf *c)
{
    if (!c)
        return;
    conf_blocks_free(c);
    free(c->places);
    buf_done(&c->out);
    free(c);
}

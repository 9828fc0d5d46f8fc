/* The table of a configuration as text: the commented example file, and the list of keys for the manual page. In the
 * example "# " begins an explanation and "#key" a key that may be switched on; the file as printed is accepted. */
#include "base/conf_impl.h"

#include <string.h>

enum { COLUMNS = 100, TEXT_MAX = 2048 };

/* "1 to 247.", "1 to 24 bytes.", "One of: a, b.": what the type alone does not say. "" when there is nothing. */
static void add_limits(struct buf *b, const struct conf_key *k)
{
    bool list = k->type == CONF_LIST || k->type == CONF_UINTS || k->type == CONF_STRINGS;
    char range[CONF_RANGE];

    if (k->type == CONF_ENUM) {
        for (size_t i = 0; k->names[i]; i++)
            buf_addf(b, "%s%s", i ? ", " : "One of: ", k->names[i]);
        buf_addf(b, ".");
    } else if (k->type != CONF_MAP && k->type != CONF_BOOL && conf_range(k, list ? CONF_UINT : k->type, range)[0]) {
        if (range[0] == 'a')
            range[0] = 'A';
        if (k->min <= 0 && (list || k->type == CONF_STRING))
            snprintf(range, sizeof(range), "At most %lld", (long long)k->max);
        buf_addf(b, "%s%s.", range, list ? " items" : k->type == CONF_STRING ? " bytes" : "");
    }
}

static void print_wrapped(FILE *f, int indent, const char *text)
{
    size_t col = 0;

    for (const char *word = text; *word;) {
        size_t n = strcspn(word, " ");
        if (col == 0 || col + 1 + n > COLUMNS) {
            fprintf(f, "%s%*s#", col ? "\n" : "", indent, "");
            col = (size_t)indent + 1;
        }
        fprintf(f, " %.*s", (int)n, word);
        col += 1 + n;
        word += n + strspn(word + n, " ");
    }
    if (col)
        fputc('\n', f);
}

static void print_comment(FILE *f, int indent, const struct conf_key *k)
{
    struct buf b CLEANUP(buf_done);

    buf_init(&b, TEXT_MAX);
    buf_addf(&b, "%s ", k->help ? k->help : k->name);
    add_limits(&b, k);
    if (k->required)
        buf_addf(&b, " Required.");
    print_wrapped(f, indent, buf_str(&b));
}

/* A value that would be accepted, for the key that has neither default nor example. */
static const char *filler(const struct conf_key *k, char ret[32])
{
    switch (k->type) {
    case CONF_STRING:
        return "text";
    case CONF_UINT:
    case CONF_MS:
    case CONF_SIZE:
        return conf_number(k->type, k->min > 0 ? (uint64_t)k->min : 0, ret);
    case CONF_BOOL:
        return "false";
    case CONF_ENUM:
        return k->names[0];
    case CONF_UINTS:
    case CONF_STRINGS:
    case CONF_MAP:
    case CONF_LIST:
        break;
    }
    return "[]";
}

static void print_table(FILE *f, const struct conf_table *t, int indent, size_t skip);

/* The first key of an item stands behind the dash and cannot be switched off: a required one, or one whose value is
 * known. */
static size_t item_first(const struct conf_table *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->keys[i].required && t->keys[i].type < CONF_UINTS)
            return i;
    for (size_t i = 0; i < t->n; i++)
        if (t->keys[i].type < CONF_UINTS)
            return i;
    ASSERT(false); /* an item of a list has one plain key at least */
    return 0;
}

static const char *value_of(const struct conf_key *k, char ret[32])
{
    return k->def ? k->def : k->example ? k->example : filler(k, ret);
}

static void print_key(FILE *f, const struct conf_key *k, int indent)
{
    char number[32];

    print_comment(f, indent, k);
    if (k->type == CONF_MAP) {
        fprintf(f, "%*s%s:\n", indent, "", k->name);
        print_table(f, k->sub, indent + 2, SIZE_MAX);
    } else if (k->type == CONF_LIST) {
        size_t first = item_first(k->sub);
        fprintf(f, "%*s%s:\n", indent, "", k->name);
        print_comment(f, indent + 2, &k->sub->keys[first]);
        fprintf(f, "%*s- %s: %s\n", indent + 2, "", k->sub->keys[first].name, value_of(&k->sub->keys[first], number));
        print_table(f, k->sub, indent + 4, first);
    } else {
        fprintf(f, "%*s%s%s: %s\n", indent, "", k->required ? "" : "#", k->name, value_of(k, number));
    }
}

static void print_table(FILE *f, const struct conf_table *t, int indent, size_t skip)
{
    for (size_t i = 0; i < t->n; i++) {
        if (i == skip)
            continue;
        if (indent == 0 && i > 0)
            fputc('\n', f);
        print_key(f, &t->keys[i], indent);
    }
}

void conf_print_example(FILE *f, const struct conf_table *t)
{
    print_table(f, t, 0, SIZE_MAX);
}

/* Text for mdoc(7): no backslash acts, no line begins with a macro, and a sentence begins a line. */
static void print_roff(FILE *f, const char *s)
{
    bool first = true;
    for (; *s; s++) {
        if (first && (*s == '.' || *s == '\''))
            fputs("\\&", f);
        first = s[0] == '.' && s[1] == ' ';
        if (*s == '\\')
            fputs("\\e", f);
        else
            fputc(*s, f);
        if (first) {
            fputc('\n', f);
            s++;
        }
    }
    fputc('\n', f);
}

static const char *argument(enum conf_type type)
{
    static const char *const names[] = {[CONF_STRING] = " Ar text",
                                        [CONF_UINT] = " Ar number",
                                        [CONF_BOOL] = " Ar true|false",
                                        [CONF_MS] = " Ar duration",
                                        [CONF_SIZE] = " Ar size",
                                        [CONF_ENUM] = " Ar word",
                                        [CONF_UINTS] = " Ar [number,...]",
                                        [CONF_STRINGS] = " Ar [text,...]",
                                        [CONF_MAP] = "",
                                        [CONF_LIST] = ""};
    return names[type];
}

static void mdoc_table(FILE *f, const struct conf_table *t, const char *prefix)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct conf_key *k = &t->keys[i];
        struct buf b CLEANUP(buf_done);

        buf_init(&b, TEXT_MAX);
        fprintf(f, ".It Cm %s%s%s\n", prefix, k->name, argument(k->type));
        print_roff(f, k->help ? k->help : k->name);
        add_limits(&b, k);
        if (b.len)
            print_roff(f, buf_str(&b));
        if (k->required)
            print_roff(f, "Required.");
        buf_reset(&b);
        if (k->def && buf_addf(&b, "The default is %s.", k->def) == 0)
            print_roff(f, buf_str(&b));
        buf_reset(&b);
        if (k->sub && buf_addf(&b, "%s%s%s", prefix, k->name, k->type == CONF_LIST ? "[]." : ".") == 0)
            mdoc_table(f, k->sub, buf_str(&b));
    }
}

void conf_print_mdoc(FILE *f, const struct conf_table *t)
{
    fputs(".Bl -tag -width Ds\n", f);
    mdoc_table(f, t, "");
    fputs(".El\n", f);
}

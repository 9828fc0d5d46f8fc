/* Verifying an exported trail from the command line; see audit_cli.h. */
#include "api/audit_cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/admin.h"
#include "base/csr.h"
#include "base/file.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/audit_check.h"

#define SMALL_FILE 1048576

static int read_small(const char *path, struct buf *ret)
{
    buf_init(ret, SMALL_FILE);
    int r = file_read(path, ret);
    if (r != 0)
        fprintf(stderr, "punchcloud: %s: %s\n", path, error_str(r));
    return r;
}

/* As PEM, or as GET /v1/audit/key answers. */
static int read_key(const char *path, uint8_t ret_point[CRYPTO_POINT])
{
    struct buf CLEANUP(buf_done) text;
    int r = read_small(path, &text);
    json_t *o = r == 0 ? json_loadb((const char *)text.p, text.len, 0, NULL) : NULL;
    const char *pem = json_string_value(json_object_get(o, "pem"));
    if (r == 0 && (r = csr_public_parse(pem ? BYTES_STR(pem) : buf_bytes(&text), ret_point)) != 0)
        fprintf(stderr, "punchcloud: %s: this is no public key of a trail (PEM, P-256)\n", path);
    json_decref(o);
    return r;
}

static int read_checkpoint(const char *path, const uint8_t point[CRYPTO_POINT], struct checkpoint *ret)
{
    struct buf CLEANUP(buf_done) text;
    int r = read_small(path, &text);
    if (r == 0 && (r = audit_check_parse(buf_bytes(&text), point, ret)) != 0)
        fprintf(stderr, "punchcloud: %s: %s\n", path,
                r < 0                    ? error_str(r)
                : r == CHECKPOINT_FORGED ? "this checkpoint is not signed by the key given"
                                         : "this is no checkpoint");
    return r;
}

/* Whole lines of b to k; what is left of the last one stays. */
static int take_lines(struct audit_check *k, struct buf *b)
{
    size_t at = 0;
    int r = 0;
    for (const uint8_t *end; r == 0 && at < b->len && (end = memchr(b->p + at, '\n', b->len - at)) != NULL;) {
        r = audit_check_line(k, (const char *)b->p + at, (size_t)(end - (b->p + at)));
        at = (size_t)(end - b->p) + 1;
    }
    memmove(b->p, b->p + at, b->len - at);
    b->len -= at;
    return r;
}

static int check_lines(FILE *f, struct audit_check *k)
{
    struct buf CLEANUP(buf_done) b;
    char block[65536];
    size_t n;
    int r = 0;
    buf_init(&b, AUDIT_LINE_MAX + sizeof block);
    while (r == 0 && (n = fread(block, 1, sizeof block, f)) > 0) {
        r = buf_add(&b, block, n); /* a line without an end: -ENOBUFS */
        if (r == 0)
            r = take_lines(k, &b);
    }
    if (r == 0 && ferror(f))
        return -EIO;
    if (r == 0 && b.len > 0)
        r = audit_check_line(k, (const char *)b.p, b.len);
    return r == 0 ? audit_check_end(k) : r;
}

static void tell_damaged(const struct audit_proof *p)
{
    size_t named = p->n_damaged < AUDIT_DAMAGED_NAMED ? p->n_damaged : AUDIT_DAMAGED_NAMED;
    if (p->n_damaged == 0)
        return;
    printf("DAMAGED: %zu %s, proven by hash only:", p->n_damaged, p->n_damaged == 1 ? "event" : "events");
    for (size_t i = 0; i < named; i++)
        printf("%s %llu", i > 0 ? "," : "", (unsigned long long)p->damaged[i]);
    printf("%s\n", named < p->n_damaged ? ", ..." : "");
}

static void tell(struct audit_check *k, bool whole)
{
    struct audit_proof p;
    char time[32];
    audit_check_proof(k, &p);
    if (!whole)
        printf("NOT PROVEN: %s\n", audit_check_why(k));
    if (p.time == 0)
        printf("No checkpoint was reached: nothing is proven.\n");
    else if (p.seq < p.from)
        printf("The trail of %s has no events from %llu on, as of %s (epoch %llu).\n", p.tenant,
               (unsigned long long)p.from, str_time(p.time, time), (unsigned long long)p.epoch);
    else
        printf("%s of %s: events %llu to %llu, as of %s (epoch %llu).\n", whole ? "Proven" : "Proven before that",
               p.tenant, (unsigned long long)p.from, (unsigned long long)p.seq, str_time(p.time, time),
               (unsigned long long)p.epoch);
    tell_damaged(&p);
    if (whole)
        printf("Only a newer checkpoint, kept elsewhere, can prove that nothing was cut behind it (--checkpoint).\n");
}

static json_t *damaged_json(const struct audit_proof *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_damaged && i < AUDIT_DAMAGED_NAMED; i++)
        whole_append(&list, json_integer((json_int_t)p->damaged[i]));
    return json_pack("{s:I, s:o}", "count", (json_int_t)p->n_damaged, "events", list);
}

/* What is proven, also in front of the line that is wrong. False: it could not be printed. */
static bool tell_json(struct audit_check *k, bool whole)
{
    struct audit_proof p;
    char time[32];
    audit_check_proof(k, &p);
    json_t *o = json_pack("{s:b, s:s?, s:s?, s:I, s:I, s:s?, s:I, s:o}", "proven", whole, "why",
                          whole ? NULL : audit_check_why(k), "tenant", p.time ? p.tenant : NULL, "from",
                          (json_int_t)p.from, "to", (json_int_t)p.seq, "as_of", p.time ? str_time(p.time, time) : NULL,
                          "epoch", (json_int_t)p.epoch, "damaged", damaged_json(&p));
    bool printed = o && json_dumpf(o, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(o);
    return printed;
}

int audit_cli_verify(const char *file, const char *key_file, const char *checkpoint_file, bool json)
{
    uint8_t point[CRYPTO_POINT];
    struct checkpoint newer;
    struct audit_check *k = NULL;
    if (read_key(key_file, point) != 0 || (checkpoint_file && read_checkpoint(checkpoint_file, point, &newer) != 0))
        return EXIT_FAILED;
    FILE *f = fopen(file, "re");
    int r = f ? audit_check_new(point, checkpoint_file ? &newer : NULL, &k) : -errno;
    if (r == 0)
        r = check_lines(f, k);
    if (f)
        fclose(f);
    if (r < 0)
        fprintf(stderr, "punchcloud: %s: %s\n", file, error_str(r));
    else if (!json)
        tell(k, r == 0);
    bool told = r < 0 || !json || tell_json(k, r == 0);
    struct audit_proof p = {.n_damaged = 0};
    if (k)
        audit_check_proof(k, &p);
    int code = r < 0 || !told || fflush(stdout) != 0 ? EXIT_FAILED
               : r != 0                              ? EXIT_TAMPERED
               : p.n_damaged > 0                     ? EXIT_DAMAGED
                                                     : EXIT_OK;
    audit_check_free(k);
    return code;
}

/* CBOR: RFC 8949 appendix A as far as our subset goes, what must be refused, and Debian's python3-cbor2 as an
 * independent opinion in both directions. */
#include "tests/unit/test_wire_util.h"

#include <unistd.h>

#include "wire/cbor.h"

static bool any_ok(struct bytes b)
{
    struct cbor_r r = cbor_reader(b);

    (void)cbor_get_any(&r);
    return cbor_done(&r);
}

static bool any_hex(const char *hex)
{
    struct buf b = unhex(hex);
    /* memory of exactly that size, so that a read past the end is seen */
    uint8_t *p = malloc(b.len > 0 ? b.len : 1);
    assert_non_null(p);
    if (b.len > 0)
        memcpy(p, b.p, b.len);
    bool ok = any_ok(BYTES(p, b.len));
    free(p);
    buf_done(&b);
    return ok;
}

/* RFC 8949 appendix A. */
static const char *const appendix_a[] = {
    "00",
    "01",
    "0a",
    "17",
    "1818",
    "1819",
    "1864",
    "1903e8",
    "1a000f4240",
    "1b000000e8d4a51000",
    "1bffffffffffffffff",
    "3bffffffffffffffff",
    "20",
    "29",
    "3863",
    "3903e7",
    "f4",
    "f5",
    "f6",
    "40",
    "4401020304",
    "60",
    "6161",
    "6449455446",
    "62225c",
    "62c3bc",
    "63e6b0b4",
    "64f0908591",
    "80",
    "83010203",
    "8301820203820405",
    "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
    "a0",
    "a201020304",
    "a26161016162820203",
    "826161a161626163",
    "a56161614161626142616361436164614461656145",
};
static const char *const appendix_a_refused[] = {
    "c249010000000000000000",
    "c349010000000000000000", /* bignums: tags */
    "f90000",
    "f98000",
    "f93c00",
    "fb3ff199999999999a",
    "f97bff",
    "fa47c35000",
    "fb7e37e43c8800759c",
    "f97c00",
    "fa7fc00000",
    "fb7ff8000000000000", /* floats */
    "f7",
    "f0",
    "f8ff", /* undefined, unassigned simple values */
    "c074323031332d30332d32315432303a30343a30305a",
    "c11a514b67b0",
    "d74401020304",
    "d818456449455446", /* tags */
    "5f42010243030405ff",
    "7f657374726561646d696e67ff",
    "9fff",
    "9f018202039f0405ffff",
    "83018202039f0405ff",
    "bf61610161629f0203ffff",
    "826161bf61626163ff", /* indefinite */
};
static const char *const refused[] = {
    "",
    "1817",
    "1800",
    "190018",
    "1900ff",
    "1a0000ffff",
    "1b00000000ffffffff",
    "3817",
    "3900ff",
    "3a0000ffff",
    "580161",
    "5900016100",
    "780161",
    "9800",
    "980101",
    "b80101",
    "b90000", /* not the shortest */
    "1c",
    "1d",
    "1e",
    "1f",
    "3c",
    "5c",
    "7c",
    "9c",
    "bc",
    "dc",
    "fc",
    "ff", /* reserved and break */
    "f814",
    "f815",
    "f800",
    "f8", /* simple values in two bytes */
    "61ff",
    "62c080",
    "63e08080",
    "63eda080",
    "64f0808080",
    "64f4908080",
    "61c3",
    "62c328", /* UTF-8 */
    "0000",
    "8001", /* left-overs */
    "9bffffffffffffffff",
    "bbffffffffffffffff",
    "5bffffffffffffffff",
    "7bffffffffffffffff",
    "9affffffff00",
    "818181818181818100" /* 8 arrays, then a ninth level */
};

static void appendix_a_items(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(appendix_a); i++) {
        if (!any_hex(appendix_a[i]))
            fail_msg("refused: %s", appendix_a[i]);
        /* every truncation, and a byte too many */
        for (size_t n = 0; n < strlen(appendix_a[i]); n += 2) {
            char cut[128];
            snprintf(cut, sizeof cut, "%.*s", (int)n, appendix_a[i]);
            if (any_hex(cut))
                fail_msg("taken: %s, cut from %s", cut, appendix_a[i]);
        }
        char more[128];
        snprintf(more, sizeof more, "%s00", appendix_a[i]);
        assert_false(any_hex(more));
    }
    for (size_t i = 0; i < ARRAY_LEN(appendix_a_refused); i++)
        if (any_hex(appendix_a_refused[i]))
            fail_msg("taken: %s", appendix_a_refused[i]);
}

static void refused_forms(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (any_hex(refused[i]))
            fail_msg("taken: %s", refused[i]);
    assert_true(any_hex("8181818181818100")); /* 7 arrays around a number: depth 8 */
    assert_true(any_hex("8181818181818180"));
}

static void map_keys_rise(void **state)
{
    assert_true(any_hex("a20001181800")); /* 0, 24 */
    assert_true(any_hex("a21818002000")); /* 24 before -1: bytewise, not by length */
    assert_false(any_hex("a22000181800"));
    assert_false(any_hex("a201000100")); /* twice */
    assert_false(any_hex("a203000100")); /* falling */
    assert_false(any_hex("a2616200616100"));
    assert_true(any_hex("a2616100616200"));
}

/* ---- typed gets ---- */

static void typed(void **state)
{
    struct buf b = unhex("8901203b7fffffffffffffff1b7fffffffffffffff420102626162f5f4a0");
    struct cbor_r r = cbor_reader(buf_bytes(&b));
    uint8_t two[2];
    assert_int_equal(cbor_get_array(&r, 9, 9), 9);
    assert_int_equal(cbor_peek(&r), 0);
    assert_int_equal(cbor_get_uint(&r, 1), 1);
    assert_int_equal(cbor_peek(&r), 1);
    assert_int_equal(cbor_get_int(&r), -1);
    assert_true(cbor_get_int(&r) == INT64_MIN);
    assert_true(cbor_get_int(&r) == INT64_MAX);
    cbor_get_fixed(&r, two, 2);
    assert_int_equal(two[1], 2);
    struct bytes t = cbor_get_text(&r, 1, 2);
    assert_int_equal(t.n, 2);
    assert_memory_equal(t.p, "ab", 2);
    assert_true(cbor_get_bool(&r));
    assert_false(cbor_get_bool(&r));
    assert_int_equal(cbor_get_map(&r, 0), 0);
    assert_true(cbor_done(&r));
    assert_int_equal(cbor_peek(&r), -1);
    /* after a mistake everything is zero and stays bad */
    assert_int_equal(cbor_get_uint(&r, 1), 0);
    assert_false(cbor_done(&r));
    memset(two, 7, sizeof two);
    cbor_get_fixed(&r, two, 2);
    assert_int_equal(two[0], 0);
    buf_done(&b);
}

static void typed_bounds(void **state)
{
    static const struct {
        const char *hex;
        char get; /* u uint max 10, i int, b bytes 1..2, t text 1..2, a array 1..2, m map max 1, o bool, f fixed 2 */
        bool ok;
    } cases[] = {
        {"0a", 'u', true},
        {"0b", 'u', false},
        {"20", 'u', false},
        {"f4", 'u', false},
        {"1b7fffffffffffffff", 'i', true},
        {"1b8000000000000000", 'i', false},
        {"3b7fffffffffffffff", 'i', true},
        {"3b8000000000000000", 'i', false},
        {"4101", 'b', true},
        {"40", 'b', false},
        {"43010203", 'b', false},
        {"6161", 'b', false},
        {"6161", 't', true},
        {"60", 't', false},
        {"63616161", 't', false},
        {"4161", 't', false},
        {"6100", 't', false},
        {"61ff", 't', false},
        {"8100", 'a', true},
        {"80", 'a', false},
        {"83000000", 'a', false},
        {"a0", 'a', false},
        {"a10000", 'm', true},
        {"a200000100", 'm', false},
        {"80", 'm', false},
        {"f4", 'o', true},
        {"f5", 'o', true},
        {"f6", 'o', false},
        {"00", 'o', false},
        {"420102", 'f', true},
        {"4101", 'f', false},
        {"43010203", 'f', false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = unhex(cases[i].hex);
        struct cbor_r r = cbor_reader(buf_bytes(&b));
        uint8_t two[2];
        switch (cases[i].get) {
        case 'u':
            (void)cbor_get_uint(&r, 10);
            break;
        case 'i':
            (void)cbor_get_int(&r);
            break;
        case 'b':
            (void)cbor_get_bytes(&r, 1, 2);
            break;
        case 't':
            (void)cbor_get_text(&r, 1, 2);
            break;
        case 'a':
            (void)cbor_get_array(&r, 1, 2);
            break;
        case 'm':
            (void)cbor_get_map(&r, 1);
            break;
        case 'o':
            (void)cbor_get_bool(&r);
            break;
        default:
            cbor_get_fixed(&r, two, 2);
        }
        if (r.bad == cases[i].ok)
            fail_msg("%s as %c: %s", cases[i].hex, cases[i].get, r.bad ? "refused" : "taken");
        buf_done(&b);
    }
}

static void writer_is_shortest(void **state)
{
    static const uint64_t edges[] = {0, 23, 24, 255, 256, 65535, 65536, 0xffffffff, 0x100000000, UINT64_MAX};
    static const size_t sizes[] = {1, 1, 2, 2, 3, 3, 5, 5, 9, 9};
    uint8_t tmp[16];

    for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
        struct cbor_w w = CBOR_W(tmp, sizeof tmp);
        cbor_put_uint(&w, edges[i]);
        assert_int_equal(w.len, sizes[i]);
        struct cbor_r r = cbor_reader(BYTES(tmp, w.len));
        assert_true(cbor_get_uint(&r, UINT64_MAX) == edges[i]);
        assert_true(cbor_done(&r));
    }
    static const int64_t ints[] = {0, -1, -24, -25, -256, -257, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(ints); i++) {
        struct cbor_w w = CBOR_W(tmp, sizeof tmp);
        cbor_put_int(&w, ints[i]);
        struct cbor_r r = cbor_reader(BYTES(tmp, w.len));
        assert_true(cbor_get_int(&r) == ints[i]);
        assert_true(cbor_done(&r));
    }
}

static void writer_stops_when_full(void **state)
{
    uint8_t tmp[8] = {0};

    for (size_t cap = 0; cap < sizeof tmp; cap++) {
        memset(tmp, 0xee, sizeof tmp);
        struct cbor_w w = CBOR_W(tmp, cap);
        cbor_put_uint(&w, 1000);
        cbor_put_text(&w, "abcd");
        assert_true(w.bad);
        assert_true(w.len <= cap);
        for (size_t i = cap; i < sizeof tmp; i++)
            assert_int_equal(tmp[i], 0xee);
        size_t len = w.len;
        cbor_put_uint(&w, 0);
        assert_int_equal(w.len, len);
    }
}

/* ---- an independent decoder ---- */

static uint32_t rng;
static uint32_t rnd(uint32_t n)
{
    rng = rng * 1664525u + 1013904223u;
    return (rng >> 8) % n;
}

static int64_t rnd_int(void)
{
    uint64_t v = (uint64_t)rnd(1 << 24) << 40 | (uint64_t)rnd(1 << 24) << 16 | rnd(1 << 16);
    return (int64_t)(v >> rnd(64)) * (rnd(2) != 0 ? 1 : -1);
}

static void put_random(struct cbor_w *w, unsigned depth) /* NOLINT(misc-no-recursion): at most 6 deep */
{
    static const char *const texts[] = {"", "door-1", "T\xc3\xbcr", "\xf0\x90\x85\x91",
                                        "a longer text than twenty-four"};
    uint32_t kind = rnd(depth < 6 ? 8 : 5), n = rnd(5);
    uint8_t bytes[40] = {1, 2, 3};

    if (kind < 2)
        cbor_put_int(w, rnd_int());
    else if (kind == 2)
        cbor_put_bytes(w, BYTES(bytes, rnd(sizeof bytes)));
    else if (kind == 3)
        cbor_put_text(w, texts[rnd(ARRAY_LEN(texts))]);
    else if (kind == 4)
        cbor_put_bool(w, rnd(2) != 0);
    else if (kind < 7) {
        cbor_put_array(w, n);
        for (uint32_t i = 0; i < n; i++)
            put_random(w, depth + 1);
    } else {
        uint64_t key = 0;
        cbor_put_map(w, n);
        for (uint32_t i = 0; i < n; i++) {
            key += 1 + rnd(1000);
            cbor_put_uint(w, key);
            put_random(w, depth + 1);
        }
    }
}

/* argv[1]: hex lines of ours, each must decode and encode to itself. Then lines of its own: "+" must be taken by us,
 * "-" must be refused. cbor2's canonical form sorts keys by length first, so keys here are of one kind. */
static const char script[] =
    "import sys, random\n"
    "try:\n"
    "    import cbor2\n"
    "except ImportError:\n"
    "    print('absent'); sys.exit()\n"
    "for line in open(sys.argv[1]):\n"
    "    raw = bytes.fromhex(line)\n"
    "    if cbor2.dumps(cbor2.loads(raw), canonical=True) != raw:\n"
    "        print('differs', line.strip()); sys.exit()\n"
    "r = random.Random(int(sys.argv[2]))\n"
    "def item(d):\n"
    "    k = r.randrange(8 if d < 6 else 5)\n"
    "    if k < 2: return r.randrange(-2**r.randrange(1, 64), 2**r.randrange(1, 64))\n"
    "    if k == 2: return bytes(r.randrange(256) for _ in range(r.randrange(40)))\n"
    "    if k == 3: return ''.join(chr(r.choice([65, 0xfc, 0x6c34, 0x10151])) for _ in range(r.randrange(9)))\n"
    "    if k == 4: return r.choice([True, False, None])\n"
    "    if k < 7: return [item(d + 1) for _ in range(r.randrange(4))]\n"
    "    return {r.randrange(2000): item(d + 1) for _ in range(r.randrange(4))}\n"
    "for _ in range(500):\n"
    "    x = cbor2.dumps(item(1), canonical=True)\n"
    "    print('+', x.hex())\n"
    "    print('-', cbor2.dumps([x, 1.5]).hex())\n"
    "    print('-', cbor2.dumps([cbor2.CBORTag(40000, x)]).hex())\n"
    "    print('-', (x + x).hex())\n"
    "print('end')\n";

static void write_items(FILE *f)
{
    for (int i = 0; i < 500; i++) {
        static uint8_t mem[1 << 16];
        struct cbor_w w = CBOR_W(mem, sizeof mem);
        put_random(&w, 1);
        assert_false(w.bad);
        assert_true(any_ok(BYTES(mem, w.len)));
        for (size_t k = 0; k < w.len; k++)
            fprintf(f, "%02x", mem[k]);
        fputc('\n', f);
    }
}

static void agrees_with_cbor2(void **state)
{
    char items[] = "/tmp/test_wire_cbor.XXXXXX", code[] = "/tmp/test_wire_cbor.XXXXXX", cmd[256];
    FILE *a = fdopen(mkstemp(items), "w"), *b = fdopen(mkstemp(code), "w");
    const char *seed = getenv("PUNCH_SEED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    size_t taken = 0, refusals = 0;
    bool ended = false, absent = false;
    char *line = NULL, *wrong = NULL;
    size_t cap = 0;

    assert_true(a != NULL && b != NULL);
    rng = seed != NULL ? (uint32_t)strtoul(seed, NULL, 10) : 20261123;
    print_message("seed %u\n", rng);
    snprintf(cmd, sizeof cmd, "/usr/bin/python3 %s %s %u", code, items, rng);
    write_items(a);
    fputs(script, b);
    fclose(a);
    fclose(b);
    FILE *out = popen(cmd, "r"); /* NOLINT(cert-env33-c): a fixed command */
    assert_non_null(out);
    while (wrong == NULL && getline(&line, &cap, out) > 0) {
        line[strcspn(line, "\n")] = '\0';
        ended = ended || strcmp(line, "end") == 0;
        absent = absent || strcmp(line, "absent") == 0;
        taken += line[0] == '+';
        refusals += line[0] == '-';
        if (line[0] == 'd' || ((line[0] == '+' || line[0] == '-') && any_hex(line + 2) != (line[0] == '+')))
            wrong = strdup(line);
    }
    free(line);
    pclose(out);
    unlink(items);
    unlink(code);
    if (wrong != NULL)
        fail_msg("we and cbor2 disagree: %s", wrong); /* NOLINT(clang-analyzer-unix.Malloc): it jumps */
    if (absent)
        skip();
    assert_true(ended);
    assert_int_equal(taken, 500);
    assert_int_equal(refusals, 1500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appendix_a_items),       cmocka_unit_test(refused_forms),
        cmocka_unit_test(map_keys_rise),          cmocka_unit_test(typed),
        cmocka_unit_test(typed_bounds),           cmocka_unit_test(writer_is_shortest),
        cmocka_unit_test(writer_stops_when_full), cmocka_unit_test(agrees_with_cbor2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

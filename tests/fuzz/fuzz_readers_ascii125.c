/* Any bytes from a 125 kHz reader, in any pieces, at any time: never a crash, nothing but credentials that a reader may
 * tell, no turn wanted in the past, and a good frame after a pause is always found. Byte 0 chooses layout and reverse;
 * then a byte of 80 or more lets its lower bits pass in milliseconds, any other n feeds the next 1 + n % 32 bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "readers/ascii125.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct reader_settings settings;
static struct reader_stats stats;
static struct outbox out;
static atomic_bool stopping;
static void *self;
static int64_t now, due;

static unsigned cards(struct cred *ret)
{
    struct sight s;
    unsigned k = 0;

    while (queue_pop(out.sights, &s) == 0) {
        if (s.kind != SIGHT_CARD)
            continue;
        k++;
        *ret = s.cred;
        bool em = ret->tech == TECH_EM4100 && ret->bits == 40;
        bool uid = ret->tech == TECH_ISO14443 && (ret->bits == 32 || ret->bits == 56 || ret->bits == 80) &&
                   (settings.layout == ASCII125_AUTO || settings.layout == ASCII125_E);
        ASSERT(cred_valid(ret) && cred_usable(ret) && (em || uid));
    }
    return k;
}

static void turn(void)
{
    ASSERT(ascii125_driver.step(self, now, &due) == 0 && due > now);
}

static void feed(const uint8_t *p, size_t n)
{
    ascii125_driver.feed(self, BYTES(p, n));
    turn();
}

static void wait_ms(int64_t ms)
{
    int64_t until = now + ms;

    while (due <= until) {
        now = due;
        turn();
    }
    now = until;
}

/* The number is the same whichever way it is turned: FF FF 99 FF FF. */
static const char *const good[] = {
    [ASCII125_AUTO] = "\2FFFF99FFFF99\3",  [ASCII125_A] = "\2FFFF99FFFF99\3",
    [ASCII125_B] = "\2FFFF99FFFF99\r\n\3", [ASCII125_C] = "FFFF99FFFF99",
    [ASCII125_D] = "\2FFFF99FFFF\r\n\3",   [ASCII125_E] = "\2\x0A\2\xFF\xFF\x99\xFF\xFF\x91\3",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct driver_env env = {.settings = &settings, .stats = &stats, .out = &out};
    struct cred c;

    if (n == 0)
        return 0;
    settings =
        (struct reader_settings){.name = (char *)(uintptr_t) "gate", .layout = data[0] % 6, .reverse = data[0] / 6 % 4};
    out.stopping = &stopping;
    if (!out.sights) {
        log_init("fuzz", LOG_ERROR);
        ASSERT(queue_new(sizeof(struct sight), 64, &out.sights) == 0);
    }
    ASSERT(ascii125_driver.create(&env, &self) == 0);
    now = 1000;
    ascii125_driver.online(self);
    turn();
    for (size_t i = 1; i < n;) {
        uint8_t what = data[i++];
        if (what >= 0x80) {
            wait_ms(what & 0x7f);
        } else {
            size_t k = 1 + what % 32u;
            k = k < n - i ? k : n - i;
            feed(data + i, k);
            i += k;
        }
        ASSERT(cards(&c) <= 5); /* 32 bytes and what was buffered hold no more */
    }
    wait_ms(50);
    (void)cards(&c);
    const char *f = good[settings.layout];
    feed((const uint8_t *)f, strlen(f));
    ASSERT(cards(&c) == 1 && c.tech == TECH_EM4100 && memcmp(c.data, "\xFF\xFF\x99\xFF\xFF", 5) == 0);
    ascii125_driver.destroy(self);
    return 0;
}

/* Files, configuration, queue, loop and control socket, one call failing: a file is the old one or the new one, a
 * setting is read or refused for the right reason, and a daemon whose socket failed once still answers. */
#include "tests/fault/scenario.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/ctl.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/queue.h"
#include "tests/unit/tmp.h"

struct setting {
    char *name;
    uint64_t hold;
    struct conf_list addresses;
};
static const struct conf_key keys[] = {
    {.name = "name", .type = CONF_STRING, .required = true, .off = offsetof(struct setting, name), .help = "x"},
    {.name = "hold", .type = CONF_MS, .off = offsetof(struct setting, hold), .def = "2s", .help = "x"},
    {.name = "addresses", .type = CONF_STRINGS, .off = offsetof(struct setting, addresses), .help = "x"},
};
static const struct conf_table table = {
    .what = "a test", .size = sizeof(struct setting), .keys = keys, .n = ARRAY_LEN(keys)};

static struct {
    char root[160], file[200], sock[200];
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_io *io;
    struct queue *q;
    struct ctl *ctl;
    int lock;
    unsigned popped;
} t = {.lock = -1};

/* ---- files ---- */

static int replaced(void)
{
    struct buf b;
    buf_init(&b, 64);
    int r = file_write(t.file, BYTES_STR("new"), 0600);
    strike_off(true);
    assert_int_equal(file_read(t.file, &b), 0);
    assert_true(strcmp(buf_str(&b), "new") == 0 || (r != 0 && strcmp(buf_str(&b), "old") == 0));
    strike_off(false);
    buf_done(&b);
    return r;
}

static int read_back(void)
{
    struct buf b;
    buf_init(&b, 64);
    int r = file_read(t.file, &b);
    assert_true(r != 0 || strcmp(buf_str(&b), "new") == 0);
    buf_done(&b);
    return r;
}

/* ---- settings ---- */

static int settled(void)
{
    struct setting s;
    struct conf *c = NULL;
    int r = conf_parse("t", BYTES_STR("name: gate\naddresses: [a, b]\n"), &table, &s, &c);
    assert_true(r != 0 || (strcmp(s.name, "gate") == 0 && s.hold == 2000 && s.addresses.n == 2));
    if (r >= 0)
        conf_free(c);
    return r;
}

static int mistaken(void)
{
    struct setting s;
    struct conf *c = NULL;
    int r = conf_parse("t", BYTES_STR("nam: gate\nhold: 2\n"), &table, &s, &c);
    if (r < 0)
        return r;
    assert_int_equal(r, CONF_BAD);
    bool told = strstr(conf_text(c), "did you mean \"name\"") != NULL; /* memory may be short for the text as well */
    conf_free(c);
    return told ? 0 : -ENOMEM;
}

/* ---- loop, queue, socket ---- */

static void on_tick(void *arg)
{
    loop_stop(t.loop, 0);
}

static void on_item(void *arg, uint32_t events)
{
    int item;
    while (queue_pop(t.q, &item) == 0)
        t.popped++;
}

static void on_call(void *arg, struct ctl_conn *c, int argc, char **argv)
{
    ctl_out(c, "%s says %s\n", "the daemon", argv[0]);
    ctl_exit(c, 0);
}

static int run_loop(void)
{
    int item = 1;
    assert_int_equal(queue_push(t.q, &item), 0);
    int r = loop_timer_set(t.timer, 1);
    return r != 0 ? r : loop_run(t.loop);
}

static void looped(void)
{
    STEP(loop_new(&t.loop));
    STEP(queue_new(sizeof(int), 4, &t.q));
    STEP(loop_io_new(t.loop, queue_fd(t.q), EPOLLIN, on_item, NULL, &t.io));
    STEP(loop_timer_new(t.loop, on_tick, NULL, &t.timer));
    STEP(ctl_listen(t.loop, t.sock, 0600, on_call, NULL, &t.ctl));
    STEP(run_loop());
    assert_true(t.popped > 0);
    ctl_free(t.ctl);
    loop_io_free(t.io);
    loop_timer_free(t.timer);
    loop_free(t.loop);
    queue_free(t.q);
}

int main(void)
{
    strike_promise();
    strike_off(true);
    log_init("torture", 0);
    tmp_dir(t.root, sizeof t.root);
    snprintf(t.file, sizeof t.file, "%s/file", t.root);
    snprintf(t.sock, sizeof t.sock, "%s/sock", t.root);
    assert_int_equal(file_write(t.file, BYTES_STR("old"), 0600), 0);
    strike_off(false);
    STEP(replaced());
    STEP(read_back());
    STEP(file_lock(t.file, &t.lock));
    close(t.lock);
    STEP(settled());
    STEP(mistaken());
    looped();
    strike_off(true);
    tmp_remove(t.root);
    return 0;
}

/* Both ends of the broker, without a gateway.
 *
 *   bench_mqtt sink HOST PORT CA CRT KEY ID RECORDS KEYFILE EPOCH [FILE]
 *       Takes the place of the cloud with the recipient's secret key (32 bytes in KEYFILE): acknowledges every upload
 *       with the MAC of its segment, until RECORDS of them are there; opens no record and stores nothing. Writes the
 *       first uploads, up to FILE_MAX bytes, to FILE.
 *   bench_mqtt listen HOST PORT CA CRT KEY ID RECORDS
 *       Hears bench/up until RECORDS records are there.
 *   bench_mqtt publish HOST PORT CA CRT KEY ID RECORDS FILE
 *       Publishes FILE's messages to bench/up over and over until RECORDS records are out: QoS 1, a window of 16
 *       counted in PUBACKs, the library's own loop.
 *
 * Each prints `ready` when it is subscribed (publish: nothing), and at the end `rate RECORDS MESSAGES NS`, from the
 * first message to the last. Sink and listener run the same code up to the ack. */
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "daemon/sender.h"
#include "tests/bench/bench.h"
#include "wire/ack.h"
#include "wire/topic.h"
#include "wire/upload.h"

#define FILE_MAX (16u << 20)
#define SEGMENTS 64

struct segment {
    uint8_t id[SEGID_LEN], ack_key[ACK_KEY_LEN];
    uint64_t next;
};

static struct {
    struct mosquitto *m;
    const char *topic;
    uint64_t want, records, messages, epoch;
    int64_t first, last;
    struct crypto_key *recipient;
    FILE *file;
    size_t written;
    struct segment segments[SEGMENTS];
    size_t n_segments;
    struct bytes *out; /* what publish publishes */
    uint64_t *out_records;
    size_t n_out, at;
    unsigned unacked;
} b;

static struct segment *segment_of(const struct upload *up)
{
    struct seg seg;
    struct seg_reader *reader = NULL;
    MUST(seg_parse(up->seg_signed, &seg));
    for (size_t i = 0; i < b.n_segments; i++)
        if (memcmp(b.segments[i].id, seg.id, SEGID_LEN) == 0)
            return &b.segments[i];
    if (b.n_segments == SEGMENTS)
        DIE("more than %d segments", SEGMENTS);
    struct segment *s = &b.segments[b.n_segments++];
    MUST(seg_reader_new(&seg, b.recipient, &reader));
    memcpy(s->id, seg.id, SEGID_LEN);
    memcpy(s->ack_key, seg_reader_ack_key(reader), ACK_KEY_LEN);
    seg_reader_free(reader);
    return s;
}

static void acknowledge(const char *topic_up, const struct segment *s)
{
    struct ack a = {.n = 1, .items = {{.epoch = b.epoch, .now = clock_real(), .next = s->next}}};
    uint8_t gw[GW_LEN];
    enum topic_leaf leaf;
    char topic[TOPIC_MAX];
    struct buf msg;
    memcpy(a.items[0].segid, s->id, SEGID_LEN);
    buf_init(&msg, ACK_MSG_MAX);
    MUST(topic_parse(topic_up, gw, &leaf));
    topic_make(gw, TOPIC_ACK, topic);
    MUST(ack_mac(s->ack_key, &a.items[0]));
    MUST(ack_encode(&a, &msg));
    MUST(mosquitto_publish(b.m, NULL, topic, (int)msg.len, msg.p, 1, false));
    buf_done(&msg);
}

static void keep(const struct mosquitto_message *msg)
{
    uint32_t n = (uint32_t)msg->payloadlen;
    if (b.written + n > FILE_MAX)
        return;
    if (fwrite(&n, sizeof n, 1, b.file) != 1 || fwrite(msg->payload, n, 1, b.file) != 1)
        DIE("cannot write the uploads");
    b.written += n;
}

static void on_message(struct mosquitto *m, void *arg, const struct mosquitto_message *msg)
{
    static struct upload up;
    (void)m, (void)arg;
    if (upload_decode(BYTES(msg->payload, (size_t)msg->payloadlen), &up) != 0)
        DIE("not an upload on %s", msg->topic);
    b.first = b.first ? b.first : now_ns();
    b.messages++;
    if (b.recipient) {
        struct segment *s = segment_of(&up);
        uint64_t end = up.first + up.n;
        if (up.first <= s->next && end > s->next) {
            b.records += end - s->next;
            s->next = end;
        }
        acknowledge(msg->topic, s);
        if (b.file)
            keep(msg);
    } else {
        b.records += up.n;
    }
    b.last = now_ns();
    if (b.records >= b.want)
        mosquitto_disconnect(b.m);
}

static void publish_next(void)
{
    while (b.unacked < SENDER_WINDOW && b.records < b.want) {
        const struct bytes *p = &b.out[b.at];
        MUST(mosquitto_publish(b.m, NULL, b.topic, (int)p->n, p->p, 1, false));
        b.records += b.out_records[b.at];
        b.at = (b.at + 1) % b.n_out;
        b.messages++;
        b.unacked++;
    }
}

static void on_publish(struct mosquitto *m, void *arg, int mid)
{
    (void)m, (void)arg, (void)mid;
    b.last = now_ns();
    if (!b.out)
        return;
    b.unacked--;
    publish_next();
    if (b.unacked == 0)
        mosquitto_disconnect(b.m);
}

static void on_connect(struct mosquitto *m, void *arg, int rc)
{
    (void)arg;
    if (rc != 0)
        DIE("connect: %s", mosquitto_connack_string(rc));
    if (b.out) {
        b.first = now_ns();
        publish_next();
    } else {
        MUST(mosquitto_subscribe(m, NULL, b.topic, 1));
    }
}

static void on_subscribe(struct mosquitto *m, void *arg, int mid, int n, const int *qos)
{
    (void)m, (void)arg, (void)mid;
    if (n < 1 || qos[0] != 1)
        DIE("the subscription is refused");
    puts("ready");
}

static void load_key(const char *path)
{
    struct buf key;
    buf_init(&key, CRYPTO_KEY + 1);
    MUST(file_read(path, &key));
    if (key.len != CRYPTO_KEY)
        DIE("%s: not a secret key", path);
    MUST(crypto_key_import(CRYPTO_ECDH, key.p, &b.recipient));
    buf_wipe(&key);
}

static void load_messages(const char *path)
{
    static struct upload up;
    struct buf all;
    buf_init(&all, 2 * FILE_MAX);
    MUST(file_read(path, &all));
    b.out = calloc(all.len / 64 + 1, sizeof *b.out);
    b.out_records = calloc(all.len / 64 + 1, sizeof *b.out_records);
    for (size_t at = 0; at + sizeof(uint32_t) < all.len;) {
        uint32_t n;
        memcpy(&n, all.p + at, sizeof n);
        at += sizeof n;
        b.out[b.n_out] = BYTES(all.p + at, n);
        MUST(upload_decode(b.out[b.n_out], &up));
        b.out_records[b.n_out++] = up.n;
        at += n;
    }
    if (b.n_out == 0)
        DIE("%s: no messages", path);
}

static void dial(char **argv)
{
    mosquitto_lib_init();
    b.m = mosquitto_new(argv[7], true, NULL);
    if (!b.m)
        DIE("no memory");
    MUST(mosquitto_int_option(b.m, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5));
    MUST(mosquitto_int_option(b.m, MOSQ_OPT_TCP_NODELAY, 1));
    MUST(mosquitto_int_option(b.m, MOSQ_OPT_SEND_MAXIMUM, b.out ? SENDER_WINDOW : 65535));
    MUST(mosquitto_tls_set(b.m, argv[4], NULL, argv[5], argv[6], NULL));
    mosquitto_connect_callback_set(b.m, on_connect);
    mosquitto_subscribe_callback_set(b.m, on_subscribe);
    mosquitto_message_callback_set(b.m, on_message);
    mosquitto_publish_callback_set(b.m, on_publish);
    MUST(mosquitto_connect(b.m, argv[2], (int)number(argv[3]), 30));
}

int main(int argc, char **argv)
{
    if (argc < 9)
        DIE("usage: bench_mqtt sink|listen|publish HOST PORT CA CRT KEY ID RECORDS ...");
    setvbuf(stdout, NULL, _IOLBF, 0);
    MUST(crypto_init());
    b.want = number(argv[8]);
    b.topic = "bench/up";
    if (strcmp(argv[1], "sink") == 0 && argc >= 11) {
        b.topic = "punch/v1/+/+/up";
        load_key(argv[9]);
        b.epoch = number(argv[10]);
        b.file = argc > 11 ? fopen(argv[11], "wb") : NULL;
    } else if (strcmp(argv[1], "publish") == 0 && argc == 10) {
        load_messages(argv[9]);
    } else if (strcmp(argv[1], "listen") != 0) {
        DIE("unknown role %s", argv[1]);
    }
    dial(argv);
    int rc = mosquitto_loop_forever(b.m, 1000, 1);
    if (rc != MOSQ_ERR_SUCCESS || b.records < b.want)
        DIE("%s: %s", argv[1], mosquitto_strerror(rc));
    printf("rate %llu %llu %lld\n", (unsigned long long)b.records, (unsigned long long)b.messages,
           (long long)(b.last - b.first));
    if (b.file && fclose(b.file) != 0)
        DIE("cannot write the uploads");
    return 0;
}

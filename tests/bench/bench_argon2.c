/* libargon2 alone: `bench_argon2 KIB PASSES LANES THREADS SECONDS` hashes on so many threads for so long and prints
 * `hashes N seconds S`. */
#include <argon2.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/bench/bench.h"

static uint32_t kib, passes, lanes;
static int64_t until;
static atomic_ullong done;

static void *run(void *arg)
{
    uint8_t salt[16] = {0}, out[32];
    (void)arg;
    while (now_ns() < until) {
        MUST(argon2id_hash_raw(passes, kib, lanes, "correct-Horse-7 staple", 22, salt, sizeof salt, out, sizeof out));
        salt[0]++;
        atomic_fetch_add(&done, 1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t t[64];
    if (argc != 6)
        DIE("usage: bench_argon2 KIB PASSES LANES THREADS SECONDS");
    kib = (uint32_t)number(argv[1]);
    passes = (uint32_t)number(argv[2]);
    lanes = (uint32_t)number(argv[3]);
    size_t n = number(argv[4]);
    if (n == 0 || n > 64)
        DIE("1 to 64 threads");
    int64_t began = now_ns();
    until = began + (int64_t)number(argv[5]) * 1000000000;
    for (size_t i = 0; i < n; i++)
        MUST(pthread_create(&t[i], NULL, run, NULL));
    for (size_t i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    printf("hashes %llu seconds %.3f\n", (unsigned long long)atomic_load(&done), (double)(now_ns() - began) / 1e9);
    return 0;
}

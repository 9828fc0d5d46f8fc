/* Statuses as they come, and, so that the fuzzer gets behind the COSE frame, the input as a payload in a good one. */
#include <string.h>

#include "wire/cbor.h"
#include "wire/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void framed(const uint8_t *data, size_t size)
{
    static const uint8_t prot[] = {0xa2, 0x01, 0x26, 0x04, 0x48, 1, 2, 3, 4, 5, 6, 7, 8}, sig[CRYPTO_SIG];
    static uint8_t mem[STATUS_MSG_MAX];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct status s;
    struct cose c;

    cbor_put_array(&w, 4);
    cbor_put_bytes(&w, BYTES(prot, sizeof prot));
    cbor_put_map(&w, 0);
    cbor_put_bytes(&w, BYTES(data, size));
    cbor_put_bytes(&w, BYTES(sig, sizeof sig));
    if (w.bad)
        return;
    ASSERT(cose_parse(BYTES(mem, w.len), &c) == 0);
    ASSERT(bytes_equal(c.payload, BYTES(data, size)));
    if (status_decode(BYTES(mem, w.len), NULL, &s) == 0)
        ASSERT(s.n_rkids <= STATUS_RKIDS_MAX && s.gen >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct status s;

    (void)status_decode(BYTES(data, size), NULL, &s);
    framed(data, size);
    return 0;
}

/* libmodbus alone: reads coil 1016 of unit 1 every PERIOD ms, as the gateway does with profile inveo-rfid-ind, and does
 * nothing else. `bench_poll HOST PORT PERIOD` prints `ready` and runs until it is killed. */
#include <modbus.h>

#include "tests/bench/bench.h"

int main(int argc, char **argv)
{
    uint8_t flag;
    if (argc != 4)
        DIE("usage: bench_poll HOST PORT PERIOD");
    modbus_t *m = modbus_new_tcp(argv[1], (int)number(argv[2]));
    if (!m || modbus_connect(m) != 0)
        DIE("no Modbus server there");
    modbus_set_slave(m, 1);
    puts("ready");
    fflush(stdout);
    for (int64_t at = now_ns(), period = (int64_t)number(argv[3]) * 1000000;; at += period) {
        sleep_until(at);
        if (modbus_read_bits(m, 1016, 1, &flag) != 1)
            DIE("%s", modbus_strerror(errno));
    }
}

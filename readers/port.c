/* The serial line; see port.h. Not here: frames of any protocol, and re-opening, which is bus.c's. */
#include "readers/port.h"

#include <fcntl.h>
#include <libserialport.h>
#include <linux/serial.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"

/* Unix98 pty slaves, Documentation/admin-guide/devices.txt of the kernel. */
#define PTY_MAJOR_FIRST 136
#define PTY_MAJOR_LAST 143

static const struct {
    unsigned baud;
    speed_t speed;
} speeds[] = {
    {1200, B1200},   {2400, B2400},     {4800, B4800},     {9600, B9600},     {19200, B19200},   {38400, B38400},
    {57600, B57600}, {115200, B115200}, {230400, B230400}, {460800, B460800}, {921600, B921600},
};

static bool speed_of(uint64_t baud, speed_t *ret_speed)
{
    for (size_t i = 0; i < ARRAY_LEN(speeds); i++) {
        if (speeds[i].baud == baud) {
            *ret_speed = speeds[i].speed;
            return true;
        }
    }
    return false;
}

bool port_baud_known(uint64_t baud)
{
    speed_t speed;
    return speed_of(baud, &speed);
}

uint64_t port_char_ns(uint64_t baud, enum port_frame frame)
{
    uint64_t bits = frame == PORT_8N1 ? 10 : 11;
    return bits * 1000000000u / (baud ? baud : 9600);
}

int port_usb_parse(const char *usb, int *ret_vendor, int *ret_product, const char **ret_serial)
{
    char hex[5] = "";
    uint8_t id[2][2];
    size_t n = strlen(usb);

    if (n < 9 || usb[4] != ':' || (n > 9 && (usb[9] != ':' || n == 10)))
        return -EINVAL;
    for (size_t i = 0; i < 2; i++) {
        memcpy(hex, usb + 5 * i, 4);
        if (str_unhex(hex, id[i], 2) < 0)
            return -EINVAL;
    }
    *ret_vendor = id[0][0] << 8 | id[0][1];
    *ret_product = id[1][0] << 8 | id[1][1];
    *ret_serial = n > 9 ? usb + 10 : NULL;
    return 0;
}

static bool usb_matches(const struct sp_port *p, int vendor, int product, const char *serial)
{
    int v = 0, d = 0;

    if (sp_get_port_transport(p) != SP_TRANSPORT_USB || sp_get_port_usb_vid_pid(p, &v, &d) != SP_OK)
        return false;
    if (v != vendor || d != product)
        return false;
    const char *have = serial ? sp_get_port_usb_serial(p) : NULL;
    return !serial || (have && strcmp(have, serial) == 0);
}

int port_usb_find(const char *usb, char *ret_path, size_t size)
{
    int vendor, product;
    const char *serial;
    struct sp_port **ports = NULL;
    int r = port_usb_parse(usb, &vendor, &product, &serial);

    if (r < 0)
        return r;
    if (sp_list_ports(&ports) != SP_OK)
        return LINK_ABSENT; /* no /sys/class/tty to list: there is nothing to find then */
    r = LINK_ABSENT;
    for (size_t i = 0; ports[i] && r == LINK_ABSENT; i++)
        if (usb_matches(ports[i], vendor, product, serial))
            r = str_copy(ret_path, size, sp_get_port_name(ports[i]));
    sp_free_port_list(ports);
    return r;
}

static bool is_pty(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return false;
    return major(st.st_rdev) >= PTY_MAJOR_FIRST && major(st.st_rdev) <= PTY_MAJOR_LAST;
}

static void set_frame(struct termios *t, enum port_frame frame)
{
    t->c_cflag &= ~(tcflag_t)(CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS);
    t->c_cflag |= CS8 | CREAD | CLOCAL;
    if (frame == PORT_8E1 || frame == PORT_8O1)
        t->c_cflag |= PARENB;
    if (frame == PORT_8O1)
        t->c_cflag |= PARODD;
    if (frame == PORT_8N2)
        t->c_cflag |= CSTOPB;
    /* With INPCK and neither IGNPAR nor PARMRK a character of wrong parity reads as 0: the frame's check fails. */
    if (t->c_cflag & PARENB)
        t->c_iflag |= INPCK;
}

static int set_line(int fd, const struct port_settings *s)
{
    struct termios t;
    speed_t speed;

    if (!speed_of(s->baud, &speed))
        return -EINVAL;
    if (tcgetattr(fd, &t) < 0)
        return -errno; /* ENOTTY: a file or a folder, not a line */
    cfmakeraw(&t);
    set_frame(&t, s->frame);
    /* One byte at least: with 0 a read of nothing returns 0, which could not be told from a hang-up. */
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    if (cfsetispeed(&t, speed) < 0 || cfsetospeed(&t, speed) < 0)
        return -errno;
    /* A pty has no parity: its driver clears the bit, which some C libraries report as EINVAL. */
    if (tcsetattr(fd, TCSANOW, &t) < 0 && !(errno == EINVAL && is_pty(fd)))
        return -errno;
    return tcflush(fd, TCIOFLUSH) < 0 ? -errno : 0;
}

/* The kernel's UART driver holds the transmitter on exactly while it sends, which no program can do in time. Most
 * USB adapters switch by themselves and do not know the call. */
static enum port_rs485 set_rs485(int fd)
{
    struct serial_rs485 rs = {.flags = 0};

    if (ioctl(fd, TIOCGRS485, &rs) < 0)
        return PORT_RS485_UNKNOWN;
    rs.flags |= SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND;
    rs.flags &= ~(unsigned)(SER_RS485_RTS_AFTER_SEND | SER_RS485_RX_DURING_TX);
    return ioctl(fd, TIOCSRS485, &rs) < 0 ? PORT_RS485_UNKNOWN : PORT_RS485_ON;
}

static bool says_absent(int e)
{
    return e == ENOENT || e == ENXIO || e == ENODEV || e == EIO || e == ENOTDIR;
}

static int set_up(int fd, const struct port_settings *s, enum port_rs485 *ret_rs485)
{
    int r = set_line(fd, s);

    if (r < 0)
        return says_absent(-r) ? LINK_ABSENT : r;
    /* Keeps ModemManager and the like away. Not on a pty, where the mark would outlive a killed owner for as long as
     * the other end is open, and lock us out ourselves. */
    if (!is_pty(fd) && ioctl(fd, TIOCEXCL) < 0)
        return -errno;
    *ret_rs485 = s->rs485 ? set_rs485(fd) : PORT_RS485_NOT_ASKED;
    return 0;
}

int port_open(const struct port_settings *s, int *ret_fd, enum port_rs485 *ret_rs485)
{
    char found[256];
    const char *path = s->serial;
    int r;

    if (!path) {
        r = port_usb_find(s->usb, found, sizeof(found));
        if (r != 0)
            return r;
        path = found;
    }
    int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return says_absent(errno) ? LINK_ABSENT : -errno;
    r = set_up(fd, s, ret_rs485);
    if (r != 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

/* ---- the link of a device that speaks by itself ---- */

struct port_link {
    struct link link; /* first: a link is cast to its port */
    struct port_settings s;
    int fd;
};

static struct port_link *of(struct link *l)
{
    return (struct port_link *)l;
}

static int link_open(struct link *l)
{
    enum port_rs485 rs485;
    return port_open(&of(l)->s, &of(l)->fd, &rs485);
}

static void link_close(struct link *l)
{
    error_closep(&of(l)->fd);
    of(l)->fd = -1;
}

static void link_free(struct link *l)
{
    link_close(l);
    free(l);
}

static int link_fd(const struct link *l)
{
    return ((const struct port_link *)l)->fd;
}

static const struct link_ops port_link_ops = {
    .name = "serial", .open = link_open, .close = link_close, .free = link_free, .fd = link_fd};

int port_link_new(const struct port_settings *s, struct link **ret_link)
{
    struct port_link *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    *p = (struct port_link){.link.ops = &port_link_ops, .s = *s, .fd = -1};
    *ret_link = &p->link;
    return 0;
}

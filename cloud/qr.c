/* QR codes; see qr.h. */
#include "cloud/qr.h"

#include <qrencode.h>

#include "base/crypto.h"

#define QUIET 4

/* A row's runs of dark modules as one path: M x y h length v1 h-length z */
static void add_row(struct buf *b, const unsigned char *row, int width, int y)
{
    for (int x = 0; x < width; x++) {
        int n = 0;
        while (x + n < width && (row[x + n] & 1))
            n++;
        if (n > 0)
            buf_addf(b, "M%d %dh%dv1h-%dz", x + QUIET, y + QUIET, n, n);
        x += n;
    }
}

int qr_svg(const char *text, struct buf *ret_svg)
{
    QRcode *q = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
    if (!q)
        return errno == ENOMEM ? -ENOMEM : -EINVAL;
    int side = q->width + 2 * QUIET;
    buf_addf(ret_svg,
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\">"
             "<path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/><path d=\"",
             side, side, side, side);
    for (int y = 0; y < q->width; y++)
        add_row(ret_svg, q->data + (size_t)y * (size_t)q->width, q->width, y);
    buf_addf(ret_svg, "\"/></svg>");
    crypto_wipe(q->data, (size_t)q->width * (size_t)q->width);
    QRcode_free(q);
    return ret_svg->failed ? -ENOBUFS : 0;
}

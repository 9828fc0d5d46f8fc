/* A table from elsewhere: whatever it is, rows stay within their limits, lines only ever rise, and it ends. */
#include <string.h>

#include "cloud/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csv c;
    static struct csv_row row;
    size_t line = 0;
    enum csv_outcome r;
    csv_init(&c, BYTES(data, size));
    while ((r = csv_next(&c, &row)) != CSV_END) {
        ASSERT(c.line > line && c.line <= size + 1);
        line = c.line;
        for (size_t i = 0; r == CSV_ROW && i < row.n; i++)
            ASSERT(row.fields[i] >= row.text && row.fields[i] + strlen(row.fields[i]) < row.text + CSV_ROW_MAX);
        ASSERT(r != CSV_ROW || (row.n >= 1 && row.n <= CSV_FIELDS_MAX));
    }
    return 0;
}

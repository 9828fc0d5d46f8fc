#include "base/memory.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* A window of uploads, once more in libmosquitto: with less, a drain would ask the kernel for their pages and give them
 * back for each of them. */
#define HEAP_PAD (2 << 20)

void memory_one_heap(void)
{
    mallopt(M_ARENA_MAX, 1);      /* NOLINT(concurrency-mt-unsafe): there is one thread yet */
    mallopt(M_TOP_PAD, HEAP_PAD); /* NOLINT(concurrency-mt-unsafe) */
}

/* Read-only segments are never changed, so dropping them loses nothing. (Relocated ones are writable in their headers,
 * whatever their protection is now.) */
static int release_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
    uintptr_t page = *(const uintptr_t *)arg;
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || (p->p_flags & PF_W) != 0)
            continue;
        uintptr_t from = (info->dlpi_addr + p->p_vaddr) / page * page, to = info->dlpi_addr + p->p_vaddr + p->p_memsz;
        if (to > from)
            madvise((void *)from, to - from,
                    MADV_DONTNEED); /* NOLINT(performance-no-int-to-ptr): the loader's numbers */
    }
    return 0;
}

void memory_release(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    malloc_trim(0);
    dl_iterate_phdr(release_segments, &page);
}

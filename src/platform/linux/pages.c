/* pages.c: memory by the page; see pages.h. */
#include "platform/pages.h"

#include "base/bytes.h"

#include <sys/mman.h>
#include <unistd.h>

void *pages_map(uint64_t bytes, struct sm_error *err)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        fail_os(err, "map %llu MiB of memory",
                (unsigned long long)(bytes / MIB));
        return NULL;
    }
    return at;
}

void pages_unmap(void *at, uint64_t bytes)
{
    munmap(at, bytes);
}

void pages_discard(void *at, uint64_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = align_up((uintptr_t)at, page);
    uintptr_t end = align_down((uintptr_t)at + bytes, page);

    /* Fails only for ranges that are not mapped: a bug of the caller. */
    if (first < end)
        madvise((void *)first, end - first, MADV_DONTNEED);
}

/* pages.c: memory by the page; see pages.h. */
#include "platform/pages.h"

#include "base/bits.h"
#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* An entry of /proc/self/pagemap (pagemap.rst of Linux): one u64 per page. */
enum { PAGEMAP_AT_ONCE = 4096, LOOK_AT_ONCE = 64 };
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
#define PAGEMAP_FILE    (UINT64_C(1) << 61) /* or shared: not a page of ours */

uint64_t pages_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static void *map(uint64_t bytes, int flags, int fd, uint64_t offset,
                 struct sm_error *err)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_NORESERVE | flags, fd, (off_t)offset);

    if (at == MAP_FAILED) {
        fail_os(err, "map %llu MiB of memory",
                (unsigned long long)(bytes / MIB));
        return NULL;
    }
    return at;
}

void *pages_map(uint64_t bytes, struct sm_error *err)
{
    return map(bytes, MAP_ANONYMOUS, -1, 0, err);
}

void *pages_map_copy(uint64_t bytes, int fd, uint64_t offset,
                     struct sm_error *err)
{
    return map(bytes, 0, fd, offset, err);
}

int pages_map_over(void *at, uint64_t bytes, int fd, uint64_t offset,
                   struct sm_error *err)
{
    if (mmap(at, bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd,
             (off_t)offset) == MAP_FAILED)
        return fail_os(err, "map %llu KiB of memory",
                       (unsigned long long)(bytes / KIB));
    return 0;
}

void pages_unmap(void *at, uint64_t bytes)
{
    munmap(at, bytes);
}

/* The whole pages inside of a range. */
static uint64_t inside(void *at, uint64_t bytes, void **ret)
{
    uintptr_t page = (uintptr_t)pages_size();
    uintptr_t first = align_up((uintptr_t)at, page);
    uintptr_t end = align_down((uintptr_t)at + bytes, page);

    *ret = (void *)first;
    return first < end ? end - first : 0;
}

void pages_discard(void *at, uint64_t bytes)
{
    void *first;
    uint64_t count = inside(at, bytes, &first);

    /* Fails only for ranges that are not mapped: a bug of the caller. */
    if (count)
        madvise(first, count, MADV_DONTNEED);
}

/* MADV_DONTNEED would bring the file's bytes back. A fresh mapping in place of
 * this one; where there may be no more mappings, the pages stay, as zeros. */
void pages_discard_copy(void *at, uint64_t bytes)
{
    void *first;
    uint64_t count = inside(at, bytes, &first);

    if (count && mmap(first, count, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS | MAP_FIXED,
                      -1, 0) == MAP_FAILED)
        memset(first, 0, count);
}

void pages_prepare(void *at, uint64_t bytes)
{
    /* Linux 5.14; before, the pages come one by one. */
    madvise(at, bytes, MADV_POPULATE_WRITE);
}

void pages_leave_out(void *at, uint64_t bytes, bool leave_out)
{
    /* Fails only for ranges that are not mapped: a bug of the caller. */
    madvise(at, bytes, leave_out ? MADV_DONTFORK : MADV_DOFORK);
}

static bool is_used(uint64_t entry)
{
    return entry & PAGEMAP_SWAPPED ||
           (entry & PAGEMAP_PRESENT && !(entry & PAGEMAP_FILE));
}

/* Most memory was never touched: one look at many entries passes over it. */
static void add_used(const uint64_t *entry, uint64_t count, uint64_t *used,
                     uint64_t first)
{
    for (uint64_t i = 0; i < count; i += LOOK_AT_ONCE) {
        uint64_t end = min_u64(count, i + LOOK_AT_ONCE);
        uint64_t any = 0;

        for (uint64_t j = i; j < end; j++)
            any |= entry[j];
        if (!(any & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)))
            continue;
        for (uint64_t j = i; j < end; j++)
            if (is_used(entry[j]))
                bits_add(used, first + j);
    }
}

int pages_used(const void *at, uint64_t count, uint64_t *used, uint64_t first,
               struct sm_error *err)
{
    AUTO_CLOSE int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t place = (uintptr_t)at / pages_size();
    uint64_t entry[PAGEMAP_AT_ONCE];

    if (fd < 0)
        return fail_os(err, "/proc/self/pagemap");
    for (uint64_t done = 0; done < count;) {
        uint64_t now = min_u64(count - done, PAGEMAP_AT_ONCE);
        int rc = file_read_at(fd, entry, now * sizeof entry[0],
                              (place + done) * sizeof entry[0], err);

        if (rc)
            return wrap(err, rc, "/proc/self/pagemap");
        add_used(entry, now, used, first + done);
        done += now;
    }
    return 0;
}

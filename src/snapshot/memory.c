/* memory.c: the memory file of a snapshot; see snapshot.h. */
#include "snapshot/snapshot.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"
#include "platform/pages.h"

#include <stdlib.h>
#include <string.h>

/* Pages that are looked at, and written, in one go. */
enum { PAGES_AT_ONCE = 2048 };

static bool is_zero(const uint8_t *page, size_t bytes)
{
    /* Equal to itself one byte further on: all bytes are the first one. */
    return page[0] == 0 && memcmp(page, page + 1, bytes - 1) == 0;
}

/* One piece of a region. What nobody touched is zero: not even looked at. A
 * page of a copied region may be the file's, which nothing here knows. */
static int write_piece(const struct gmem_region *region, uint64_t at,
                       uint64_t pages, int fd, uint64_t offset,
                       uint64_t *written, struct sm_error *err)
{
    size_t page = (size_t)pages_size();
    const uint8_t *host = region->host + at;
    bool used[PAGES_AT_ONCE];
    uint64_t first = 0;
    int rc = 0;

    if (region->copied)
        memset(used, true, sizeof used);
    else
        rc = pages_used(host, pages, used, err);
    while (!rc && first < pages) {
        uint64_t end = first;

        while (end < pages && used[end] && !is_zero(host + end * page, page))
            end++;
        if (end > first) {
            rc = file_write_at(fd, host + first * page, (end - first) * page,
                               offset + at + first * page, err);
            *written += (end - first) * page;
        }
        first = end + 1;
    }
    return rc;
}

static int write_region(const struct gmem_region *region, int fd,
                        uint64_t offset, uint64_t *written,
                        struct sm_error *err)
{
    uint64_t page = pages_size();
    int rc = 0;

    for (uint64_t at = 0; !rc && at < region->bytes;
         at += PAGES_AT_ONCE * page) {
        uint64_t pages = min_u64((region->bytes - at) / page, PAGES_AT_ONCE);

        rc = write_piece(region, at, pages, fd, offset, written, err);
    }
    return rc;
}

int snapshot_write_memory(const struct gmem *mem, int fd, uint64_t *ret_bytes,
                          struct sm_error *err)
{
    uint64_t offset = 0;
    uint64_t written = 0;
    int rc = file_set_size(fd, gmem_total_bytes(mem), err);

    for (unsigned i = 0; !rc && i < mem->count; i++) {
        rc = write_region(&mem->region[i], fd, offset, &written, err);
        offset += mem->region[i].bytes;
    }
    if (rc)
        return wrap(err, rc, "memory of the snapshot");
    *ret_bytes = written;
    return 0;
}

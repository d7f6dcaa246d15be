/* hot.c: what a machine writes to first; see snapshot.h. */
#include "snapshot/snapshot.h"

#include "base/bits.h"
#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"
#include "platform/pages.h"

#include <stdlib.h>
#include <string.h>

enum { MAGIC_BYTES = 8, RANGE_BYTES = 16, PAGES_AT_ONCE = 4096 };

static const char magic[MAGIC_BYTES] = {'S', 'M', 'H', 'O', 'T', 0, 0, 0};

/* Ranges found so far; the last one may still grow. */
struct ranges {
    struct vm_range range[SNAPSHOT_HOT_MAX];
    size_t count;
    uint64_t bytes; /* of all together */
};

static void add_run(struct ranges *ranges, uint64_t at, uint64_t bytes)
{
    struct vm_range *last =
        ranges->count ? &ranges->range[ranges->count - 1] : NULL;

    ranges->bytes += bytes;
    if (last && last->at + last->bytes == at)
        last->bytes += bytes;
    else if (ranges->count < SNAPSHOT_HOT_MAX)
        ranges->range[ranges->count++] = (struct vm_range){at, bytes};
}

static int find_in_region(const struct gmem_region *region,
                          struct ranges *ranges, struct sm_error *err)
{
    uint64_t page = pages_size();
    uint64_t all = region->bytes / page;

    for (uint64_t at = 0; at < all; at += PAGES_AT_ONCE) {
        uint64_t now = min_u64(all - at, PAGES_AT_ONCE);
        uint64_t used[PAGES_AT_ONCE / 64] = {0};
        uint64_t first;
        uint64_t end = 0;
        int rc = pages_used(region->host + at * page, now, used, 0, err);

        while (!rc && (first = bits_find(used, end, now, true)) < now) {
            end = bits_find(used, first, now, false);
            add_run(ranges, region->at.v + (at + first) * page,
                    (end - first) * page);
        }
        if (rc)
            return rc;
    }
    return 0;
}

int snapshot_write_hot(const struct gmem *mem, int fd, struct sm_error *err)
{
    AUTO_FREE struct ranges *ranges = calloc(1, sizeof *ranges);
    struct buf file;
    int rc = 0;

    if (!ranges)
        return fail(err, SM_ENOMEM, "pages written to: out of memory");
    for (unsigned i = 0; !rc && i < mem->count; i++)
        if (mem->region[i].dropped)
            rc = find_in_region(&mem->region[i], ranges, err);
    if (!rc && ranges->bytes > SNAPSHOT_HOT_BYTES_MAX)
        rc = fail(err, SM_ELIMIT, "%llu bytes: at most %d",
                  (unsigned long long)ranges->bytes, SNAPSHOT_HOT_BYTES_MAX);
    if (rc)
        return wrap(err, rc, "pages written to");
    buf_init(&file, MAGIC_BYTES + SNAPSHOT_HOT_MAX * RANGE_BYTES);
    buf_append(&file, magic, sizeof magic);
    for (size_t i = 0; i < ranges->count; i++) {
        wire_put_u64(&file, ranges->range[i].at);
        wire_put_u64(&file, ranges->range[i].bytes);
    }
    rc = file.failed ? fail(err, SM_ENOMEM, "pages written to: out of memory")
                     : file_write_at(fd, file.data, file.size, 0, err);
    buf_done(&file);
    return rc;
}

int snapshot_read_hot(int fd, struct vm_range **ret, size_t *ret_count,
                      struct sm_error *err)
{
    AUTO_FREE struct vm_range *ranges = NULL;
    uint8_t bytes[RANGE_BYTES];
    uint64_t size;
    size_t count;
    int rc = file_size(fd, &size, err);

    if (!rc && (size < MAGIC_BYTES || (size - MAGIC_BYTES) % RANGE_BYTES))
        rc = fail(err, SM_EIMAGE, "pages written to: %llu bytes",
                  (unsigned long long)size);
    if (!rc && size > MAGIC_BYTES + SNAPSHOT_HOT_MAX * RANGE_BYTES)
        rc = fail(err, SM_ELIMIT, "pages written to: more than %d ranges",
                  SNAPSHOT_HOT_MAX);
    if (!rc)
        rc = file_read_at(fd, bytes, MAGIC_BYTES, 0, err);
    if (!rc && memcmp(bytes, magic, sizeof magic) != 0)
        rc = fail(err, SM_EIMAGE, "pages written to: not such a file");
    if (rc)
        return rc;
    count = (size - MAGIC_BYTES) / RANGE_BYTES;
    ranges = calloc(count + 1, sizeof *ranges);
    if (!ranges)
        return fail(err, SM_ENOMEM, "pages written to: out of memory");
    rc = file_read_at(fd, ranges, count * RANGE_BYTES, MAGIC_BYTES, err);
    for (size_t i = 0; i < count; i++) {
        memcpy(bytes, &ranges[i], RANGE_BYTES);
        ranges[i] = (struct vm_range){load_le64(bytes), load_le64(bytes + 8)};
    }
    *ret = own_take(ranges);
    *ret_count = count;
    return rc;
}

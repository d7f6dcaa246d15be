/* gmem.c: guest-physical memory; see gmem.h. */
#include "memory/gmem.h"

#include "base/bits.h"
#include "base/bytes.h"
#include "base/own.h"
#include "platform/file.h"
#include "platform/pages.h"

#include <assert.h>
#include <fcntl.h>

/* What a region is a multiple of. */
enum { PAGE_BYTES = 4096 };
/* Ranges of up to so many bytes are read, not mapped. */
enum { READ_MAX_BYTES = 16 << 10 };

void gmem_init(struct gmem *mem)
{
    *mem = (struct gmem){.image = {.fd = -1, .differential_fd = -1}};
}

static void drop_image(struct gmem_image *image)
{
    if (image->fd >= 0)
        close(image->fd);
    if (image->differential_fd >= 0)
        close(image->differential_fd);
    free((void *)(uintptr_t)image->range);
    *image = (struct gmem_image){.fd = -1, .differential_fd = -1};
}

/* Bytes of the set of a region's pages. */
static uint64_t set_bytes(uint64_t region_bytes)
{
    return bits_words(region_bytes / pages_size()) * sizeof(uint64_t);
}

void gmem_done(struct gmem *mem)
{
    for (unsigned i = 0; i < mem->count; i++) {
        struct gmem_region *region = &mem->region[i];

        if (!region->borrowed)
            pages_unmap(region->host, region->bytes);
        if (region->dropped)
            pages_unmap(region->dropped, set_bytes(region->bytes));
    }
    drop_image(&mem->image);
    gmem_init(mem);
}

static bool overlaps(const struct gmem_region *region, uint64_t first,
                     uint64_t end)
{
    return first < region->at.v + region->bytes && region->at.v < end;
}

/* May there be a region of (bytes) at (at)? */
static int check_place(const struct gmem *mem, struct gpa at, uint64_t bytes,
                       struct sm_error *err)
{
    uint64_t end;

    if (mem->count == GMEM_REGIONS_MAX)
        return fail(err, SM_ELIMIT, "guest memory: more than %d regions",
                    GMEM_REGIONS_MAX);
    if (!bytes || !is_aligned(at.v | bytes, PAGE_BYTES) ||
        !add_u64(at.v, bytes, &end))
        return fail(err, SM_EINVAL,
                    "guest memory: %#llx bytes at %#llx: not whole pages",
                    (unsigned long long)bytes, (unsigned long long)at.v);
    for (unsigned i = 0; i < mem->count; i++)
        if (overlaps(&mem->region[i], at.v, end))
            return fail(err, SM_EEXIST, "guest memory: %#llx is taken",
                        (unsigned long long)at.v);
    return 0;
}

/* Put a region in its place in the sorted table. */
static void insert(struct gmem *mem, struct gmem_region region)
{
    unsigned i = mem->count++;

    for (; i && mem->region[i - 1].at.v > region.at.v; i--)
        mem->region[i] = mem->region[i - 1];
    mem->region[i] = region;
}

int gmem_add_host(struct gmem *mem, struct gpa at, uint64_t bytes, void *host,
                  struct sm_error *err)
{
    int rc = check_place(mem, at, bytes, err);

    if (!rc)
        insert(mem,
               (struct gmem_region){
                   .at = at, .bytes = bytes, .host = host, .borrowed = true});
    return rc;
}

int gmem_add(struct gmem *mem, struct gpa at, uint64_t bytes,
             struct sm_error *err)
{
    void *host;
    int rc = check_place(mem, at, bytes, err);

    if (rc)
        return rc;
    host = pages_map(bytes, err);
    if (!host)
        return wrap(err, SM_ENOMEM, "guest memory");
    insert(mem, (struct gmem_region){.at = at, .bytes = bytes, .host = host});
    return 0;
}

/* What memory begins as --------------------------------------------------- */

int gmem_check_ranges(const struct gmem_range *range, size_t count,
                      struct sm_error *err)
{
    uint64_t end = 0;

    if (count > GMEM_RANGES_MAX)
        return fail(err, SM_ELIMIT, "guest memory: %zu ranges: at most %d",
                    count, GMEM_RANGES_MAX);
    for (size_t i = 0; i < count; i++) {
        uint64_t at = range[i].at;

        if (!range[i].bytes || !is_aligned(at | range[i].bytes, pages_size()) ||
            at < end || !add_u64(at, range[i].bytes, &end))
            return fail(err, SM_EIMAGE,
                        "guest memory: range %zu, %#llx bytes at %#llx: not "
                        "whole pages in ascending order",
                        i, (unsigned long long)range[i].bytes,
                        (unsigned long long)at);
    }
    return 0;
}

static int check_file(int fd, uint64_t bytes, struct sm_error *err)
{
    uint64_t size;
    int rc = file_size(fd, &size, err);

    if (!rc && size < bytes)
        rc = fail(err, SM_EIMAGE, "file of %llu bytes, %llu are needed",
                  (unsigned long long)size, (unsigned long long)bytes);
    return rc ? wrap(err, rc, "guest memory") : 0;
}

static int check_image(const struct gmem_image *image, struct sm_error *err)
{
    const struct gmem_range *last;
    int rc = check_file(image->fd, image->bytes, err);

    if (!rc)
        rc = gmem_check_ranges(image->range, image->count, err);
    if (rc || !image->count)
        return rc;
    last = &image->range[image->count - 1];
    if (last->at + last->bytes > image->bytes)
        return fail(err, SM_EIMAGE,
                    "guest memory: ranges to %#llx of %#llx bytes",
                    (unsigned long long)(last->at + last->bytes),
                    (unsigned long long)image->bytes);
    if (image->differential_fd < 0)
        return fail(err, SM_EIMAGE, "guest memory: the second file is missing");
    return check_file(image->differential_fd, image->bytes, err);
}

static int copy_fd(int fd, int *ret, struct sm_error *err)
{
    *ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return *ret < 0 ? fail_os(err, "guest memory: duplicate a descriptor") : 0;
}

static void *copy_list(const void *list, size_t bytes)
{
    void *copy = malloc(bytes);

    return copy ? memcpy(copy, list, bytes) : NULL;
}

int gmem_set_image(struct gmem *mem, const struct gmem_image *image,
                   struct sm_error *err)
{
    struct gmem_image own = {
        .fd = -1, .differential_fd = -1, .bytes = image->bytes};
    size_t list_bytes = image->count * sizeof image->range[0];
    int rc = check_image(image, err);

    if (!rc)
        rc = copy_fd(image->fd, &own.fd, err);
    if (!rc && image->count) {
        rc = copy_fd(image->differential_fd, &own.differential_fd, err);
        own.range = copy_list(image->range, list_bytes);
        own.count = image->count;
        if (!rc && !own.range)
            rc = fail(err, SM_ENOMEM, "guest memory: out of memory");
    }
    if (rc)
        drop_image(&own);
    else
        mem->image = own;
    return rc;
}

/* A mapping costs as much as some pages that are read, each splits the one that
 * it lies in, and what a machine wrote to before, it soon does again: small
 * ranges are read. */
static int fetch(int fd, void *host, uint64_t bytes, uint64_t at,
                 struct sm_error *err)
{
    return bytes <= READ_MAX_BYTES
               ? file_read_at(fd, host, (size_t)bytes, at, err)
               : pages_map_over(host, bytes, fd, at, err);
}

/* The part of the differential that lies in [offset, offset + bytes) of the
 * memory, which is mapped at (host). */
static int fetch_ranges(const struct gmem_image *image, uint8_t *host,
                        uint64_t offset, uint64_t bytes, struct sm_error *err)
{
    int rc = 0;

    for (size_t i = 0; !rc && i < image->count; i++) {
        const struct gmem_range *range = &image->range[i];
        uint64_t first = range->at < offset ? offset : range->at;
        uint64_t end = min_u64(range->at + range->bytes, offset + bytes);

        if (first < end)
            rc = fetch(image->differential_fd, host + (first - offset),
                       end - first, first, err);
    }
    return rc;
}

static int map_image(const struct gmem_image *image, uint64_t offset,
                     uint64_t bytes, uint8_t **ret, struct sm_error *err)
{
    uint8_t *host = pages_map_copy(bytes, image->fd, offset, err);
    int rc = host ? fetch_ranges(image, host, offset, bytes, err) : SM_ENOMEM;

    if (rc && host)
        pages_unmap(host, bytes);
    *ret = host;
    return rc ? wrap(err, rc, "guest memory") : 0;
}

int gmem_add_copy(struct gmem *mem, struct gpa at, uint64_t bytes,
                  struct sm_error *err)
{
    uint64_t offset = gmem_total_bytes(mem);
    uint64_t *dropped;
    uint8_t *host;
    int rc = check_place(mem, at, bytes, err);

    if (rc)
        return rc;
    assert(!mem->count || mem->region[mem->count - 1].at.v < at.v);
    if (mem->image.fd < 0 || offset > mem->image.bytes ||
        bytes > mem->image.bytes - offset)
        return fail(err, SM_EINVAL, "guest memory: its image has no more");
    rc = map_image(&mem->image, offset, bytes, &host, err);
    if (rc)
        return rc;
    dropped = pages_map(set_bytes(bytes), err);
    if (!dropped) {
        pages_unmap(host, bytes);
        return wrap(err, SM_ENOMEM, "guest memory");
    }
    insert(mem,
           (struct gmem_region){
               .at = at, .bytes = bytes, .host = host, .dropped = dropped});
    return 0;
}

uint64_t gmem_total_bytes(const struct gmem *mem)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < mem->count; i++)
        total += mem->region[i].bytes;
    return total;
}

static const struct gmem_region *region_of(const struct gmem *mem,
                                           struct gpa at, uint64_t bytes)
{
    for (unsigned i = 0; i < mem->count; i++) {
        const struct gmem_region *region = &mem->region[i];
        uint64_t offset = at.v - region->at.v;

        if (at.v >= region->at.v && offset <= region->bytes &&
            bytes <= region->bytes - offset && offset < region->bytes)
            return region;
    }
    return NULL;
}

void *gmem_span(const struct gmem *mem, struct gpa at, uint64_t bytes)
{
    const struct gmem_region *region = region_of(mem, at, bytes);

    return region ? region->host + (at.v - region->at.v) : NULL;
}

bool gmem_valid(const struct gmem *mem, struct gpa at, uint64_t bytes)
{
    return gmem_span(mem, at, bytes) != NULL;
}

bool gmem_read(const struct gmem *mem, struct gpa from, void *to,
               uint64_t bytes)
{
    const void *host = gmem_span(mem, from, bytes);

    if (host && bytes)
        memcpy(to, host, bytes);
    /* Whoever inlines this must look at the copy, not at the guest's memory
     * once more: the compiler may not take them for the same. */
    __asm__ volatile("" : : "r"(to) : "memory");
    return host != NULL;
}

bool gmem_write(const struct gmem *mem, struct gpa to, const void *from,
                uint64_t bytes)
{
    void *host = gmem_span(mem, to, bytes);

    if (host && bytes)
        memcpy(host, from, bytes);
    return host != NULL;
}

bool gmem_zero(const struct gmem *mem, struct gpa at, uint64_t bytes)
{
    void *host = gmem_span(mem, at, bytes);

    if (host)
        memset(host, 0, bytes);
    return host != NULL;
}

bool gmem_load16(const struct gmem *mem, struct gpa at, uint16_t *value)
{
    uint16_t *host = gmem_span(mem, at, sizeof *host);
    uint16_t raw;

    if (!host || !is_aligned(at.v, sizeof *host))
        return false;
    raw = __atomic_load_n(host, __ATOMIC_ACQUIRE);
    *value = load_le16(&raw);
    return true;
}

bool gmem_store16(const struct gmem *mem, struct gpa at, uint16_t value)
{
    uint16_t *host = gmem_span(mem, at, sizeof *host);
    uint16_t raw;

    if (!host || !is_aligned(at.v, sizeof *host))
        return false;
    store_le16(&raw, value);
    __atomic_store_n(host, raw, __ATOMIC_RELEASE);
    return true;
}

/* The whole pages inside of [offset, offset + bytes) of (region) are zero from
 * now on, and not what the image has. Devices on different threads may share a
 * word of the set. */
static void note_dropped(const struct gmem_region *region, uint64_t offset,
                         uint64_t bytes)
{
    uint64_t page = pages_size();
    uint64_t end = (offset + bytes) / page;

    for (uint64_t n = align_up(offset, page) / page; n < end; n++)
        __atomic_fetch_or(&region->dropped[n / 64], UINT64_C(1) << n % 64,
                          __ATOMIC_RELAXED);
}

bool gmem_discard(const struct gmem *mem, struct gpa at, uint64_t bytes)
{
    const struct gmem_region *region = region_of(mem, at, bytes);
    uint8_t *host = gmem_span(mem, at, bytes);

    if (region && region->dropped) {
        note_dropped(region, at.v - region->at.v, bytes);
        pages_discard_copy(host, bytes);
    } else if (region) {
        pages_discard(host, bytes);
    }
    return region != NULL;
}

void gmem_leave_out(const struct gmem *mem, bool leave_out)
{
    for (unsigned i = 0; i < mem->count; i++)
        pages_leave_out(mem->region[i].host, mem->region[i].bytes, leave_out);
}

bool gmem_prepare(const struct gmem *mem, struct gpa at, uint64_t bytes)
{
    void *host = gmem_span(mem, at, bytes);

    if (host)
        pages_prepare(host, bytes);
    return host != NULL;
}

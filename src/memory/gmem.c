/* gmem.c: guest-physical memory; see gmem.h. */
#include "memory/gmem.h"

#include "base/bytes.h"
#include "platform/file.h"
#include "platform/pages.h"

/* What a region is a multiple of. */
enum { PAGE_BYTES = 4096 };

void gmem_init(struct gmem *mem)
{
    *mem = (struct gmem){0};
}

void gmem_done(struct gmem *mem)
{
    for (unsigned i = 0; i < mem->count; i++)
        if (!mem->region[i].borrowed)
            pages_unmap(mem->region[i].host, mem->region[i].bytes);
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

int gmem_add_copy(struct gmem *mem, struct gpa at, uint64_t bytes, int fd,
                  uint64_t offset, struct sm_error *err)
{
    uint64_t size;
    void *host;
    int rc = check_place(mem, at, bytes, err);

    if (!rc)
        rc = file_size(fd, &size, err);
    if (rc)
        return wrap(err, rc, "guest memory");
    if (offset > size || bytes > size - offset)
        return fail(
            err, SM_EIMAGE, "guest memory: file of %llu bytes, %llu are needed",
            (unsigned long long)size, (unsigned long long)(offset + bytes));
    host = pages_map_copy(bytes, fd, offset, err);
    if (!host)
        return wrap(err, SM_ENOMEM, "guest memory");
    insert(mem, (struct gmem_region){
                    .at = at, .bytes = bytes, .host = host, .copied = true});
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

bool gmem_discard(const struct gmem *mem, struct gpa at, uint64_t bytes)
{
    const struct gmem_region *region = region_of(mem, at, bytes);
    uint8_t *host = gmem_span(mem, at, bytes);

    if (region && region->copied)
        pages_discard_copy(host, bytes);
    else if (region)
        pages_discard(host, bytes);
    return region != NULL;
}

bool gmem_prepare(const struct gmem *mem, struct gpa at, uint64_t bytes)
{
    void *host = gmem_span(mem, at, bytes);

    if (host)
        pages_prepare(host, bytes);
    return host != NULL;
}

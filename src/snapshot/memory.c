/* memory.c: the memory's file of a snapshot; see inside.h.
 *
 * How it works
 *   Which pages are a machine's own, the kernel knows (pages_used()); which it
 *   has given back, gmem does. All others are as in the files that the memory
 *   began as, and where those have holes, it is zero: neither is looked at.
 *   What remains is looked at page by page, through the mapping.
 */
#include "base/bits.h"
#include "base/bytes.h"
#include "platform/file.h"
#include "platform/pages.h"
#include "snapshot/inside.h"

#include <stdlib.h>
#include <string.h>

int memory_pages_init(struct memory_pages *pages, const struct gmem *mem,
                      struct sm_error *err)
{
    *pages = (struct memory_pages){
        .mem = mem, .count = gmem_total_bytes(mem) / pages_size()};
    pages->set = calloc(bits_words(pages->count), sizeof *pages->set);
    pages->scratch = malloc(MEMORY_SCRATCH_BYTES);
    return pages->set && pages->scratch
               ? 0
               : fail(err, SM_ENOMEM, "memory: out of memory");
}

void memory_pages_done(struct memory_pages *pages)
{
    free(pages->set);
    free(pages->scratch);
    *pages = (struct memory_pages){0};
}

/* Where page (first) is, and how many follow on it there: up to (most). */
static const uint8_t *host_of(const struct memory_pages *pages, uint64_t first,
                              uint64_t most, uint64_t *ret_count)
{
    const struct gmem_region *region = pages->mem->region;
    uint64_t page = pages_size();
    uint64_t at = first * page;

    for (; at >= region->bytes; region++)
        at -= region->bytes;
    *ret_count = min_u64(most, (region->bytes - at) / page);
    return region->host + at;
}

/* ---- which pages ---- */

static int add_own(struct memory_pages *pages, struct sm_error *err)
{
    uint64_t first = 0;
    int rc = 0;

    for (unsigned i = 0; !rc && i < pages->mem->count; i++) {
        const struct gmem_region *region = &pages->mem->region[i];
        uint64_t count = region->bytes / pages_size();

        rc = pages_used(region->host, count, pages->set, first, err);
        first += count;
    }
    return rc;
}

/* Put in (take out) what was given back. */
static void fill_dropped(struct memory_pages *pages, bool in)
{
    uint64_t before = 0;

    for (unsigned i = 0; i < pages->mem->count; i++) {
        const struct gmem_region *region = &pages->mem->region[i];
        const uint64_t *dropped = region->dropped;
        uint64_t count = region->bytes / pages_size();
        uint64_t end = 0;

        while (dropped && end < count) {
            uint64_t first = bits_find(dropped, end, count, true);

            end = bits_find(dropped, first, count, false);
            bits_fill(pages->set, before + first, before + end, in);
        }
        before += count;
    }
}

/* Put in what is no hole in [at, at + bytes) of (fd). */
static int add_data(struct memory_pages *pages, int fd, uint64_t at,
                    uint64_t bytes, struct sm_error *err)
{
    uint64_t page = pages_size();
    uint64_t end = at + bytes;

    while (at < end) {
        uint64_t first;
        int rc = file_find_data(fd, at, end, &first, &at, err);

        if (rc)
            return rc;
        if (first < at)
            bits_fill(pages->set, first / page, (at + page - 1) / page, true);
    }
    return 0;
}

/* Take out what is a hole in the first (bytes) of (fd). */
static int remove_holes(struct memory_pages *pages, int fd, uint64_t bytes,
                        struct sm_error *err)
{
    uint64_t page = pages_size();
    uint64_t at = 0;

    while (at < bytes) {
        uint64_t hole = at;
        uint64_t first;
        int rc = file_find_data(fd, at, bytes, &first, &at, err);

        if (rc)
            return rc;
        bits_fill(pages->set, (hole + page - 1) / page, first / page, false);
    }
    return 0;
}

/* Put in what the memory did not begin as zeros. */
static int add_image(struct memory_pages *pages, struct sm_error *err)
{
    const struct gmem_image *image = &pages->mem->image;
    uint64_t page = pages_size();
    int rc = 0;

    if (image->fd >= 0)
        rc = add_data(pages, image->fd, 0, image->bytes, err);
    for (size_t i = 0; !rc && i < image->count; i++) {
        uint64_t at = image->range[i].at;
        uint64_t bytes = image->range[i].bytes;

        bits_fill(pages->set, at / page, (at + bytes) / page, false);
        rc = add_data(pages, image->differential_fd, at, bytes, err);
    }
    return rc;
}

int memory_find_all(struct memory_pages *pages, struct sm_error *err)
{
    int rc = add_image(pages, err);

    if (rc)
        return rc;
    /* What was given back and then written to is the machine's own again. */
    fill_dropped(pages, false);
    return add_own(pages, err);
}

/* Take out of [first, end) what is as in the base. */
static int compare(struct memory_pages *pages, uint64_t first, uint64_t end,
                   struct sm_error *err)
{
    size_t page = (size_t)pages_size();

    while (first < end) {
        uint64_t count;
        const uint8_t *host =
            host_of(pages, first,
                    min_u64(end - first, MEMORY_SCRATCH_BYTES / page), &count);
        int rc = file_read_at(pages->mem->image.fd, pages->scratch,
                              count * page, first * page, err);

        if (rc)
            return wrap(err, rc, "file that the machine began as");
        for (uint64_t i = 0; i < count; i++)
            if (memcmp(host + i * page, pages->scratch + i * page, page) == 0)
                bits_remove(pages->set, first + i);
        first += count;
    }
    return 0;
}

/* The next run of pages in the set from (*end) on, passing over gaps of up to
 * (gap) pages. False: there is none. */
static bool next_run(const struct memory_pages *pages, uint64_t gap,
                     uint64_t *first, uint64_t *end)
{
    uint64_t next = bits_find(pages->set, *end, pages->count, true);

    *first = next;
    do {
        *end = bits_find(pages->set, next, pages->count, false);
        next = bits_find(pages->set, *end, pages->count, true);
    } while (next < pages->count && next - *end <= gap);
    return *first < pages->count;
}

static size_t count_runs(const struct memory_pages *pages, uint64_t gap)
{
    uint64_t first;
    uint64_t end = 0;
    size_t count = 0;

    while (next_run(pages, gap, &first, &end))
        count++;
    return count;
}

/* The least gap that, closed with all that are no larger, leaves few enough
 * runs: the bytes between are written for nothing. */
static uint64_t choose_gap(const struct memory_pages *pages)
{
    uint64_t too_small = 0;
    uint64_t enough = pages->count;

    if (count_runs(pages, 0) <= GMEM_RANGES_MAX)
        return 0;
    while (enough - too_small > 1) {
        uint64_t gap = too_small + (enough - too_small) / 2;

        if (count_runs(pages, gap) <= GMEM_RANGES_MAX)
            enough = gap;
        else
            too_small = gap;
    }
    return enough;
}

int memory_find_changed(struct memory_pages *pages, struct sm_error *err)
{
    const struct gmem_image *image = &pages->mem->image;
    uint64_t page = pages_size();
    uint64_t first;
    uint64_t end = 0;
    uint64_t gap;
    int rc;

    /* A guest at rest gives back most of what it has, which was zero already.
     */
    fill_dropped(pages, true);
    rc = remove_holes(pages, image->fd, image->bytes, err);
    for (size_t i = 0; i < image->count; i++)
        bits_fill(pages->set, image->range[i].at / page,
                  (image->range[i].at + image->range[i].bytes) / page, true);
    if (!rc)
        rc = add_own(pages, err);
    while (!rc && next_run(pages, 0, &first, &end))
        rc = compare(pages, first, end, err);
    if (rc)
        return rc;
    gap = choose_gap(pages);
    for (end = 0; next_run(pages, gap, &first, &end);) {
        bits_fill(pages->set, first, end, true);
        pages->range[pages->range_count++] =
            (struct gmem_range){first * page, (end - first) * page};
    }
    return 0;
}

/* ---- writing ---- */

static bool is_zero(const uint8_t *page, size_t bytes)
{
    /* Equal to itself one byte further on: all bytes are the first one. */
    return page[0] == 0 && memcmp(page, page + 1, bytes - 1) == 0;
}

/* Pages [first, first + count), which lie at (host). */
static int write_piece(const uint8_t *host, uint64_t first, uint64_t count,
                       int fd, uint64_t *written, struct sm_error *err)
{
    size_t page = (size_t)pages_size();
    uint64_t at = 0;
    int rc = 0;

    while (!rc && at < count) {
        uint64_t end = at;

        while (end < count && !is_zero(host + end * page, page))
            end++;
        if (end > at)
            rc = file_write_at(fd, host + at * page, (end - at) * page,
                               (first + at) * page, err);
        *written += (end - at) * page;
        at = end + 1;
    }
    return rc;
}

int memory_write(const struct memory_pages *pages, int fd, uint64_t *written,
                 struct sm_error *err)
{
    uint64_t first;
    uint64_t end = 0;
    int rc = file_set_size(fd, pages->count * pages_size(), err);

    *written = 0;
    while (!rc && next_run(pages, 0, &first, &end))
        while (!rc && first < end) {
            uint64_t count;
            const uint8_t *host = host_of(pages, first, end - first, &count);

            rc = write_piece(host, first, count, fd, written, err);
            first += count;
        }
    return rc;
}

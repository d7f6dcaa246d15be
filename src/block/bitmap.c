/* bitmap.c: a bit per cluster, in a file; see bitmap.h. */
#include "block/bitmap.h"

#include "base/own.h"
#include "block/disk_file.h"

#include <assert.h>

int bitmap_init(struct bitmap *bitmap, int fd, uint64_t at, uint64_t bits,
                struct sm_error *err)
{
    size_t pages = bits / BITMAP_PAGE_BITS + (bits % BITMAP_PAGE_BITS != 0);

    *bitmap = (struct bitmap){.fd = fd, .at = at};
    bitmap->page = calloc(pages ? pages : 1, sizeof *bitmap->page);
    if (!bitmap->page)
        return fail(err, SM_ENOMEM, "bitmap: out of memory");
    bitmap->pages = pages;
    return 0;
}

void bitmap_done(struct bitmap *bitmap)
{
    for (size_t i = 0; i < bitmap->pages; i++)
        free(bitmap->page[i].bits);
    free(bitmap->page);
    *bitmap = (struct bitmap){.fd = -1};
}

uint64_t bitmap_bytes(const struct bitmap *bitmap)
{
    return BITMAP_PAGE_BYTES * (uint64_t)bitmap->pages;
}

static uint64_t page_place(const struct bitmap *bitmap, size_t number)
{
    return bitmap->at + BITMAP_PAGE_BYTES * (uint64_t)number;
}

static int load_page(struct bitmap *bitmap, size_t number, struct sm_error *err)
{
    AUTO_FREE uint8_t *bits = NULL;
    struct iovec span;
    int rc;

    if (bitmap->page[number].bits)
        return 0;
    bits = malloc(BITMAP_PAGE_BYTES);
    if (!bits)
        return fail(err, SM_ENOMEM, "bitmap: out of memory");
    span = (struct iovec){.iov_base = bits, .iov_len = BITMAP_PAGE_BYTES};
    rc = disk_file_read(bitmap->fd, page_place(bitmap, number), &span, 1, err);
    if (rc)
        return wrap(err, rc, "bitmap");
    bitmap->page[number].bits = own_take(bits);
    return 0;
}

static bool is_set(const struct bitmap *bitmap, uint64_t bit)
{
    const uint8_t *bits = bitmap->page[bit / BITMAP_PAGE_BITS].bits;

    return bits[bit % BITMAP_PAGE_BITS / 8] >> bit % 8 & 1;
}

int bitmap_get(struct bitmap *bitmap, uint64_t bit, bool *set,
               struct sm_error *err)
{
    int rc = load_page(bitmap, bit / BITMAP_PAGE_BITS, err);

    if (!rc)
        *set = is_set(bitmap, bit);
    return rc;
}

int bitmap_prepare(struct bitmap *bitmap, uint64_t first, uint64_t end,
                   struct sm_error *err)
{
    int rc = 0;

    assert(first < end);
    for (uint64_t page = first / BITMAP_PAGE_BITS;
         !rc && page <= (end - 1) / BITMAP_PAGE_BITS; page++)
        rc = load_page(bitmap, page, err);
    return rc;
}

void bitmap_set(struct bitmap *bitmap, uint64_t first, uint64_t end)
{
    for (uint64_t bit = first; bit < end; bit++) {
        struct bitmap_page *page = &bitmap->page[bit / BITMAP_PAGE_BITS];

        assert(page->bits);
        if (is_set(bitmap, bit))
            continue;
        page->bits[bit % BITMAP_PAGE_BITS / 8] |= (uint8_t)(1u << bit % 8);
        page->dirty = true;
    }
}

int bitmap_count(struct bitmap *bitmap, uint64_t *count, struct sm_error *err)
{
    *count = 0;
    for (size_t i = 0; i < bitmap->pages; i++) {
        int rc = load_page(bitmap, i, err);

        if (rc)
            return rc;
        for (size_t at = 0; at < BITMAP_PAGE_BYTES; at++)
            *count += (uint64_t)__builtin_popcount(bitmap->page[i].bits[at]);
    }
    return 0;
}

int bitmap_write(struct bitmap *bitmap, bool *wrote, struct sm_error *err)
{
    *wrote = false;
    for (size_t i = 0; i < bitmap->pages; i++) {
        struct iovec span = {.iov_base = bitmap->page[i].bits,
                             .iov_len = BITMAP_PAGE_BYTES};
        int rc;

        if (!bitmap->page[i].dirty)
            continue;
        rc = disk_file_write(bitmap->fd, page_place(bitmap, i), &span, 1, err);
        if (rc)
            return wrap(err, rc, "bitmap");
        *wrote = true;
    }
    return 0;
}

void bitmap_written(struct bitmap *bitmap)
{
    for (size_t i = 0; i < bitmap->pages; i++)
        bitmap->page[i].dirty = false;
}

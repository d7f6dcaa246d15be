/* balloon.h: the virtio balloon (virtio 1.2, 5.5): memory given back.
 *
 * How it works
 *   Three ways by which guest memory returns to the host:
 *   - The host sets a target. The driver allocates that many pages and names
 *     them in the inflate queue; we give them back (gmem_discard). It takes
 *     them out through the deflate queue, also by itself before the guest runs
 *     out of memory (DEFLATE_ON_OOM).
 *   - Free page reporting: without a target, the guest's allocator hands runs
 *     of free pages to the reporting queue; we give them back and return the
 *     buffer, after which the guest may use them again.
 *   - Statistics: the driver leaves a buffer with figures; giving it back asks
 *     for fresh ones.
 *   Free page reporting is only right if a page that comes back as zero does
 *   no harm: a guest that fills free pages with a pattern says so
 *   (PAGE_POISON), and as long as its pattern is not zero reported pages are
 *   left alone.
 *
 *   Page numbers are the guest's: each is checked; one outside of memory asks
 *   for a reset.
 */
#ifndef SM_DEVICES_VIRTIO_BALLOON_H
#define SM_DEVICES_VIRTIO_BALLOON_H

#include "devices/virtio/virtio.h"

enum { BALLOON_PAGE_BYTES = 4096 };

struct balloon;

/* Figures of the guest (5.5.6.3), in the driver's units; a bit in (known) per
 * BALLOON_STAT_* that was told. Hearsay: a guest may say anything. */
enum {
    BALLOON_STAT_SWAP_IN,  /* bytes */
    BALLOON_STAT_SWAP_OUT, /* bytes */
    BALLOON_STAT_MAJOR_FAULTS,
    BALLOON_STAT_MINOR_FAULTS,
    BALLOON_STAT_FREE,      /* bytes */
    BALLOON_STAT_TOTAL,     /* bytes */
    BALLOON_STAT_AVAILABLE, /* bytes that need no swapping to get */
    BALLOON_STAT_CACHES,    /* bytes */
    BALLOON_STAT_HUGETLB_ALLOCATIONS,
    BALLOON_STAT_HUGETLB_FAILURES,
    BALLOON_STATS
};

struct balloon_stats {
    uint32_t known;
    uint64_t value[BALLOON_STATS];
};

struct balloon_config {
    struct virtio_env env;
    /* Optional: fresh figures have come. Loop thread, with the device's lock
     * held: must not call back. */
    void (*stats)(void *context, const struct balloon_stats *stats);
    void *context;
};

struct balloon_state {
    uint32_t target_pages;
    uint32_t actual_pages; /* as the driver says */
    uint32_t poison;
    bool stats_held; /* the driver's buffer for figures is with us */
    uint16_t stats_head;
};

int balloon_new(const struct balloon_config *config, struct balloon **ret,
                struct sm_error *err);
struct virtio_device *balloon_device(struct balloon *balloon);

/* Any thread. (bytes) to take away, rounded down to pages; the driver does it
 * in its own time, as far as it can. SM_EINVAL: more than the guest has. */
int balloon_set_target(struct balloon *balloon, uint64_t bytes,
                       struct sm_error *err);
/* Bytes that the driver says it has given. Any thread. */
uint64_t balloon_actual_bytes(struct balloon *balloon);
/* Ask for figures: stats() is called once they come. Any thread. SM_ESTATE:
 * the driver has not left a buffer (not there, or still busy). */
int balloon_request_stats(struct balloon *balloon, struct sm_error *err);

#endif

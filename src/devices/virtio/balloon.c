/* balloon.c: the virtio balloon; see balloon.h. */
#include "devices/virtio/balloon.h"

#include "base/bytes.h"
#include "base/own.h"

/* Features (virtio 1.2, 5.5.3). */
#define FEATURE_STATS          (UINT64_C(1) << 1)
#define FEATURE_DEFLATE_ON_OOM (UINT64_C(1) << 2)
#define FEATURE_PAGE_POISON    (UINT64_C(1) << 4)
#define FEATURE_REPORTING      (UINT64_C(1) << 5)

enum {
    QUEUES = 4,
    QUEUE_SIZE = 256,
    QUEUE_INFLATE = 0,
    QUEUE_DEFLATE = 1,

    /* Configuration space (5.5.4). */
    CONFIG_TARGET = 0,
    CONFIG_ACTUAL = 4,
    CONFIG_POISON = 12,
    CONFIG_BYTES = 16,

    PFN_BYTES = 4,
    /* Page numbers in one request; Linux sends 256. */
    REQUEST_PAGES = 4096,
    STAT_BYTES = 10 /* tag 16, value 64, packed */
};

struct balloon {
    struct virtio_device device;
    struct balloon_config config;
    struct balloon_state state;
};

/* Pages that follow on each other, to be given back in one call. */
struct run {
    uint64_t first;
    uint64_t count;
};

static struct balloon *balloon_of(struct virtio_device *device)
{
    return CONTAINER_OF(device, struct balloon, device);
}

/* ---- inflate and deflate ---- */

static void discard_run(struct balloon *balloon, const struct run *run)
{
    if (run->count)
        gmem_discard(balloon->device.mem, GPA(run->first * BALLOON_PAGE_BYTES),
                     run->count * BALLOON_PAGE_BYTES);
}

/* Add page (pfn) to (run), which is given back first if it does not fit. */
static void add_page(struct balloon *balloon, struct run *run, uint64_t pfn)
{
    if (run->count && pfn == run->first + run->count &&
        gmem_valid(balloon->device.mem, GPA(run->first * BALLOON_PAGE_BYTES),
                   (run->count + 1) * BALLOON_PAGE_BYTES)) {
        run->count++;
        return;
    }
    discard_run(balloon, run);
    *run = (struct run){.first = pfn, .count = 1};
}

/* The page numbers of a request; each must be a page of the guest. */
static void serve_pages(struct balloon *balloon, struct vq_chain *chain,
                        bool inflate)
{
    struct run run = {0};
    uint8_t wire[PFN_BYTES];

    if (chain->read_left % PFN_BYTES ||
        chain->read_left > REQUEST_PAGES * PFN_BYTES) {
        virtio_needs_reset(&balloon->device, "%llu bytes of page numbers",
                           (unsigned long long)chain->read_left);
        return;
    }
    while (vq_chain_read(chain, wire, sizeof wire)) {
        uint64_t pfn = load_le32(wire);

        if (!gmem_valid(balloon->device.mem, GPA(pfn * BALLOON_PAGE_BYTES),
                        BALLOON_PAGE_BYTES)) {
            virtio_needs_reset(&balloon->device, "page %#llx is not in memory",
                               (unsigned long long)pfn);
            return;
        }
        /* A page that comes out of the balloon comes back when touched. */
        if (inflate)
            add_page(balloon, &run, pfn);
    }
    discard_run(balloon, &run);
}

static void serve_inflate(struct virtio_device *device, unsigned queue,
                          struct vq_chain *chain)
{
    serve_pages(balloon_of(device), chain, true);
    vq_push(&device->queue[queue], chain);
}

static void serve_deflate(struct virtio_device *device, unsigned queue,
                          struct vq_chain *chain)
{
    serve_pages(balloon_of(device), chain, false);
    vq_push(&device->queue[queue], chain);
}

/* ---- free page reporting ---- */

/* The buffers of the request are the free pages themselves. With a pattern
 * other than zero they must keep it: then nothing is given back. */
static void serve_reporting(struct virtio_device *device, unsigned queue,
                            struct vq_chain *chain)
{
    bool keep = virtio_has(device, FEATURE_PAGE_POISON) &&
                balloon_of(device)->state.poison != 0;

    for (unsigned i = chain->readable; i < chain->count && !keep; i++)
        gmem_discard(device->mem, chain->segment[i].at,
                     chain->segment[i].bytes);
    vq_push(&device->queue[queue], chain);
}

/* ---- statistics ---- */

static void read_stats(struct vq_chain *chain, struct balloon_stats *stats)
{
    uint8_t wire[STAT_BYTES];

    *stats = (struct balloon_stats){0};
    /* Each is told once; more than there are tags is noise. */
    for (unsigned i = 0;
         i < 2 * BALLOON_STATS && vq_chain_read(chain, wire, sizeof wire);
         i++) {
        uint16_t tag = load_le16(wire);

        if (tag >= BALLOON_STATS)
            continue;
        stats->known |= UINT32_C(1) << tag;
        stats->value[tag] = load_le64(wire + 2);
    }
}

/* The driver's buffer stays with us until figures are wanted again. */
static void serve_stats(struct virtio_device *device, unsigned queue,
                        struct vq_chain *chain)
{
    struct balloon *balloon = balloon_of(device);
    struct balloon_stats stats;

    if (balloon->state.stats_held) {
        /* There should be one only: give the older back. */
        vq_push_head(&device->queue[queue], balloon->state.stats_head, 0);
    }
    balloon->state.stats_held = true;
    balloon->state.stats_head = chain->head;
    read_stats(chain, &stats);
    if (balloon->config.stats)
        balloon->config.stats(balloon->config.context, &stats);
}

/* ---- queues ---- */

/* Queues that were not negotiated leave no gap: the others move up. */
static unsigned stats_queue(const struct virtio_device *device)
{
    return virtio_has(device, FEATURE_STATS) ? 2 : QUEUES;
}

static unsigned reporting_queue(const struct virtio_device *device)
{
    if (!virtio_has(device, FEATURE_REPORTING))
        return QUEUES;
    return virtio_has(device, FEATURE_STATS) ? 3 : 2;
}

static void balloon_notify(struct virtio_device *device, unsigned queue)
{
    if (queue == QUEUE_INFLATE)
        virtio_serve(device, queue, serve_inflate);
    else if (queue == QUEUE_DEFLATE)
        virtio_serve(device, queue, serve_deflate);
    else if (queue == stats_queue(device))
        virtio_serve(device, queue, serve_stats);
    else if (queue == reporting_queue(device))
        virtio_serve(device, queue, serve_reporting);
}

/* ---- configuration ---- */

static unsigned balloon_config(struct virtio_device *device,
                               uint8_t config[VIRTIO_CONFIG_MAX])
{
    const struct balloon_state *state = &balloon_of(device)->state;

    memset(config, 0, CONFIG_BYTES);
    store_le32(config + CONFIG_TARGET, state->target_pages);
    store_le32(config + CONFIG_ACTUAL, state->actual_pages);
    store_le32(config + CONFIG_POISON, state->poison);
    return CONFIG_BYTES;
}

static void balloon_config_write(struct virtio_device *device, unsigned offset,
                                 const uint8_t *bytes, unsigned count)
{
    struct balloon_state *state = &balloon_of(device)->state;

    if (count != 4)
        return;
    if (offset == CONFIG_ACTUAL)
        state->actual_pages = load_le32(bytes);
    else if (offset == CONFIG_POISON && virtio_has(device, FEATURE_PAGE_POISON))
        state->poison = load_le32(bytes);
}

static void balloon_reset(struct virtio_device *device)
{
    struct balloon_state *state = &balloon_of(device)->state;

    *state = (struct balloon_state){.target_pages = state->target_pages};
}

int balloon_set_target(struct balloon *balloon, uint64_t bytes,
                       struct sm_error *err)
{
    uint64_t total = gmem_total_bytes(balloon->device.mem);

    if (bytes > total)
        return fail(err, SM_EINVAL, "balloon of %llu MiB: the guest has %llu",
                    (unsigned long long)(bytes / MIB),
                    (unsigned long long)(total / MIB));
    virtio_device_lock(&balloon->device);
    balloon->state.target_pages = (uint32_t)(bytes / BALLOON_PAGE_BYTES);
    virtio_config_changed(&balloon->device);
    virtio_device_unlock(&balloon->device);
    return 0;
}

uint64_t balloon_actual_bytes(struct balloon *balloon)
{
    uint64_t pages;

    virtio_device_lock(&balloon->device);
    pages = balloon->state.actual_pages;
    virtio_device_unlock(&balloon->device);
    return pages * BALLOON_PAGE_BYTES;
}

int balloon_request_stats(struct balloon *balloon, struct sm_error *err)
{
    struct virtio_device *device = &balloon->device;
    unsigned queue;
    bool held;

    virtio_device_lock(device);
    held = virtio_is_live(device) && balloon->state.stats_held;
    if (held) {
        queue = stats_queue(device);
        balloon->state.stats_held = false;
        vq_push_head(&device->queue[queue], balloon->state.stats_head, 0);
        virtio_interrupt(device, queue);
    }
    virtio_device_unlock(device);
    return held ? 0 : fail(err, SM_ESTATE, "balloon: no figures to be had yet");
}

/* ---- life ---- */

static void balloon_save(struct virtio_device *device, struct buf *to)
{
    const struct balloon_state *state = &balloon_of(device)->state;

    wire_put_u32(to, state->target_pages);
    wire_put_u32(to, state->actual_pages);
    wire_put_u32(to, state->poison);
    wire_put_u8(to, state->stats_held);
    wire_put_u16(to, state->stats_head);
}

static int balloon_load(struct virtio_device *device, struct wire_reader *from,
                        struct sm_error *err)
{
    struct balloon_state state;
    uint8_t held;

    state.target_pages = wire_u32(from);
    state.actual_pages = wire_u32(from);
    state.poison = wire_u32(from);
    held = wire_u8(from);
    state.stats_held = held;
    state.stats_head = wire_u16(from);
    if (!wire_end(from) || held > 1 || state.stats_head >= QUEUE_SIZE ||
        (held && !virtio_has(device, FEATURE_STATS)) ||
        state.target_pages > gmem_total_bytes(device->mem) / BALLOON_PAGE_BYTES)
        return fail(err, SM_EIMAGE, "record is damaged");
    balloon_of(device)->state = state;
    return 0;
}

static void balloon_free(struct virtio_device *device)
{
    virtio_device_done(device);
    free(balloon_of(device));
}

static const struct virtio_ops balloon_ops = {
    .name = "balloon",
    .id = VIRTIO_ID_BALLOON,
    .version = 1,
    .config = balloon_config,
    .config_write = balloon_config_write,
    .notify = balloon_notify,
    .reset = balloon_reset,
    .save = balloon_save,
    .load = balloon_load,
    .free = balloon_free,
};

int balloon_new(const struct balloon_config *config, struct balloon **ret,
                struct sm_error *err)
{
    AUTO_FREE struct balloon *balloon = calloc(1, sizeof *balloon);
    int rc;

    if (!balloon)
        return fail(err, SM_ENOMEM, "balloon: out of memory");
    balloon->config = *config;
    rc = virtio_device_init(&balloon->device, &balloon_ops, &config->env,
                            FEATURE_STATS | FEATURE_DEFLATE_ON_OOM |
                                FEATURE_PAGE_POISON | FEATURE_REPORTING,
                            QUEUES, QUEUE_SIZE, err);
    if (rc)
        return rc;
    *ret = own_take(balloon);
    return 0;
}

struct virtio_device *balloon_device(struct balloon *balloon)
{
    return &balloon->device;
}

/* blk.c: the virtio disk; see blk.h. */
#include "devices/virtio/blk.h"

#include "base/bytes.h"
#include "base/own.h"
#include "platform/clock.h"

#include <assert.h>

/* Features (virtio 1.2, 5.2.3). */
#define FEATURE_SEG_MAX      (UINT64_C(1) << 2)
#define FEATURE_RO           (UINT64_C(1) << 5)
#define FEATURE_BLK_SIZE     (UINT64_C(1) << 6)
#define FEATURE_FLUSH        (UINT64_C(1) << 9)
#define FEATURE_TOPOLOGY     (UINT64_C(1) << 10)
#define FEATURE_CONFIG_WCE   (UINT64_C(1) << 11)
#define FEATURE_DISCARD      (UINT64_C(1) << 13)
#define FEATURE_WRITE_ZEROES (UINT64_C(1) << 14)

/* Request types and results (5.2.6). */
enum {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
    TYPE_WRITE_ZEROES = 13,

    STATUS_OK = 0,
    STATUS_IOERR = 1,
    STATUS_UNSUPPORTED = 2,

    HEADER_BYTES = 16,
    SEGMENT_BYTES = 16, /* of DISCARD and WRITE_ZEROES */
    SEGMENT_UNMAP = 1
};

enum {
    QUEUE = 0,
    QUEUE_SIZE = 256,
    /* A request has a header and a status besides its data. */
    SEGMENTS = QUEUE_SIZE - 2,
    /* Sectors in one DISCARD or WRITE_ZEROES segment: 1 GiB. They are served
     * to their end with the device locked, but only make holes. */
    RANGE_SECTORS = 1 << 21,
    /* Segments in one such request. */
    RANGES = 16,
    /* Physical blocks of 4096 in logical blocks of 512, as a power of two. */
    PHYSICAL_EXPONENT = 3
};
_Static_assert(BLK_SECTOR_BYTES << PHYSICAL_EXPONENT == BLK_BLOCK_BYTES,
               "the topology tells the physical block");

/* Offsets in the configuration space (5.2.4). */
enum {
    CONFIG_CAPACITY = 0,
    CONFIG_SEG_MAX = 12,
    CONFIG_BLK_SIZE = 20,
    CONFIG_PHYSICAL_EXPONENT = 24,
    CONFIG_ALIGNMENT = 25,
    CONFIG_MIN_IO = 26,
    CONFIG_OPT_IO = 28,
    CONFIG_WRITEBACK = 32,
    CONFIG_MAX_DISCARD_SECTORS = 36,
    CONFIG_MAX_DISCARD_SEG = 40,
    CONFIG_DISCARD_ALIGNMENT = 44,
    CONFIG_MAX_ZEROES_SECTORS = 48,
    CONFIG_MAX_ZEROES_SEG = 52,
    CONFIG_ZEROES_MAY_UNMAP = 56,
    CONFIG_BYTES = 60
};

struct blk {
    struct virtio_device device;
    struct block *disk;
    bool read_only;
    uint8_t serial[BLK_SERIAL_BYTES];
    struct blk_state state;
    struct blk_counters counters; /* atomic: read by others */
};

static struct blk *blk_of(struct virtio_device *device)
{
    return CONTAINER_OF(device, struct blk, device);
}

static void count(uint64_t *counter, uint64_t more)
{
    __atomic_fetch_add(counter, more, __ATOMIC_RELAXED);
}

struct blk_counters blk_counters(const struct blk *blk)
{
    const struct blk_counters *from = &blk->counters;

    return (struct blk_counters){
        .read_bytes = __atomic_load_n(&from->read_bytes, __ATOMIC_RELAXED),
        .written_bytes =
            __atomic_load_n(&from->written_bytes, __ATOMIC_RELAXED),
        .reads = __atomic_load_n(&from->reads, __ATOMIC_RELAXED),
        .writes = __atomic_load_n(&from->writes, __ATOMIC_RELAXED),
    };
}

/* ---- requests ---- */

static uint8_t report(struct blk *blk, int rc, const char *what,
                      const struct sm_error *err)
{
    if (!rc)
        return STATUS_OK;
    log_limited(&blk->device.log, &blk->device.log_limit, clock_monotonic_ns(),
                LOG_LEVEL_WARNING, "blk: %s: %s", what, err->message);
    return STATUS_IOERR;
}

/* Bytes at which a transfer starts, or false if it does not fit the disk. */
static bool locate(const struct blk *blk, uint64_t sector, uint64_t bytes,
                   uint64_t *at)
{
    uint64_t end;

    return blk->disk && is_aligned(bytes, BLK_SECTOR_BYTES) &&
           mul_u64(sector, BLK_SECTOR_BYTES, at) && add_u64(*at, bytes, &end) &&
           end <= blk->state.capacity * BLK_SECTOR_BYTES &&
           end <= blk->disk->bytes;
}

static bool is_writable(const struct blk *blk)
{
    return blk->disk && !blk->read_only && !blk->disk->read_only;
}

/* Without a write cache, a write is complete once it is durable. */
static bool has_cache(const struct blk *blk)
{
    if (virtio_has(&blk->device, FEATURE_CONFIG_WCE))
        return blk->state.writeback;
    return virtio_has(&blk->device, FEATURE_FLUSH);
}

static int write_through(struct blk *blk, int rc, struct sm_error *err)
{
    return rc || has_cache(blk) ? rc : block_flush(blk->disk, err);
}

static uint8_t serve_in(struct blk *blk, struct vq_chain *chain,
                        uint64_t sector)
{
    struct iovec span[BLOCK_SPANS_MAX];
    struct sm_error err;
    uint64_t bytes = chain->write_left - 1; /* the status */
    uint64_t at;
    unsigned spans;
    int rc;

    if (!locate(blk, sector, bytes, &at))
        return STATUS_IOERR;
    if (!bytes)
        return STATUS_OK;
    spans = vq_chain_writable(chain, bytes, span, BLOCK_SPANS_MAX);
    rc = block_read(blk->disk, at, span, spans, &err);
    if (!rc) {
        vq_chain_wrote(chain, bytes);
        count(&blk->counters.reads, 1);
        count(&blk->counters.read_bytes, bytes);
    }
    return report(blk, rc, "read", &err);
}

static uint8_t serve_out(struct blk *blk, struct vq_chain *chain,
                         uint64_t sector)
{
    struct iovec span[BLOCK_SPANS_MAX];
    struct sm_error err;
    uint64_t bytes = chain->read_left;
    uint64_t at;
    unsigned spans;
    int rc;

    if (!is_writable(blk) || !locate(blk, sector, bytes, &at))
        return STATUS_IOERR;
    if (!bytes)
        return STATUS_OK;
    spans = vq_chain_readable(chain, bytes, span, BLOCK_SPANS_MAX);
    rc = block_write(blk->disk, at, span, spans, &err);
    rc = write_through(blk, rc, &err);
    if (!rc) {
        count(&blk->counters.writes, 1);
        count(&blk->counters.written_bytes, bytes);
    }
    return report(blk, rc, "write", &err);
}

static uint8_t serve_flush(struct blk *blk)
{
    struct sm_error err;

    if (!blk->disk)
        return STATUS_IOERR;
    return report(blk, block_flush(blk->disk, &err), "flush", &err);
}

static uint8_t serve_id(struct blk *blk, struct vq_chain *chain)
{
    uint64_t room = chain->write_left - 1;

    return vq_chain_write(chain, blk->serial, min_u64(room, sizeof blk->serial))
               ? STATUS_OK
               : STATUS_IOERR;
}

/* One segment of DISCARD or WRITE_ZEROES (5.2.6): sector, count, flags. */
static uint8_t serve_range(struct blk *blk, uint32_t type,
                           const uint8_t *segment)
{
    uint64_t sector = load_le64(segment);
    uint32_t sectors = load_le32(segment + 8);
    uint32_t flags = load_le32(segment + 12);
    uint64_t bytes = (uint64_t)sectors * BLK_SECTOR_BYTES;
    struct sm_error err;
    uint64_t at;
    int rc;

    if (flags & ~(uint32_t)SEGMENT_UNMAP || (type == TYPE_DISCARD && flags))
        return STATUS_UNSUPPORTED;
    if (sectors > RANGE_SECTORS || !locate(blk, sector, bytes, &at))
        return STATUS_IOERR;
    if (type == TYPE_DISCARD)
        rc = block_discard(blk->disk, at, bytes, &err);
    else
        rc = block_write_zeroes(blk->disk, at, bytes, flags & SEGMENT_UNMAP,
                                &err);
    rc = write_through(blk, rc, &err);
    return report(blk, rc, type == TYPE_DISCARD ? "discard" : "zero", &err);
}

static uint8_t serve_ranges(struct blk *blk, struct vq_chain *chain,
                            uint32_t type)
{
    uint8_t segments[RANGES * SEGMENT_BYTES];
    size_t bytes = chain->read_left;
    uint8_t status = STATUS_OK;

    if (!is_writable(blk) || !bytes || bytes > sizeof segments ||
        bytes % SEGMENT_BYTES || !vq_chain_read(chain, segments, bytes))
        return STATUS_IOERR;
    for (size_t at = 0; at < bytes && status == STATUS_OK; at += SEGMENT_BYTES)
        status = serve_range(blk, type, segments + at);
    return status;
}

static uint8_t serve_request(struct blk *blk, struct vq_chain *chain)
{
    uint8_t header[HEADER_BYTES];
    uint32_t type;
    uint64_t sector;

    if (!vq_chain_read(chain, header, sizeof header))
        return STATUS_IOERR;
    type = load_le32(header);
    sector = load_le64(header + 8);
    switch (type) {
    case TYPE_IN:
        return serve_in(blk, chain, sector);
    case TYPE_OUT:
        return serve_out(blk, chain, sector);
    case TYPE_FLUSH:
        return serve_flush(blk);
    case TYPE_GET_ID:
        return serve_id(blk, chain);
    case TYPE_DISCARD:
    case TYPE_WRITE_ZEROES:
        return serve_ranges(blk, chain, type);
    default:
        return STATUS_UNSUPPORTED;
    }
}

static void serve(struct virtio_device *device, unsigned queue,
                  struct vq_chain *chain)
{
    uint8_t status;

    if (!chain->write_left) {
        virtio_needs_reset(device, "request without room for its status");
        return;
    }
    status = serve_request(blk_of(device), chain);
    vq_chain_write_tail(chain, &status, sizeof status);
    vq_push(&device->queue[queue], chain);
}

static void blk_notify(struct virtio_device *device, unsigned queue)
{
    virtio_serve(device, queue, serve);
}

/* ---- configuration ---- */

static unsigned blk_config(struct virtio_device *device,
                           uint8_t config[VIRTIO_CONFIG_MAX])
{
    const struct blk *blk = blk_of(device);
    const uint32_t blocks = BLK_BLOCK_BYTES / BLK_SECTOR_BYTES;

    memset(config, 0, CONFIG_BYTES);
    store_le64(config + CONFIG_CAPACITY, blk->state.capacity);
    store_le32(config + CONFIG_SEG_MAX, SEGMENTS);
    store_le32(config + CONFIG_BLK_SIZE, BLK_SECTOR_BYTES);
    config[CONFIG_PHYSICAL_EXPONENT] = PHYSICAL_EXPONENT;
    store_le16(config + CONFIG_MIN_IO, (uint16_t)blocks);
    store_le32(config + CONFIG_OPT_IO, 0);
    config[CONFIG_WRITEBACK] = blk->state.writeback;
    store_le32(config + CONFIG_MAX_DISCARD_SECTORS, RANGE_SECTORS);
    store_le32(config + CONFIG_MAX_DISCARD_SEG, RANGES);
    store_le32(config + CONFIG_DISCARD_ALIGNMENT, blocks);
    store_le32(config + CONFIG_MAX_ZEROES_SECTORS, RANGE_SECTORS);
    store_le32(config + CONFIG_MAX_ZEROES_SEG, RANGES);
    config[CONFIG_ZEROES_MAY_UNMAP] = 1;
    return CONFIG_BYTES;
}

static void blk_config_write(struct virtio_device *device, unsigned offset,
                             const uint8_t *bytes, unsigned count)
{
    struct blk *blk = blk_of(device);
    struct sm_error err;

    if (offset != CONFIG_WRITEBACK || count != 1 ||
        !virtio_has(device, FEATURE_CONFIG_WCE))
        return;
    /* Going to write-through makes durable what was only cached. */
    if (blk->state.writeback && !(*bytes & 1) && blk->disk)
        report(blk, block_flush(blk->disk, &err), "flush", &err);
    blk->state.writeback = *bytes & 1;
}

static void blk_reset(struct virtio_device *device)
{
    blk_of(device)->state.writeback = 1;
}

int blk_set_disk(struct blk *blk, struct block *disk, struct sm_error *err)
{
    uint64_t capacity = disk ? disk->bytes / BLK_SECTOR_BYTES : 0;
    struct block *former;
    int rc = 0;

    virtio_device_lock(&blk->device);
    former = blk->disk;
    if (former)
        rc = block_flush(former, err);
    blk->disk = disk;
    if (blk->state.capacity != capacity) {
        blk->state.capacity = capacity;
        virtio_config_changed(&blk->device);
    }
    virtio_device_unlock(&blk->device);
    block_free(former);
    return rc ? wrap(err, rc, "take a disk out") : 0;
}

struct block *blk_swap_disk(struct blk *blk, struct block *disk)
{
    struct block *former;

    virtio_device_lock(&blk->device);
    former = blk->disk;
    assert(former && disk->bytes == former->bytes);
    blk->disk = disk;
    virtio_device_unlock(&blk->device);
    return former;
}

struct block *blk_disk(const struct blk *blk)
{
    return blk->disk;
}

/* ---- life ---- */

static void blk_save(struct virtio_device *device, struct buf *to)
{
    const struct blk *blk = blk_of(device);

    wire_put_u64(to, blk->state.capacity);
    wire_put_u8(to, blk->state.writeback);
}

static int blk_load(struct virtio_device *device, struct wire_reader *from,
                    struct sm_error *err)
{
    struct blk *blk = blk_of(device);
    struct blk_state state;

    state.capacity = wire_u64(from);
    state.writeback = wire_u8(from);
    if (!wire_end(from) || state.capacity > INT64_MAX / BLK_SECTOR_BYTES ||
        state.writeback > 1)
        return fail(err, SM_EIMAGE, "record is damaged");
    blk->state = state;
    return 0;
}

static void blk_free(struct virtio_device *device)
{
    struct blk *blk = blk_of(device);

    block_free(blk->disk);
    virtio_device_done(device);
    free(blk);
}

static const struct virtio_ops blk_ops = {
    .name = "blk",
    .id = VIRTIO_ID_BLOCK,
    .version = 1,
    .config = blk_config,
    .config_write = blk_config_write,
    .notify = blk_notify,
    .reset = blk_reset,
    .save = blk_save,
    .load = blk_load,
    .free = blk_free,
};

int blk_new(const struct blk_config *config, struct blk **ret,
            struct sm_error *err)
{
    const char *serial = config->serial ? config->serial : "";
    uint64_t features = FEATURE_SEG_MAX | FEATURE_BLK_SIZE | FEATURE_FLUSH |
                        FEATURE_TOPOLOGY | FEATURE_CONFIG_WCE |
                        FEATURE_DISCARD | FEATURE_WRITE_ZEROES;
    AUTO_FREE struct blk *blk = calloc(1, sizeof *blk);
    int rc;

    if (!blk)
        return fail(err, SM_ENOMEM, "blk: out of memory");
    if (strlen(serial) > BLK_SERIAL_BYTES)
        return fail(err, SM_EINVAL, "blk: serial \"%s\": at most %d bytes",
                    serial, BLK_SERIAL_BYTES);
    if (config->read_only)
        features |= FEATURE_RO;
    rc = virtio_device_init(&blk->device, &blk_ops, &config->env, features, 1,
                            QUEUE_SIZE, err);
    if (rc)
        return rc;
    memcpy(blk->serial, serial, strlen(serial));
    blk->disk = config->disk;
    blk->read_only = config->read_only;
    blk->state.writeback = 1;
    if (blk->disk)
        blk->state.capacity = blk->disk->bytes / BLK_SECTOR_BYTES;
    *ret = own_take(blk);
    return 0;
}

struct virtio_device *blk_device(struct blk *blk)
{
    return &blk->device;
}

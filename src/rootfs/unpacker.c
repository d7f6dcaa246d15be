/* unpacker.c: unpacking in a thread; see unpacker.h. */
#include "rootfs/unpacker.h"

#include "base/bytes.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

enum { SLOTS = 8, SLOT_BYTES = 256 << 10 };

/* One piece in the ring. */
struct slot {
    size_t count;
    uint64_t done; /* of the blob, when the piece was whole */
    uint8_t bytes[SLOT_BYTES];
};

struct unpacker {
    /* The thread's alone, until it has ended. */
    struct blob *blob;
    struct archive *archive;
    const uint8_t *first; /* bytes of the blob that were read to tell the
                             compression                                 */
    size_t first_count;
    struct sm_error broken; /* code 0: nothing is                         */

    /* The reader's alone. */
    uint64_t done;
    bool lends; /* slots[taken] is being read */

    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under (lock). Slot number N is slots[N % SLOTS]; those from (taken) to
     * (made) are the reader's, the others the thread's. */
    uint64_t made;
    uint64_t taken;
    bool ended; /* the thread makes no more */
    bool stop;  /* nobody reads any more    */
    struct slot slots[SLOTS];
};

OWN_DEFINE(struct blob, blob_close)

/* ---- unpacking ---- */

/* libarchive asks for bytes of the blob. */
static la_ssize_t read_blob(struct archive *archive, void *context,
                            const void **bytes)
{
    struct unpacker *unpacker = context;
    const uint8_t *next;
    size_t count;

    (void)archive;
    if (unpacker->first_count) {
        *bytes = unpacker->first;
        count = unpacker->first_count;
        unpacker->first_count = 0;
        return (la_ssize_t)count;
    }
    if (blob_read(unpacker->blob, &next, &count, &unpacker->broken))
        return ARCHIVE_FATAL;
    *bytes = next;
    return (la_ssize_t)count;
}

/* What the first bytes of a compressed stream are (RFC 1952; RFC 8878). */
static int filter_of(const uint8_t *bytes, size_t count)
{
    static const uint8_t gzip[] = {0x1f, 0x8b};
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    static const uint8_t skippable[] = {0x2a, 0x4d, 0x18}; /* after 0x5? */

    if (count >= sizeof gzip && memcmp(bytes, gzip, sizeof gzip) == 0)
        return ARCHIVE_FILTER_GZIP;
    if (count >= sizeof zstd && memcmp(bytes, zstd, sizeof zstd) == 0)
        return ARCHIVE_FILTER_ZSTD;
    if (count >= 4 && (bytes[0] & 0xf0) == 0x50 &&
        memcmp(bytes + 1, skippable, sizeof skippable) == 0)
        return ARCHIVE_FILTER_ZSTD;
    return ARCHIVE_FILTER_NONE;
}

/* What stopped it, from now on in (broken). */
static int archive_failed(struct unpacker *unpacker)
{
    struct archive *archive = unpacker->archive;
    const char *why = archive_error_string(archive);

    if (unpacker->broken.code)
        return unpacker->broken.code;
    if (archive_errno(archive) == ENOMEM)
        return fail(&unpacker->broken, SM_ENOMEM, "out of memory");
    return fail(&unpacker->broken, SM_EIMAGE, "unpack: %s",
                why ? why : "damaged");
}

/* *ret_empty: nothing comes out. */
static int open_archive(struct unpacker *unpacker, bool *ret_empty)
{
    struct archive *archive = archive_read_new();
    struct archive_entry *entry;
    int filter;
    int rc;

    unpacker->archive = archive;
    if (!archive)
        return fail(&unpacker->broken, SM_ENOMEM, "out of memory");
    rc = blob_read(unpacker->blob, &unpacker->first, &unpacker->first_count,
                   &unpacker->broken);
    if (rc)
        return rc;
    filter = filter_of(unpacker->first, unpacker->first_count);
    if ((filter != ARCHIVE_FILTER_NONE &&
         archive_read_append_filter(archive, filter) != ARCHIVE_OK) ||
        archive_read_support_format_raw(archive) != ARCHIVE_OK)
        return archive_failed(unpacker);
    if (archive_read_open(archive, unpacker, NULL, read_blob, NULL) ==
            ARCHIVE_OK &&
        archive_read_next_header(archive, &entry) == ARCHIVE_OK)
        return 0;
    /* "raw" takes anything but nothing. */
    if (archive_errno(archive) != EILSEQ || unpacker->broken.code)
        return archive_failed(unpacker);
    *ret_empty = true;
    return 0;
}

/* ---- the thread ---- */

/* A slot to fill; NULL: nobody wants it. */
static struct slot *next_slot(struct unpacker *unpacker)
{
    struct slot *slot = NULL;

    pthread_mutex_lock(&unpacker->lock);
    while (!unpacker->stop && unpacker->made - unpacker->taken == SLOTS)
        pthread_cond_wait(&unpacker->changed, &unpacker->lock);
    if (!unpacker->stop)
        slot = &unpacker->slots[unpacker->made % SLOTS];
    pthread_mutex_unlock(&unpacker->lock);
    return slot;
}

static void give_slot(struct unpacker *unpacker)
{
    pthread_mutex_lock(&unpacker->lock);
    unpacker->made++;
    pthread_cond_signal(&unpacker->changed);
    pthread_mutex_unlock(&unpacker->lock);
}

/* (bytes) into slots, of which *at is the one that is not full yet. False:
 * nobody wants them. */
static bool put_bytes(struct unpacker *unpacker, const uint8_t *bytes,
                      size_t count, struct slot **at)
{
    while (count) {
        size_t part;

        if (!*at) {
            *at = next_slot(unpacker);
            if (!*at)
                return false;
            (*at)->count = 0;
        }
        part = (size_t)min_u64(count, SLOT_BYTES - (*at)->count);
        memcpy((*at)->bytes + (*at)->count, bytes, part);
        (*at)->count += part;
        (*at)->done = blob_done_bytes(unpacker->blob);
        bytes += part;
        count -= part;
        if ((*at)->count == SLOT_BYTES) {
            give_slot(unpacker);
            *at = NULL;
        }
    }
    return true;
}

static void make_slots(struct unpacker *unpacker)
{
    struct slot *slot = NULL;
    const void *bytes;
    size_t count;
    la_int64_t offset;
    int status;

    do {
        count = 0;
        status =
            archive_read_data_block(unpacker->archive, &bytes, &count, &offset);
    } while (status == ARCHIVE_OK && put_bytes(unpacker, bytes, count, &slot));
    if (slot)
        give_slot(unpacker);
    if (status != ARCHIVE_OK && status != ARCHIVE_EOF)
        (void)archive_failed(unpacker);
}

/* A blob that is not what its digest says explains everything else. */
static void verify_blob(struct unpacker *unpacker)
{
    struct sm_error digest = {0};
    int rc = blob_finish(unpacker->blob, &digest);

    if (rc && (rc == SM_EDIGEST || !unpacker->broken.code))
        unpacker->broken = digest;
}

static bool is_stopped(struct unpacker *unpacker)
{
    bool stop;

    pthread_mutex_lock(&unpacker->lock);
    stop = unpacker->stop;
    pthread_mutex_unlock(&unpacker->lock);
    return stop;
}

static void *run(void *argument)
{
    struct unpacker *unpacker = argument;
    bool empty = false;
    int rc = open_archive(unpacker, &empty);

    if (!rc && !empty)
        make_slots(unpacker);
    if (!is_stopped(unpacker))
        verify_blob(unpacker);
    pthread_mutex_lock(&unpacker->lock);
    unpacker->ended = true;
    pthread_cond_signal(&unpacker->changed);
    pthread_mutex_unlock(&unpacker->lock);
    return NULL;
}

/* ---- opening ---- */

static int start_thread(struct unpacker *unpacker, struct sm_error *err)
{
    int error = pthread_create(&unpacker->thread, NULL, run, unpacker);

    unpacker->started = error == 0;
    return error ? fail_errno(err, error, "start a thread") : 0;
}

int unpacker_open(struct blob *blob, struct unpacker **ret,
                  struct sm_error *err)
{
    AUTO(blob_closep) struct blob *owned = blob;
    AUTO(unpacker_closep) struct unpacker *unpacker = NULL;
    struct unpacker *room = malloc(sizeof *room);
    int rc;

    if (!room)
        return fail(err, SM_ENOMEM, "out of memory");
    memset(room, 0, offsetof(struct unpacker, slots));
    pthread_mutex_init(&room->lock, NULL);
    pthread_cond_init(&room->changed, NULL);
    unpacker = room;
    unpacker->blob = own_take(owned);
    rc = start_thread(unpacker, err);
    if (!rc)
        *ret = own_take(unpacker);
    return rc;
}

/* The thread is over, and what was its own is ours. */
static void stop_thread(struct unpacker *unpacker)
{
    if (!unpacker->started)
        return;
    pthread_mutex_lock(&unpacker->lock);
    unpacker->stop = true;
    pthread_cond_signal(&unpacker->changed);
    pthread_mutex_unlock(&unpacker->lock);
    pthread_join(unpacker->thread, NULL);
    unpacker->started = false;
}

void unpacker_close(struct unpacker *unpacker)
{
    if (!unpacker)
        return;
    stop_thread(unpacker);
    archive_read_free(unpacker->archive);
    blob_close(unpacker->blob);
    pthread_cond_destroy(&unpacker->changed);
    pthread_mutex_destroy(&unpacker->lock);
    free(unpacker);
}

/* ---- reading ---- */

int unpacker_read(struct unpacker *unpacker, const void **bytes, size_t *count,
                  struct sm_error *err)
{
    const struct slot *slot = NULL;

    *count = 0;
    pthread_mutex_lock(&unpacker->lock);
    unpacker->taken += unpacker->lends;
    pthread_cond_signal(&unpacker->changed);
    while (!unpacker->ended && unpacker->taken == unpacker->made)
        pthread_cond_wait(&unpacker->changed, &unpacker->lock);
    if (unpacker->taken < unpacker->made)
        slot = &unpacker->slots[unpacker->taken % SLOTS];
    pthread_mutex_unlock(&unpacker->lock);
    unpacker->lends = slot != NULL;
    if (slot) {
        *bytes = slot->bytes;
        *count = slot->count;
        unpacker->done = slot->done;
        return 0;
    }
    if (unpacker->broken.code && err)
        *err = unpacker->broken;
    return unpacker->broken.code;
}

int unpacker_blame(struct unpacker *unpacker, struct sm_error *err)
{
    stop_thread(unpacker);
    verify_blob(unpacker);
    if (unpacker->broken.code != SM_EDIGEST)
        return 0;
    if (err)
        *err = unpacker->broken;
    return SM_EDIGEST;
}

uint64_t unpacker_done_bytes(const struct unpacker *unpacker)
{
    return unpacker->done;
}

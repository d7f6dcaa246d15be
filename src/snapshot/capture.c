/* capture.c: a machine at one moment, and its way into files; see snapshot.h.
 */
#include "base/own.h"
#include "platform/file.h"
#include "snapshot/inside.h"

#include <stdlib.h>
#include <string.h>

struct snapshot_capture {
    bool full;
    char *label;
    struct buf machine; /* vm_save()'s record */
    struct memory_pages pages;
};

void snapshot_capture_free(struct snapshot_capture *capture)
{
    if (!capture)
        return;
    free(capture->label);
    buf_done(&capture->machine);
    memory_pages_done(&capture->pages);
    free(capture);
}

/* Did all of the memory begin as a file, which others can begin as as well? */
static bool has_image(const struct gmem *mem)
{
    return mem->image.fd >= 0 && gmem_total_bytes(mem) == mem->image.bytes;
}

static int take(struct snapshot_capture *capture, struct vm *vm,
                const struct snapshot_wanted *wanted, struct sm_error *err)
{
    const struct gmem *mem = vm_memory(vm);
    int rc = vm_save(vm, &capture->machine, err);

    capture->full = wanted->full || !has_image(mem);
    if (!rc)
        rc = memory_pages_init(&capture->pages, mem, err);
    if (rc)
        return rc;
    capture->label = strdup(wanted->label);
    return capture->label ? 0 : fail(err, SM_ENOMEM, "out of memory");
}

int snapshot_capture(struct vm *vm, const struct snapshot_wanted *wanted,
                     struct snapshot_capture **ret, struct sm_error *err)
{
    struct snapshot_capture *capture;
    int rc;

    if (strlen(wanted->label) > SNAPSHOT_LABEL_MAX)
        return fail(err, SM_EINVAL, "snapshot: label of more than %d bytes",
                    SNAPSHOT_LABEL_MAX);
    capture = calloc(1, sizeof *capture);
    if (!capture)
        return fail(err, SM_ENOMEM, "snapshot: out of memory");
    buf_init(&capture->machine, STATE_MACHINE_MAX);
    rc = take(capture, vm, wanted, err);
    if (rc) {
        snapshot_capture_free(capture);
        return wrap(err, rc, "snapshot");
    }
    *ret = capture;
    return 0;
}

bool snapshot_is_full(const struct snapshot_capture *capture)
{
    return capture->full;
}

/* The memory first: it sets the size of a file that is for both. */
static int write_files(struct snapshot_capture *capture,
                       const struct snapshot_files *files, uint64_t *bytes,
                       struct sm_error *err)
{
    struct memory_pages *pages = &capture->pages;
    struct state_content content = {.label = capture->label,
                                    .machine = capture->machine.data,
                                    .machine_count = capture->machine.size};
    int rc = capture->full ? memory_find_all(pages, err)
                           : memory_find_changed(pages, err);

    if (!rc)
        rc = memory_write(pages, files->memory_fd, bytes, err);
    if (rc)
        return wrap(err, rc, "memory");
    content.range = pages->range;
    content.range_count = pages->range_count;
    rc = state_write(&files->state, &content, err);
    return rc ? wrap(err, rc, "state") : 0;
}

int snapshot_store(struct snapshot_capture *capture,
                   const struct snapshot_files *files, uint64_t *bytes,
                   struct sm_error *err)
{
    int rc = write_files(capture, files, bytes, err);

    if (!rc && files->durable)
        rc = file_sync(files->memory_fd, err);
    if (!rc && files->durable && files->state.fd != files->memory_fd)
        rc = file_sync(files->state.fd, err);
    return rc ? wrap(err, rc, "snapshot") : 0;
}

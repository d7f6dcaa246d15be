/* unpack.c: a stream of entries as a tree; see unpack.h. */
#include "files/unpacking.h"

#include "base/own.h"

#include <unistd.h>

static int unpack_all(struct unpacking *unpack, struct sm_error *err)
{
    struct pax_entry entry;
    int rc = 0;

    /* Where a stream of any kind goes is known before it begins. */
    if (!unpack->config->place)
        rc = unpack_place(unpack, NULL, err);
    if (rc)
        return rc;
    while ((rc = pax_next(&unpack->reader, &entry, err)) > 0) {
        rc = unpack->placed ? 0 : unpack_place(unpack, &entry, err);
        if (!rc)
            rc = unpack_entry(unpack, &entry, err);
        if (rc)
            return rc;
    }
    if (rc)
        return rc;
    return unpack->placed ? unpack_finish_folders(unpack, err)
                          : fail(err, SM_EPROTO, "tar: it is empty");
}

int unpack(const struct unpack_config *config, const struct pax_input *from,
           uint64_t *ret_bytes, struct sm_error *err)
{
    struct unpacking *unpack = calloc(1, sizeof *unpack);
    struct sm_error ours;
    int rc;

    /* The parts ask it what went wrong. */
    if (!err)
        err = &ours;
    if (!unpack)
        return fail(err, SM_ENOMEM, "%s: out of memory", config->path);
    unpack->config = config;
    unpack->target = unpack->folder = -1;
    buf_init(&unpack->later, UNPACK_LATER_MAX);
    rc = config->path[0] ? pax_reader_init(&unpack->reader, from, err)
                         : fail(err, SM_EINVAL, "an empty path");
    if (!rc)
        rc = unpack_all(unpack, err);
    if (!rc && ret_bytes)
        *ret_bytes = unpack->bytes;
    pax_reader_done(&unpack->reader);
    buf_done(&unpack->later);
    if (unpack->target >= 0)
        close(unpack->target);
    if (unpack->folder >= 0)
        close(unpack->folder);
    free(unpack->root);
    free(unpack->rename);
    free(unpack);
    return rc;
}

/* archived.c: archives, streams and folders; see archived.h.
 *
 * How it works
 *   All of them become a plain tar in a file (spool.h). An OCI archive is a
 *   layout whose files lie in that tar, a docker archive a list of images
 *   whose layers do, and a root file system is one layer by itself.
 */
#include "oci/archived.h"

#include "oci/bundle.h"
#include "oci/docker.h"
#include "oci/layout.h"
#include "oci/spool.h"
#include "oci/tar.h"
#include "platform/file.h"

#include <fcntl.h>
#include <string.h>

/* The image is the file itself. */
static int open_rootfs(int fd, struct oci_source **ret, struct sm_error *err)
{
    AUTO(bundle_freep) struct bundle *bundle = NULL;
    uint64_t bytes;
    int rc = file_size(fd, &bytes, err);

    if (!rc)
        rc = bundle_new(fd, &bundle, err);
    if (!rc)
        rc = bundle_add_layer(bundle, 0, bytes, err);
    if (!rc)
        rc = bundle_make_config(bundle, err);
    return rc ? rc : bundle_finish(own_take(bundle), ret, err);
}

/* What the tar is, its names tell; too many of them are a root file system,
 * for no image has that many parts. */
static int open_any(int fd, const char *name, struct oci_source **ret,
                    struct sm_error *err)
{
    AUTO(tar_done) struct tar tar = {0};
    int rc = tar_read(fd, &tar, err);

    if (rc == SM_ELIMIT)
        return open_rootfs(fd, ret, err);
    if (rc)
        return rc;
    if (tar_find(&tar, "oci-layout") && tar_find(&tar, "index.json"))
        return layout_open_tar(fd, name, &tar, ret, err);
    if (docker_is_archive(fd, &tar))
        return docker_open(fd, name, &tar, NULL, ret, err);
    return open_rootfs(fd, ret, err);
}

int archived_make_plain(int fd, const char *home, int *ret_fd,
                        struct sm_error *err)
{
    if (!spool_is_plain(fd))
        return spool_stream(fd, home, ret_fd, err);
    *ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return *ret_fd < 0 ? fail_os(err, "open") : 0;
}

static int open_file(const struct reference *reference,
                     const struct oci_place *place, struct oci_source **ret,
                     struct sm_error *err)
{
    AUTO(image_witnesses_done) struct image_witnesses witnesses = {0};
    AUTO(tar_done) struct tar tar = {0};
    AUTO_CLOSE int fd = open(reference->path, O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int plain = -1;
    int rc;

    if (fd < 0)
        return fail_os(err, "open %s", reference->path);
    rc = image_witness_add(&witnesses, fd, reference->path, err);
    if (!rc)
        rc = archived_make_plain(fd, place->home, &plain, err);
    if (!rc)
        rc = tar_read(plain, &tar, err);
    if (rc)
        return wrap(err, rc, "%s", reference->path);
    if (reference->kind == REFERENCE_OCI_ARCHIVE)
        rc = layout_open_tar(plain, reference->path, &tar, ret, err);
    else
        rc =
            docker_open(plain, reference->path, &tar, reference->tag, ret, err);
    if (rc)
        return rc;
    (*ret)->witnesses = witnesses;
    witnesses = (struct image_witnesses){0};
    return 0;
}

static int open_input(const struct oci_place *place, struct oci_source **ret,
                      struct sm_error *err)
{
    static const char name[] = "standard input";
    AUTO_CLOSE int plain = -1;
    int rc;

    if (place->input_fd < 0)
        return fail(err, SM_EINVAL, "%s: there is none", name);
    rc = archived_make_plain(place->input_fd, place->home, &plain, err);
    if (!rc)
        rc = open_any(plain, name, ret, err);
    return rc ? wrap(err, rc, "%s", name) : 0;
}

static int open_folder(const struct reference *reference,
                       const struct oci_place *place, struct oci_source **ret,
                       struct sm_error *err)
{
    AUTO_CLOSE int fd = -1;
    int rc = spool_folder(reference->path, place->home, &fd, err);

    return rc ? rc : open_rootfs(fd, ret, err);
}

int archived_open(const struct reference *reference,
                  const struct oci_place *place, struct oci_source **ret,
                  struct sm_error *err)
{
    if (reference->kind == REFERENCE_INPUT)
        return open_input(place, ret, err);
    if (reference->kind == REFERENCE_DIR)
        return open_folder(reference, place, ret, err);
    return open_file(reference, place, ret, err);
}

/* push.c: what is put into a repository; see push.h. */
#include "oci/push.h"

#include "base/own.h"
#include "platform/file.h"

#include <stdio.h>
#include <string.h>

/* ---- one blob ---- */

static int has_blob(struct client *client, const char *digest, bool *ret,
                    struct sm_error *err)
{
    const struct http_send head = {.method = HTTP_HEAD};
    AUTO_FREE char *url = client_make_url(client, "blobs", digest);
    struct http_job job = {.url = url, .send = &head};
    int rc;

    if (!url)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = client_run(client, &job, 1, err);
    *ret = rc == 0;
    return rc == SM_ENOENT ? 0 : rc;
}

/* Where the registry wants a blob, which must be a place of its own: nobody
 * else gets the authorization. The caller frees *ret. */
static int target_of(const struct client *client, const char *location,
                     const char *digest, char **ret, struct sm_error *err)
{
    AUTO_FREE char *root = client_root(client);
    size_t length = root ? strlen(root) : 0;
    bool here = location[0] == '/' && location[1] != '/';
    bool absolute =
        root && strncmp(location, root, length) == 0 && location[length] == '/';

    if (!root)
        return fail(err, SM_ENOMEM, "out of memory");
    if (!here && !absolute)
        return fail(err, SM_EPROTO, "wants a blob at \"%.80s\": not its own",
                    location);
    if (asprintf(ret, "%s%s%sdigest=%s", here ? root : "", location,
                 strchr(location, '?') ? "&" : "?", digest) < 0) {
        *ret = NULL;
        return fail(err, SM_ENOMEM, "out of memory");
    }
    return 0;
}

static int begin_upload(struct client *client, const char *digest, char **ret,
                        struct sm_error *err)
{
    const struct http_send post = {.method = HTTP_POST};
    AUTO_FREE char *url = client_make_url(client, "blobs/uploads", "");
    struct http_job job = {.url = url, .send = &post};
    int rc;

    if (!url)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = client_run(client, &job, 1, err);
    return rc ? rc : target_of(client, job.response.location, digest, ret, err);
}

int push_blob(struct client *client, const struct digest *digest, int fd,
              uint64_t bytes, bool *ret_sent, struct sm_error *err)
{
    const struct http_send put = {.method = HTTP_PUT,
                                  .fd = fd,
                                  .bytes = bytes,
                                  .type = "application/octet-stream"};
    AUTO_FREE char *url = NULL;
    char text[DIGEST_TEXT_MAX];
    bool there = false;
    struct http_job job;
    int rc;

    digest_text(digest, text);
    rc = has_blob(client, text, &there, err);
    *ret_sent = !there;
    if (rc || there)
        return rc;
    rc = begin_upload(client, text, &url, err);
    if (rc)
        return rc;
    job = (struct http_job){.url = url, .send = &put};
    return client_run(client, &job, 1, err);
}

int push_manifest(struct client *client, const char *tag, const char *type,
                  const void *text, size_t count, const char *home,
                  struct sm_error *err)
{
    AUTO_FREE char *url = client_make_url(client, "manifests", tag);
    AUTO_CLOSE int fd = -1;
    struct http_send put = {.method = HTTP_PUT, .bytes = count, .type = type};
    struct http_job job = {.url = url, .send = &put};
    int rc;

    if (!url)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = file_unnamed(home, &fd, err);
    if (!rc)
        rc = file_write_at(fd, text, count, 0, err);
    put.fd = fd;
    return rc ? rc : client_run(client, &job, 1, err);
}

/* ---- and back ---- */

struct taking {
    int fd;
    uint64_t bytes; /* that it must have */
};

static int begin_blob(void *context, uint64_t *offset, struct sm_error *err)
{
    const struct taking *taking = context;

    *offset = 0;
    return file_set_size(taking->fd, 0, err);
}

static int take_blob(void *context, uint64_t offset, const void *bytes,
                     size_t count, struct sm_error *err)
{
    const struct taking *taking = context;

    if (count > taking->bytes || offset > taking->bytes - count)
        return fail(err, SM_EIMAGE, "blob: longer than %llu bytes",
                    (unsigned long long)taking->bytes);
    return file_write_at(taking->fd, bytes, count, offset, err);
}

int pull_blob(struct client *client, const struct oci_descriptor *descriptor,
              const char *home, struct blob **ret, struct sm_error *err)
{
    struct taking taking = {.fd = -1, .bytes = descriptor->bytes};
    AUTO_CLOSE int fd = -1;
    AUTO_FREE char *url = NULL;
    char digest[DIGEST_TEXT_MAX];
    struct http_job job;
    int rc = file_unnamed(home, &fd, err);

    if (rc)
        return rc;
    digest_text(&descriptor->digest, digest);
    url = client_make_url(client, "blobs", digest);
    if (!url)
        return fail(err, SM_ENOMEM, "out of memory");
    taking.fd = fd;
    job = (struct http_job){
        .url = url, .begin = begin_blob, .body = take_blob, .context = &taking};
    rc = client_run(client, &job, 1, err);
    return rc ? rc
              : blob_open(own_take_fd(&fd), 0, descriptor->bytes,
                          &descriptor->digest, ret, err);
}

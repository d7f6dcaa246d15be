/* verify.c: everything that is kept, checked; see keep.h. */
#include "image/keep.h"

#include "oci/lease.h"
#include "oci/verify.h"
#include "rootfs/store.h"

struct checking {
    const struct keep_request *request;
    struct reporter *reporter;
    struct sm_error untold; /* the first report that failed */
};

static void on_damaged(void *context, const char *what, const char *why,
                       uint64_t bytes)
{
    struct checking *checking = context;
    const struct image_change change = {
        .kind = SM_STORE_DAMAGED,
        .what = (char *)(uintptr_t)what,
        .why = (char *)(uintptr_t)why,
        .bytes = bytes,
    };

    if (!checking->untold.code)
        (void)report_change(checking->reporter, &change, &checking->untold);
}

static int check_rootfs(void *context, const struct rootfs_kept *kept,
                        struct sm_error *err)
{
    struct checking *checking = context;
    const struct keep_request *request = checking->request;
    struct sm_error why = {0};
    int rc = rootfs_check(kept, &why);

    if (!rc)
        return 0;
    if (rc == SM_ENOMEM)
        return fail(err, rc, "%s", why.message);
    on_damaged(checking, kept->path, why.message,
               request->repair ? kept->freed_bytes : 0);
    return request->repair ? rootfs_remove(request->home, &kept->key, err) : 0;
}

/* With the others at work. */
static int find_suspects(const struct store *store, struct digest_set *ret,
                         struct sm_error *err)
{
    AUTO_CLOSE int gate = -1;
    int rc = gate_lock(store_folder(store), false, &gate, err);

    return rc ? rc : verify_suspects(store, ret, err);
}

int keep_verify(const struct keep_request *request, struct reporter *reporter,
                struct sm_error *err)
{
    struct checking checking = {.request = request, .reporter = reporter};
    AUTO(digest_set_done) struct digest_set suspects = {0};
    const struct verify verify = {
        .suspects = request->repair ? &suspects : NULL,
        .repair = request->repair,
        .damaged = on_damaged,
        .context = &checking,
    };
    AUTO(store_closep) struct store *store = NULL;
    AUTO_CLOSE int gate = -1;
    int rc = keep_view(request, &store, err);

    if (!rc && request->repair)
        rc = find_suspects(store, &suspects, err);
    if (!rc)
        rc = gate_lock(store_folder(store), request->repair, &gate, err);
    if (!rc)
        rc = verify_store(store, &verify, err);
    if (!rc)
        rc = rootfs_walk(request->home, check_rootfs, &checking, err);
    return rc ? rc : report_text(reporter, "", err);
}

/* store.c: what is kept. */
#include "api/inside.h"

#include "api/kept.h"
#include "base/own.h"
#include "machine/storing.h"
#include "machine/template.h"
#include "shelf/shelf.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* An ask whose text nobody wants. */
static int ask(struct sm_host *host, const struct storing_request *request,
               struct sm_error *err)
{
    struct machine_paths paths = host_paths(host);
    AUTO_FREE char *text = NULL;

    return storing_ask(&paths, request, &text, err);
}

static int check_flags(unsigned flags, unsigned known, const char *call,
                       struct sm_error *err)
{
    if (flags & ~known)
        return fail(err, SM_EINVAL, "%s: flags 0x%x: may be 0x%x", call, flags,
                    known);
    return 0;
}

int sm_store_list(struct sm_host *host,
                  void (*report)(void *context,
                                 const struct sm_stored_image *image),
                  void *context, struct sm_error *err)
{
    const char *const words[] = {"images", NULL};

    return ask(host,
               &(struct storing_request){.arguments = words,
                                         .file = -1,
                                         .stored = report,
                                         .context = context},
               err);
}

int sm_store_inspect(struct sm_host *host, const char *name, char **ret,
                     struct sm_error *err)
{
    const char *const words[] = {"inspect", "--", name, NULL};
    struct machine_paths paths = host_paths(host);

    if (kept_snapshot(name))
        return kept_inspect(host, kept_snapshot(name), ret, err);
    return storing_ask(
        &paths, &(struct storing_request){.arguments = words, .file = -1}, ret,
        err);
}

int sm_store_tag(struct sm_host *host, const char *name, const char *target,
                 struct sm_error *err)
{
    const char *const words[] = {"tag", "--", name, target, NULL};

    return ask(host, &(struct storing_request){.arguments = words, .file = -1},
               err);
}

int sm_store_remove(struct sm_host *host, const char *name, unsigned flags,
                    void (*report)(void *context,
                                   const struct sm_store_change *change),
                    void *context, struct sm_error *err)
{
    const char *const words[] = {"remove", "--", name, NULL};
    const char *const forced[] = {"remove", "--force", "--", name, NULL};
    bool force = (flags & SM_STORE_FORCE) != 0;
    int rc = check_flags(flags, SM_STORE_FORCE, "sm_store_remove", err);

    if (rc)
        return rc;
    if (kept_snapshot(name))
        return kept_remove(host, kept_snapshot(name), report, context, err);
    return ask(host,
               &(struct storing_request){.arguments = force ? forced : words,
                                         .file = -1,
                                         .change = report,
                                         .context = context},
               err);
}

/* What is swept in this process. */
struct sweeping {
    void (*report)(void *context, const struct sm_store_change *change);
    void *context;
    const char *kind;
};

static void on_swept(void *context, const char *name, uint64_t bytes)
{
    const struct sweeping *sweeping = context;
    char what[128];

    if (!sweeping->report)
        return;
    snprintf(what, sizeof what, "%s %s", sweeping->kind, name);
    sweeping->report(
        sweeping->context,
        &(struct sm_store_change){
            .kind = SM_STORE_DELETED, .what = what, .why = "", .bytes = bytes});
}

int sm_store_prune(struct sm_host *host, unsigned flags,
                   void (*report)(void *context,
                                  const struct sm_store_change *change),
                   void *context, struct sm_error *err)
{
    const char *const words[] = {"prune", flags & SM_STORE_ALL ? "--all" : NULL,
                                 NULL};
    struct machine_paths paths = host_paths(host);
    int rc = check_flags(flags, SM_STORE_ALL, "sm_store_prune", err);

    if (rc)
        return rc;
    template_sweep(&paths, (flags & SM_STORE_ALL) != 0, on_swept,
                   &(struct sweeping){report, context, "template"});
    shelf_sweep(host->home, on_swept,
                &(struct sweeping){report, context, "snapshot"});
    return ask(host,
               &(struct storing_request){.arguments = words,
                                         .file = -1,
                                         .change = report,
                                         .context = context},
               err);
}

int sm_store_verify(struct sm_host *host, unsigned flags,
                    void (*report)(void *context,
                                   const struct sm_store_change *change),
                    void *context, struct sm_error *err)
{
    const char *const words[] = {
        "verify", flags & SM_STORE_REPAIR ? "--repair" : NULL, NULL};
    int rc = check_flags(flags, SM_STORE_REPAIR, "sm_store_verify", err);

    if (rc)
        return rc;
    return ask(host,
               &(struct storing_request){.arguments = words,
                                         .file = -1,
                                         .change = report,
                                         .context = context},
               err);
}

int sm_store_load(struct sm_host *host, int fd, const char *name,
                  void (*report)(void *context,
                                 const struct sm_store_change *change),
                  void *context, struct sm_error *err)
{
    const char *const words[] = {"load", "--file=4", name ? "--name" : NULL,
                                 name, NULL};

    if (fd < 0)
        return fail(err, SM_EINVAL, "sm_store_load: descriptor %d", fd);
    return ask(host,
               &(struct storing_request){.arguments = words,
                                         .file = fd,
                                         .change = report,
                                         .context = context},
               err);
}

int sm_store_save(struct sm_host *host, const char *const *names,
                  const char *format, int fd, struct sm_error *err)
{
    enum { FIXED = 6 };
    AUTO_FREE const char **words = NULL;
    size_t count = 0;
    size_t used = 0;

    while (names[count])
        count++;
    if (!count || fd < 0)
        return fail(err, SM_EINVAL, "sm_store_save: %s",
                    count ? "no descriptor" : "no image");
    words = calloc(FIXED + count, sizeof *words);
    if (!words)
        return fail(err, SM_ENOMEM, "save: out of memory");
    words[used++] = "save";
    words[used++] = "--file=4";
    if (format) {
        words[used++] = "--format";
        words[used++] = format;
    }
    words[used++] = "--";
    memcpy(words + used, names, count * sizeof *names);
    return ask(host, &(struct storing_request){.arguments = words, .file = fd},
               err);
}

int sm_store_copy(struct sm_host *host, const char *from, const char *to,
                  const struct sm_image_config *given, struct sm_error *err)
{
    enum { FIXED = 8 };
    AUTO_FREE const char **words = NULL;
    struct sm_image_config config;
    size_t more = 0;
    size_t used = 0;
    int rc = 0;

    sm_image_config_init(&config);
    if (given)
        rc = config_copy(&config, sizeof config, given, "sm_image_config", err);
    if (rc)
        return rc;
    while (config.insecure && config.insecure[more])
        more++;
    words = calloc(FIXED + 2 * more, sizeof *words);
    if (!words)
        return fail(err, SM_ENOMEM, "copy: out of memory");
    words[used++] = "copy";
    if (config.platform) {
        words[used++] = "--platform";
        words[used++] = config.platform;
    }
    for (size_t i = 0; i < more; i++) {
        words[used++] = "--insecure";
        words[used++] = config.insecure[i];
    }
    words[used++] = "--";
    words[used++] = from;
    words[used++] = to;
    return ask(host,
               &(struct storing_request){.arguments = words,
                                         .file = -1,
                                         .progress = config.progress,
                                         .change = config.report,
                                         .context = config.context},
               err);
}

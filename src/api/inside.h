/* inside.h: what stands behind the opaque types of the public header. */
#ifndef SM_API_INSIDE_H
#define SM_API_INSIDE_H

#include "base/error.h"
#include "machine/imaging.h"
#include "machine/machine.h"
#include "proto/agent.h"

struct sm_host {
    char *home;
    char *runtime_dir;
    char **image_env; /* NULL at the end */
};

struct sm_image {
    struct image_result result;
    int rootfs_fd; /* held: see imaging_prepare() */
    char *name;    /* as it was asked for         */
};

enum { LIMITS_MAX = 16 }; /* as many as there are kinds */

/* Each object begins with a number that says what it is; it is gone when the
 * object is freed. Debug builds look at it. */
enum { MACHINE_MAGIC = 0x6d616368, EXEC_MAGIC = 0x65786563 };

struct sm_machine {
    uint32_t magic;
    struct sm_host *host;
    bool busy; /* atomic: a thread is in a call that turns its loop */
    struct machine *machine;
    struct image_config defaults; /* of the image; it may be freed before */
    int rootfs_fd;                /* a copy of the image's; -1: a snapshot's */
    struct shelf_snapshot *snapshot; /* that it goes on from, or NULL */
    char *parent;                    /* its name, or ""               */
    bool resumed; /* an exec is what goes on of the snapshot          */
    struct agent_rlimit limits[LIMITS_MAX]; /* of all its commands */
    uint32_t limit_count;
    char *name;
    char *image; /* its digest */
    char *image_name;
    struct image_strings labels;
    struct keeping *keeping; /* a snapshot that is being made, or NULL */
};

/* snapshot.c: what there is of it goes. Behind machine_free(). NULL is fine. */
void keeping_free(struct keeping *keeping);

/* What a machine is made of: an image or a snapshot. */
struct machine_source {
    const struct image_config *defaults;
    const char *image; /* its digest */
    const char *image_name;
    const char *rootfs;              /* path; "": the snapshot has it open */
    int rootfs_fd;                   /* -1: likewise                       */
    struct shelf_snapshot *snapshot; /* NULL: an image                     */
    const char *parent;              /* name of the snapshot, or ""        */
};

/* sm_machine_new(), for a (config) of this version. The machine takes
 * source->snapshot if that succeeds. */
int machine_make(struct sm_host *host, const struct machine_source *source,
                 const struct sm_machine_config *config,
                 struct sm_machine **ret, struct sm_error *err);
/* snapshot.c: the same for config->snapshot. */
int machine_make_from(struct sm_host *host,
                      const struct sm_machine_config *config,
                      struct sm_machine **ret, struct sm_error *err);
/* What a machine of (snapshot) has that (config) does not say otherwise. */
int machine_take_snapshot(struct sm_machine *machine,
                          const struct shelf_snapshot *snapshot,
                          struct sm_machine_config *config,
                          struct sm_error *err);

struct sm_exec {
    uint32_t magic;
    struct sm_machine *machine;
    struct program *program;
};

/* A command in (machine), without its program yet. NULL: out of memory. */
struct sm_exec *exec_make(struct sm_machine *machine);

/* For calls that only ask or take note. */
struct machine *machine_of(const struct sm_machine *machine);
struct program *program_of(const struct sm_exec *exec);

/* Around calls that turn the machine's loop. SM_EBUSY: another thread is in one
 * of them. */
int machine_enter(struct sm_machine *machine, struct sm_error *err);
void machine_leave(struct sm_machine *machine);

/* "nofile" for the number that the guest's kernel has for it. */
const char *limit_name(uint32_t resource);

struct machine_paths host_paths(const struct sm_host *host);

/*
 * Copy a config struct that may be older (shorter) or newer (longer) than the
 * library's: (to), of (size) bytes, gets what both know. SM_EINVAL if the
 * caller's is too short to hold a size, or if what only it knows is not zero.
 */
int config_copy(void *to, size_t size, const void *from, const char *name,
                struct sm_error *err);

#endif

/* manifest.h: what a snapshot is of, and what a machine of it is to be: the
 * manifest.json of its folder (docs/FORMAT.md).
 *
 * The reader is for text of anybody: every field is there once and of its type,
 * every size and count has a bound, and fields that it does not know are
 * refused, as those of a version that it does not know.
 */
#ifndef SM_SHELF_MANIFEST_H
#define SM_SHELF_MANIFEST_H

#include "proto/agent.h"
#include "proto/image.h"

enum {
    SNAPSHOT_MANIFEST_VERSION = 1,
    SNAPSHOT_MANIFEST_MAX = 4 << 20, /* bytes of the text          */
    SNAPSHOT_LAYERS_MAX = 8,         /* of the disk                */
    SNAPSHOT_LIMITS_MAX = 16,        /* of each process            */
    SNAPSHOT_STRING_MAX = 1 << 20,   /* bytes of one string        */
    SNAPSHOT_STRINGS_MAX = 1 << 16   /* of one list                */
};

/* The files of a snapshot, besides the manifest: "state", "memory",
 * "differential", "rootfs", and "disk.0" and so on, the lowest first. */
enum snapshot_file {
    SNAPSHOT_STATE,
    SNAPSHOT_MEMORY,       /* raw, from its beginning; what lies behind the
                              machine's memory is nobody's                 */
    SNAPSHOT_DIFFERENTIAL, /* over it; not every snapshot has one          */
    SNAPSHOT_ROOTFS,       /* the base of the disk, read-only              */
    SNAPSHOT_DISK,         /* a sealed overlay; SNAPSHOT_DISK + layer      */
    SNAPSHOT_FILES = SNAPSHOT_DISK + SNAPSHOT_LAYERS_MAX
};

enum { SNAPSHOT_FILE_NAME_MAX = 16 };

void snapshot_file_name(unsigned file, char to[SNAPSHOT_FILE_NAME_MAX]);

/* What it can go on upon. */
struct snapshot_origin {
    char *architecture;  /* "x86_64"                                      */
    char *hypervisor;    /* "kvm"                                         */
    char *label;         /* that its state has (snapshot/snapshot.h)      */
    char *programs;      /* kernel, agent and worker of this installation,
                            as machine/snapshots.h describes them; "": it
                            came from another one                         */
    char *kernel_digest; /* "sha256:..."; "" in temporary ones            */
    char *agent_digest;
    bool own_kernel; /* of its machine's config: not the installation's   */
};

/* The command that goes on. */
struct snapshot_program {
    uint32_t channel; /* of the session that it was held in; 0: none */
    bool tty;
    bool has_stdin; /* it was not at its end */
    struct image_strings argv;
};

struct snapshot_manifest {
    uint64_t created_s; /* since 1970, UTC                                   */
    char *writer;       /* "supermachine 0.1.0"                              */
    char *parent;       /* the snapshot that its machine was of, "": none    */
    char *image;        /* as it was named                                   */
    char *image_digest; /* "sha256:..."                                      */
    struct image_config defaults; /* of commands                             */
    struct image_strings labels;  /* of its machine, "KEY[=VALUE]"           */
    struct agent_rlimit limits[SNAPSHOT_LIMITS_MAX];
    uint32_t limit_count;
    uint32_t processes_max; /* 0: any                                        */
    uint64_t memory_bytes;
    uint32_t vcpus;
    uint64_t disk_bytes; /* as the guest sees it                             */
    char *hostname;      /* that its machine was given; "": it made one up   */
    struct snapshot_program program;
    struct snapshot_origin origin;
    uint32_t layer_count;           /* of the disk                           */
    bool differential;              /* there is one                          */
    uint64_t bytes[SNAPSHOT_FILES]; /* of each file                          */
};

/* All strings may be NULL, which is "". Fine on a zeroed one. */
void snapshot_manifest_done(struct snapshot_manifest *manifest);
/* SM_ENOMEM. */
int snapshot_manifest_copy(struct snapshot_manifest *to,
                           const struct snapshot_manifest *from,
                           struct sm_error *err);

/* The file is there, according to the manifest. */
bool snapshot_has_file(const struct snapshot_manifest *manifest, unsigned file);

/* Append the text. `failed` of (to) says if it had no room. */
void snapshot_manifest_write(struct buf *to,
                             const struct snapshot_manifest *manifest);

/*
 * Returns 0 and *ret, in which no string is NULL; or SM_EIMAGE (what is wrong
 * with which field), SM_ENOTSUP (of another version), SM_ELIMIT, SM_ENOMEM.
 */
int snapshot_manifest_read(const void *text, size_t count,
                           struct snapshot_manifest *ret, struct sm_error *err);

#endif

/* supermachine.h: run any OCI image as a hardware-isolated microVM.
 *
 * A complete program: `uname -r` of the guest, its output on ours.
 *
 *     #include <stdio.h>
 *     #include <supermachine.h>
 *
 *     int main(void)
 *     {
 *         const char *argv[] = {"uname", "-r", NULL};
 *         struct sm_error err;
 *         struct sm_exec_config command;
 *         struct sm_exit_status status;
 *
 *         sm_exec_config_init(&command);
 *         command.argv = argv;
 *         if (sm_run("oci:./image", &command, &status, &err) != 0)
 *             return fprintf(stderr, "%s\n", err.message), 125;
 *         return sm_exit_code(&status);
 *     }
 *
 * Objects
 *   host      where images are kept and which programs and kernel are used
 *   image     a root file system that is ready, with its defaults
 *   machine   one microVM, in a worker process of its own
 *   exec      one command in a machine
 *   snapshot  a machine at one instant, kept under a name
 *   They depend on each other in this order: free them in the reverse order.
 *
 * Errors
 *   Calls return 0 (where their text says so, a number) or a negative SM_E*
 *   code. The last parameter, which may be
 *   NULL, receives the code, the system's errno and a message that names the
 *   object, the wrong value and, where known, the way out. What a failed call
 *   would have given is not touched.
 *
 * Ownership
 *   What you pass in is copied before the call returns, except for file
 *   descriptors: those stay yours, must stay open as long as the call's text
 *   says, and keep their flags (a terminal is never set non-blocking).
 *   Strings that you get live as long as the object that they came from.
 *   Every _free() takes NULL, and stops what is still going on.
 *
 * Threads
 *   No globals, no signal handlers, no SIGPIPE, no exit, nothing printed.
 *   Workers are child processes: a SIGCHLD handler of yours may see them end,
 *   and a waitpid(-1) of yours that collects one does no harm. Different
 *   objects may be used by different threads at the same time. One object: by
 *   one thread at a time, unless the call says "any"; a machine and its execs
 *   count as one; a host or an image by any number, if none frees it. A call
 *   that waits while another thread is in one gives SM_EBUSY. Objects that were
 *   freed are found out by debug builds only, which abort.
 *
 * Waiting
 *   Calls that wait take a time-out in milliseconds; SM_NOWAIT: do not wait.
 *   To wait for many machines on one thread, or in an event loop of yours, wait
 *   for sm_machine_fd() of each to be readable, call sm_machine_dispatch(), and
 *   ask with SM_NOWAIT what became of it. Nothing goes on in a machine's
 *   streams between the calls of the library; the machine itself does.
 *
 * Config structs
 *   Begin with their size. Initialise with their _init() call, then set what
 *   you want. Zero or NULL means the default that the field names, except in
 *   fields for descriptors, where 0 is descriptor 0. A struct that is larger
 *   than the library knows is refused with SM_EINVAL if the unknown part is not
 *   all zero. A config may be NULL where the call says so.
 */
#ifndef SUPERMACHINE_H
#define SUPERMACHINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SM_API __attribute__((visibility("default")))
#else
#define SM_API
#endif

/* A time-out: do not wait at all. */
#define SM_NOWAIT UINT32_MAX

/* ------------------------------------------------------------- errors -- */

/* Every error code of the library: X(name, value, text). */
#define SM_ERRORS(X)                                                           \
    X(SM_EINVAL, -1, "invalid argument")                                       \
    X(SM_ENOMEM, -2, "out of memory")                                          \
    X(SM_EIO, -3, "input or output failed")                                    \
    X(SM_ENOENT, -4, "not found")                                              \
    X(SM_EEXIST, -5, "exists already")                                         \
    X(SM_EACCES, -6, "permission denied")                                      \
    X(SM_ESTATE, -7, "not possible in this state")                             \
    X(SM_ETIMEOUT, -8, "timed out")                                            \
    X(SM_ENOHV, -9, "no usable hypervisor")                                    \
    X(SM_EGUEST, -10, "the guest failed")                                      \
    X(SM_EPROTO, -11, "protocol violated")                                     \
    X(SM_EIMAGE, -12, "invalid image")                                         \
    X(SM_EDIGEST, -13, "digest mismatch")                                      \
    X(SM_ENOSPC, -14, "no space left")                                         \
    X(SM_ENOTSUP, -15, "not supported")                                        \
    X(SM_EBUSY, -16, "in use")                                                 \
    X(SM_ECANCELED, -17, "canceled")                                           \
    X(SM_ECLOSED, -18, "connection closed")                                    \
    X(SM_ELIMIT, -19, "limit exceeded")                                        \
    X(SM_ENOCMD, -20, "command not found")                                     \
    X(SM_ENOEXEC, -21, "command not executable")

enum sm_error_code {
#define SM_ERROR_ENUM(name, value, text) name = value,
    SM_ERRORS(SM_ERROR_ENUM)
#undef SM_ERROR_ENUM
        SM_OK = 0
};

/* Why a call failed. Owned by the caller. */
struct sm_error {
    int code;           /* SM_E*, the same as the call's result           */
    int os_error;       /* errno of the operating system, 0 if none       */
    char message[1016]; /* one line, UTF-8, no full stop, NUL at the end  */
};

/*
 * The text of an error code: "out of memory" for SM_ENOMEM.
 *
 * Returns      a static string, "unknown error" for any other number.
 * Threads      any.
 * Since        0.1
 */
SM_API const char *sm_strerror(int code);

/*
 * The version of the library that is linked: "0.1.0".
 *
 * Threads      any.
 * Since        0.1
 */
SM_API const char *sm_version(void);

/* --------------------------------------------------------------- host -- */

struct sm_host;

struct sm_host_config {
    size_t size;
    /* Folder that keeps images and root file systems; made when missing.
     * No default: sm_host_config_from_environment() finds the usual one. */
    const char *home;
    /* Folder with supermachine-vmm, supermachine-image, vmlinux and
     * initramfs.cpio. NULL: the one of the installation. */
    const char *runtime_dir;
    /* "NAME=value" strings, NULL at the end. What registries need of it goes
     * to image work, and nothing else does: HOME and DOCKER_CONFIG (where
     * Docker's credentials are), SSL_CERT_FILE and SSL_CERT_DIR, the usual
     * variables that name proxies, and for the programs that Docker lets keep
     * credentials (docker-credential-NAME): PATH, what names the user, the
     * desktop's session and its keyring, and AWS_*, AZURE_*, GOOGLE_* and
     * CLOUDSDK_*. NULL: none of these. */
    const char *const *environment;
};

/* Set every field to its default. Threads: any. Since 0.1 */
SM_API void sm_host_config_init(struct sm_host_config *config);

/*
 * Fill what is unset from the process's environment:
 *   home         SUPERMACHINE_HOME, else XDG_DATA_HOME/supermachine, else
 *                HOME/.local/share/supermachine
 *   runtime_dir  SUPERMACHINE_RUNTIME_DIR
 *   environment  the process's own
 * The only call that reads the environment. (storage), of (capacity) bytes,
 * receives the paths and must live until sm_host_new().
 *
 * Returns      0, or SM_ENOENT (no home folder known), SM_ELIMIT (paths do
 *              not fit into (storage); 4096 bytes are enough).
 * Threads      any, while nobody changes the environment.
 * Since        0.1
 */
SM_API int sm_host_config_from_environment(struct sm_host_config *config,
                                           char *storage, size_t capacity,
                                           struct sm_error *err);

/*
 * Returns      0 and *ret, or SM_EINVAL, SM_ENOMEM, SM_EACCES and SM_ENOSPC
 *              (home cannot be made), SM_ENOENT (runtime folder).
 * Since        0.1
 */
SM_API int sm_host_new(const struct sm_host_config *config,
                       struct sm_host **ret, struct sm_error *err);
/* Images and machines must be freed before. NULL is fine. Since 0.1 */
SM_API void sm_host_free(struct sm_host *host);

enum sm_finding_level {
    SM_FINDING_OK,      /* as it should be                            */
    SM_FINDING_WARNING, /* works, but something will be slow or fail  */
    SM_FINDING_ERROR    /* no machine can run before this is mended   */
};

/* One thing that sm_host_doctor() looked at. */
struct sm_finding {
    enum sm_finding_level level;
    const char *what;   /* "hypervisor", "permission", "programs", "kernel",
                           "agent", "disk"                                */
    const char *found;  /* what was measured or seen, with its number     */
    const char *advice; /* what to do about it, "" where nothing is to do */
};

/*
 * Look whether machines can run here, and measure it: hypervisor present,
 * permitted and sound (a /dev/kvm that interprets guest code is of no use),
 * kernel and agent present, space on the disk. Calls (report) once for each
 * thing it looked at.
 *
 * Returns      0 (also if there are findings of level error), or SM_ENOMEM.
 * Since        0.1
 */
SM_API int sm_host_doctor(struct sm_host *host,
                          void (*report)(void *context,
                                         const struct sm_finding *finding),
                          void *context, struct sm_error *err);

/* -------------------------------------------------------------- image -- */

struct sm_image;

/*
 * What image work is going on, told for each layer when it begins, at most
 * every 100 ms, and when it is done. Strings live as long as the call.
 */
struct sm_progress {
    const char *what;  /* "pull": it comes from a registry; "unpack": it is
                          put into the root file system       */
    uint64_t done;     /* bytes of the layer as it is stored  */
    uint64_t total;    /* done == total: it is done           */
    const char *layer; /* its digest, "sha256:..."            */
    uint32_t number;   /* of the layer in its image, from 1   */
    uint32_t count;    /* of the image's layers               */
};

/*
 * Make the root file system of (reference) ready: find the image, verify and
 * unpack it if that was not done before.
 *
 * reference    "oci:DIR[:TAG]"              an OCI image layout (image-spec
 *                                           1.1)
 *              "oci-archive:FILE[:TAG]"     the same in a tar
 *              "docker-archive:FILE[:TAG]"  what `docker save` writes
 *              "dir:DIR"                    a root file system in a folder
 *              "-"                          descriptor 0, read to its end: a
 *                                           tar that is either archive, or a
 *                                           root file system
 *              "NAME[:TAG][@DIGEST]"        an image of a registry, as
 *                                           Docker names it; pulled unless it
 *                                           was before
 *              "ID"                         an image that was pulled or loaded
 *                                           before, by its ID: see "store"
 *              Tars may be compressed with gzip, zstd, xz or bzip2.
 * progress     called while there is work to do; may be NULL.
 * Returns      0 and *ret, or SM_ENOENT (no such image, file or tag),
 *              SM_EIMAGE, SM_EDIGEST, SM_ENOTSUP (media type, platform),
 *              SM_ENOSPC, SM_EBUSY (a file of DIR changed while it was read),
 *              SM_ETIMEOUT and SM_EPROTO (the registry), SM_EINVAL, SM_EACCES,
 *              SM_ELIMIT, SM_ENOMEM, SM_EIO. Nothing half-made is left behind.
 * Blocks.      Since 0.1
 */
SM_API int sm_image_open(struct sm_host *host, const char *reference,
                         void (*progress)(void *context,
                                          const struct sm_progress *progress),
                         void *context, struct sm_image **ret,
                         struct sm_error *err);

struct sm_store_change;

struct sm_image_config {
    size_t size;
    /* "OS/ARCHITECTURE[/VARIANT]" of an image for several. NULL: Linux on this
     * host's processor. */
    const char *platform;
    /* Not 0: ask the registry what the name stands for, even if it was pulled
     * before. */
    int refresh;
    /* Registries, "host:port", that may show any certificate or speak plain
     * HTTP, NULL at the end. Those on this host may always. NULL: none. */
    const char *const *insecure;
    /* Called while there is work to do, on the caller's thread. NULL: no. */
    void (*progress)(void *context, const struct sm_progress *progress);
    void *context;
    /* Of sm_store_copy(): called with the name of the snapshot that came, which
     * is its maker's if no other was given, and (context). NULL: no. */
    void (*report)(void *context, const struct sm_store_change *change);
};

/* Set every field to its default. Threads: any. Since 0.1 */
SM_API void sm_image_config_init(struct sm_image_config *config);

/*
 * sm_image_open() with a config, which may be NULL. A pull that fails, or is
 * killed, keeps what it has verified and what it has of unfinished blobs: the
 * next one goes on there.
 *
 * Returns      as sm_image_open().
 * Blocks.      Since 0.1
 */
SM_API int sm_image_prepare(struct sm_host *host, const char *reference,
                            const struct sm_image_config *config,
                            struct sm_image **ret, struct sm_error *err);
/* Its machines go on. NULL is fine. Since 0.1 */
SM_API void sm_image_free(struct sm_image *image);

/* "sha256:..." of the image's manifest. Since 0.1 */
SM_API const char *sm_image_digest(const struct sm_image *image);

/* -------------------------------------------------------------- store -- */

/*
 * What is kept below the host's home: blobs by digest, names of images, and
 * root file systems made of them. Any number of processes may use it at once,
 * and each may be killed at any moment.
 *
 * Names are as for sm_image_open(): "nginx" is docker.io/library/nginx:latest.
 * Wherever a name is taken, an image's ID does as well: the digest of its
 * config, "sha256:" before it or not, or a beginning of it that is its own, of
 * at least 4 digits. Where something has such a name, the name counts.
 * "snapshot:NAME" is a snapshot: sm_store_inspect(), sm_store_remove(),
 * sm_store_save(), sm_store_load() and sm_store_copy() take these, too; see
 * "snapshot".
 *
 * All calls block, and their callbacks run on the caller's thread.
 */

/* One image. What a name of a registry stands for may be several images, one
 * for each platform that was pulled. */
struct sm_stored_image {
    const char *repository; /* "nginx", "localhost:5000/team/app"          */
    const char *tag;        /* "latest"; "" if it was pulled by digest     */
    const char *id;         /* "sha256:..."                                */
    const char *digest;     /* of its manifest                             */
    const char *platform;   /* "linux/amd64"                               */
    const char *json;       /* all of this, as one line of JSON            */
    uint64_t created_s;     /* seconds since 1970; 0: not known            */
    uint64_t blob_bytes;    /* its blobs, as they came; others may share
                               them                                        */
    uint64_t rootfs_bytes;  /* that its root file systems take up on the
                               disk; 0: none was made yet                  */
};

/*
 * Call (report) for each image, ordered by name.
 *
 * Returns      0, or SM_ENOMEM, SM_EIO, SM_EACCES.
 * Since        0.1
 */
SM_API int sm_store_list(struct sm_host *host,
                         void (*report)(void *context,
                                        const struct sm_stored_image *image),
                         void *context, struct sm_error *err);

/*
 * What is known of the image (name): an object of JSON with the main fields of
 * `docker image inspect`: Id, RepoTags, RepoDigests, Created, Architecture, Os,
 * Variant, Config, RootFS, Size. Of a snapshot: sm_stored_snapshot.json and all
 * of its manifest. *ret belongs to the caller: free().
 *
 * Returns      0 and *ret, or SM_ENOENT (no such image; with near names),
 *              SM_EINVAL (no name, or the beginning of several IDs), SM_ENOMEM,
 *              SM_EIO.
 * Since        0.1
 */
SM_API int sm_store_inspect(struct sm_host *host, const char *name, char **ret,
                            struct sm_error *err);

/*
 * From now on, (target) names what (name) does.
 *
 * Returns      as sm_store_inspect(); SM_EINVAL also if (target) is no name, or
 *              has a digest.
 * Since        0.1
 */
SM_API int sm_store_tag(struct sm_host *host, const char *name,
                        const char *target, struct sm_error *err);

enum sm_store_change_kind {
    SM_STORE_UNTAGGED, /* a name is gone                               */
    SM_STORE_DELETED,  /* a blob, a root file system or what was left of
                          one is gone                                  */
    SM_STORE_KEPT,     /* would have gone, but is in use               */
    SM_STORE_DAMAGED,  /* is not what it should be                     */
    SM_STORE_LOADED    /* a name is there                              */
};

/* One thing that happened. */
struct sm_store_change {
    enum sm_store_change_kind kind;
    const char *what; /* "nginx:latest", "sha256:..."      */
    const char *why;  /* "" where there is nothing to say  */
    uint64_t bytes;   /* that became free on the disk      */
};

/* Flags of the calls below. */
#define SM_STORE_FORCE  1u
#define SM_STORE_ALL    2u
#define SM_STORE_REPAIR 4u

/*
 * Drop the name (name), or all names of an ID. What nothing else refers to goes
 * with it: blobs, and root file systems that no machine runs on. A snapshot
 * goes at once; machines of it go on.
 *
 * flags        SM_STORE_FORCE: also if a machine runs on it (its root file
 *              system stays until sm_store_prune()), or an ID has several
 *              names. 0: neither.
 * report       called for each thing that went; may be NULL.
 * Returns      0, or as sm_store_inspect(), and SM_EBUSY (needs
 *              SM_STORE_FORCE).
 * Since        0.1
 */
SM_API int sm_store_remove(struct sm_host *host, const char *name,
                           unsigned flags,
                           void (*report)(void *context,
                                          const struct sm_store_change *change),
                           void *context, struct sm_error *err);

/*
 * Remove what nothing refers to: blobs, root file systems whose image is no
 * longer there, templates that no start wanted for 7 days, and what killed
 * processes left half-made. Names stay, snapshots do, and so does what a
 * machine or a pull is using.
 *
 * flags        SM_STORE_ALL: also every root file system that no machine runs
 *              on, and every template; they are made again when they are
 *              wanted. Else 0.
 * report       called for each thing that went; may be NULL.
 * Returns      0, or SM_EINVAL, SM_EIMAGE and SM_EDIGEST (the store is damaged:
 *              see sm_store_verify()), SM_EACCES, SM_ENOMEM, SM_EIO.
 * Since        0.1
 */
SM_API int sm_store_prune(struct sm_host *host, unsigned flags,
                          void (*report)(void *context,
                                         const struct sm_store_change *change),
                          void *context, struct sm_error *err);

/*
 * Check everything that is kept: every blob is hashed, every name must lead to
 * a whole image, every root file system must be what it is called.
 *
 * flags        SM_STORE_REPAIR: remove what is damaged, so that the next pull
 *              gets it anew. Else 0.
 * report       called for each thing that is damaged; may be NULL.
 * Returns      0 (also if something is damaged), or SM_EINVAL, SM_EBUSY (a
 *              machine runs on a damaged root file system), SM_EACCES,
 *              SM_ENOMEM, SM_EIO.
 * Since        0.1
 */
SM_API int sm_store_verify(struct sm_host *host, unsigned flags,
                           void (*report)(void *context,
                                          const struct sm_store_change *change),
                           void *context, struct sm_error *err);

/*
 * Take the images of an archive into the store: what `docker save`,
 * sm_store_save() or skopeo writes, compressed with gzip, zstd, xz or bzip2 or
 * not.
 *
 * fd           where it is read from: a file from its beginning, or a pipe to
 *              its end.
 * name         what its only image is to be called. NULL: as the archive says.
 *              "snapshot:NAME": the archive is a snapshot, which is to have
 *              that name; "snapshot:": as the archive says.
 * report       called for each name; may be NULL.
 * Returns      0, or SM_EINVAL (no descriptor; an image without a name; a name
 *              for several), SM_ENOENT (no image), SM_EIMAGE, SM_EDIGEST,
 *              SM_ENOTSUP, SM_ELIMIT, SM_EEXIST (a snapshot has that name),
 *              SM_ENOSPC, SM_EACCES, SM_ENOMEM, SM_EIO.
 *              Images that came before one that failed are there.
 * Since        0.1
 */
SM_API int sm_store_load(struct sm_host *host, int fd, const char *name,
                         void (*report)(void *context,
                                        const struct sm_store_change *change),
                         void *context, struct sm_error *err);

/*
 * Write images as an archive.
 *
 * names        names or IDs, NULL at the end; an ID goes without its names. Or
 *              one snapshot alone.
 * format       "oci-archive": an OCI image layout in a tar, with the blobs as
 *              they came. "docker-archive": as `docker save`, no snapshots.
 *              NULL: the first.
 * fd           where it is written to: a file from its beginning, or a pipe.
 * Returns      0, or as sm_store_inspect(), SM_EINVAL also for another format,
 *              SM_EDIGEST, SM_EIMAGE, SM_ENOSPC; then what was written is of
 *              no use.
 * Since        0.1
 */
SM_API int sm_store_save(struct sm_host *host, const char *const *names,
                         const char *format, int fd, struct sm_error *err);

/*
 * Copy between here and a registry. One of the two names is the registry's:
 * "docker://NAME[:TAG]". What goes there is an image or a snapshot; what the
 * registry has is not sent again. What comes from there is a snapshot, (to) is
 * "snapshot:NAME" ("snapshot:": as its maker called it); for images there is
 * sm_image_prepare().
 *
 * config       (insecure), (progress), (report) and (platform) count. NULL: the
 *              defaults.
 * Returns      0, or as sm_store_inspect() and sm_image_prepare(), SM_EEXIST (a
 *              snapshot has that name).
 * Since        0.1
 */
SM_API int sm_store_copy(struct sm_host *host, const char *from, const char *to,
                         const struct sm_image_config *config,
                         struct sm_error *err);

/* ------------------------------------------------------------ machine -- */

struct sm_machine;

#define SM_MEMORY_MIN     UINT64_C(33554432)      /* bytes: 32 MiB         */
#define SM_MEMORY_MAX     UINT64_C(1099511627776) /* bytes: 1 TiB          */
#define SM_MEMORY_DEFAULT UINT64_C(536870912)     /* bytes: 512 MiB        */
#define SM_VCPUS_MAX      64

/* A limit of each process, as setrlimit(2) has it. */
struct sm_limit {
    /* "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue",
     * "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending" or
     * "stack"; in the kernel's unit: bytes, seconds, numbers. */
    const char *name;
    uint64_t soft; /* at most (hard). UINT64_MAX: none */
    uint64_t hard;
};

struct sm_machine_config {
    size_t size;
    /* The guest's memory in bytes, SM_MEMORY_MIN to SM_MEMORY_MAX, a multiple
     * of 2 MiB. 0: SM_MEMORY_DEFAULT, or the snapshot's. */
    uint64_t memory_bytes;
    /* 1 to SM_VCPUS_MAX. 0: 1, or the snapshot's. */
    uint32_t vcpus;
    /* Another guest kernel: ELF vmlinux or bzImage, with what kernel/README.md
     * asks for. NULL: ours. */
    const char *kernel;
    /* Host name in the guest, 1 to 63 letters, digits, dots and hyphens, not
     * beginning with a hyphen. NULL: twelve random hexadecimal digits. */
    const char *hostname;
    /* Words added to the kernel's command line. NULL: none. */
    const char *kernel_args;
    /* Not 0: boot. Else the machine goes on from a template, a snapshot of a
     * machine that has just booted, which the first start of its kind makes;
     * machines with a kernel or kernel_args of their own boot as well. */
    uint32_t cold;
    /* The machine's name, and words about it, "KEY[=VALUE]", NULL at the end:
     * sm_machine_inspect() shows them, nothing else looks at them. NULL: none.
     */
    const char *name;
    const char *const *labels;
    /* What commands have that do not say otherwise, over what the image says:
     * see the fields of these names in sm_exec_config. NULL: the image's. */
    const char *entrypoint;
    const char *const *argv;
    const char *const *env;
    const char *workdir;
    const char *user;
    /* Limits of each process of its commands, (limit_count) of them, at most
     * 16. */
    const struct sm_limit *limits;
    size_t limit_count;
    /* Processes and threads that all its commands may have together, 1 to
     * 4 194 304; to fork beyond fails. 0: no limit. Like (limits), it keeps
     * commands in order; a superuser in the guest can lift both. What no guest
     * can lift are memory and vcpus. */
    uint32_t processes_max;
    /* So long after sm_machine_start() it ends, in milliseconds, whatever it
     * does and whoever watches: SM_END_EXPIRED. 0: never. */
    uint32_t lifetime_ms;
    /* The name of a snapshot that the machine goes on from: see "snapshot". It
     * brings memory_bytes and vcpus, which are 0 here or the same; kernel,
     * kernel_args and cold must not be set. What (limits) and (processes_max)
     * leave unset is as in the machine that the snapshot was made of; hostname,
     * name, labels and lifetime_ms are not. NULL: none. */
    const char *snapshot;
};

/* Set every field to its default. Threads: any. Since 0.1 */
SM_API void sm_machine_config_init(struct sm_machine_config *config);

/*
 * A machine with a private, throw-away disk over the image's. Nothing runs
 * before sm_machine_start(). (config) may be NULL. (image) may be freed
 * afterwards; it is NULL for a machine of a snapshot, which has its own.
 *
 * Returns      0 and *ret, or SM_EINVAL (a value out of range, named),
 *              SM_ENOMEM; of a snapshot also SM_ENOENT (none of that name, with
 *              near names), SM_EIMAGE (damaged), SM_EACCES, SM_EIO, and
 *              SM_ENOTSUP (it is of another architecture, hypervisor, kernel or
 *              agent: see "snapshot").
 * Since        0.1
 */
SM_API int sm_machine_new(struct sm_host *host, const struct sm_image *image,
                          const struct sm_machine_config *config,
                          struct sm_machine **ret, struct sm_error *err);

/* Kills the machine if it runs; waits for its worker to be gone. Its execs must
 * be freed before. NULL is fine. Since 0.1 */
SM_API void sm_machine_free(struct sm_machine *machine);

/*
 * Start (machine) and return once its agent has answered. Execs that were
 * made before start with it, in the same round trip.
 *
 * timeout_ms   counted from the call, 1 to 3 600 000; 0: 60 000. SM_NOWAIT:
 *              return once the worker process has been started; what becomes
 *              of the start within 60 000 ms, sm_machine_state() tells.
 * Returns      0, or SM_ETIMEOUT, SM_EINVAL (timeout_ms), SM_ESTATE (was
 *              started before), SM_ENOHV (no usable hypervisor: see
 *              sm_host_doctor()), SM_ENOTSUP (its snapshot cannot go on here:
 *              see "snapshot"), SM_EGUEST (the guest stopped before answering:
 *              see sm_machine_log()),
 *              SM_EIMAGE (not a kernel), SM_ENOENT and SM_EACCES (kernel,
 *              runtime folder, root file system, hypervisor), SM_ENOSPC (the
 *              kernel does not fit into the memory; disk full), SM_ECANCELED
 *              (sm_machine_kill()), SM_ELIMIT, SM_ENOMEM, SM_EIO.
 * On failure   the machine is stopped; it may be freed, not started again.
 * Blocks.      Since 0.1
 */
SM_API int sm_machine_start(struct sm_machine *machine, uint32_t timeout_ms,
                            struct sm_error *err);

/*
 * End the machine at once, as if its power was cut.
 *
 * Threads      any.
 * Since        0.1
 */
SM_API void sm_machine_kill(struct sm_machine *machine);

enum sm_machine_state {
    SM_MACHINE_NEW,      /* not started                              */
    SM_MACHINE_STARTING, /* its agent has not answered               */
    SM_MACHINE_RUNNING,
    SM_MACHINE_PAUSED, /* see sm_machine_pause()                   */
    SM_MACHINE_STOPPED /* for good; sm_machine_wait() says why     */
};

/* As of the last call that waited or dispatched. Since 0.1 */
SM_API enum sm_machine_state sm_machine_state(const struct sm_machine *machine);

/*
 * A descriptor that is readable when sm_machine_dispatch() has something to do,
 * or something has happened while you asked (machine) for something else: for
 * poll, epoll, select and event loops. It belongs to (machine): do not read,
 * write or close it. Always the same one.
 *
 * Returns      the descriptor, 0 or more, or SM_ELIMIT, SM_ENOMEM, SM_EIO.
 * Since        0.1
 */
SM_API int sm_machine_fd(struct sm_machine *machine, struct sm_error *err);

/*
 * Do what there is to do for (machine) and its commands: their streams, their
 * ends, its own start and end. Never waits.
 *
 * Since        0.1
 */
SM_API void sm_machine_dispatch(struct sm_machine *machine);

/* Why a machine ended. */
enum sm_end_reason {
    SM_END_POWER_OFF, /* the guest switched itself off, or sm_machine_stop() */
    SM_END_REBOOT,    /* the guest asked for a restart                       */
    SM_END_PANIC,     /* the guest's kernel panicked                         */
    SM_END_CRASH,     /* triple fault and the like                           */
    SM_END_KILLED,    /* sm_machine_kill()                                   */
    SM_END_FAILED,    /* it did not start, or this side failed: see error    */
    SM_END_EXPIRED    /* sm_machine_config.lifetime_ms                       */
};

struct sm_machine_end {
    enum sm_end_reason reason;
    struct sm_error error; /* what its commands got that had not ended */
};

/*
 * Wait until (machine) is stopped. Its commands' streams are carried.
 *
 * timeout_ms   0: wait for ever; SM_NOWAIT.
 * Returns      0 and *ret, or SM_ETIMEOUT (call again), SM_ESTATE (machine
 *              not started).
 * Blocks.      Since 0.1
 */
SM_API int sm_machine_wait(struct sm_machine *machine, uint32_t timeout_ms,
                           struct sm_machine_end *ret, struct sm_error *err);

/*
 * Have the processors of (machine) stand still. Its clocks go on: time-outs
 * that pass meanwhile fire when it is resumed. Commands that are given to it
 * start then. 0 if it is paused already.
 *
 * Returns      0, or SM_ESTATE (it does not run), SM_ETIMEOUT (30 000 ms were
 *              not enough), SM_EGUEST (it ended meanwhile), SM_EIO.
 * Blocks.      Since 0.1
 */
SM_API int sm_machine_pause(struct sm_machine *machine, struct sm_error *err);

/*
 * Let a paused machine go on. 0 if it runs already.
 *
 * Returns      as sm_machine_pause().
 * Blocks.      Since 0.1
 */
SM_API int sm_machine_resume(struct sm_machine *machine, struct sm_error *err);

/*
 * End (machine) in order: its processes get SIGTERM; those that are left after
 * the grace SIGKILL; then it switches itself off. If it does not within five
 * more seconds, it is killed. 0 if it is stopped already.
 *
 * grace_ms     1 to 3 600 000; 0: 10 000.
 * Returns      0, or SM_EINVAL, SM_ESTATE (machine not started), SM_ENOMEM.
 *              After these errors it is as it was; else the machine is
 *              stopped.
 * Blocks.      Since 0.1
 */
SM_API int sm_machine_stop(struct sm_machine *machine, uint32_t grace_ms,
                           struct sm_error *err);

enum sm_event_kind {
    SM_EVENT_STARTED, /* its agent has answered                             */
    SM_EVENT_PAUSED,
    SM_EVENT_RESUMED,
    SM_EVENT_OUT_OF_MEMORY, /* the guest's kernel killed a process: (detail)
                               is its name, (pid) its number in the guest   */
    SM_EVENT_PANIC,         /* the guest's kernel panicked; (detail): why   */
    SM_EVENT_ENDED          /* the last one: sm_machine_wait() tells        */
};

struct sm_event {
    enum sm_event_kind kind;
    uint32_t pid;
    uint64_t time_ns; /* since 1970, UTC */
    char detail[256]; /* "" where the kind has none */
};

/*
 * The next thing that happened to (machine), in order. In an event loop: ask
 * with SM_NOWAIT, until SM_ETIMEOUT, after each sm_machine_dispatch(). Up to 64
 * wait to be asked for; more push out the oldest. Behind SM_EVENT_ENDED nothing
 * comes.
 *
 * timeout_ms   0: wait for ever; SM_NOWAIT.
 * Returns      0 and *ret, or SM_ETIMEOUT, SM_ECLOSED (the last one was given),
 *              SM_ESTATE (not started).
 * Blocks.      Since 0.1
 */
SM_API int sm_machine_next_event(struct sm_machine *machine,
                                 uint32_t timeout_ms, struct sm_event *ret,
                                 struct sm_error *err);

/* What a machine has used since it was started, and holds now. */
struct sm_machine_stats {
    uint64_t uptime_us;       /* since sm_machine_start()                     */
    uint64_t vcpu_us;         /* processor time of its vcpus, all together    */
    uint64_t worker_us;       /* of its whole worker process, vcpus included  */
    uint64_t worker_bytes;    /* resident memory of the worker, what the guest
                                 has touched of its own included              */
    uint64_t memory_bytes;    /* of the guest, as configured                  */
    uint64_t disk_read_bytes; /* by the guest, of its root disk               */
    uint64_t disk_written_bytes;
    uint64_t disk_reads; /* requests */
    uint64_t disk_writes;
    uint64_t stream_in_bytes; /* commands' streams and words to its agent, on
                                 their way into the guest, and out of it      */
    uint64_t stream_out_bytes;
    uint32_t vcpus;
    uint32_t commands; /* sm_execs that have not ended */
    /* Hearsay, as the guest tells it; 0 where (guest_answered) is 0: it is
     * paused, or did not answer within 2 s. */
    int guest_answered;
    uint32_t processes;         /* of commands and what they started          */
    uint32_t oom_kills;         /* processes killed for want of memory        */
    uint64_t guest_total_bytes; /* memory that its kernel has to give  */
    uint64_t guest_available_bytes; /* of this, free or easily made so     */
    uint64_t guest_cached_bytes;    /* file contents, mostly available     */
};

/*
 * Returns      0 and *ret, or SM_ESTATE (it does not run), SM_EGUEST (it ended
 *              meanwhile), SM_ETIMEOUT (the worker does not answer), SM_EIO.
 * Blocks.      Since 0.1
 */
SM_API int sm_machine_stats(struct sm_machine *machine,
                            struct sm_machine_stats *ret, struct sm_error *err);

enum sm_inspection {
    /* {"state","config":{"name","labels","image","hostname","memory_bytes",
     * "vcpus","command","ports","healthcheck",...},"end":{"reason","message"}}:
     * how it is configured and how it stands. The image says of its own program
     * which (ports) it listens on, "80/tcp", and how its health is seen: text
     * that is JSON, as it stands in the image; "": it does not. Never waits. */
    SM_INSPECT_MACHINE,
    /* [{"pid","parent","uid","threads","state","rss_bytes","cpu_us",
     * "started_us","command"},...]: what runs in it, without its kernel's own
     * threads and its agent; the times are of the processor and since it
     * booted. Hearsay. Asks the guest, which must run. */
    SM_INSPECT_PROCESSES
};

/*
 * What is known of (machine), as one line of JSON; fields may be added later.
 * *ret belongs to the caller: free().
 *
 * Returns      0 and *ret, or SM_EINVAL, SM_ENOMEM; of processes also SM_ESTATE
 *              (it does not run), SM_EGUEST (it ended meanwhile), SM_ETIMEOUT
 *              (10 s).
 * Blocks.      Since 0.1
 */
SM_API int sm_machine_inspect(struct sm_machine *machine,
                              enum sm_inspection what, char **ret,
                              struct sm_error *err);

/*
 * What the guest's kernel printed, at most the last 1 MiB. *ret belongs to
 * the caller: free().
 *
 * Returns      0 and *ret, or SM_ENOMEM, SM_EIO.
 * Since        0.1
 */
SM_API int sm_machine_log(struct sm_machine *machine, char **ret,
                          struct sm_error *err);

/*
 * What the start cost: one line of JSON, {"steps":[{"name":...,"us":...}]},
 * with the time at which each step was done, in microseconds since
 * sm_machine_start() was called. *ret belongs to the caller: free().
 *
 * Returns      0 and *ret, or SM_ESTATE (not started), SM_ENOMEM.
 * Since        0.1
 */
SM_API int sm_machine_cost(struct sm_machine *machine, char **ret,
                           struct sm_error *err);

/* --------------------------------------------------------------- exec -- */

struct sm_exec;

/* Instead of a descriptor. */
#define SM_BYTES (-2)

/* A file that a command finds when it starts. */
struct sm_staged_file {
    const char *path; /* in the guest: absolute, or below the command's working
                         directory; folders are made, what is there is
                         replaced                                          */
    const void *bytes;
    size_t count;
    uint32_t mode; /* 0 to 07777; 0: 0644. The owner is the command's user */
};

struct sm_exec_config {
    size_t size;
    /* The command, NULL at its end. Without entrypoint: appended to the
     * image's entrypoint. NULL or empty: the image's command. */
    const char *const *argv;
    /* Replaces the image's entrypoint (and drops its command). "" alone:
     * none. NULL: the image's. */
    const char *entrypoint;
    /* "NAME=VALUE" strings, NULL at the end, over the image's environment. */
    const char *const *env;
    /* Absolute; made when missing. NULL: the image's, or "/". */
    const char *workdir;
    /* "name|uid[:group|gid]", looked up in the image. NULL: the image's. */
    const char *user;
    /* Descriptors of the caller, open until the exec ended. -1: nothing
     * (stdin: end of file at once; stdout, stderr: thrown away). SM_BYTES:
     * sm_exec_write(), sm_exec_read(). */
    int stdin_fd;  /* default -1 */
    int stdout_fd; /* default  1 */
    int stderr_fd; /* default  2 */
    /* Ends the command with SIGKILL, with everything that it started.
     * In milliseconds, 0: never. */
    uint32_t timeout_ms;
    /* Not 0: the command's stdin, stdout and stderr are one terminal in the
     * guest. What it shows comes to stdout_fd; stderr_fd is not used; the end
     * of stdin_fd is a Ctrl-D to it. If yours is a terminal too, it is for you
     * to make it raw, and to tell new sizes with sm_exec_resize(). */
    uint32_t tty;
    /* Size of that terminal in characters, up to 65535. 0: 24 and 80. */
    uint32_t rows;
    uint32_t columns;
    /* More command lines, each like (argv) in full, NULL at the end: each runs
     * once the one before has exited with 0, with the same streams, user,
     * environment and working directory. The status is that of the last one
     * that ran; one that cannot be run gives 127 or 126, as in a shell. All
     * together are one command, and one round trip. NULL: none. */
    const char *const *const *then;
    /* Files, (file_count) of them, put there before, in the same round trip;
     * at most 2 MiB together with their paths. */
    const struct sm_staged_file *files;
    size_t file_count;
    /* Not 0: no new command. The one that the machine's snapshot was made with
     * goes on, and is this exec from the start of the machine on: its streams,
     * its signals, its end. One exec of a machine may have this, made before
     * sm_machine_start(); it sets descriptors, rows and columns, and nothing
     * else: the rest is as it was, tty and a time-out that counts too. */
    uint32_t resume;
};

/* How a command ended. */
struct sm_exit_status {
    int exited;       /* 1: by itself, with (code); 0: by (signal)   */
    int code;         /* 0 to 255                                    */
    int signal;       /* Linux signal number                         */
    uint64_t user_us; /* processor time of the command, microseconds */
    uint64_t system_us;
    uint64_t peak_rss_bytes; /* largest resident set of one process        */
    int out_of_memory; /* 1: the guest's kernel killed one of its processes, the
                          command's or one that it started, for want of memory:
                          give the machine more                            */
    int timed_out;     /* 1: killed after its timeout_ms                   */
};

/* Set every field to its default. Threads: any. Since 0.1 */
SM_API void sm_exec_config_init(struct sm_exec_config *config);

/*
 * A command in (machine). Before sm_machine_start(): starts with the machine.
 * In a running machine: sent at the next wait for anything in this machine.
 * (config) may be NULL: the image's own command.
 *
 * Returns      0 and *ret, or SM_EINVAL (nothing to run, or to resume; a value
 *              out of range), SM_ESTATE (machine stopped; was started before
 *              the command that is to be resumed),
 *              SM_ELIMIT (more than 1 MiB of arguments and environment, 2 MiB
 *              of files), SM_ENOMEM.
 * Since        0.1
 */
SM_API int sm_exec_new(struct sm_machine *machine,
                       const struct sm_exec_config *config,
                       struct sm_exec **ret, struct sm_error *err);

/* Kills the command, and what it started, if it still runs. NULL is fine.
 * Since 0.1 */
SM_API void sm_exec_free(struct sm_exec *exec);

/*
 * Carry the command's streams until it ended and all of its output was
 * delivered.
 *
 * timeout_ms   of this wait, not of the command; 0: wait for ever; SM_NOWAIT.
 *              Output that is to be read with sm_exec_read() must be read by
 *              somebody: a command that cannot write does not end.
 * Returns      0 and *ret, or SM_ETIMEOUT (call again), SM_ENOCMD and
 *              SM_ENOEXEC (the command never ran), SM_EINVAL (user or
 *              working directory), SM_EIO and SM_ENOSPC (staged files),
 *              SM_ELIMIT (the guest lacks processes,
 *              memory or descriptors), SM_EGUEST (the machine ended first),
 *              SM_ESTATE (machine not started); SM_ENOSPC, SM_EIO and
 *              SM_ENOMEM also if it ran, but stdout_fd or stderr_fd did not
 *              take all of its output (a pipe that is closed is no error).
 * Blocks.      Since 0.1
 */
SM_API int sm_exec_wait(struct sm_exec *exec, uint32_t timeout_ms,
                        struct sm_exit_status *ret, struct sm_error *err);

/*
 * Wait until the command's program has been loaded and runs, or has run: from
 * then on it is the command's own doing how it ends.
 *
 * timeout_ms   0: wait for ever; SM_NOWAIT.
 * Returns      0, or SM_ETIMEOUT (call again), or, as sm_exec_wait(), why it
 *              never ran.
 * Blocks.      Since 0.1
 */
SM_API int sm_exec_wait_started(struct sm_exec *exec, uint32_t timeout_ms,
                                struct sm_error *err);

/*
 * A descriptor that is readable while sm_exec_read() would give bytes or an
 * end, while sm_exec_write() would take bytes that it refused before, and after
 * the end of the command or its machine. It belongs to (exec): do not read or
 * close it. Somebody must drive the machine: see sm_machine_dispatch().
 *
 * Returns      the descriptor, 0 or more, or SM_ELIMIT, SM_ENOMEM, SM_EIO.
 * Since        0.1
 */
SM_API int sm_exec_fd(struct sm_exec *exec, struct sm_error *err);

/*
 * Some of what the command wrote to (stream), 1: stdout, 2: stderr, whose
 * descriptor must have been SM_BYTES. At most 256 KiB per stream wait to be
 * read; then the command waits.
 *
 * timeout_ms   0: wait for ever; SM_NOWAIT.
 * Returns      the number of bytes, 1 to (capacity); 0 at the end of the
 *              stream. Or SM_ETIMEOUT (nothing is there), SM_EINVAL (the stream
 *              is not 1 or 2, or not SM_BYTES; a capacity of 0), SM_ESTATE
 *              (machine not started), SM_ENOMEM (bytes were lost). A machine
 *              that ends, ends the stream: sm_exec_wait() tells how it ended.
 * Blocks.      Since 0.1
 */
SM_API int64_t sm_exec_read(struct sm_exec *exec, int stream, void *to,
                            size_t capacity, uint32_t timeout_ms,
                            struct sm_error *err);

/*
 * Give the command bytes on its stdin, which must have been SM_BYTES.
 *
 * timeout_ms   0: wait for ever; SM_NOWAIT.
 * Returns      the number of bytes that were taken, 1 to (count), 0 if (count)
 *              is. Or SM_ETIMEOUT (no room now), SM_ECLOSED (the command or its
 *              machine has ended, or the end was written), SM_EINVAL (stdin is
 *              not SM_BYTES), SM_ESTATE (machine not started). What a command
 *              does not read is lost without a word.
 * Blocks.      Since 0.1
 */
SM_API int64_t sm_exec_write(struct sm_exec *exec, const void *bytes,
                             size_t count, uint32_t timeout_ms,
                             struct sm_error *err);

/* The end of the command's stdin, behind what was written. Since 0.1 */
SM_API void sm_exec_write_end(struct sm_exec *exec);

/*
 * Send a Linux signal number, 1 to 64, to the command's process group. Before
 * the command runs it is kept until then; after its end it is dropped.
 *
 * Returns      0, or SM_EINVAL.
 * Threads      any, also during sm_exec_wait().
 * Since        0.1
 */
SM_API int sm_exec_signal(struct sm_exec *exec, int signal,
                          struct sm_error *err);

/*
 * The command's terminal has another size, in characters: it gets SIGWINCH.
 * Dropped for a command without a terminal and after its end.
 *
 * rows, columns  1 to 65535.
 * Returns      0, or SM_EINVAL.
 * Threads      any, also during sm_exec_wait().
 * Since        0.1
 */
SM_API int sm_exec_resize(struct sm_exec *exec, uint32_t rows, uint32_t columns,
                          struct sm_error *err);

/* The exit code that a shell would report: code, or 128 + signal.
 * Threads: any. Since 0.1 */
SM_API int sm_exit_code(const struct sm_exit_status *status);

/*
 * The short way: host from the environment, image, machine, (command), all
 * freed again. (command) may be NULL: the image's own. Its descriptors must not
 * be SM_BYTES: there would be nobody to ask for them.
 *
 * Returns      as the calls that it stands for.
 * Blocks.      Since 0.1
 */
SM_API int sm_run(const char *reference, const struct sm_exec_config *command,
                  struct sm_exit_status *ret, struct sm_error *err);

/* -------------------------------------------------------------- files -- */

/*
 * Files of a machine that runs. Its agent works on them as root, whatever the
 * image holds, with its own root as the root: relative paths begin there, and
 * no symbolic link of the guest leads out of it.
 *
 * Trees travel as tars (POSIX.1-2017, pax), with types, modes, numeric owners,
 * times of change in nanoseconds, hard links within the tree, symbolic links,
 * devices, FIFOs, holes and extended attributes (ACLs and capabilities are
 * some). Sockets are left out, and so is what the kernel keeps in /proc, /sys
 * and /dev unless a path leads in there. Tars that come from elsewhere may also
 * be ustar or GNU tar's; they are not compressed.
 *
 * On this host, what a guest sends is made below the target and under the name
 * that was asked for, or not at all: names that lead out, and names that pass
 * through a symbolic link, are SM_EACCES.
 */

/* What is at a path of a machine. */
struct sm_file_stat {
    uint32_t mode; /* type and rights as Linux's st_mode has them      */
    uint32_t uid;
    uint32_t gid;
    uint32_t major; /* of a device                                      */
    uint32_t minor;
    uint32_t mtime_ns;
    int64_t mtime_s;   /* seconds since 1970, UTC                          */
    uint64_t bytes;    /* of a regular file                                */
    char target[4096]; /* of a symbolic link, "" otherwise                 */
};

/* Flags of the calls below. */
enum sm_file_flags {
    SM_FILE_FOLLOW = 1, /* a symbolic link that the source's path ends with */
    SM_FILE_ARCHIVE = 2 /* keep owners; on this host also setuid and setgid
                           bits, devices and all attributes. Only for guests
                           that are trusted as much as their files then are  */
};

/*
 * Look at (path) of (machine).
 *
 * flags        SM_FILE_FOLLOW, or 0.
 * Returns      0 and *ret, or SM_ENOENT, SM_EACCES, SM_EINVAL (path, flags),
 *              SM_ESTATE (not started), SM_EGUEST, SM_ETIMEOUT (60 000 ms were
 *              not enough).
 * Blocks.      Since 0.1
 */
SM_API int sm_file_stat(struct sm_machine *machine, const char *path,
                        uint32_t flags, struct sm_file_stat *ret,
                        struct sm_error *err);

/* What sm_file_open() does with a path, and what its stream is. */
enum sm_file_work {
    SM_FILE_READ = 1, /* the content of a regular file comes out            */
    SM_FILE_WRITE,    /* makes a file, or replaces the content of one       */
    SM_FILE_PACK,     /* the tree at path comes out as a tar                */
    SM_FILE_UNPACK    /* a tar goes into the folder path, which is there    */
};

struct sm_file_config {
    size_t size;
    enum sm_file_work work;
    const char *path;
    /* The stream: a descriptor of the caller, open until the end, or SM_BYTES:
     * sm_exec_read() of stream 1, or sm_exec_write() and, behind the last byte,
     * sm_exec_write_end(). Default SM_BYTES. */
    int fd;
    uint32_t flags; /* SM_FILE_FOLLOW: SM_FILE_PACK; SM_FILE_ARCHIVE:
                       SM_FILE_UNPACK, else all is root's                   */
    uint32_t mode;  /* SM_FILE_WRITE: 1 to 07777; 0: 0644 for a new file, and
                       as it is for one that exists                         */
    /* Not 0: SM_FILE_UNPACK takes one tree, as SM_FILE_PACK gives it, and puts
     * it to path by the rules of sm_copy(). */
    uint32_t place;
    uint32_t timeout_ms; /* of the work; 0: none                            */
};

/* Set every field to its default. Threads: any. Since 0.1 */
SM_API void sm_file_config_init(struct sm_file_config *config);

/*
 * Begin work on a file or a tree of (machine). What comes back is an exec: it
 * is driven, waited for and freed like one. Work that its time-out ends, or
 * sm_exec_free(), leaves what it has made so far, a file that is not whole
 * included.
 *
 * Returns      0 and *ret, or SM_EINVAL, SM_ESTATE (machine stopped) and
 *              SM_ENOMEM. How the work went, sm_exec_wait() returns: 0, or
 *              SM_ENOENT, SM_EEXIST (a folder and something else do not
 *              replace each other), SM_EACCES, SM_ENOSPC, SM_EINVAL and
 *              SM_ECLOSED (no tar; cut short), SM_ELIMIT, SM_ETIMEOUT,
 *              SM_EIO, SM_EGUEST.
 * Since        0.1
 */
SM_API int sm_file_open(struct sm_machine *machine,
                        const struct sm_file_config *config,
                        struct sm_exec **ret, struct sm_error *err);

struct sm_copy_config {
    size_t size;
    /* From where: a path of from_machine, or of this host (NULL), or a tar on a
     * descriptor. With from_fd, from says which tree the tar is of, as
     * SM_FILE_PACK made it from that path; NULL: it is any tar, and to must be
     * a folder. */
    struct sm_machine *from_machine;
    const char *from;
    int from_fd; /* default -1: none */
    /* Where to, likewise. To to_fd comes a tar. */
    struct sm_machine *to_machine;
    const char *to;
    int to_fd;           /* default -1: none                               */
    uint32_t flags;      /* enum sm_file_flags                             */
    uint32_t timeout_ms; /* of the whole; 0: none                          */
    uint64_t bytes_max;  /* of content that comes to this host; 0: no limit */
};

/* Set every field to its default. Threads: any. Since 0.1 */
SM_API void sm_copy_config_init(struct sm_copy_config *config);

/*
 * Copy a file or a tree, by the rules of docker cp:
 *
 *   to is a folder     from goes into it, under its own name
 *   to is a file       it is replaced by a file; a folder is SM_EEXIST
 *   to is not there    its folder must be; from becomes to, unless that ends
 *                      with a slash and from is no folder: SM_ENOENT
 *
 * "folder/." is what is in a folder, without the folder itself; a trailing
 * slash follows a symbolic link. Folders that are on both sides become one; a
 * file that is in the way is removed first, never written through. Owners are
 * root's in a machine and the caller's on this host, unless SM_FILE_ARCHIVE
 * keeps them.
 *
 * At least one end is a machine, or one a path of this host and the other a
 * descriptor: thus somebody else may carry the stream, from SM_FILE_PACK or to
 * SM_FILE_UNPACK.
 *
 * ret_bytes    how many bytes of content passed this host's side; 0 for a
 *              machine's own descriptor. May be NULL.
 * Returns      0, or as sm_exec_wait() for sm_file_open(), and SM_EPROTO (the
 *              guest sent another tree than was asked for), SM_ENOTSUP (a
 *              device, without SM_FILE_ARCHIVE), SM_EBUSY (a file became
 *              shorter while it was read), SM_ESTATE (a machine that was not
 *              started). What was copied before a failure stays. A file is
 *              whole or not there, but for one in a machine that was being made
 *              when the time was up.
 * Threads      one at a time per machine.
 * Blocks.      Since 0.1
 */
SM_API int sm_copy(const struct sm_copy_config *config, uint64_t *ret_bytes,
                   struct sm_error *err);

/* ----------------------------------------------------------- snapshot -- */

/*
 * A snapshot is a machine at one instant, kept: memory, processors, devices and
 * disk. Machines that are made of it (sm_machine_config.snapshot) go on from
 * there, any number of them, at once or years later, on this computer or on
 * another. The machine itself goes on, too: it stands still for some
 * milliseconds only.
 *
 * What is in it: everything that the machine has. Keys, passwords and tokens in
 * its memory are, and those that were deleted may be. Folders and files of
 * snapshots are their maker's alone (modes 0700, 0600). Whoever is given an
 * archive of one is given all of that; whoever runs one that he was given runs
 * its programs, within the walls of a machine. What an archive or its sender
 * says is checked, field by field.
 *
 * Two machines that go on from one instant would be the same: with the same
 * random numbers, the same name, the wrong time. So nothing of the guest runs
 * in a new one before its kernel has fresh randomness, its clock is right, and
 * host name, machine-id and boot_id are new; if any of it fails, the machine
 * ends. Programs that keep randomness of their own, connections, leases or the
 * time find /dev/supermachine/generation changed (docs/CLONES.md). Streams of
 * commands do not last over a snapshot: sm_exec_config.resume gives one of the
 * commands new ones, the others go on without.
 *
 * A snapshot is a folder of its own, HOME/snapshots/NAME. Files that are as
 * they were in what the machine came from (its template or snapshot, its image)
 * are shared with it, as hard links: nothing depends on anything else being
 * kept, and to remove one frees what no other has. Machines of a snapshot that
 * is removed go on. A folder appears whole or not at all, whoever is killed
 * meanwhile, and never changes.
 *
 * A machine goes on only where it can: on the same architecture and hypervisor,
 * with processors that can what its own could, with the guest kernel and the
 * agent that it has in memory, by their digests. Anywhere else
 * sm_machine_new() or sm_machine_start() refuse, SM_ENOTSUP, and say which of
 * these it is.
 */

/* Names are letters, digits, "_", "." and "-", the first of them a letter or a
 * digit, and at most so many. */
#define SM_SNAPSHOT_NAME_MAX 64

/* Its memory is in one file that shares nothing: for archives, or at the end of
 * a long row of snapshots of snapshots. */
#define SM_SNAPSHOT_FULL 1u

/* One that has the name goes, in the same step. */
#define SM_SNAPSHOT_REPLACE 2u

/* Not synced, not listed, and named by us: to be used and removed soon. One
 * that is older than an hour goes with the next that is made, or with
 * sm_store_prune(). */
#define SM_SNAPSHOT_TEMPORARY 4u

/* The call does not wait: it begins the snapshot and returns 1. Whatever call
 * waits for the machine, or dispatches it, gets on with that; the same call
 * again, after each of them, returns 1 until it is over, and then what became
 * of it. Of its config only name and flags count then; until somebody has heard
 * what became of it, the machine makes no other. */
#define SM_SNAPSHOT_NOWAIT 8u

struct sm_snapshot_config {
    size_t size;
    /* What it is to be called. NULL only with SM_SNAPSHOT_TEMPORARY. */
    const char *name;
    uint32_t flags; /* SM_SNAPSHOT_* */
    /* The time for (command) to start, if it was made just now, for the machine
     * to stand still, and for it to go on, each in milliseconds; 0: 30 000.
     * What is written afterwards takes as long as it takes. */
    uint32_t timeout_ms;
    /* The command whose streams go on in machines of the snapshot
     * (sm_exec_config.resume). NULL: the first one that was made before the
     * start and still runs, if there is one. */
    const struct sm_exec *command;
};

/* Set every field to its default. Threads: any. Since 0.1 */
SM_API void sm_snapshot_config_init(struct sm_snapshot_config *config);

/* What became of it. */
struct sm_snapshot_info {
    char name[SM_SNAPSHOT_NAME_MAX + 1]; /* of a temporary one, too          */
    uint64_t paused_ns;   /* that the machine's programs stood still         */
    uint64_t duration_ns; /* from the call until it was kept                 */
    uint64_t bytes;       /* that it takes up on the disk and shares with
                             nothing; 0 of a temporary one                   */
};

/*
 * Keep (machine), which runs, as it is now. When the call returns, the snapshot
 * would survive a loss of power; the machine went on long before. Its commands'
 * streams are carried meanwhile.
 *
 * With SM_SNAPSHOT_NOWAIT the machine's other calls may be made meanwhile. The
 * name and the flags are the same each time; the last call lets the snapshot be
 * seen, and syncs its folder, which takes a moment. A machine makes one at a
 * time; if it is freed before that, nothing is left of the snapshot.
 *
 * ret          may be NULL.
 * Returns      0, or SM_EINVAL (name, flags), SM_EEXIST (the name is taken:
 *              SM_SNAPSHOT_REPLACE), SM_ESTATE (machine not started, paused or
 *              stopped; (command) has ended), SM_ETIMEOUT, SM_ENOSPC,
 *              SM_ENOTSUP (its agent cannot), SM_EGUEST (it ended meanwhile, or
 *              its agent failed), SM_EBUSY (another one is being made; or
 *              the machine is about to end, or has a process where none can be
 *              made to stand still: the error says which), SM_EACCES, SM_ENOMEM, SM_EIO; 1: see SM_SNAPSHOT_NOWAIT.
 *              Whatever it is, (machine) goes on as if nothing had happened.
 * Blocks.      Since 0.1
 */
SM_API int sm_snapshot_create(struct sm_machine *machine,
                              const struct sm_snapshot_config *config,
                              struct sm_snapshot_info *ret,
                              struct sm_error *err);

/* A snapshot that is kept. */
struct sm_stored_snapshot {
    const char *name;
    const char *image; /* that its machine was made with, as it was named    */
    const char *command; /* that goes on, as a user would type it; "": none */
    const char *json;   /* all of this, as one line of JSON                   */
    uint64_t created_s; /* seconds since 1970, UTC                            */
    uint64_t memory_bytes;
    uint32_t vcpus;
    uint64_t own_bytes; /* that would become free on the disk without it    */
    uint64_t shared_bytes; /* on the disk, of files that others have as well */
};

/*
 * Call (report) for each snapshot, ordered by name. One that is damaged is left
 * out; sm_store_inspect() says why.
 *
 * Returns      0, or SM_ENOMEM, SM_EIO, SM_EACCES.
 * Since        0.1
 */
SM_API int sm_snapshot_list(
    struct sm_host *host,
    void (*report)(void *context, const struct sm_stored_snapshot *snapshot),
    void *context, struct sm_error *err);

/*
 * (count) new machines that go on from this moment of (machine), which goes on
 * as well. They share its memory until they write, and see nothing that it does
 * afterwards. They are new machines of a snapshot, to be started: until then
 * commands can be made in them, one of them with sm_exec_config.resume. Nothing
 * of it is kept on the disk that would outlive them.
 *
 * config       as for sm_machine_new(); (snapshot) must be NULL. May be NULL.
 * count        1 to 256.
 * ret          room for (count); filled completely or not at all.
 * Returns      0, or as sm_snapshot_create() and sm_machine_new().
 * Blocks.      Since 0.1
 */
SM_API int sm_machine_fork(struct sm_machine *machine,
                           const struct sm_machine_config *config,
                           uint32_t count, struct sm_machine **ret,
                           struct sm_error *err);

#ifdef __cplusplus
}
#endif

#endif

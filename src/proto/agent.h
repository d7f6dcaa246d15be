/* agent.h: what the host and the agent in the guest say to each other.
 *
 * How it works
 *   docs/PROTOCOL.md tells the whole story. In short: one byte stream (vsock)
 *   is one session, which carries frames (frame.h). Channel 0 is the session
 *   itself; every other channel is one program, numbered by the host, never
 *   reused within a session. A stream of a program moves only as many bytes
 *   as its receiver has granted (AGENT_WINDOW), so that a stalled one neither
 *   blocks the others nor makes anybody buffer without end.
 *
 *       agent: HELLO             host: SETUP, EXEC 1        (one write)
 *       agent: SETUP_DONE, EXEC_STARTED 1, STDOUT 1 ..., EXITED 1
 *
 *   agent_put_*() append a whole frame to a buf. agent_get_*() read the
 *   payload of a frame that has passed agent_check_*(); they check every
 *   field, never trust a count, and give SM_EPROTO on nonsense or SM_ENOMEM.
 *   Fields are only ever appended to a message: bytes behind the last field
 *   that a reader knows are ignored.
 */
#ifndef SM_PROTO_AGENT_H
#define SM_PROTO_AGENT_H

#include "base/wire.h"
#include "proto/frame.h"

/* The host listens on its CID (2) at this port for a booting agent; the agent
 * listens on the guest's CID at the same number for further sessions. */
enum { AGENT_HOST_CID = 2, AGENT_PORT = 1 };

enum {
    AGENT_VERSION = 1,
    AGENT_FRAME_MAX = 64 << 10,  /* header and payload, but for the next line */
    AGENT_REQUEST_MAX = 4 << 20, /* SETUP, EXEC and CLONE: payload           */
    AGENT_DATA_MAX = AGENT_FRAME_MAX - FRAME_HEADER_BYTES,
    AGENT_STDIN_WINDOW = 128 << 10, /* what STDIN may send before a WINDOW   */
    AGENT_WINDOW_MAX = 16 << 20,    /* a grant that is not yet used up       */
    AGENT_CHANNELS_MAX = 1024,      /* programs of one session at a time     */
    AGENT_ENTROPY_MIN = 32,
    AGENT_ENTROPY_MAX = 512,
    AGENT_HOSTNAME_MAX = 64, /* Linux's own limit */
    AGENT_TIMEOUT_MAX_MS = 0x7fffffff
};

/* Numbers 32 to 63 are set aside for files that go along with an EXEC, 64 to 79
 * for snapshots and clones. */
enum agent_type {
    AGENT_HELLO = 1,      /* agent: I am here                               */
    AGENT_SETUP = 2,      /* host: become this machine                      */
    AGENT_SETUP_DONE = 3, /* agent: entropy, clock and mounts are in place  */
    AGENT_ERROR = 4,      /* agent: SETUP failed, or you broke the protocol */
    AGENT_PING = 5,       /* host                                           */
    AGENT_PONG = 6,       /* agent, with the same payload                   */
    AGENT_SHUTDOWN = 7,   /* host: end the machine                          */
    AGENT_EXEC = 16,      /* host: start a program                          */
    AGENT_EXEC_STARTED = 17, /* agent: its code runs                        */
    AGENT_EXEC_FAILED = 18,  /* agent: it could not be; ends the channel    */
    AGENT_EXITED = 19,       /* agent: after all output; ends the channel   */
    AGENT_STDIN = 20,        /* host: bytes for the program                 */
    AGENT_STDOUT = 21,       /* agent: bytes of the program                 */
    AGENT_STDERR = 22,       /* agent                                       */
    AGENT_WINDOW = 23,       /* both: the sender of a stream may send more  */
    AGENT_CLOSE = 24,        /* both: nobody reads this stream any more     */
    AGENT_SIGNAL = 25,       /* host: signal the program                    */
    AGENT_RESIZE = 26,       /* host: its terminal has a new size           */
    AGENT_HOLD = 64,         /* host: freeze the programs and fall silent   */
    AGENT_HELD = 65,         /* agent: done, my last frame; or why not      */
    AGENT_RELEASE = 66,      /* host: go on as if nothing had been          */
    AGENT_CLONE = 67,        /* host: go on, as another machine             */
    AGENT_CLONE_DONE = 68,   /* agent: another it is, and its programs run  */
    AGENT_REPORT = 80,       /* host: tell what goes on in the machine      */
    AGENT_FIGURES = 81,      /* agent: its memory and more                  */
    AGENT_PROCESSES = 82,    /* agent: a part of the list; END: the last    */
    AGENT_OOM = 83           /* agent: the kernel killed for want of memory */
};

/* Frame flags. */
enum {
    AGENT_MAY_IGNORE = 1, /* who does not know the type skips the frame     */
    AGENT_END = 2         /* STDIN, STDOUT, STDERR, PROCESSES: the last of
                             this stream                                    */
};

enum agent_stream { AGENT_IN, AGENT_OUT, AGENT_ERR, AGENT_STREAMS };

/* frame_check_fn of the host end and of the agent: known type or may ignore,
 * right direction, channel zero or not, length in range. */
int agent_check_from_guest(const struct frame *frame, struct sm_error *err);
int agent_check_from_host(const struct frame *frame, struct sm_error *err);
/* "EXEC" and the like; "?" for a number without a name. */
const char *agent_type_name(uint16_t type);

/* What this agent can that others cannot. */
enum {
    AGENT_CAN_FILES = 1, /* AGENT_EXEC_FILES                    */
    AGENT_CAN_HOLD = 2,  /* HOLD, RELEASE and CLONE             */
    AGENT_CAN_ALL = 3    /* what the agent of this version says */
};

/* Messages of the guest are copied into fixed arrays; control characters in
 * them become '?'. */
struct agent_hello {
    uint32_t version;
    bool set_up;       /* a session has sent SETUP before */
    uint64_t features; /* AGENT_CAN_*                     */
    uint64_t monotonic_ns;
    uint64_t boottime_ns;
    char kernel[128]; /* uname -r                        */
    char agent[64];   /* version of the agent            */
};

/* Values of Linux's mount(2), the same on every architecture. */
enum {
    AGENT_MOUNT_RDONLY = 1,
    AGENT_MOUNT_NOSUID = 2,
    AGENT_MOUNT_NODEV = 4,
    AGENT_MOUNT_NOEXEC = 8,
    AGENT_MOUNT_NOATIME = 1024,
    AGENT_MOUNT_BIND = 4096,
    AGENT_MOUNT_REC = 16384,
    AGENT_MOUNT_ALL = 1 + 2 + 4 + 8 + 1024 + 4096 + 16384
};

/* Strings are never NULL after agent_get_setup(); NULL is "" to
 * agent_put_setup(). */
struct agent_mount {
    const char *source; /* "/dev/vda", a virtiofs tag, "tmpfs", a path   */
    const char *target; /* absolute; made if missing. Root: not used     */
    const char *fstype; /* "" with AGENT_MOUNT_BIND                      */
    const char *data;   /* as mount(2) takes it                          */
    uint64_t flags;     /* AGENT_MOUNT_*                                 */
};

enum {
    AGENT_FILE_BIND = 1 /* lives in memory and is bound over the path, so that
                           the disk keeps its own; else written to the disk */
};

struct agent_file {
    const char *path; /* absolute; symbolic links are followed */
    uint32_t mode;    /* 0 to 07777                            */
    uint32_t uid;
    uint32_t gid;
    uint32_t flags; /* AGENT_FILE_* */
    const uint8_t *bytes;
    size_t count;
};

struct agent_setup {
    uint64_t wall_clock_ns; /* since 1970, UTC                            */
    const uint8_t *entropy; /* credited in full; AGENT_ENTROPY_MIN to MAX */
    size_t entropy_count;
    const char *hostname;    /* AGENT_HOSTNAME_MAX; "": stays                */
    uint8_t machine_id[16];  /* over /etc/machine-id if the image has one  */
    uint8_t boot_id[16];     /* over /proc/sys/kernel/random/boot_id       */
    struct agent_mount root; /* source "": stay in the initramfs           */
    uint64_t root_bytes;     /* size of its disk, to be waited for; 0: any */
    const struct agent_mount *mounts; /* after root, in this order          */
    uint32_t mount_count;
    const struct agent_file *files; /* after the mounts                   */
    uint32_t file_count;
    uint32_t processes_max; /* of all programs together; 0: no limit      */
    void *memory;           /* what a decoded message points into */
};

enum {
    AGENT_EXEC_STDIN = 1,  /* else it reads /dev/null            */
    AGENT_EXEC_STDOUT = 2, /* else it goes to /dev/null          */
    AGENT_EXEC_STDERR = 4, /* the same; not with TTY             */
    AGENT_EXEC_TTY = 8,    /* a terminal; its output is STDOUT   */
    AGENT_EXEC_KEEP = 16,  /* goes on when the session has ended */
    AGENT_EXEC_FILES = 32, /* argv is work of the agent's own: files.h */
    AGENT_EXEC_ALL = 63
};

struct agent_rlimit {
    uint32_t resource; /* RLIMIT_* of Linux                       */
    uint64_t soft;     /* UINT64_MAX: no limit                    */
    uint64_t hard;
};

struct agent_exec {
    const char *const *argv; /* NULL at the end; at least one       */
    const char *const *env;  /* "NAME=value", NULL at the end; NULL: none */
    const char *cwd;         /* "": "/"; made if missing            */
    const char *user;        /* "", "name", "uid", with ":group" or ":gid" */
    uint32_t flags;          /* AGENT_EXEC_*                        */
    uint16_t rows, columns;  /* with TTY; 0: the kernel's choice    */
    uint32_t timeout_ms;     /* then the tree is killed; 0: never   */
    uint32_t umask;          /* 0 to 0777; usually 022              */
    uint32_t out_window;     /* grants to begin with                */
    uint32_t err_window;
    const struct agent_rlimit *rlimits;
    uint32_t rlimit_count;
    /* More command lines: each runs once the one before has exited with 0. The
     * status is that of the last one that ran. */
    const char *const *const *then;
    uint32_t then_count;
    /* Put there before, as the program's user; of flags, uid and gid none. */
    const struct agent_file *files;
    uint32_t file_count;
    void *memory; /* what a decoded message points into */
};

/* Why a program could not be started. */
enum agent_reason {
    AGENT_NOT_FOUND = 1,      /* no such command, or its interpreter     */
    AGENT_NOT_EXECUTABLE = 2, /* a directory, no x bit, not a program    */
    AGENT_BAD_CWD = 3,
    AGENT_BAD_USER = 4,
    AGENT_NO_RESOURCES = 5, /* processes, memory, descriptors          */
    AGENT_NOT_SET_UP = 6,   /* SETUP did not come, or failed           */
    AGENT_BAD_FILE = 7      /* a file could not be put there           */
};

struct agent_failure {
    enum agent_reason reason;
    uint32_t os_error; /* Linux errno, 0: none */
    char message[512];
};

enum {
    AGENT_EXIT_CORE = 1,
    AGENT_EXIT_TIMEOUT = 2,
    AGENT_EXIT_OOM = 4 /* the kernel killed one of its processes for memory */
};

struct agent_exit {
    bool signaled;
    uint32_t value; /* exit status 0 to 255, or signal 1 to 64 */
    uint32_t flags; /* AGENT_EXIT_*                            */
    uint64_t user_ns;
    uint64_t system_ns;
    uint64_t wall_ns;
    uint64_t max_rss_bytes; /* largest of the program and what it waited for */
};

/* Why a machine is not held: Linux errno, the same on every architecture. */
enum {
    AGENT_HOLD_BUSY = 16,   /* EBUSY: another session, or the end is near  */
    AGENT_HOLD_BARE = 22,   /* EINVAL: the machine is not set up           */
    AGENT_HOLD_UNABLE = 38, /* ENOSYS: there are no control groups         */
    AGENT_HOLD_TIMED_OUT =
        110,             /* ETIMEDOUT: a program did not freeze in time */
    AGENT_HOLD_MS = 5000 /* how long they may take                      */
};

struct agent_held {
    uint32_t reason; /* 0: the machine is held; else Linux errno, and all goes
                        on                                                    */
    char message[256];
};

/* A program that goes on with the session of a clone. */
struct agent_resume {
    uint32_t old_channel; /* its channel in the session that held        */
    uint32_t channel;     /* from now on                                 */
    uint32_t flags;       /* AGENT_EXEC_STDIN: its stdin is not closed   */
    uint32_t out_window;  /* grants to begin with; 0: nobody reads it    */
    uint32_t err_window;
};

/* NULL strings as in struct agent_setup. */
struct agent_clone {
    uint64_t wall_clock_ns; /* since 1970, UTC                            */
    const uint8_t *entropy; /* credited in full; AGENT_ENTROPY_MIN to MAX */
    size_t entropy_count;
    const char *hostname;   /* AGENT_HOSTNAME_MAX; "": stays           */
    uint8_t machine_id[16]; /* as in SETUP; zero: stays                */
    uint8_t boot_id[16];
    uint8_t generation[16]; /* told to programs; not zero, never used before */
    const struct agent_file *files; /* take the place of SETUP's of that path */
    uint32_t file_count;
    /* In ascending order of `channel`; all others lose their session. */
    const struct agent_resume *programs;
    uint32_t program_count; /* AGENT_CHANNELS_MAX                      */
    void *memory;           /* what a decoded message points into      */
};

/* What a host asks for with REPORT. */
enum agent_report { AGENT_REPORT_FIGURES, AGENT_REPORT_PROCESSES };

/* The guest's own view of itself. */
struct agent_figures {
    uint64_t memory_total_bytes; /* that its kernel has to give          */
    uint64_t memory_available_bytes;
    uint64_t memory_cached_bytes; /* of files; most of it is available   */
    uint64_t uptime_ns;
    uint32_t processes; /* without the kernel's and the agent  */
    uint32_t oom_kills; /* since it booted                     */
};

enum { AGENT_COMMAND_MAX = 1024, AGENT_PROCESSES_MAX = 1 << 20 };

/* One process. Of commands longer than AGENT_COMMAND_MAX the beginning is
 * told; of lists longer than AGENT_PROCESSES_MAX bytes, too. */
struct agent_process {
    uint32_t pid;
    uint32_t parent;
    uint32_t uid;
    uint32_t threads;
    uint8_t state; /* a letter, as ps shows it      */
    uint64_t rss_bytes;
    uint64_t cpu_ns;     /* user and system               */
    uint64_t started_ns; /* after boot                    */
    const char *command; /* arguments with spaces between */
    size_t command_count;
};

struct agent_oom {
    uint32_t pid;
    char name[32];
};

/* Whom a signal reaches. */
enum agent_target { AGENT_PROCESS, AGENT_GROUP, AGENT_TREE };

enum agent_end { AGENT_POWER_OFF, AGENT_REBOOT };

struct agent_shutdown {
    enum agent_end end;
    uint32_t grace_ms; /* between SIGTERM and SIGKILL; 0: neither, at once */
};

/* The agent's messages. */
void agent_put_hello(struct buf *to, const struct agent_hello *hello);
void agent_put_setup_done(struct buf *to);
void agent_put_error(struct buf *to, const char *message);
void agent_put_exec_started(struct buf *to, uint32_t channel, uint32_t pid);
void agent_put_exec_failed(struct buf *to, uint32_t channel,
                           const struct agent_failure *failure);
void agent_put_exited(struct buf *to, uint32_t channel,
                      const struct agent_exit *exited);

void agent_put_held(struct buf *to, const struct agent_held *held);
void agent_put_clone_done(struct buf *to);

void agent_put_figures(struct buf *to, const struct agent_figures *figures);
/* One entry of a list that becomes the payload of PROCESSES frames. */
void agent_put_process(struct buf *to, const struct agent_process *process);
void agent_put_oom(struct buf *to, const struct agent_oom *oom);

int agent_get_hello(struct agent_hello *ret, const struct frame *frame,
                    struct sm_error *err);
/* Fills (err) with the agent's own words: SM_EGUEST. Returns that or
 * SM_EPROTO, never 0. */
int agent_get_error(const struct frame *frame, struct sm_error *err);
int agent_get_exec_started(uint32_t *ret_pid, const struct frame *frame,
                           struct sm_error *err);
int agent_get_exec_failed(struct agent_failure *ret, const struct frame *frame,
                          struct sm_error *err);
int agent_get_exited(struct agent_exit *ret, const struct frame *frame,
                     struct sm_error *err);
int agent_get_held(struct agent_held *ret, const struct frame *frame,
                   struct sm_error *err);
int agent_get_figures(struct agent_figures *ret, const struct frame *frame,
                      struct sm_error *err);
/* The next entry; the command is the reader's, any bytes. SM_EPROTO. */
int agent_get_process(struct agent_process *ret, struct wire_reader *from,
                      struct sm_error *err);
int agent_get_oom(struct agent_oom *ret, const struct frame *frame,
                  struct sm_error *err);

/* The host's messages. */
void agent_put_report(struct buf *to, enum agent_report report);
void agent_put_setup(struct buf *to, const struct agent_setup *setup);
void agent_put_exec(struct buf *to, uint32_t channel,
                    const struct agent_exec *exec);
void agent_put_clone(struct buf *to, const struct agent_clone *clone);
/* HOLD or RELEASE. */
void agent_put_hold(struct buf *to, uint16_t type);
void agent_put_signal(struct buf *to, uint32_t channel, uint32_t signal,
                      enum agent_target target);
void agent_put_resize(struct buf *to, uint32_t channel, uint16_t rows,
                      uint16_t columns);
void agent_put_shutdown(struct buf *to, const struct agent_shutdown *shutdown);

/* Values in range, as the agent asks for; the decoders check this as well. */
bool agent_setup_is_valid(const struct agent_setup *setup);
bool agent_exec_is_valid(const struct agent_exec *exec);
bool agent_clone_is_valid(const struct agent_clone *clone);

/* What was read is freed by agent_setup_done(), agent_exec_done() and
 * agent_clone_done(), also after a failure. */
int agent_get_setup(struct agent_setup *ret, const struct frame *frame,
                    struct sm_error *err);
void agent_setup_done(struct agent_setup *setup);
int agent_get_exec(struct agent_exec *ret, const struct frame *frame,
                   struct sm_error *err);
void agent_exec_done(struct agent_exec *exec);
int agent_get_clone(struct agent_clone *ret, const struct frame *frame,
                    struct sm_error *err);
void agent_clone_done(struct agent_clone *clone);
int agent_get_signal(uint32_t *ret_signal, enum agent_target *ret_target,
                     const struct frame *frame, struct sm_error *err);
int agent_get_resize(uint16_t *ret_rows, uint16_t *ret_columns,
                     const struct frame *frame, struct sm_error *err);
int agent_get_shutdown(struct agent_shutdown *ret, const struct frame *frame,
                       struct sm_error *err);
int agent_get_report(enum agent_report *ret, const struct frame *frame,
                     struct sm_error *err);

/* Messages of both. Data frames are made with frame_put_header(). */
void agent_put_window(struct buf *to, uint32_t channel,
                      enum agent_stream stream, uint32_t bytes);
void agent_put_close(struct buf *to, uint32_t channel,
                     enum agent_stream stream);
int agent_get_window(enum agent_stream *ret_stream, uint32_t *ret_bytes,
                     const struct frame *frame, struct sm_error *err);
int agent_get_close(enum agent_stream *ret_stream, const struct frame *frame,
                    struct sm_error *err);
/* PING and PONG carry one number, which means nothing to the agent. */
void agent_put_ping(struct buf *to, uint16_t type, uint64_t number);
int agent_get_ping(uint64_t *ret_number, const struct frame *frame,
                   struct sm_error *err);

#endif

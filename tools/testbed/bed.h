/* bed.h - what the programs of the test bed tell each other.
 *
 *   with-kvm -> bed-host (client) --unix socket--> bed-host (daemon)
 *                                                   | parent of QEMU
 *                                                   | virtio-serial, mux.h
 *                                                  bed-agent (in the bed)
 *
 * The client hands the daemon one pipe end for each of its three streams and
 * moves bytes between these pipes and its own stdin, stdout and stderr with
 * blocking reads and writes, so nobody's descriptors are made non-blocking.
 * A client that goes away, however it dies, closes its socket: that is how
 * the daemon learns that the command, or the whole bed, has to end.
 */
#ifndef SM_TESTBED_BED_H
#define SM_TESTBED_BED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BED_MAGIC 0x31646562u /* "bed1": changes with the format below */

/* Exit statuses of our own, as timeout(1) and env(1) have them. */
enum {
    BED_TIMED_OUT = 124,
    BED_FAILED = 125,
    BED_NOT_EXECUTABLE = 126,
    BED_NOT_FOUND = 127,
};

/* Client to daemon: this, with three descriptors beside it for a command,
 * then `length` bytes. Later single bytes: signals for the command. */
enum { BED_RUN = 1, BED_STOP = 2 };

struct bed_control {
    uint32_t magic;
    uint32_t kind;
    uint32_t length;
};

/* Daemon to client: this, then `length` bytes of text. */
enum { BED_STARTED = 1, BED_EXITED = 2, BED_BROKEN = 3 };

struct bed_reply {
    uint32_t kind;
    uint32_t status; /* BED_EXITED */
    uint32_t length; /* BED_BROKEN: what to tell the user */
};

/* The payload of BED_RUN, passed on as MUX_OPEN: this, then strings, each
 * with its NUL: the working directory, `live` directories, `arguments`,
 * `environment`. */
struct bed_request {
    uint32_t live;
    uint32_t arguments;
    uint32_t environment;
};

/* How many 9p channels a bed has for the host's changing directories. One
 * command in flight needs one; when all are taken the root's is used. */
#define BED_LIVE_CHANNELS 8
#define BED_OUT_MAX       8

struct bed_options {
    char **qemu; /* program and arguments, NULL at the end */
    const char *disk;
    const char *modules; /* directory with the bed kernel's modules */
    const char *out[BED_OUT_MAX];
    size_t out_count;
    int start_seconds; /* the bed has to be up within this */
    int idle_seconds;  /* 0: no limit */
};

/* Runs a bed until it has nothing to do any more. Exactly one of private_fd
 * (the only client's socket) and listen_fd is not -1. Writes "ok" or a
 * message to ready_fd unless that is -1. Returns an exit status. */
int bed_daemon(const struct bed_options *options, int private_fd, int listen_fd,
               int ready_fd);

/* In a new child of the daemon, `parent`: becomes QEMU, with `line` as the
 * host's end of the serial line and `console` for everything it prints. */
_Noreturn void bed_become_qemu(const struct bed_options *options, int line,
                               int console, pid_t parent);

/* Runs a command through the daemon at the other end of control_fd, which it
 * closes. Returns the status to exit with. */
int bed_client(int control_fd, const void *request, size_t length,
               int timeout_seconds);

/* Asks that daemon to end its bed and waits until it has. */
int bed_client_stop(int control_fd);

#endif

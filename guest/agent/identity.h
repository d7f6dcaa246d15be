/* identity.h: what makes a machine a certain one, and a clone another. */
#ifndef SM_GUEST_IDENTITY_H
#define SM_GUEST_IDENTITY_H

#include "proto/agent.h"

/* Tells programs that theirs is another machine now: 32 hexadecimal digits and
 * a newline, other ones in every machine and after every CLONE. In /dev, which
 * every machine has, writable, whatever its image is like. */
#define IDENTITY_NOTICE "/dev/supermachine/generation"

struct kept_file;

/* Lives as long as the machine; begins as IDENTITY_NONE. */
struct identity {
    int initramfs; /* its folder */
    unsigned last_number;
    struct kept_file *files;
    int notice;
};

#define IDENTITY_NONE                                                          \
    (struct identity)                                                          \
    {                                                                          \
        .initramfs = -1, .notice = -1                                          \
    }

/* While / is the initramfs. */
int identity_open(struct identity *identity, struct sm_error *err);

/* Random numbers first: (count) bytes of entropy are credited, and the kernel's
 * generator is reseeded with them at once. Then the wall clock, and the host
 * name if it is not empty. */
int identity_renew(uint64_t wall_clock_ns, const uint8_t *entropy, size_t count,
                   const char *hostname, struct sm_error *err);
/* /etc/machine-id, if the image has one, and the kernel's boot_id. Zero: stays.
 */
int identity_place_ids(struct identity *identity, const uint8_t machine_id[16],
                       const uint8_t boot_id[16], struct sm_error *err);
int identity_place_files(struct identity *identity,
                         const struct agent_file *files, uint32_t count,
                         struct sm_error *err);
/* Write the notice; NULL: with numbers of our own. */
int identity_tell(struct identity *identity, const uint8_t *generation,
                  struct sm_error *err);

/* mkdir -p of the folder that (path) is in, or with (whole) of (path). Returns
 * -1 and errno. */
int identity_make_folders(const char *path, bool whole);

#endif

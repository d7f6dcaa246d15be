/* template.h: machines that were booted before anybody asked for them.
 *
 * How it works
 *   A template is a snapshot of a machine that has booted our kernel and our
 *   agent and nothing else: no image, no program of a user. There is one for
 *   each combination of what it depends on (kernel, agent, worker, memory,
 *   vcpus, host), which is its key. Every start looks for its template, and
 *   goes on from there; where there is none yet, the first start makes it.
 *
 *       HOME/templates/KEY        the snapshot: memory, then state
 *       HOME/templates/KEY.hot    what its machines write to first
 *       HOME/templates/KEY.lock   locked by who makes it
 *
 *   A template appears whole, by getting its name when all of it is on the
 *   disk, and never changes. Several processes make it once: who finds it being
 *   made boots its own machine meanwhile. A maker that is killed leaves
 *   nothing.
 *
 *   The template's disk is a placeholder: the restored machine's own disk takes
 *   its place, and the agent waits until the kernel has seen that.
 */
#ifndef SM_MACHINE_TEMPLATE_H
#define SM_MACHINE_TEMPLATE_H

#include "base/error.h"
#include "machine/imaging.h"
#include "platform/file.h"
#include "platform/loop.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TEMPLATE_LABEL_MAX = 1024,
    TEMPLATE_NAME_MAX = 24,
    TEMPLATE_PROGRAMS_MAX = 260
};

/* What a template is of. */
struct template_key {
    uint64_t memory_bytes;
    uint32_t vcpus;
    char label[TEMPLATE_LABEL_MAX]; /* everything, as text               */
    char name[TEMPLATE_NAME_MAX];   /* of its file                       */
};

/* For machines of (memory_bytes) and (vcpus) that boot (kernel_fd) and
 * (initrd_fd). SM_EIO, SM_ENOENT (worker program). */
int template_key_make(const struct machine_paths *paths, uint64_t memory_bytes,
                      uint32_t vcpus, int kernel_fd, int initrd_fd,
                      struct template_key *ret, struct sm_error *err);

/* Which files kernel and agent are, and whether they changed. SM_EIO. */
int template_programs(int kernel_fd, int initrd_fd,
                      char to[TEMPLATE_PROGRAMS_MAX], struct sm_error *err);

/* HOME/templates, (name) and (ending) in one. The caller frees *ret. */
int template_path(const struct machine_paths *paths, const char *name,
                  const char *ending, char **ret, struct sm_error *err);

/* Open the template of (key), and note that it was used. *ret_hot is -1 if what
 * its machines write to first is not known. SM_ENOENT: there is none. */
int template_open(const struct machine_paths *paths,
                  const struct template_key *key, int *ret_fd, int *ret_hot,
                  struct sm_error *err);
/* For the machine whose start made it: a file for what it has written
 * to, and, once that is filled, its place beside the template. Who fails at
 * this has only lost time. */
int template_hot_open(const struct machine_paths *paths, struct file_fresh *ret,
                      struct sm_error *err);
void template_hot_keep(const struct machine_paths *paths,
                       const struct template_key *key,
                       struct file_fresh *fresh);
/* It is of no use: the next start makes it anew. */
void template_drop(const struct machine_paths *paths,
                   const struct template_key *key);

/* Told of a file that went, and the bytes that became free. */
typedef void template_swept_fn(void *context, const char *name, uint64_t bytes);

/* Remove what nobody used for long; (all): every template. Machines that came
 * out of one keep its file as long as they run, snapshots for ever. */
void template_sweep(const struct machine_paths *paths, bool all,
                    template_swept_fn *fn, void *context);

struct template_maker;

/* It is made, (rc) 0, or why it is not. template_maker_free() may be called
 * here. */
typedef void template_made_fn(void *context, int rc,
                              const struct sm_error *err);

/*
 * Begin to make the template of (key) on (loop), with the descriptors that the
 * key was made with, which are borrowed; (paths) and (key) outlive the maker.
 * (made) comes later, from the loop. Returns 0, SM_EBUSY (somebody else is at
 * it), SM_ENOMEM, SM_ENOSPC, SM_EIO and so on; then nothing goes on.
 */
int template_make(struct loop *loop, const struct machine_paths *paths,
                  const struct template_key *key, int kernel_fd, int initrd_fd,
                  template_made_fn *made, void *context,
                  struct template_maker **ret, struct sm_error *err);
/* Gives up what is not finished. NULL is fine. */
void template_maker_free(struct template_maker *maker);

#endif

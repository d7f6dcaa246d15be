/* stand.h: a folder for a test, shell commands in it, tars in memory. */
#ifndef SM_TESTS_FILES_STAND_H
#define SM_TESTS_FILES_STAND_H

#include "files/pack.h"
#include "files/unpack.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the three above. */
#include <cmocka.h>

/* A new folder becomes the working directory; all of it is removed again. */
int stand_set_up(void **state);
int stand_tear_down(void **state);

/* `sh -c`; fails the test unless it exits with 0. */
void shell(const char *script);

/* A tar that is written and read in memory. */
struct tape {
    struct buf bytes;
    size_t at;
    size_t step; /* bytes of one read at most; 0: any */
};

void tape_init(struct tape *tape);
void tape_done(struct tape *tape);
struct pax_output tape_output(struct tape *tape);
struct pax_input tape_input(struct tape *tape);

/* Entries as somebody would write them, checked by nobody. */
struct pax_entry entry_of(enum pax_type type, const char *name,
                          const char *link);
/* Append (entry) with (text) as its content, or the end for NULL. */
void tape_add(struct tape *tape, const struct pax_entry *entry,
              const char *text);
/* pack() of (path), which must go well. */
void tape_pack(struct tape *tape, const char *path);
/* unpack() into "out", as any tar, without rights, with links inside. */
int tape_unpack(struct tape *tape, struct sm_error *err);

#endif

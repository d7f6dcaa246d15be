/* files.h: work on files that is the agent's own; see proto/files.h. */
#ifndef SM_GUEST_FILES_H
#define SM_GUEST_FILES_H

/* In a child whose descriptors 0 to 2 are its streams: do what (argv) says and
 * exit. */
_Noreturn void files_run(const char *const *argv);

#endif

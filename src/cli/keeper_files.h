/* keeper_files.h: work on a machine's files, as CONTROL_FILES asks for it. */
#ifndef SM_CLI_KEEPER_FILES_H
#define SM_CLI_KEEPER_FILES_H

#include "control.h"

/* Ask the keeper at (fd) for (config); its stream goes along. As
 * control_send().
 */
int keeper_files_send(int fd, const struct sm_file_config *config);

/* Do what the message in (reader) asks for, with its first descriptor, which
 * must stay open until the work has ended. As sm_file_open(), and SM_EPROTO. */
int keeper_files_open(struct sm_machine *machine,
                      const struct control_reader *reader, struct sm_exec **ret,
                      struct sm_error *err);

#endif

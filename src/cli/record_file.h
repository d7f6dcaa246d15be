/* record_file.h: reading the file that record_save() writes. */
#ifndef SM_CLI_RECORD_FILE_H
#define SM_CLI_RECORD_FILE_H

#include "record.h"

/* Fill (record), whose folder is open, from its file. */
int record_load(struct record *record, struct sm_error *err);

#endif

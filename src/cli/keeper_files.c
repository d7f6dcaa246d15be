/* keeper_files.c: work on a machine's files; see keeper_files.h. */
#include "keeper_files.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

int keeper_files_send(int fd, const struct sm_file_config *config)
{
    /* A message has three descriptors or none. */
    const int fds[CONTROL_FDS] = {config->fd, config->fd, config->fd};
    struct control_message message = {0};

    control_put(&message, "work=%d", (int)config->work);
    control_put(&message, "flags=%u", config->flags);
    control_put(&message, "place=%u", config->place);
    control_put(&message, "path=%s", config->path);
    return control_send(fd, CONTROL_FILES, &message, fds);
}

int keeper_files_open(struct sm_machine *machine,
                      const struct control_reader *reader, struct sm_exec **ret,
                      struct sm_error *err)
{
    struct sm_file_config config;

    sm_file_config_init(&config);
    for (const char *at = control_next(reader, NULL); at;
         at = control_next(reader, at)) {
        const char *value = strchr(at, '=');
        uint32_t number;

        if (!value)
            return text_fail(err, SM_EPROTO, "not a request for files");
        number = (uint32_t)strtoul(++value, NULL, 10);
        if (strncmp(at, "work=", 5) == 0)
            config.work = (enum sm_file_work)number;
        else if (strncmp(at, "flags=", 6) == 0)
            config.flags = number;
        else if (strncmp(at, "place=", 6) == 0)
            config.place = number;
        else if (strncmp(at, "path=", 5) == 0)
            config.path = value;
    }
    config.fd = reader->fds[0];
    if (config.fd < 0)
        return text_fail(err, SM_EPROTO, "no stream for files");
    return sm_file_open(machine, &config, ret, err);
}

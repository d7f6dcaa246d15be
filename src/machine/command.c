/* command.c: an image's defaults and what the user wants; see command.h. */
#include "machine/command.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A list of strings in the making, at most `most`; `left` bytes may still be
 * added. */
struct words {
    char **item;
    size_t count;
    size_t most;
    size_t left;
};

static int too_long(struct sm_error *err)
{
    return fail(err, SM_ELIMIT,
                "command: more than %d bytes of arguments and environment",
                COMMAND_BYTES_MAX);
}

static int add(struct words *words, const char *word, struct sm_error *err)
{
    size_t bytes = strlen(word) + 1;
    char **item;

    if (words->count == words->most)
        return fail(err, SM_ELIMIT,
                    "command: more than %zu arguments or variables",
                    words->most);
    if (bytes > words->left)
        return too_long(err);
    /* Grows by doubling: a power of two is full. */
    if ((words->count & (words->count - 1)) == 0) {
        size_t room = words->count ? 2 * words->count : 1;

        item = realloc(words->item, (room + 1) * sizeof *item);
        if (!item)
            return fail(err, SM_ENOMEM, "command: out of memory");
        words->item = item;
    }
    words->item[words->count] = strdup(word);
    if (!words->item[words->count])
        return fail(err, SM_ENOMEM, "command: out of memory");
    words->item[++words->count] = NULL;
    words->left -= bytes;
    return 0;
}

static int add_all(struct words *words, const char *const *list,
                   struct sm_error *err)
{
    int rc = 0;

    for (; list && *list && !rc; list++)
        rc = add(words, *list, err);
    return rc;
}

static bool is_empty(const char *const *list)
{
    return !list || !*list;
}

static int make_argv(struct words *argv,
                     const struct command_defaults *defaults,
                     const struct sm_exec_config *wanted, struct sm_error *err)
{
    int rc = 0;

    if (!wanted->entrypoint)
        rc = add_all(argv, defaults->entrypoint, err);
    else if (wanted->entrypoint[0])
        rc = add(argv, wanted->entrypoint, err);
    if (rc)
        return rc;
    if (!is_empty(wanted->argv))
        rc = add_all(argv, wanted->argv, err);
    else if (!wanted->entrypoint)
        rc = add_all(argv, defaults->arguments, err);
    if (!rc && argv->count == 0)
        return fail(err, SM_EINVAL,
                    "no command: the image has none, so one must be given");
    return rc;
}

/* The place of the variable whose name (pair) begins with, or the end. */
static size_t find_variable(const struct words *env, const char *pair)
{
    size_t length = strcspn(pair, "=") + 1;
    size_t i = 0;

    while (i < env->count && strncmp(env->item[i], pair, length) != 0)
        i++;
    return i;
}

static int set_variable(struct words *env, const char *pair,
                        struct sm_error *err)
{
    size_t at = find_variable(env, pair);
    char *copy;

    if (pair[0] == '=' || !strchr(pair, '='))
        return fail(err, SM_EINVAL, "environment: \"%.64s\": not NAME=VALUE",
                    pair);
    if (at == env->count)
        return add(env, pair, err);
    env->left += strlen(env->item[at]);
    if (strlen(pair) > env->left)
        return too_long(err);
    copy = strdup(pair);
    if (!copy)
        return fail(err, SM_ENOMEM, "environment: out of memory");
    env->left -= strlen(pair);
    free(env->item[at]);
    env->item[at] = copy;
    return 0;
}

static int set_variables(struct words *env, const char *const *list,
                         struct sm_error *err)
{
    int rc = 0;

    for (; list && *list && !rc; list++)
        rc = set_variable(env, *list, err);
    return rc;
}

/* The further command lines, out of the same room as the first. */
static int copy_then(struct command *command, size_t left,
                     const char *const *const *then, struct sm_error *err)
{
    uint32_t count = 0;
    int rc = 0;

    while (then && then[count])
        if (count++ == COMMAND_CHAIN_MAX)
            return fail(err, SM_ELIMIT, "command: more than %d in a chain",
                        COMMAND_CHAIN_MAX);
    command->then = calloc(count + 1, sizeof *command->then);
    if (!command->then)
        return fail(err, SM_ENOMEM, "command: out of memory");
    for (uint32_t i = 0; i < count && !rc; i++) {
        struct words words = {.most = COMMAND_WORDS_MAX, .left = left};

        if (is_empty(then[i]) || !then[i][0][0])
            rc =
                fail(err, SM_EINVAL, "command %u of the chain is empty", i + 2);
        if (!rc)
            rc = add_all(&words, then[i], err);
        left = words.left;
        command->then[i] = words.item;
        command->then_count = i + 1;
    }
    return rc;
}

static int copy_file(struct agent_file *to, const struct sm_staged_file *from,
                     size_t *left, struct sm_error *err)
{
    size_t bytes;

    if (!from->path || !from->path[0] || (from->count && !from->bytes) ||
        from->mode > 07777)
        return fail(err, SM_EINVAL, "file \"%.80s\": no path, bytes or mode",
                    from->path ? from->path : "");
    bytes = strlen(from->path) + 1;
    if (from->count > *left || bytes > *left - from->count)
        return fail(err, SM_ELIMIT, "files: more than %d bytes",
                    COMMAND_FILE_BYTES_MAX);
    *left -= bytes + from->count;
    /* Both in one piece, the path first. */
    to->path = malloc(bytes + from->count);
    if (!to->path)
        return fail(err, SM_ENOMEM, "files: out of memory");
    memcpy((char *)(uintptr_t)to->path, from->path, bytes);
    to->bytes = (const uint8_t *)to->path + bytes;
    if (from->count)
        memcpy((char *)(uintptr_t)to->path + bytes, from->bytes, from->count);
    to->count = from->count;
    to->mode = from->mode ? from->mode : 0644;
    return 0;
}

static int copy_files(struct command *command,
                      const struct sm_exec_config *wanted, struct sm_error *err)
{
    size_t left = COMMAND_FILE_BYTES_MAX;
    int rc = 0;

    if (wanted->file_count > COMMAND_FILES_MAX)
        return fail(err, SM_ELIMIT, "%zu files: at most %d", wanted->file_count,
                    COMMAND_FILES_MAX);
    if (wanted->file_count == 0)
        return 0;
    command->files = calloc(wanted->file_count, sizeof *command->files);
    if (!command->files)
        return fail(err, SM_ENOMEM, "files: out of memory");
    for (size_t i = 0; i < wanted->file_count && !rc; i++) {
        rc = copy_file(&command->files[i], &wanted->files[i], &left, err);
        command->file_count = (uint32_t)i + 1;
    }
    return rc;
}

static char *copy_or(const char *wanted, const char *otherwise)
{
    return strdup(wanted ? wanted : otherwise);
}

int command_make(struct command *ret, const struct command_defaults *defaults,
                 const struct sm_exec_config *wanted, struct sm_error *err)
{
    struct words argv = {.most = COMMAND_WORDS_MAX, .left = COMMAND_BYTES_MAX};
    struct words env = {.most = COMMAND_VARIABLES_MAX};
    struct command command;
    int rc = make_argv(&argv, defaults, wanted, err);

    env.left = argv.left;
    if (!rc)
        rc = set_variables(&env, defaults->env, err);
    if (!rc)
        rc = set_variables(&env, wanted->env, err);
    command = (struct command){
        .argv = argv.item,
        .env = env.item ? env.item : calloc(1, sizeof *command.env),
        .workdir = copy_or(wanted->workdir, defaults->workdir),
        .user = copy_or(wanted->user, defaults->user),
    };
    if (!rc && (!command.env || !command.workdir || !command.user))
        rc = fail(err, SM_ENOMEM, "command: out of memory");
    if (!rc && command.workdir[0] && command.workdir[0] != '/')
        rc = fail(err, SM_EINVAL, "working directory \"%s\": not absolute",
                  command.workdir);
    if (!rc)
        rc = copy_then(&command, env.left, wanted->then, err);
    if (!rc)
        rc = copy_files(&command, wanted, err);
    if (rc) {
        command_done(&command);
        return rc;
    }
    *ret = command;
    return 0;
}

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void command_done(struct command *command)
{
    free_list(command->argv);
    free_list(command->env);
    free(command->workdir);
    free(command->user);
    for (uint32_t i = 0; i < command->then_count; i++)
        free_list(command->then[i]);
    free(command->then);
    for (uint32_t i = 0; i < command->file_count; i++)
        free((char *)(uintptr_t)command->files[i].path);
    free(command->files);
    *command = (struct command){0};
}

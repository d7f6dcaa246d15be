/* files.c: requests for the agent's own work on files; see files.h. */
#include "proto/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = 900 };

static const char *const names[FILES_WORKS] = {
    [FILES_READ] = "read", [FILES_WRITE] = "write",   [FILES_STAT] = "stat",
    [FILES_PACK] = "pack", [FILES_UNPACK] = "unpack",
};

void files_put(const struct files_request *request,
               const char *argv[FILES_WORDS + 1],
               char numbers[2][FILES_NUMBER_BYTES])
{
    snprintf(numbers[0], FILES_NUMBER_BYTES, "%u", request->flags);
    snprintf(numbers[1], FILES_NUMBER_BYTES, "%u", request->mode);
    argv[0] = names[request->work];
    argv[1] = request->path;
    argv[2] = numbers[0];
    argv[3] = numbers[1];
    argv[4] = NULL;
}

static bool get_number(const char *word, uint32_t most, uint32_t *ret)
{
    unsigned long value;
    char *end;

    if (word[0] < '0' || word[0] > '9')
        return false;
    value = strtoul(word, &end, 10);
    *ret = (uint32_t)value;
    return !*end && value <= most;
}

int files_get(struct files_request *ret, const char *const *argv,
              struct sm_error *err)
{
    *ret = (struct files_request){.work = FILES_WORKS};
    for (int i = 0; i < FILES_WORDS; i++)
        if (!argv[i])
            return fail(err, SM_EINVAL, "files: a word is missing");
    for (int i = 0; i < FILES_WORKS; i++)
        if (strcmp(argv[0], names[i]) == 0)
            ret->work = (enum files_work)i;
    ret->path = argv[1];
    if (ret->work == FILES_WORKS || !ret->path[0] || argv[FILES_WORDS] ||
        !get_number(argv[2], FILES_ALL, &ret->flags) ||
        !get_number(argv[3], 07777, &ret->mode))
        return fail(err, SM_EINVAL, "files: not a request");
    return 0;
}

static bool is_code(int code)
{
    switch (code) {
#define CODE_CASE(name, value, text) case name:
        SM_ERRORS(CODE_CASE)
#undef CODE_CASE
        return true;
    default:
        return false;
    }
}

int files_result(int status, const void *message, size_t count,
                 struct sm_error *err)
{
    int code = -status;
    const char *text = message;

    if (status == 0)
        return 0;
    count = count < MESSAGE_MAX ? count : MESSAGE_MAX;
    if (!is_code(code))
        return fail(err, SM_EGUEST, "the guest's agent ended with status %d",
                    status);
    if (count == 0)
        return fail(err, code, "the guest's agent did not say why");
    return fail(err, code, "%.*s", (int)strnlen(text, count), text);
}

/* env.c: the environment that a command line asks for; see env.h. */
#include "env.h"

#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void env_done(struct option_list *env)
{
    for (size_t i = 0; i < env->count; i++)
        free((void *)(uintptr_t)env->item[i]);
    option_list_done(env);
}

/* (word) is "NAME=VALUE" or "NAME"; (where) it was found is for messages. */
static bool add(struct option_list *env, const char *word, const char *where)
{
    size_t name = strcspn(word, "=");
    const char *value = word[name] ? NULL : getenv(word);
    char *pair = NULL;

    if (name == 0) {
        complain("run: %s: %s: a name must come before the value", where, word);
        return false;
    }
    if (strcspn(word, " \t") < name) {
        complain("run: %s: %s: a name has no spaces", where, word);
        return false;
    }
    if (!word[name] && !value)
        return true;
    if (asprintf(&pair, word[name] ? "%s" : "%s=%s", word, value) < 0 ||
        !option_list_add(env, pair)) {
        free(pair);
        complain("run: out of memory");
        return false;
    }
    return true;
}

static bool add_file(struct option_list *env, const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t capacity = 0;
    unsigned number = 0;
    bool fine = true;
    ssize_t length;

    if (!file) {
        complain("run: --env-file %s: %s", path, strerror(errno));
        return false;
    }
    while (fine && (length = getline(&line, &capacity, file)) >= 0) {
        const char *word = line + strspn(line, " \t");

        number++;
        if (memchr(line, '\0', (size_t)length)) {
            complain("run: --env-file %s: line %u: a NUL", path, number);
            fine = false;
            break;
        }
        line[strcspn(line, "\r\n")] = '\0';
        if (word[0] && word[0] != '#')
            fine = add(env, word, path);
    }
    if (fine && ferror(file)) {
        complain("run: --env-file %s: it cannot be read", path);
        fine = false;
    }
    free(line);
    fclose(file);
    return fine;
}

bool env_gather(struct option_list *ret, const struct option_list *files,
                const struct option_list *given)
{
    bool fine = true;

    for (size_t i = 0; i < files->count && fine; i++)
        fine = add_file(ret, files->item[i]);
    for (size_t i = 0; i < given->count && fine; i++)
        fine = add(ret, given->item[i], "--env");
    return fine;
}

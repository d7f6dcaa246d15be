/* account.c: users and groups without the C library's lookups; see account.h.
 *
 * getpwnam() and its kin load shared libraries of the image's choice; a static
 * process 1 must not.
 */
#include "account.h"

#include "base/own.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = 8 };

/* Decimal digits only, and no number that setuid() takes for "unchanged". */
static bool parse_id(const char *text, uint32_t *ret)
{
    uint64_t value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value >= UINT32_MAX)
            return false;
    }
    *ret = (uint32_t)value;
    return true;
}

/* Called with the fields of one line; false ends the walk. */
typedef bool entry_fn(void *context, char *fields[FIELDS_MAX]);

static void close_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

/* Walk the entries of (etc)/(name) that have (count) fields. */
static int walk(const char *etc, const char *name, unsigned count, entry_fn *fn,
                void *context, struct sm_error *err)
{
    AUTO(close_file) FILE *file = NULL;
    AUTO_FREE char *line = NULL;
    char path[512];
    size_t size = 0;

    snprintf(path, sizeof path, "%s/%s", etc, name);
    file = fopen(path, "re");
    if (!file)
        return errno == ENOENT || errno == ENOTDIR ? 0
                                                   : fail_os(err, "%s", path);
    while (getline(&line, &size, file) > 0) {
        char *fields[FIELDS_MAX] = {0};
        char *rest = line;
        unsigned i;

        line[strcspn(line, "\n")] = '\0';
        for (i = 0; i < FIELDS_MAX && rest; i++)
            fields[i] = strsep(&rest, ":");
        if (i >= count && !fn(context, fields))
            break;
    }
    return ferror(file) ? fail(err, SM_EIO, "%s: cannot be read", path) : 0;
}

struct user_search {
    const char *wanted;
    bool by_number;
    bool found;
    char name[256];
    struct account *account;
};

/* name:password:uid:gid:comment:home:shell */
static bool match_user(void *context, char *fields[FIELDS_MAX])
{
    struct user_search *search = context;
    struct account *account = search->account;
    uint32_t uid;
    uint32_t gid;

    if (!parse_id(fields[2], &uid) || !parse_id(fields[3], &gid))
        return true;
    if (search->by_number ? uid != account->uid
                          : strcmp(fields[0], search->wanted) != 0)
        return true;
    search->found = true;
    snprintf(search->name, sizeof search->name, "%s", fields[0]);
    account->uid = uid;
    account->gid = gid;
    if (fields[5][0] == '/')
        snprintf(account->home, sizeof account->home, "%s", fields[5]);
    return false;
}

struct group_search {
    const char *wanted; /* NULL: the groups that list (member) */
    const char *member;
    bool found;
    struct account *account;
};

static bool lists_member(char *members, const char *name)
{
    char *member;

    while ((member = strsep(&members, ",")))
        if (*member && strcmp(member, name) == 0)
            return true;
    return false;
}

/* name:password:gid:member,member */
static bool match_group(void *context, char *fields[FIELDS_MAX])
{
    struct group_search *search = context;
    struct account *account = search->account;
    uint32_t gid;

    if (!parse_id(fields[2], &gid))
        return true;
    if (search->wanted) {
        search->found = strcmp(fields[0], search->wanted) == 0;
        if (search->found)
            account->gid = gid;
        return !search->found;
    }
    if (lists_member(fields[3], search->member))
        account->groups[account->group_count++] = gid;
    return account->group_count < ACCOUNT_GROUPS_MAX;
}

static int find_group(const char *etc, const char *wanted, const char *member,
                      struct account *ret, struct sm_error *err)
{
    struct group_search search = {
        .wanted = wanted, .member = member, .account = ret};
    uint32_t gid;
    int rc;

    if (wanted && parse_id(wanted, &gid)) {
        ret->gid = gid;
        return 0;
    }
    if (!wanted && !*member)
        return 0;
    rc = walk(etc, "group", 4, match_group, &search, err);
    if (!rc && wanted && !search.found)
        rc = fail(err, SM_ENOENT, "group %s: not in %s/group", wanted, etc);
    return rc;
}

int account_find(const char *etc, const char *spec, struct account *ret,
                 struct sm_error *err)
{
    struct user_search search = {.account = ret};
    AUTO_FREE char *user = strdup(spec);
    char *group;
    uint32_t uid = 0;
    int rc;

    if (!user)
        return fail(err, SM_ENOMEM, "user %s: out of memory", spec);
    *ret = (struct account){.home = "/"};
    group = strchr(user, ':');
    if (group)
        *group++ = '\0';
    search.wanted = user;
    search.by_number = !*user || parse_id(user, &uid);
    ret->uid = uid;
    rc = walk(etc, "passwd", 7, match_user, &search, err);
    if (rc)
        return rc;
    if (!search.found && !search.by_number)
        return fail(err, SM_ENOENT, "user %s: not in %s/passwd", user, etc);
    if (group && !*group)
        return fail(err, SM_EINVAL, "user %s: no group behind the colon", spec);
    return find_group(etc, group, search.name, ret, err);
}

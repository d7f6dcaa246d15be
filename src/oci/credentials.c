/* credentials.c: Docker's config.json and the programs that it names; see
 * credentials.h. */
#include "oci/credentials.h"

#include "base/own.h"
#include "oci/auth.h"
#include "oci/json.h"
#include "platform/file.h"
#include "platform/helper.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum {
    CREDENTIALS_MAX = 16 << 10,
    ANSWER_MAX = 64 << 10,
    ANSWER_TIMEOUT_MS = 120000 /* it may have to ask its user */
};

void credentials_done(struct credentials *credentials)
{
    free(credentials->basic);
    free(credentials->refresh_token);
    free(credentials->bearer);
    *credentials = (struct credentials){0};
}

/* ---- one pair ---- */

static int encode_pair(const char *user, const char *password, char **ret,
                       struct sm_error *err)
{
    unsigned char text[CREDENTIALS_MAX * 4 / 3 + 8];
    char pair[CREDENTIALS_MAX];
    int length = snprintf(pair, sizeof pair, "%s:%s", user, password);

    if (length < 0 || (size_t)length >= sizeof pair)
        return fail(err, SM_ELIMIT, "credentials of more than %d bytes",
                    CREDENTIALS_MAX);
    EVP_EncodeBlock(text, (const unsigned char *)pair, length);
    return auth_make_header("Basic", (const char *)text, ret, err);
}

static int keep_token(const char *token, char **ret, struct sm_error *err)
{
    *ret = strdup(token);
    return *ret ? 0 : fail(err, SM_ENOMEM, "out of memory");
}

/* ---- programs ---- */

/* What its program knows (registry) by: Docker's own by an old address. */
static const char *address_of(const char *registry)
{
    return strcmp(registry, "docker.io") == 0 ? "https://index.docker.io/v1/"
                                              : registry;
}

/* The first line of (answer), without space around it. */
static struct buf first_line(const struct buf *answer)
{
    struct buf line = *answer;

    while (line.size && isspace(line.data[0])) {
        line.data++;
        line.size--;
    }
    for (size_t i = 0; i < line.size; i++)
        if (line.data[i] == '\n')
            line.size = i;
    while (line.size && isspace(line.data[line.size - 1]))
        line.size--;
    return line;
}

/* The words for "not found" are part of the protocol. */
static int refused(const char *program, const struct buf *answer,
                   struct sm_error *err)
{
    static const char not_found[] = "credentials not found in native keychain";
    struct buf line = first_line(answer);

    if (line.size == sizeof not_found - 1 &&
        memcmp(line.data, not_found, line.size) == 0)
        return 0;
    return fail(err, SM_EACCES, "%s: %.*s", program,
                line.size ? (int)line.size : 2,
                line.size ? (const char *)line.data : "no");
}

int credentials_parse_answer(const void *bytes, size_t count,
                             struct credentials *ret, struct sm_error *err)
{
    AUTO(json_unref) json_t *json = NULL;
    const char *user;
    const char *secret;
    int rc = json_parse(bytes, count, &json, err);

    *ret = (struct credentials){0};
    if (!rc)
        rc = json_string_of(json, "Username", true, &user, err);
    if (!rc)
        rc = json_string_of(json, "Secret", true, &secret, err);
    if (rc == SM_EIMAGE)
        rc = SM_EPROTO;
    if (rc)
        return rc;
    if (strcmp(user, "<token>") == 0)
        return keep_token(secret, &ret->refresh_token, err);
    return encode_pair(user, secret, &ret->basic, err);
}

static int run_helper(const char *program, const char *path, char *const *env,
                      const char *registry, struct credentials *ret,
                      struct sm_error *err)
{
    AUTO(buf_done) struct buf answer = {0};
    int status = -1;
    int rc;

    buf_init(&answer, ANSWER_MAX);
    rc = helper_run(
        &(struct helper_plan){
            .path = path,
            .argv =
                (char *[]){(char *)(uintptr_t)program, (char[]){"get"}, NULL},
            .env = env,
            .input = address_of(registry),
            .timeout_ms = ANSWER_TIMEOUT_MS,
        },
        &answer, &status, err);
    if (!rc && status != 0)
        return refused(program, &answer, err);
    if (!rc)
        rc = credentials_parse_answer(answer.data, answer.size, ret, err);
    return rc ? wrap(err, rc, "%s", program) : 0;
}

/* Ask docker-credential-(name). (must): it has been told of this registry. */
static int ask_helper(const char *name, char *const *env, const char *registry,
                      bool must, struct credentials *ret, struct sm_error *err)
{
    AUTO_FREE char *path = NULL;
    char program[80];
    int length =
        snprintf(program, sizeof program, "docker-credential-%s", name);
    int rc;

    if (length < 0 || (size_t)length >= sizeof program)
        return fail(err, SM_EINVAL, "credential helper \"%.64s...\": long name",
                    name);
    rc = helper_find(env, program, &path, err);
    if (rc)
        return rc;
    if (path)
        return run_helper(program, path, env, registry, ret, err);
    return must ? fail(err, SM_EACCES,
                       "the credentials for %s are with %s, which is not in "
                       "PATH",
                       registry, program)
                : 0;
}

/* ---- the file ---- */

/* Docker's key for (registry) is its name, often with scheme and path around
 * it; its own registry has an old address as its key. */
static bool is_key_of(const char *key, const char *registry)
{
    const char *scheme = strstr(key, "://");
    size_t length;

    if (strcmp(registry, "docker.io") == 0)
        registry = "index.docker.io";
    if (scheme)
        key = scheme + 3;
    length = strcspn(key, "/");
    return strlen(registry) == length && memcmp(key, registry, length) == 0;
}

static json_t *find_entry(const json_t *table, const char *registry)
{
    const char *key;
    json_t *value;

    /* json_object_foreach() writes nothing. */
    json_object_foreach((json_t *)(uintptr_t)table, key,
                        value) if (is_key_of(key, registry)) return value;
    return NULL;
}

/* What the file itself says; 0 with nothing in (ret) if that is nothing. */
static int read_entry(const json_t *entry, struct credentials *ret,
                      struct sm_error *err)
{
    const char *token =
        json_string_value(json_object_get(entry, "identitytoken"));
    const char *bearer =
        json_string_value(json_object_get(entry, "registrytoken"));
    const char *auth = json_string_value(json_object_get(entry, "auth"));
    const char *user = json_string_value(json_object_get(entry, "username"));
    const char *word = json_string_value(json_object_get(entry, "password"));

    if (bearer && bearer[0])
        return auth_make_header("Bearer", bearer, &ret->bearer, err);
    if (token && token[0])
        return keep_token(token, &ret->refresh_token, err);
    if (auth && auth[0])
        return auth_make_header("Basic", auth, &ret->basic, err);
    if (user && word)
        return encode_pair(user, word, &ret->basic, err);
    return 0;
}

static bool has_any(const struct credentials *credentials)
{
    return credentials->basic || credentials->refresh_token ||
           credentials->bearer;
}

static int read_config(const json_t *config, char *const *env,
                       const char *registry, struct credentials *ret,
                       struct sm_error *err)
{
    const json_t *entry =
        find_entry(json_object_get(config, "auths"), registry);
    const char *own = json_string_value(
        find_entry(json_object_get(config, "credHelpers"), registry));
    const char *common =
        json_string_value(json_object_get(config, "credsStore"));
    int rc;

    if (own && own[0] && env)
        return ask_helper(own, env, registry, true, ret, err);
    rc = read_entry(entry, ret, err);
    if (rc || has_any(ret) || !common || !common[0] || !env)
        return rc;
    return ask_helper(common, env, registry, entry != NULL, ret, err);
}

int credentials_load(const char *path, char *const *env, const char *registry,
                     struct credentials *ret, struct sm_error *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    AUTO(json_unref) json_t *config = NULL;
    AUTO_FREE char *text = NULL;
    uint64_t bytes;
    int rc;

    *ret = (struct credentials){0};
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : fail_os(err, "open %s", path);
    rc = file_size(fd, &bytes, err);
    if (!rc && bytes > JSON_DOCUMENT_MAX)
        rc = fail(err, SM_EINVAL, "longer than %d bytes", JSON_DOCUMENT_MAX);
    if (rc)
        return wrap(err, rc, "%s", path);
    text = malloc((size_t)bytes + 1);
    if (!text)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = file_read_at(fd, text, (size_t)bytes, 0, err);
    if (!rc)
        rc = json_parse(text, (size_t)bytes, &config, err);
    if (rc == SM_EIMAGE)
        rc = SM_EINVAL;
    if (!rc)
        rc = read_config(config, env, registry, ret, err);
    if (!rc)
        return 0;
    credentials_done(ret);
    return wrap(err, rc, "%s", path);
}

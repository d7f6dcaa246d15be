/* auth.c: challenges, credentials, tokens; see auth.h. */
#include "oci/auth.h"

#include "base/own.h"
#include "oci/json.h"
#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { CREDENTIALS_MAX = 4096, TOKEN_MAX = 4096 };

/* ---- challenges ---- */

/* KEY=VALUE or KEY="VALUE" at *at, which moves behind it and a comma. */
static bool take_parameter(const char **at, char key[32], char *value,
                           size_t size)
{
    const char *from = *at + strspn(*at, " \t,");
    size_t length = strcspn(from, "= \t,\"");
    size_t used = 0;

    if (!length || length >= 32 || from[length] != '=')
        return false;
    memcpy(key, from, length);
    key[length] = '\0';
    from += length + 1;
    if (*from != '"') {
        used = strcspn(from, " \t,");
        if (used >= size)
            return false;
        memcpy(value, from, used);
        from += used;
    } else {
        for (from++; *from && *from != '"'; from++) {
            if (*from == '\\' && from[1])
                from++;
            if (used + 1 >= size)
                return false;
            value[used++] = *from;
        }
        if (*from++ != '"')
            return false;
    }
    value[used] = '\0';
    *at = from;
    return true;
}

bool auth_parse_challenge(const char *header, struct auth_challenge *ret)
{
    char value[1024];
    char key[32];

    *ret = (struct auth_challenge){0};
    if (strncasecmp(header, "Bearer ", 7) == 0)
        ret->scheme = AUTH_BEARER;
    else if (strncasecmp(header, "Basic", 5) == 0)
        ret->scheme = AUTH_BASIC;
    else
        return false;
    header += strcspn(header, " ");
    while (take_parameter(&header, key, value, sizeof value)) {
        if (strcasecmp(key, "realm") == 0)
            snprintf(ret->realm, sizeof ret->realm, "%s", value);
        else if (strcasecmp(key, "service") == 0)
            snprintf(ret->service, sizeof ret->service, "%.255s", value);
        else if (strcasecmp(key, "scope") == 0)
            snprintf(ret->scope, sizeof ret->scope, "%.511s", value);
    }
    return ret->scheme == AUTH_BASIC || ret->realm[0];
}

/* ---- credentials ---- */

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

static int make_header(const char *scheme, const char *text, char **ret,
                       struct sm_error *err)
{
    /* A header of a request must not become two. */
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c > '~')
            return fail(err, SM_EINVAL, "credentials with odd characters");
    if (asprintf(ret, "%s %s", scheme, text) < 0) {
        *ret = NULL;
        return fail(err, SM_ENOMEM, "out of memory");
    }
    return 0;
}

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
    return make_header("Basic", (const char *)text, ret, err);
}

static int read_entry(const json_t *config, const char *registry, char **ret,
                      struct sm_error *err)
{
    const json_t *entry =
        find_entry(json_object_get(config, "auths"), registry);
    const char *auth = json_string_value(json_object_get(entry, "auth"));
    const char *user = json_string_value(json_object_get(entry, "username"));
    const char *word = json_string_value(json_object_get(entry, "password"));

    if (auth && auth[0])
        return make_header("Basic", auth, ret, err);
    if (user && word)
        return encode_pair(user, word, ret, err);
    if (find_entry(json_object_get(config, "credHelpers"), registry) ||
        (entry && json_object_get(config, "credsStore")))
        return fail(err, SM_ENOTSUP,
                    "the credentials for %s are with a credential helper, "
                    "which is not supported yet",
                    registry);
    return 0;
}

int auth_load(const char *path, const char *registry, char **ret,
              struct sm_error *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    AUTO(json_unref) json_t *config = NULL;
    AUTO_FREE char *text = NULL;
    uint64_t bytes;
    int rc;

    *ret = NULL;
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
        rc = read_entry(config, registry, ret, err);
    return rc ? wrap(err, rc, "%s", path) : 0;
}

/* ---- tokens ---- */

int auth_parse_token(const void *bytes, size_t count, char **ret,
                     struct sm_error *err)
{
    AUTO(json_unref) json_t *json = NULL;
    const char *token = NULL;
    int rc = json_parse(bytes, count, &json, err);

    if (!rc)
        rc = json_string_of(json, "token", false, &token, err);
    if (!rc && !token)
        rc = json_string_of(json, "access_token", true, &token, err);
    if (!rc && strlen(token) > TOKEN_MAX)
        rc = fail(err, SM_EPROTO, "token of %zu bytes: at most %d",
                  strlen(token), TOKEN_MAX);
    if (!rc)
        rc = make_header("Bearer", token, ret, err);
    return rc && rc != SM_ENOMEM ? wrap(err, SM_EPROTO, "token") : rc;
}

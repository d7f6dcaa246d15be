/* auth.c: challenges, headers, tokens; see auth.h. */
#include "oci/auth.h"

#include "base/own.h"
#include "oci/json.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { TOKEN_MAX = 16 << 10 };

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

/* ---- headers ---- */

int auth_make_header(const char *scheme, const char *text, char **ret,
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
        rc = auth_make_header("Bearer", token, ret, err);
    return rc && rc != SM_ENOMEM ? wrap(err, SM_EPROTO, "token") : rc;
}

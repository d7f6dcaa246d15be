/* auth.h: what a registry wants to know of its client.
 *
 * How it works
 *   A request without credentials is tried first. A registry that wants some
 *   answers 401 and says how: "Basic", or "Bearer" with the address of a
 *   server that gives tokens (distribution specification; Docker registry
 *   token authentication). What the client has to show for it, credentials.h
 *   finds.
 */
#ifndef SM_OCI_AUTH_H
#define SM_OCI_AUTH_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum auth_scheme { AUTH_OTHER, AUTH_BASIC, AUTH_BEARER };

/* A WWW-Authenticate header, taken apart; what it does not say is "". */
struct auth_challenge {
    enum auth_scheme scheme;
    char realm[1024];
    char service[256];
    char scope[512];
};

/* False: no scheme that is known, or malformed. */
bool auth_parse_challenge(const char *header, struct auth_challenge *ret);

/* "SCHEME TEXT" for a header; SM_EINVAL if (text) could make two of it. The
 * caller frees *ret. */
int auth_make_header(const char *scheme, const char *text, char **ret,
                     struct sm_error *err);

/* "Bearer ..." out of a token server's answer. SM_EPROTO, SM_ENOMEM. */
int auth_parse_token(const void *bytes, size_t count, char **ret,
                     struct sm_error *err);

#endif

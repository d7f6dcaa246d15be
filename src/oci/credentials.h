/* credentials.h: what a registry believes of its user, as Docker keeps it.
 *
 * How it works
 *   Docker's config.json holds, by registry, either the credentials themselves
 *   ("auths": user and password, or a token) or the name of a program that
 * keeps them ("credHelpers"), and may name a program for all others
 * ("credsStore"). The first of these that knows the registry is believed; a
 * password in the file goes before credsStore, which is asked last.
 *
 *   The program is docker-credential-NAME of the user's PATH (platform/helper.h
 *   runs it): `get` reads the registry's address and answers with JSON,
 *   {"Username": ..., "Secret": ...}. The user "<token>" means that the secret
 *   is a token with which others are asked for, no password.
 *   (docker/docker-credential-helpers, README, "Development".)
 */
#ifndef SM_OCI_CREDENTIALS_H
#define SM_OCI_CREDENTIALS_H

#include "base/error.h"

#include <stddef.h>

/* One of them, or none. */
struct credentials {
    char *basic;         /* "Basic ..."                                    */
    char *refresh_token; /* to get tokens with (Docker: "identity token") */
    char *bearer;        /* "Bearer ...", a token for the registry itself  */
};

/*
 * Those for (registry) out of the file (path). (env) is the environment of
 * programs that keep them, "NAME=value", NULL at the end; NULL: none is run.
 * A missing file, entry, or program that only credsStore names and that was
 * never used for this registry, means none; else *ret is for
 * credentials_done().
 * Returns 0, SM_EINVAL (malformed file or credentials), SM_EACCES (the program
 * is not there, or refuses), SM_EPROTO (its answer makes no sense),
 * SM_ETIMEOUT, SM_ELIMIT, SM_ENOMEM, SM_EIO.
 */
int credentials_load(const char *path, char *const *env, const char *registry,
                     struct credentials *ret, struct sm_error *err);
void credentials_done(struct credentials *credentials);

/* What such a program answers; with the errors above, but none of the system.
 * *ret is as above. */
int credentials_parse_answer(const void *bytes, size_t count,
                             struct credentials *ret, struct sm_error *err);

#endif

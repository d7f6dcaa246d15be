/* trust.h: which servers need not prove who they are. */
#ifndef SM_OCI_TRUST_H
#define SM_OCI_TRUST_H

#include <stdbool.h>

/* This very machine: reached without a proxy. */
bool trust_is_here(const char *url);
/* That, or one of (insecure), "HOST[:PORT]", NULL at the end, or NULL. */
bool trust_is_blind(const char *const *insecure, const char *url);

#endif

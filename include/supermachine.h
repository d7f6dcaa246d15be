/* supermachine.h: run any OCI image as a hardware-isolated microVM. */
#ifndef SUPERMACHINE_H
#define SUPERMACHINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every error code of the library: X(name, value, text). */
#define SM_ERRORS(X)                                                          \
    X(SM_EINVAL, -1, "invalid argument")                                      \
    X(SM_ENOMEM, -2, "out of memory")                                         \
    X(SM_EIO, -3, "input or output failed")                                   \
    X(SM_ENOENT, -4, "not found")                                             \
    X(SM_EEXIST, -5, "exists already")                                        \
    X(SM_EACCES, -6, "permission denied")                                     \
    X(SM_ESTATE, -7, "not possible in this state")                            \
    X(SM_ETIMEOUT, -8, "timed out")                                           \
    X(SM_ENOHV, -9, "no usable hypervisor")                                   \
    X(SM_EGUEST, -10, "the guest failed")                                     \
    X(SM_EPROTO, -11, "protocol violated")                                    \
    X(SM_EIMAGE, -12, "invalid image")                                        \
    X(SM_EDIGEST, -13, "digest mismatch")                                     \
    X(SM_ENOSPC, -14, "no space left")                                        \
    X(SM_ENOTSUP, -15, "not supported")                                       \
    X(SM_EBUSY, -16, "in use")                                                \
    X(SM_ECANCELED, -17, "canceled")                                          \
    X(SM_ECLOSED, -18, "connection closed")                                   \
    X(SM_ELIMIT, -19, "limit exceeded")                                       \
    X(SM_ENOCMD, -20, "command not found")                                    \
    X(SM_ENOEXEC, -21, "command not executable")

enum sm_error_code {
#define SM_ERROR_ENUM(name, value, text) name = value,
    SM_ERRORS(SM_ERROR_ENUM)
#undef SM_ERROR_ENUM
        SM_OK = 0
};

/* Why a call failed. Owned by the caller, who may pass NULL instead. */
struct sm_error {
    int code;          /* SM_E*, the same as the call's result           */
    int os_error;      /* errno of the operating system, 0 if none       */
    char message[1016]; /* one line, UTF-8, no full stop, NUL at the end */
};

#ifdef __cplusplus
}
#endif

#endif

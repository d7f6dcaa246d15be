/* error.c: error codes as text, and the version. */
#include "base/error.h"

const char *sm_strerror(int code)
{
    switch (code) {
    case SM_OK:
        return "success";
#define SM_ERROR_CASE(name, value, text)                                       \
    case name:                                                                 \
        return text;
        SM_ERRORS(SM_ERROR_CASE)
#undef SM_ERROR_CASE
    default:
        return "unknown error";
    }
}

const char *sm_version(void)
{
    return SM_VERSION;
}

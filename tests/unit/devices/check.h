/* check.h: cmocka, with the headers that it wants before it. */
#ifndef SM_TESTS_CHECK_H
#define SM_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Ours (base/error.h) is a function. */
#undef fail

#endif

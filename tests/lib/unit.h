/* unit.h: what every unit test includes. */
#ifndef SM_TESTS_UNIT_H
#define SM_TESTS_UNIT_H

/* In this order: cmocka's header needs the others. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

/* Here, fail() is ours: base/error.h. */
#undef fail

#endif

/* run.h: the groups of tests that tests/guests/run is made of. */
#ifndef GUESTS_RUN_H
#define GUESTS_RUN_H

#include "tiny.h"
#include "unit.h"

extern const struct CMUnitTest access_tests[], vcpu_tests[], irq_tests[],
    state_tests[];
extern const size_t access_test_count, vcpu_test_count, irq_test_count,
    state_test_count;

#endif

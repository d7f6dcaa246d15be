#!/usr/bin/env bash
# library.sh: the library's calls against real machines.
. tests/system/lib.sh
make_image
export SUPERMACHINE_RUNTIME_DIR=$stage/libexec/supermachine

absorb '' < <(timeout 1800 build/main/tests/system/library/library \
    "oci:$image" 2>&1 || echo "not ok library (status $?)")
# 500 at 1 MiB each take eight minutes in the test bed: that is for the soak.
absorb '' < <(timeout 3600 build/main/tests/system/library/load "oci:$image" \
    "${LOAD_COMMANDS:-500}" 32 "${LOAD_BYTES:-16384}" 2>&1 ||
    echo "not ok load (status $?)")
# What glibc has in its caches counts as allocated; without them, it is exact.
export GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0
absorb '' < <(timeout 14000 build/main/tests/system/library/cycles \
    "oci:$image" "${CYCLES:-30}" 2>&1 || echo "not ok cycles (status $?)")
absorb '' < <(timeout 14000 build/asan/tests/system/library/cycles \
    "oci:$image" "${CYCLES_SANITIZED:-20}" 2>&1 ||
    echo "not ok cycles, sanitized (status $?)")
check_clean library/nothing_left
finish_part

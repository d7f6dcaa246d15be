#!/usr/bin/env bash
# crash.sh: processes killed at random moments leave nothing, and ps knows.
#
#   CRASHES=100 SEED=7 tests/system/crash.sh
. tests/system/lib.sh
make_image

absorb '' < <(timeout 12000 tests/system/crash.py "oci:$image" \
    "${CRASHES:-10}" "${SEED:-4}" 2>&1 ||
    echo "not ok crash (status $?)")
check_clean crash/nothing_left
finish_part

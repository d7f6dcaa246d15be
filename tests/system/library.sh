#!/usr/bin/env bash
# library.sh: the library's calls against real machines.
. tests/system/lib.sh
make_image
export SUPERMACHINE_RUNTIME_DIR=$stage/libexec/supermachine

absorb '' < <(timeout 900 build/main/tests/system/library/library \
    "oci:$image" 2>&1 || echo "not ok library (status $?)")
check_clean library/nothing_left
finish_part

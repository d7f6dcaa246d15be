#!/usr/bin/env bash
# terminal.sh: commands with a terminal, and without one.
. tests/system/lib.sh
make_image

expect terminal/none_on_pipes 1 '' run_in -- test -t 0
# shellcheck disable=SC2016
expect terminal/on_request 0 '^24 80' run_in -t -- \
    sh -c 'test -t 0 && test -t 1 && test -t 2 && stty size'
typed=$(printf 'typed\n' | run_in -it -- cat | tr -d '\r\n')
check terminal/end_of_input_is_control_d [ "$typed" = typedtyped ]
tests/system/make-program-folder "$scratch/programs" /usr/bin/nano /usr/bin/top
absorb '' < <(timeout 1800 tests/system/terminal.py "oci:$image" \
    "dir:$scratch/programs" 2>&1 ||
    echo "not ok terminal (status $?)")
check_clean terminal/nothing_left
finish_part

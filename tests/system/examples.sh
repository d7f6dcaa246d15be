#!/usr/bin/env bash
# examples.sh: the programs of examples/ do what they say.
. tests/system/lib.sh
make_image
export SUPERMACHINE_RUNTIME_DIR=$stage/libexec/supermachine
examples=build/main/examples

expect examples/run 7 '^seven$' timeout 120 "$examples/example_run" \
    "oci:$image" sh -c 'echo seven; exit 7'
stream=$(timeout 120 "$examples/example_stream" "oci:$image" | tr '\n' ' ')
check examples/stream [ "$stream" = '1 9 10 100 status 0 ' ]

many=$(timeout 300 "$examples/example_many" "oci:$image" | paste - - | sort)
expected=$(for i in $(seq 0 9); do printf 'machine %s\tstatus %s\n' "$i" "$i"
    done)
check examples/many [ "$many" = "$expected" ]

out=$(timeout 120 "$examples/example_timeouts" "oci:$image")
check examples/timeouts [ "$out" = 'after 100 ms: timed out
after its 1500 ms: signal 9
stopped: the machine powered off' ]
printf '    %s\n' "$out"
mkdir -p "$scratch/from/sub"
echo hello >"$scratch/from/sub/file"
out=$(timeout 120 "$examples/example_files" "oci:$image" "$scratch/from" \
    "$scratch/to")
check examples/files [ "$out" = 'in: 6 bytes
status 0
/work/list: 26 bytes, mode 644
.
./list
./sub
./sub/file' ]
check examples/files_come_back cmp "$scratch/from/sub/file" \
    "$scratch/to/sub/file"
out=$(timeout 120 "$examples/example_warm" "oci:$image")
check examples/warm [ "$out" = 'first of 1000 lines
second of 1000 lines' ]
check examples/warm_is_removed [ -z "$(supermachine snapshot ls -q)" ]
check_clean examples/nothing_left
finish_part

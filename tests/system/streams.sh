#!/usr/bin/env bash
# streams.sh: stdin, stdout and stderr, whole, apart, and closed in time.
. tests/system/lib.sh
make_image
size_mib=${STREAM_MIB:-100}
# A bed that has other work beside it has carried 1 MiB/s.
limit=1800

# The same bytes everywhere: a keyed stream that no zero page imitates.
bytes() {
    head -c "${size_mib}M" /dev/zero |
        openssl enc -aes-128-ctr -K 0123456789abcdef0123456789abcdef \
            -iv 00000000000000000000000000000000 -nosalt
}
bytes >"$scratch/bytes"
sum=$(sha256sum <"$scratch/bytes" | cut -d' ' -f1)

guest_sum=$(run_in -- sha256sum <"$scratch/bytes" | cut -d' ' -f1)
check "streams/stdin_${size_mib}_mib" [ "$guest_sum" = "$sum" ]

# There and back again: both directions at once.
host_sum=$(run_in -- cat <"$scratch/bytes" | sha256sum | cut -d' ' -f1)
check "streams/stdout_${size_mib}_mib" [ "$host_sum" = "$sum" ]

run_in -- sh -c 'echo out; echo err >&2' >"$scratch/out" 2>"$scratch/err" \
    </dev/null
check streams/stderr_apart \
    [ "$(cat "$scratch/out"),$(cat "$scratch/err")" = out,err ]

# The reader in the guest sees the end when the pipe here is closed, not
# before: the count says that the late bytes still came.
count=$( (printf 12345; sleep 1; printf 67890) | run_in -- wc -c)
check streams/stdin_end [ "$count" = 10 ]

# A reader that goes away ends the writer, not the machine by force.
run_in -- sh -c 'yes' 2>"$scratch/err" </dev/null | head -c 1000 |
    wc -c >"$scratch/out"
check streams/reader_gone [ "$(cat "$scratch/out")" = 1000 ]

# A disk that is full is told of.
run_in -- seq 1000 >/dev/full 2>"$scratch/err" </dev/null
check streams/full_disk_status [ $? = 125 ]
check streams/full_disk_words grep -q 'stdout: no space left' "$scratch/err"
check_clean streams/nothing_left
finish_part

#!/usr/bin/env bash
# clones.sh: two machines of one snapshot, restored seconds apart, are right and
# are no twins: one test for each row that docs/CLONES.md has.
#
#   TWINS_ONLY=1 tests/system/clones.sh     what mutants.sh takes fixes out of
#   AGE=20                                  capture a machine so many s old
. tests/system/lib.sh

folder=$scratch/folder
tests/system/make-program-folder "$folder"
cp build/main/tests/system/guest/draw "$folder/bin/"
echo 0123456789abcdef0123456789abcdef >"$folder/etc/machine-id"

sm() {
    timeout 120 supermachine "$@" </dev/null
}

# Seconds, with a fraction, that MACHINE has been up.
uptime_of() {
    sm exec "$1" cut -d ' ' -f 1 /proc/uptime
}

# holds EXPRESSION: whether it holds; numbers may have fractions.
holds() {
    awk "BEGIN { exit !($*) }"
}

# shellcheck disable=SC2016  # the guest expands it
who='cat /proc/sys/kernel/random/uuid; head -c 16 /dev/urandom |
    od -An -tx1 | tr -d " "; cat /proc/sys/kernel/random/boot_id
    cat /etc/machine-id; hostname; cat /etc/hostname
    cat /dev/supermachine/generation; date +%s; dmesg'

sm run -d --name origin --memory 256m "dir:$folder" draw /draws >/dev/null
# Not a pipe: the log goes on, but nothing comes that would end its reader.
grep -qm1 drawing < <(timeout 60 supermachine logs -f origin 2>&1)
# A young kernel reseeds by itself each second, one of 20 s each 10 s.
sleep "${AGE:-0}"
heard_before=$(sm exec origin dmesg | grep -c 'machine fork')
began=$(date +%s.%N)
up_before=$(uptime_of origin)
# The kernel makes its boot_id when somebody reads it first.
sm exec origin cat /proc/sys/kernel/random/boot_id >/dev/null
expect clones/create 0 '' sm snapshot create --full twins origin
gap_began=$(date +%s.%N)
sm pause origin >/dev/null
expect clones/restore 0 '' sm run -d --name a --snapshot twins
# The time that clones must be told of, and must not live through.
sleep 2
gap_ended=$(date +%s.%N)
expect clones/restore_later 0 '' sm run -d --name b --snapshot twins
up_after=$(uptime_of b)
ended=$(date +%s.%N)
sm exec a sh -c "$who" >"$scratch/a"
wall_before=$(date +%s)
sm exec b sh -c "$who" >"$scratch/b"
wall_after=$(date +%s)

for line in 1:uuid 2:urandom 3:boot_id 4:machine_id 5:hostname \
    6:etc_hostname 7:notice; do
    one=$(sed -n "${line%%:*}p" "$scratch/a")
    two=$(sed -n "${line%%:*}p" "$scratch/b")
    check "clones/${line#*:}" [ "${#one}" -ge 12 -a "$one" != "$two" ]
done
wall=$(sed -n 8p "$scratch/b")
check clones/wall_clock \
    [ "$wall" -ge "$wall_before" -a "$wall" -le "$wall_after" ]
check "clones/monotonic_clock ($up_before $up_after)" holds \
    "$up_after >= $up_before &&
    $up_after - $up_before < $ended - $began - $gap_ended + $gap_began"
check clones/kernel_hears_of_it \
    [ "$(grep -c 'machine fork' "$scratch/b")" = $((heard_before + 1)) ]
check clones/kernel_is_calm test -z "$(grep -hiE \
    'lockup|stall|unstable|hung|BUG|WARNING|call trace|I/O error' \
    "$scratch/a" "$scratch/b")"

# How many numbers had been drawn when the machine was captured: its memory says
# so. The one that was just being drawn is left out.
drawn=$(python3 - "$SUPERMACHINE_HOME/snapshots/twins/memory" <<'END'
import mmap, struct, sys
half = 0x0123456789abcdef
mark = struct.pack("<QQ", half * 3 % 2**64, ~half % 2**64)
with open(sys.argv[1], "rb") as file, \
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
    print(struct.unpack_from("<Q", memory, memory.find(mark) + 16)[0])
END
)
numbers() {
    sm exec "$1" dd if=/draws bs=8 skip="$2" count="$3" 2>/dev/null |
        od -An -v -tx8 -w8
}
for clone in a b; do
    numbers $clone $((512 + drawn - 32)) 32 >"$scratch/$clone.before"
    numbers $clone $((512 + drawn + 1)) 32 >"$scratch/$clone.after"
done
check clones/programs_have_drawn_the_same \
    cmp -s "$scratch/a.before" "$scratch/b.before"
check "clones/programs_draw_their_own (of $drawn)" [ "$(cat "$scratch/"[ab].after |
    grep -v ' 0000000000000000$' | sort -u | wc -l)" = 64 ]
if [ "${TWINS_ONLY:-0}" = 1 ]; then
    sm rm -f origin a b >/dev/null
    finish_part
    exit 0
fi

# What a clone does not need it gives back, as any machine: its balloon lives.
sm pause b >/dev/null
sm exec a killall -STOP draw
used() {
    sm stats --json a | grep -o '"HostMemory":[0-9]*' | tr -dc 0-9
}
mib=1048576
before=$(used)
sm exec a dd if=/dev/zero of=/dev/big bs=1M count=100 2>/dev/null
most=$(used)
check "clones/memory_is_taken ($before $most)" \
    [ "$((most - before))" -ge $((90 * mib)) ]
sm exec a rm /dev/big
began_giving=$SECONDS
until now=$(used) && [ "$now" -le $((before + 30 * mib)) ]; do
    [ $((SECONDS - began_giving)) -lt 120 ] || break
done
check "clones/memory_is_given_back ($now)" [ "$now" -le $((before + 30 * mib)) ]

# A clone's worker, a paused one, too, does not outlive who looks after it.
worker=$(worker_of b)
keeper=$(sm inspect --format '{{.State.Pid}}' b)
kill -KILL "$keeper"
check clones/worker_goes_with_its_keeper \
    timeout 60 tail --pid="$worker" -f /dev/null
sm rm -f origin a b >/dev/null
check_clean clones/nothing_left
finish_part

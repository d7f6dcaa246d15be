#!/usr/bin/env bash
# smp.sh: several processors are there, and all of them work; what a worker
# costs.
. tests/system/lib.sh
make_image

expect smp/nproc 0 '^4$' run_in --cpus 4 -- nproc

# Four busy loops; then each processor's time in user mode, in ticks of 10 ms,
# and what it would have had if the host had had a processor to give (steal:
# the bed has one for all of them).
# shellcheck disable=SC2016  # the guest expands it
ticks=$(run_in --cpus 4 -- sh -c '
    busy() {
        grep "^cpu[0-9]" /proc/stat |
            while read -r name user nice system idle wait irq soft steal rest; do
                echo "$name $((user + steal))"
            done
    }
    busy
    for i in 1 2 3 4; do
        (n=0; while [ $n -lt 60000 ]; do n=$((n + 1)); done) &
    done
    wait
    busy' </dev/null |
    awk '{ if ($1 in before) print $2 - before[$1]; else before[$1] = $2 }' |
    sort -n | head -1)
if [ "${ticks:-0}" -ge 5 ]; then
    ok "smp/all_work (at least $ticks ticks each)"
else
    printf '    the idlest processor had %s ticks\n' "$ticks"
    not_ok smp/all_work
fi

# The worker's memory, but for the guest's: what lies outside of the 512 MiB
# that began as the template, and may be in many pieces by now. The command is
# asked to speak, so that the guest's own memory is touched by then.
mkfifo "$scratch/in" "$scratch/out"
run_in --memory 512m -- sh -c 'echo up; read -r line' \
    <"$scratch/in" >"$scratch/out" 2>/dev/null &
runner=$!
exec 4>"$scratch/in"
read -rt 300 line <"$scratch/out" || true
check worker/up [ "$line" = up ]
worker=$(pgrep -x supermachine-vm)
read -r inside kib < <(smaps_of "$worker" 512 Rss)
check worker/guest_is_found [ "$inside" -gt 0 ]
if [ "$kib" -gt 0 ] && [ "$kib" -le 5120 ]; then
    ok "worker/memory ($kib KiB beside the guest's, at most 5120)"
else
    printf '    %s KiB\n' "$kib"
    not_ok worker/memory
fi
exec 4>&-
wait "$runner"
check_clean smp/nothing_left
finish_part

#!/usr/bin/env bash
# steady.sh: many runs, one after the other and side by side; kill -9 anywhere.
#
#   RUNS=200 SIDE_BY_SIDE=8 KILLS=20 tests/system/steady.sh
. tests/system/lib.sh
make_image
runs=${RUNS:-8}
side=${SIDE_BY_SIDE:-8}
kills=${KILLS:-3}

broken=0
for i in $(seq "$runs"); do
    out=$(run_in -- echo "run $i" </dev/null 2>&1)
    [ "$out" = "run $i" ] || {
        broken=$((broken + 1))
        printf '    run %s: %s\n' "$i" "$out"
    }
done
check "steady/${runs}_runs" [ "$broken" = 0 ]

one() {
    out=$(timeout 300 supermachine run --memory 128m "oci:$image" \
        sh -c "echo side $1; exit $(($1 % 100))" </dev/null 2>&1)
    status=$?
    if [ "$out" = "side $1" ] && [ $status -eq $(($1 % 100)) ]; then
        echo good
    else
        echo "run $1: status $status: $out"
    fi
}
export -f one
export image
bad=$(seq "$((2 * side > runs ? 2 * side : runs))" |
    xargs -P "$side" -I{} bash -c 'one {}' | grep -v '^good$')
[ -z "$bad" ] || printf '    %s\n' "$bad"
check "steady/${side}_at_a_time" [ -z "$bad" ]

# A line of output says that the machine is up; then one of the two is killed.
start_one() {
    mkfifo "$scratch/up"
    supermachine run "oci:$image" sh -c 'echo up; sleep 1000' \
        >"$scratch/up" 2>"$scratch/err" </dev/null &
    runner=$!
    read -r _ <"$scratch/up"
    rm "$scratch/up"
    worker=$(pgrep -x supermachine-vm)
}
for _ in $(seq "$kills"); do
    start_one
    kill -9 "$runner"
    wait "$runner" 2>/dev/null
    check_clean "steady/kill_command"
    start_one
    kill -9 "$worker"
    wait "$runner"
    status=$?
    check "steady/kill_worker_status" [ "$status" = 125 ]
    check "steady/kill_worker_words" grep -q worker "$scratch/err"
    check_clean "steady/kill_worker"
    start_one
    kill -INT "$runner"
    wait "$runner"
    status=$?
    check "steady/interrupt_status" [ "$status" = 130 ]
    check_clean "steady/interrupt"
done

# Killed before the machine is up: while booting, at growing distances.
for tenths in 0 1 3 6; do
    supermachine run "oci:$image" sleep 1000 >/dev/null 2>&1 </dev/null &
    runner=$!
    read -rt "0.$tenths" <> <(:) || true
    kill -9 "$runner"
    wait "$runner" 2>/dev/null
    check_clean "steady/kill_command_after_0.${tenths}s"
done
finish_part

#!/usr/bin/env bash
# warm.sh: `run --warm` goes on from where such a command was ready before.
. tests/system/lib.sh
make_image
snapshots=$SUPERMACHINE_HOME/snapshots

# warm [OPTION...] -- COMMAND...: with our stdin; how it started goes to $cost.
cost=$scratch/cost
warm() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    timeout 300 supermachine run --warm "${options[@]}" "oci:$image" "$@" \
        2>"$cost"
}

kept() {
    supermachine snapshot ls -q | grep '^warm-'
}

count_kept() {
    kept | wc -l
}

was_warm() {
    grep -q '"warm":true}' "$cost"
}

# ---- the first one is kept, the next ones go on from there ----

# It draws a number and takes its time, then answers each line with it.
# shellcheck disable=SC2016  # the guest expands it
prepare='n=$(cat /proc/sys/kernel/random/uuid); i=0
    while [ $i -lt 500 ]; do i=$((i + 1)); done
    echo ready; while read -r line; do echo "$line $i $n"; done; exit 5'
first=$(printf 'a\nb\n' | warm --cost -- sh -c "$prepare")
check warm/first_status [ $? = 5 ]
check warm/first_is_whole \
    [ "$(cut -d' ' -f1 <<<"$first" | tr '\n' ' ')" = 'ready a b ' ]
check warm/first_was_not_warm grep -q '"warm":false}' "$cost"
check warm/kept [ "$(count_kept)" = 1 ]
name=$(kept)
second=$(echo c | warm --cost -- sh -c "$prepare")
check warm/second_status [ $? = 5 ]
check warm/second_was_warm was_warm
check warm/goes_on_with_its_state \
    [ "$second" = "c ${first##*b }" -a ${#second} -gt 40 ]
third=$(echo d | warm --cost -l a=b --lifetime 90 --rm -- sh -c "$prepare")
check warm/own_words_are_no_other_kind [ "${third#d }" = "${second#c }" ]
# Nothing that the first one was told is in it: it waits for its first line.
nothing=$(warm -- sh -c "$prepare" </dev/null)
check warm/first_one_s_input_is_nobody_else_s [ $? = 5 -a -z "$nothing" ]

# ---- another kind ----

other=$(echo c | warm --cost -e A=1 -- sh -c "$prepare")
check warm/other_environment_is_another_kind \
    [ "${other##* }" != "${second##* }" -a "$(count_kept)" = 2 ]
# shellcheck disable=SC2016
expect warm/ended_early 7 'not kept: it ended before it was ready' \
    timeout 300 supermachine run --warm "oci:$image" sh -c 'exit 7'
check warm/ended_early_is_not_kept [ "$(count_kept)" = 2 ]

# ---- what is of no use is made anew ----

printf x | dd of="$snapshots/$name/state" bs=1 seek=400 conv=notrunc \
    status=none
again=$(echo e | warm --cost -- sh -c "$prepare")
check warm/damaged_is_replaced \
    [ "$(tail -n 1 <<<"$again" | cut -d' ' -f1,2)" = 'e 500' ]
check warm/damaged_was_no_hit grep -q '"warm":false}' "$cost"
echo f | warm --cost -- sh -c "$prepare" >/dev/null
check warm/then_it_is_warm_again was_warm
# As one is that another installation has made.
sed -i -E 's/("programs": ?")[^"]*/\1x/
    s/("agent": ?"sha256:)[0-9a-f]{8}/\100000000/' \
    "$snapshots/$name/manifest.json"
expect warm/another_agent_s_is_refused 125 'another agent' \
    supermachine run --snapshot "$name" true
echo g | warm --cost -- sh -c "$prepare" >/dev/null
check warm/another_agent_s_is_replaced grep -q '"warm":false}' "$cost"
expect warm/and_fits_then 0 '' supermachine run --snapshot "$name" true

# ---- when it is ready ----

# It sleeps, which is quiet, and says so before it is done.
# shellcheck disable=SC2016
slow='sleep 1; >ok; read -r x; echo $x'
first=$(echo in | warm --ready 'test -e ok' -- sh -c "$slow")
second=$(echo in | warm --cost --ready 'test -e ok' -- sh -c "$slow")
check warm/ready_command [ "$first$second" = inin ]
check warm/ready_command_kept was_warm
expect warm/not_ready_in_time 0 'not kept: it was not ready within 1 s' \
    bash -c "echo | timeout 300 supermachine run --warm --ready false \
        --ready-timeout 1 'oci:$image' sh -c 'read -r x'"
expect warm/quiet 0 '^$' \
    bash -c "echo | timeout 300 supermachine run -q --warm --ready false \
        --ready-timeout 0.1 'oci:$image' sh -c 'read -r x'"

# An image that says of itself when it is ready.
# image_saying NAME COMMAND FIELD
image_saying() {
    tests/system/make-image-like "$image" "$scratch/$1" \
        "$(printf '{"User": "", "WorkingDir": "/", %s,
            "Cmd": ["sh", "-c", "%s"]}' "$3" "$2")"
}
# shellcheck disable=SC2016
answer='read -r x; echo $x; kill $!'
image_saying exposed "sleep 1; httpd -f -p 80 & $answer" \
    '"ExposedPorts": {"80/tcp": {}}'
image_saying healthy "(sleep 1; >/ok; exec sleep 60) & $answer" \
    '"Healthcheck": {"Test": ["CMD-SHELL", "test -e /ok"]}'
for kind in exposed healthy; do
    for run in first second; do
        out=$(echo "$run" | timeout 300 supermachine run --warm --cost \
            "oci:$scratch/$kind" 2>"$cost")
        check "warm/${kind}_$run" [ "$out" = "$run" ]
    done
    check "warm/${kind}_was_warm" was_warm
done

# ---- left alone ----

# shellcheck disable=SC2016
server='n=$(cat /proc/sys/kernel/random/uuid); echo $n >n; exec sleep 1000'
warm -d --name one -- sh -c "$server" >/dev/null
kinds=$(count_kept)
warm -d --name two --rm -- sh -c "$server" >/dev/null
check warm/detached_goes_on \
    [ "$(supermachine exec one cat n)" = "$(supermachine exec two cat n)" ]
check warm/detached_is_kept_once [ "$(count_kept)" = "$kinds" ]
check warm/clones_have_their_own_names \
    [ "$(supermachine exec one hostname)" != \
    "$(supermachine exec two hostname)" ]
check warm/prune_says_so \
    [ "$(supermachine prune | grep -c 'Deleted: snapshot:warm-')" = "$kinds" ]
check warm/pruned [ "$(count_kept)" = 0 ]
expect warm/machine_of_it_goes_on 0 '' supermachine exec two cat n
supermachine rm -f one two >/dev/null 2>&1

# ---- two at once ----

for i in 1 2; do
    echo "$i" | cost=$scratch/cost.$i warm -- sh -c "$prepare" \
        >"$scratch/both.$i" &
done
wait
check warm/two_at_once_are_silent [ ! -s "$scratch/cost.1" -a \
    ! -s "$scratch/cost.2" ]
check warm/two_at_once [ "$(count_kept)" = 1 ]
for i in 1 2; do
    check "warm/two_at_once_$i" \
        [ "$(tail -n 1 "$scratch/both.$i" | cut -d' ' -f1,2)" = "$i 500" ]
done

# ---- refused ----

for words in '--snapshot x' --cold --console; do
    # shellcheck disable=SC2086
    expect "warm/not_with${words%% *}" 125 'run: --warm .* not with' \
        supermachine run --warm $words x
done
expect warm/ready_alone 125 'not without it' supermachine run --ready x x
supermachine prune >/dev/null
check_clean warm/nothing_left
finish_part

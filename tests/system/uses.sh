#!/usr/bin/env bash
# uses.sh: what machines use, run and say: stats, top, events, inspect, attach,
# limits, and memory that runs out.
. tests/system/lib.sh
make_image
image_name=oci:$image

detach() {
    timeout 120 supermachine run -d "$@" >/dev/null
}

detach --name web -l tier=front --ulimit nofile=500:600 --pids-limit 50 \
    -e A=b -m 64m "$image_name" tail -f /dev/null
expect uses/stats_has_a_row 0 \
    'web +[0-9.]+% +[0-9.]+MB / 67.1MB +[0-9.]+% .* 1 ' \
    supermachine stats --no-stream
expect uses/stats_of_one_that_is_not 1 'did you mean web' \
    supermachine stats --no-stream wep
expect uses/stats_json 0 '"Name":"web".*"MemLimitBytes":67108864.*"OOMKills":0' \
    supermachine stats --json web
timeout 60 supermachine stats web --format '{{.Name}}' |
    { read -r _ && read -r again && [ "$again" = web ]; }
check uses/stats_goes_on [ "${PIPESTATUS[1]}" = 0 ]
expect uses/top_lists_processes 0 'tail -f /dev/null' supermachine top web
expect uses/top_as_fields 0 '^1 tail -f /dev/null$' \
    supermachine top --format '{{.Threads}} {{.Command}}' web
expect uses/inspect_nested 0 '^running false web \["nofile",500\]?' \
    supermachine inspect --format \
    '{{.State.Status}} {{.State.OOMKilled}} {{.Config.name}} ["{{.Config.limits.0.name}}",{{.Config.limits.0.soft}}' web
expect uses/inspect_no_such_field 1 'no State.Nothing' \
    supermachine inspect --format '{{.State.Nothing}}' web
# shellcheck disable=SC2016
expect uses/exec_has_the_machine_s_defaults 0 '^500 600 b 50$' \
    supermachine exec web sh -c \
    'echo $(ulimit -Sn) $(ulimit -Hn) $A $(cat /sys/fs/cgroup/programs/pids.max)'
expect uses/out_of_memory_is_said 3 'killed: out of memory' \
    supermachine exec web sh -c \
    'awk "BEGIN { s = \"xxxxxxxxxxxxxxxx\"; while (1) s = s s \"x\" }"; exit 3'
expect uses/out_of_memory_is_kept 0 '^true$' \
    supermachine inspect --format '{{.State.OOMKilled}}' web
# shellcheck disable=SC2016
expect uses/pids_limit_holds 2 "can't fork" supermachine exec web \
    sh -c 'for i in $(seq 60); do sleep 5 & done'
supermachine pause web >/dev/null
expect uses/stats_of_a_paused_one 0 '^web 67108864 $' \
    supermachine stats --no-stream --format \
    '{{.Name}} {{.MemLimitBytes}} {{.PIDs}}' web
expect uses/top_of_a_paused_one 1 'paused' supermachine top web
supermachine unpause web >/dev/null
expect uses/attach_without_stdin 143 '' timeout 60 bash -c \
    'supermachine attach web & until supermachine events --since 1h --until 0s \
        --filter event=attach | grep -q web; do :; done
    supermachine stop -t 30500ms web >/dev/null; wait $!'
expect uses/attach_to_a_stopped_one 125 'not running' supermachine attach web
expect uses/top_of_a_stopped_one 1 'not running' supermachine top web
supermachine rm web >/dev/null
got=$(supermachine events --since 1h --until 0s --filter machine=web \
    --format '{{.Action}}' | uniq | paste -sd' ')
check "uses/events_in_order ($got)" [ "$got" = \
    'create start exec_start exec_die exec_start oom exec_die exec_start exec_die pause unpause attach stop die destroy' ]
expect uses/events_filter 0 \
    '^\{"Type":"machine","Action":"die".*"exitCode":"143"\}\},"time":[0-9]+' \
    supermachine events --since 1h --until 0s --filter event=die --json
expect uses/events_bad_filter 125 'must be event=' \
    supermachine events --filter colour=red

# Somebody who attaches talks to the command; it ends with its status.
# shellcheck disable=SC2016
detach -i --name talk "$image_name" sh -c \
    'read -r a; echo "got $a"; head -c 3000000 /dev/zero; exit 3'
echo first | timeout 60 supermachine attach talk >"$scratch/talk"
check uses/attach_status [ "${PIPESTATUS[1]}" = 3 ]
check uses/attach_loses_nothing [ "$(wc -c <"$scratch/talk")" = 3000010 ]
check uses/attach_says_what_it_was_told [ \
    "$(head -n 1 "$scratch/talk")" = 'got first' ]
supermachine rm talk >/dev/null
detach -i -t --name tty "$image_name" sh
expect uses/attach_with_a_terminal 0 'detached, then 6' \
    timeout 90 python3 tests/system/attach.py
supermachine rm tty >/dev/null

expect uses/lifetime 125 'life-time was over' \
    run_in --lifetime 6 -- sleep 100
expect uses/timeout_in_milliseconds 137 'time was over' run_in --timeout 700ms -- sleep 100
check_clean uses/nothing_left
finish_part

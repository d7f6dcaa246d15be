#!/usr/bin/env bash
# exit.sh: what a command's end becomes: its status, or why there is none.
. tests/system/lib.sh
make_image

expect exit/zero 0 '' run_in -- true
expect exit/own_status 7 '' run_in -- sh -c 'exit 7'
expect exit/not_found 127 'no-such-command' run_in -- no-such-command
expect exit/not_found_path 127 '' run_in -- /no/such/path
expect exit/not_executable 126 '/etc/passwd' run_in -- /etc/passwd
expect exit/folder 126 '' run_in -- /etc
# shellcheck disable=SC2016  # the guest's shell expands it
expect exit/killed 137 '' run_in -- sh -c 'kill -9 $$'
# shellcheck disable=SC2016
expect exit/terminated 143 '' run_in -- sh -c 'kill -TERM $$'
expect exit/ours 125 'no such layout|not found|No such file' \
    supermachine run "oci:$scratch/nowhere" true
expect exit/image_command 0 '' run_in --
# shellcheck disable=SC2016
expect exit/env 0 '^one=1 two=two$' run_in --env one=1 -e two=two -- \
    sh -c 'echo one=$one two=$two'
cat >"$scratch/env" <<'END'
# words of a file

  one=1
two=from the file
END
# shellcheck disable=SC2016
expect exit/env_file 0 '^one=1 two=2$' run_in --env-file "$scratch/env" \
    -e two=2 -- sh -c 'echo one=$one two=$two'
expect exit/env_file_missing 125 'nowhere.*No such file' \
    run_in --env-file "$scratch/nowhere" -- true
expect exit/timeout 137 '^begun$' run_in --timeout 6 -- \
    sh -c 'echo begun; sleep 1000 & wait'
expect exit/workdir 0 '^/made/here$' run_in --workdir /made/here -- pwd
expect exit/user_name 0 '^uid=1000\(demo\)' run_in --user demo -- id
expect exit/user_number 0 '^uid=1234 gid=4321' run_in --user 1234:4321 -- id
expect exit/user_unknown 125 'nobody-here' run_in --user nobody-here -- id
expect exit/entrypoint 0 '^hello$' run_in --entrypoint /bin/echo -- hello
# What the image has there is not seen.
expect exit/resolver 0 '^# This machine has no network\.$' \
    run_in -- cat /etc/resolv.conf
# shellcheck disable=SC2016
expect exit/hostname 0 '^named named 127.0.0.1 localhost .* 127.0.1.1 named$' \
    run_in --hostname named -- \
    sh -c 'echo $(hostname) $(cat /etc/hostname /etc/hosts)'
# As long as nobody has collected it, its number is there.
# shellcheck disable=SC2016
expect exit/orphans 0 '^gone$' run_in -- sh -c '
    orphan=$(sleep 0.2 >/dev/null & echo $!)
    while [ -e /proc/$orphan ]; do sleep 0.1; done; echo gone'
expect exit/power_off 125 'powered off' run_in --user root -- poweroff -f
expect exit/reboot 125 'restart' run_in --user root -- reboot -f
expect exit/panic 125 'panicked.*sysrq' run_in --user root -- \
    sh -c 'echo c > /proc/sysrq-trigger'
check_clean exit/nothing_left
finish_part

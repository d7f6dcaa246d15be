#!/usr/bin/env bash
# files.sh: files and trees into machines and out of them.
. tests/system/lib.sh
. tests/lib/tree.sh
make_image

# The image's user is none that may do much.
timeout 120 supermachine run -d -u 0 --name web "oci:$image" sleep 100000 \
    >/dev/null
in_web() {
    timeout 60 supermachine exec -u 0 web "$@"
}
work=$scratch/work
mkdir "$work"
cd "$work" || exit 1

# Everything there and back, and once more as tars of others.
make_odd_tree tree
expect files/tree_in 0 '^$' supermachine cp -a tree web:/there
mkdir back
expect files/tree_out 0 '^$' supermachine cp -a web:/there back
show_tree tree >one
show_tree back/there >other
check files/tree_is_the_same diff one other
check files/tree_has_all_of_it grep -q security.capability one
in_web sh -c 'cd /there; stat -c "%n %a %u:%g" file sub/large' \
    >seen
check files/tree_is_so_in_the_machine diff seen - <<END
file 4755 0:0
sub/large 644 70000:3000000
END
timeout 60 supermachine cp web:/there - >there.tar
mkdir tarred
check files/tar_out_is_a_tar tar -C tarred --numeric-owner --xattrs \
    --xattrs-include='*' -xpf there.tar
show_tree tarred/there | grep -v holes >other
grep -v holes one | check files/tar_has_all_of_it diff - other
# GNU tar keeps links of regular files only.
rm tree/fifo2
tar --format=pax --xattrs --xattrs-include='*' -cSf tree.tar tree
expect files/tar_in 0 '^$' in_web mkdir /tarred
timeout 60 supermachine cp -a - web:/tarred <tree.tar
check files/tar_in_status [ $? = 0 ]
mkdir again
timeout 60 supermachine cp -a web:/tarred/tree again
show_tree tree >one
show_tree again/tree >other
check files/tar_in_has_all_of_it diff one other

# Without -a everything is who copies it's.
mkdir mine
expect files/device_is_refused 1 'device' supermachine cp web:/there mine
rm -rf mine/there
in_web sh -c 'rm /there/null /there/block'
expect files/without_a 0 '' supermachine cp web:/there mine
check files/no_setuid_and_no_owner [ "$(cd mine/there &&
    stat -c '%a %u:%g' file sub/large | paste -sd' ')" = '755 0:0 644 0:0' ]
expect files/in_without_a 0 '' supermachine cp tree/sub/large web:/large
check files/in_is_roots [ "$(in_web stat -c %u:%g /large)" = \
    0:0 ]

# Where things go: docker cp's rules; all of them are in tests/unit/files.
echo 1 >a
expect files/to_nothing 0 '' supermachine cp a web:/b
expect files/to_a_folder 0 '' supermachine cp a web:/tmp/
expect files/inside_of_a_folder 0 '' supermachine cp tree/sub/. web:/inside
expect files/where_they_are 0 '^1 1 content$' in_web sh -c \
    'cat /b /tmp/a /inside/hard | tr "\n" " " | sed "s/ $//"'
expect files/relative_path 0 '' supermachine cp web:b ./c
check files/relative_is_from_the_root cmp a c
expect files/folder_over_a_file 1 'not a folder' supermachine cp tree web:/b
expect files/file_as_a_folder 1 'no such folder' supermachine cp a web:/none/
expect files/no_such_folder 1 'No such file' supermachine cp a web:/none/b
expect files/no_such_file 1 'none: No such file' supermachine cp web:/none .
expect files/no_such_file_here 1 'none: No such file' \
    supermachine cp none web:/
expect files/tar_to_a_file 1 'b: Not a directory' supermachine cp - web:/b
check files/tar_cut_short grep -q 'cut short' <(head -c 100000 tree.tar |
    supermachine cp - web:/tmp 2>&1)
check files/compressed_tar grep -q 'gzip' <(gzip <tree.tar |
    supermachine cp - web:/tmp 2>&1)
in_web ln -s /there/sub /link
expect files/link_is_one 0 '' supermachine cp web:/link linked
check files/link_is_kept [ "$(readlink linked)" = /there/sub ]
expect files/link_followed 0 '' supermachine cp -L web:/link followed
check files/link_led_there test -f followed/large
# What is mounted over is written to.
echo 'nameserver 192.0.2.1' >resolv.conf
expect files/over_a_mount 0 '' supermachine cp resolv.conf web:/etc/hosts
expect files/mount_has_it 0 '192.0.2.1' in_web cat /etc/hosts
# A link of the machine's leads nowhere but in the machine.
expect files/link_in_the_machine 0 '' in_web \
    ln -s ../../../../etc /tmp/etc
expect files/through_it 0 '' supermachine cp a web:/tmp/etc/a
expect files/stays_in_the_machine 0 '^1$' in_web cat /etc/a
check files/and_not_here test ! -e /etc/a
# One that this side has in its target is not followed.
mkdir target
ln -s ../mine target/sub
in_web mkdir -p /over/sub
in_web touch /over/sub/x
expect files/link_of_this_side 1 'replace each other' \
    supermachine cp web:/over/. target

expect files/no_such_machine 1 'did you mean web' supermachine cp a wep:/
expect files/two_machines 1 'not supported' supermachine cp web:/a web:/b
expect files/no_machine 1 'MACHINE:PATH' supermachine cp a b
expect files/one_argument 125 'where to' supermachine cp a
supermachine pause web >/dev/null
expect files/paused 1 'unpause' supermachine cp a web:/
supermachine unpause web >/dev/null

# A caller that is killed leaves nobody at work: the agent alone is left of its
# name.
in_web mkdir /slow
(cat tree.tar && sleep 1000) | supermachine cp - web:/slow &
caller=$!
in_web sh -c 'until [ -e /slow/tree/sub ]; do :; done'
kill -9 "$caller"
wait "$caller" 2>/dev/null
pkill -P $$ sleep || true
# shellcheck disable=SC2016
expect files/killed_caller 0 '' in_web sh -c \
    'until [ $(cat /proc/[0-9]*/comm | grep -cx init) = 1 ]; do :; done'

# How fast, here.
head -c 8388608 /dev/urandom >large
for way in 'in large web:/large' 'out web:/large copy'; do
    read -r what from to <<<"$way"
    began=$(date +%s%N)
    supermachine cp "$from" "$to"
    ended=$(date +%s%N)
    printf '    8 MiB %s: %d MB/s\n' "$what" \
        $((8388608 * 1000 / (ended - began)))
done
check files/large_is_the_same cmp large copy
cd - >/dev/null || exit 1
supermachine kill web >/dev/null
supermachine wait web >/dev/null
expect files/stopped 1 'not running' supermachine cp "$work/a" web:/
supermachine rm web >/dev/null
check_clean files/nothing_left
finish_part

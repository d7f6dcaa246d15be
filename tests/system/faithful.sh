#!/usr/bin/env bash
# faithful.sh: root file systems are what the images say: the same, mounted,
# as what `umoci unpack` makes of the image, and sound. Needs no hypervisor,
# but a root that may mount; where there is none it moves into the test bed,
# which takes many times as long.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/report.sh

for tool in umoci e2fsck python3; do
    command -v "$tool" >/dev/null && continue
    skip faithful "$tool is not installed: tools/bootstrap check"
    exit 0
done
if [ "${1:-}" = --inside ]; then
    place=/disk
elif unshare --mount true 2>/dev/null && losetup -f >/dev/null 2>&1; then
    place=build # /tmp need not have extended attributes
else
    exec tools/with-kvm --memory 4096 --disk 8G --timeout 2700 -- \
        tests/system/faithful.sh --inside
fi
[ "$place" != /disk ] || modprobe loop
scratch=$(mktemp -d "$(realpath "$place")/faithful.XXXXXX") || exit 1
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    ! mountpoint -q "$scratch/mounted" || umount "$scratch/mounted"
    rm -rf "$scratch"
}
trap clean_up EXIT
mkdir "$scratch/mounted"

prepare() {
    env -i build/main/src/image/supermachine-image prepare \
        --home "$scratch/home" --platform linux/amd64 "oci:$1" >/dev/null
}

# faithful NAME LAYOUT EXCEPTIONS: see compare-trees.
faithful() {
    local name=$1 layout=$2 exceptions=$3 rootfs
    check "${name}_is_unpacked" prepare "$layout"
    rootfs=$(echo "$scratch"/home/rootfs/*.ext4)
    check "${name}_is_sound" e2fsck -fn "$rootfs"
    mount -o ro,loop "$rootfs" "$scratch/mounted"
    umoci unpack --image "$layout:latest" "$scratch/bundle" \
        >"$scratch/log" 2>&1 || cat "$scratch/log"
    check "${name}_is_as_umoci_has_it" tests/system/compare-trees \
        --except "$exceptions" "$scratch/mounted" "$scratch/bundle/rootfs"
    umount "$scratch/mounted"
    rm -rf "${scratch:?}/home" "$scratch/bundle"
}

if layout=$(tools/make-debian-image); then
    faithful debian "$layout" /dev/null
else
    skip debian 'the image of Debian could not be made here'
fi
tests/system/make-odd-image "$scratch/odd"
faithful odd "$scratch/odd" tests/system/umoci-differs
report_total

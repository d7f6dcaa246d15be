#!/usr/bin/env bash
# bad.sh: wrong input gets one clear line and status 125, and leaves nothing.
. tests/system/lib.sh
make_image

# bad NAME PATTERN COMMAND...: status 125, exactly one line, which matches.
bad() {
    local name=$1 pattern=$2 out status
    shift 2
    out=$(timeout 300 "$@" 2>&1 </dev/null)
    status=$?
    if [ $status -eq 125 ] && [ "$(wc -l <<<"$out")" -eq 1 ] &&
        grep -qE -- "$pattern" <<<"$out"; then
        ok "bad/$name"
    else
        printf '    status %s, printed: %s\n    expected: %s\n' \
            "$status" "$out" "$pattern"
        not_ok "bad/$name"
    fi
}

bad no_image 'which image' supermachine run
bad no_such_option 'memroy.*did you mean --memory' \
    supermachine run --memroy 1g "oci:$image"
bad no_such_verb 'did you mean run' supermachine rnu
bad not_a_reference 'ftp:' supermachine run ftp://thing true
bad no_such_layout "$scratch/nowhere" supermachine run "oci:$scratch/nowhere"
bad no_such_tag 'nosuchtag.*latest' supermachine run "oci:$image:nosuchtag"
bad no_network 'no network' supermachine run -p 80:80 "oci:$image" true
bad no_shared_folders 'supermachine cp' supermachine run -v /tmp:/a "oci:$image"
bad time_of_one_that_goes_on 'timeout.*its own' \
    supermachine run --snapshot any --timeout 9
bad memory_0 'memory 0' supermachine run --memory 0 "oci:$image" true
bad memory_1k 'memory of 1024 bytes.*32 MiB' \
    supermachine run --memory 1k "oci:$image" true
bad memory_1p 'memory of .* bytes.*1024 GiB' \
    supermachine run --memory 1p "oci:$image" true
bad memory_word 'not a size' supermachine run --memory lots "oci:$image" true
bad cpus_0 'cpus 0' supermachine run --cpus 0 "oci:$image" true
bad cpus_4096 '4096 vcpus: must be 1 to 64' \
    supermachine run --cpus 4096 "oci:$image" true
bad kernel_text 'not .*(ELF|vmlinux|bzImage)' \
    supermachine run --kernel README.md "oci:$image" true
bad kernel_missing 'no-kernel' \
    supermachine run --kernel "$scratch/no-kernel" "oci:$image" true
bad env_nameless 'name' supermachine run --env =x "oci:$image" true
bad workdir_relative 'not absolute' \
    supermachine run --workdir here "oci:$image" true
bad hostname 'host name' supermachine run --hostname 'a b' "oci:$image" true

bad timeout_0 'timeout: more than nothing' \
    supermachine run --timeout 0 "oci:$image" true
bad timeout_negative 'not a time' \
    supermachine run --timeout -1 "oci:$image" true
bad lifetime_word 'not a time' \
    supermachine run --lifetime soon "oci:$image" true
bad ulimit_word 'ulimit.*SOFT' \
    supermachine run --ulimit nofile=many "oci:$image" true
bad ulimit_name 'none of as, core' \
    supermachine run --ulimit files=1 "oci:$image" true
bad memory_before_the_image 'memory of 1024 bytes' \
    supermachine run --memory 1k "oci:$scratch/nowhere" true
# shellcheck disable=SC2016
bad environment_too_large '1048576 bytes' bash -c \
    'for i in $(seq 9); do printf "V$i=%0120000d\n" 0; done >"$1/env"
    supermachine run --env-file "$1/env" "oci:$2" true' - "$scratch" "$image"
printf 'A=b\nC=d\0e\n' >"$scratch/nul"
bad environment_with_a_nul 'nul: line 2: a NUL' \
    supermachine run --env-file "$scratch/nul" "oci:$image" true
bad name_with_a_line_feed 'letters, digits' \
    supermachine run --name $'a\nb' "oci:$image" true

# Damaged images: each a fresh copy, in a home that has not seen the good one.
copy() {
    rm -rf "$scratch/copy" "$scratch/copy-home"
    cp -r "$image" "$scratch/copy"
}
bad_copy() {
    SUPERMACHINE_HOME=$scratch/copy-home bad "$1" "$2" \
        supermachine run "oci:$scratch/copy" true
}
# The largest blob is a layer.
layer() {
    find "$scratch/copy/blobs/sha256" -type f -printf '%s %p\n' | sort -n |
        tail -n 1 | cut -d' ' -f2
}
copy
printf x | dd of="$(layer)" bs=1 seek=5000 conv=notrunc 2>/dev/null
bad_copy layer_flipped 'layer .*(digest|damaged|corrupt|gzip|zstd|crc)'
copy
truncate -s 5000 "$(layer)"
bad_copy layer_cut 'layer .*(size|truncated|digest|ends|bytes)'
copy
sed -i 's/application\/vnd.oci.image.manifest.v1+json/application\/x-unheard-of/' \
    "$scratch/copy/index.json"
bad_copy media_type 'x-unheard-of'
copy
echo '{"imageLayoutVersion":"9.0.0"}' >"$scratch/copy/oci-layout"
bad_copy layout_version '9\.0\.0'
copy
rm "$(layer)"
bad_copy layer_missing 'layer'
bad dot_dot '\.\./escape.*leaves the root' \
    supermachine run "oci:$(tests/system/make-escaping-image "$scratch/esc")" x

# Hosts that cannot.
bad kvm_missing '/dev/kvm' unshare -m sh -c \
    "mount -t tmpfs none /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 &&
     supermachine run oci:$image true"
bad kvm_useless 'kvm' unshare -m sh -c \
    "mount --bind /dev/zero /dev/kvm && supermachine run oci:$image true"
# The tree may lie where nobody else may look.
cp -r "$stage" "$scratch/stage"
chmod -R a+rX "$scratch"
chmod 600 /dev/kvm
bad kvm_not_permitted 'kvm.*group' setpriv --reuid=65534 --regid=65534 \
    --clear-groups env SUPERMACHINE_HOME="$(mktemp -d -p /tmp | tee "$scratch/nobody" | xargs -I{} sh -c 'chown 65534 {}; echo {}')" \
    "$scratch/stage/bin/supermachine" run "oci:$image" true
rm -rf "$(cat "$scratch/nobody")"
chmod 666 /dev/kvm

# Room for the start of a root file system, not for all of it.
mkdir "$scratch/small"
mount -t tmpfs -o size=600k none "$scratch/small"
SUPERMACHINE_HOME=$scratch/small bad disk_full \
    '(no space|No space|disk).*' supermachine run "oci:$image" true
left=$(find "$scratch/small" -type f -size +8k)
umount "$scratch/small"
check bad/disk_full_leaves_nothing [ -z "$left" ]

# Nothing half-made was taken for whole: the good image still runs.
expect bad/good_image_after 0 '^fine$' run_in --network none -- echo fine
check_clean bad/nothing_left
finish_part

#!/usr/bin/env bash
# doctor.sh: the doctor says what is there, and what is not.
. tests/system/lib.sh

expect doctor/sound 0 'sound.*took [0-9.]+ ms' supermachine doctor
expect doctor/kvm_missing 1 '/dev/kvm' unshare -m sh -c \
    "mount -t tmpfs none /dev && mknod /dev/null c 1 3 && supermachine doctor"
mkdir "$scratch/empty"
cp "$stage/libexec/supermachine/supermachine-vmm" "$scratch/empty"
SUPERMACHINE_RUNTIME_DIR=$scratch/empty expect doctor/kernel_missing 1 \
    'kernel .*missing' supermachine doctor
mkdir "$scratch/small"
mount -t tmpfs -o size=100k none "$scratch/small"
SUPERMACHINE_HOME=$scratch/small expect doctor/disk_full 1 \
    'disk .*MiB free' supermachine doctor
umount "$scratch/small"
expect doctor/version 0 '^supermachine [0-9]' supermachine version
expect doctor/help 0 'Usage' supermachine run --help
finish_part

# shellcheck shell=bash
# tree.sh: trees with all that a tree can have, and what they are; sourced.

# make_odd_tree DIR: as root.
make_odd_tree() {
    (
        umask 022
        mkdir -p "$1" && cd "$1" || exit 1
        mkdir -p sub/empty shut 'sp ace' 'ünï'
        printf content >file
        : >nothing
        head -c 1000003 /dev/urandom >sub/large
        printf x >"sub/$(printf 'n%.0s' $(seq 200))"
        ln file sub/hard
        ln -s ../file sub/soft
        ln -s /nowhere/at/all dangling
        ln -s "$(printf 'long/%.0s' $(seq 60))" sub/longlink
        mkfifo fifo
        ln fifo fifo2
        mknod null c 1 3
        mknod block b 259 1048575
        printf data | dd of=holes bs=1 seek=5000000 2>/dev/null
        truncate -s 9000000 holes
        truncate -s 3000000 allhole
        deep=deep
        for i in $(seq 80); do deep=$deep/folder-$i; done
        mkdir -p "$deep"
        echo bottom >"$deep/bottom"
        chown 70000:3000000 sub/large
        chown -h 7:8 dangling
        chown -R 12:34 'sp ace'
        python3 - <<'END'
import os
os.setxattr("file", "security.capability", bytes([1,0,0,2,0,4]+[0]*14))
for name in ("file", "sub"):
    try:
        os.setxattr(name, "user.note", b"line\n\0=" * 20)
    except OSError:
        print("    no user attributes here")
END
        chmod 2750 sub
        chmod 1777 'sp ace'
        chmod 000 nothing
        touch -d '1969-12-31 23:59:58.25 UTC' sub/large
        touch -d '2100-01-01 00:00:00.123456789 UTC' nothing
        touch -h -d '2001-02-03 04:05:06.7 UTC' sub/soft
        chmod 4755 file
        chmod 555 shut
        touch -d '2011-11-11 11:11:11.111 UTC' shut
    )
}

# show_tree DIR: names, types, modes, owners, numbers of names, times, targets;
# content; devices; which names are of one file; attributes; room on the disk of
# what has holes.
show_tree() {
    (
        cd "$1" || exit 1
        find . -printf '%p %y %m %U:%G %T@ %l\n' | LC_ALL=C sort
        find . -not -type d -printf '%p %n\n' | LC_ALL=C sort
        find . -type f -exec sha256sum {} + | LC_ALL=C sort -k2
        find . \( -type c -o -type b \) -exec stat -c '%n %t %T' {} + |
            LC_ALL=C sort
        find . -not -type d -links +1 -printf '%i %p\n' | LC_ALL=C sort |
            awk '{ printf $1 == last ? " " $2 : "\n" $2; last = $1 }' |
            LC_ALL=C sort
        find . -type f -size +2000k -printf '%p %b\n' |
            awk '$2 < 1000 { print $1, "has holes" }' | LC_ALL=C sort
        python3 - <<'END'
import os
for folder, folders, files in os.walk("."):
    folders.sort()
    for name in sorted(files) + [""]:
        path = os.path.join(folder, name)
        for key in sorted(os.listxattr(path, follow_symlinks=False)):
            print(path, key, os.getxattr(path, key, follow_symlinks=False))
END
    )
}

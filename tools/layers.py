"""layers.py: OCI image layouts and their layers, byte by byte.

For what makes images out of nothing: tools/make-debian-image and
tests/system/make-odd-image. A layer is a tar in the form that engines write
(POSIX.1-2001: ustar headers, and extended ones for what does not fit).
"""

import hashlib
import json
import os
import stat
import subprocess
import tarfile
import zlib

OCI = "application/vnd.oci.image."
PIECE = 1 << 20
KINDS = {stat.S_IFREG: tarfile.REGTYPE, stat.S_IFDIR: tarfile.DIRTYPE,
         stat.S_IFLNK: tarfile.SYMTYPE, stat.S_IFCHR: tarfile.CHRTYPE,
         stat.S_IFBLK: tarfile.BLKTYPE, stat.S_IFIFO: tarfile.FIFOTYPE}
END = bytes(2 * tarfile.BLOCKSIZE)


def pad(size):
    return bytes(-size % tarfile.BLOCKSIZE)


def pax_record(key, value):
    """LENGTH KEY=VALUE, where LENGTH counts itself."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def pax_header(records):
    if not records:
        return b""
    body = b"".join(pax_record(key, value) for key, value in records)
    info = tarfile.TarInfo("PaxHeaders.0/member")
    info.type = tarfile.XHDTYPE
    info.size = len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + pad(len(body))


def short(name):
    """What of (name) fits into a field of ASCII."""
    return name.decode("ascii", "replace").replace("\ufffd", "_")[:99]


def pax_time(mtime_ns):
    whole, part = divmod(abs(mtime_ns), 10**9)
    sign = "-" if mtime_ns < 0 else ""
    return f"{sign}{whole}.{part:09d}".encode()


def header(name, mode, *, owner=(0, 0), size=0, mtime_ns=0, link=b"",
           hard=False, device=0, xattrs=None):
    """All that precedes the content of one member. (name) and (link) are
    bytes; (mode) has the type as st_mode; (hard): a hard link to (link)."""
    info = tarfile.TarInfo(short(name))
    info.type = tarfile.LNKTYPE if hard else KINDS[stat.S_IFMT(mode)]
    info.mode = stat.S_IMODE(mode)
    info.size = size
    info.linkname = short(link)
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        info.devmajor, info.devminor = os.major(device), os.minor(device)
    more = []
    if info.name.encode() != name:
        more.append((b"path", name))
    if info.linkname.encode() != link:
        more.append((b"linkpath", link))
    for key, value in zip(("uid", "gid"), owner):
        setattr(info, key, value if value < 1 << 21 else 0)
        if value >= 1 << 21:
            more.append((key.encode(), b"%d" % value))
    seconds, ns = divmod(mtime_ns, 10**9)
    info.mtime = seconds if 0 <= seconds < 1 << 33 else 0
    if ns or info.mtime != seconds:
        more.append((b"mtime", pax_time(mtime_ns)))
    for key, value in sorted((xattrs or {}).items()):
        more.append((b"SCHILY.xattr." + key.encode(), value))
    return pax_header(more) + info.tobuf(tarfile.USTAR_FORMAT)


def member(name, mode, content=b"", **more):
    """One member with its (content), bytes."""
    return header(name, mode, size=len(content), **more) + content + \
        pad(len(content))


class Layout:
    """An OCI layout in the folder (path), which is new."""

    def __init__(self, path):
        self.path = path
        self.blobs = os.path.join(path, "blobs", "sha256")
        os.makedirs(self.blobs)
        self.layers = []
        self.diff_ids = []

    def put_json(self, value, kind):
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.blobs, digest), "wb") as file:
            file.write(data)
        return {"mediaType": OCI + kind, "digest": "sha256:" + digest,
                "size": len(data)}

    def compress(self, tar, gzip=True):
        """The file (tar) as a blob: what add_layer() takes. Any number of
        threads may be in it."""
        new = tar + ".blob"
        plain = hashlib.sha256()
        packed = hashlib.sha256()
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        with open(tar, "rb") as source, open(new, "wb") as to:
            def put(data):
                packed.update(data)
                to.write(data)

            while piece := source.read(PIECE):
                plain.update(piece)
                put(packer.compress(piece) if gzip else piece)
            if gzip:
                put(packer.flush())
            size = to.tell()
        os.rename(new, os.path.join(self.blobs, packed.hexdigest()))
        kind = "layer.v1.tar" + ("+gzip" if gzip else "")
        return ({"mediaType": OCI + kind, "size": size,
                 "digest": "sha256:" + packed.hexdigest()},
                "sha256:" + plain.hexdigest())

    def add_layer(self, made):
        self.layers.append(made[0])
        self.diff_ids.append(made[1])

    def finish(self, config):
        """Write what names the layers; the tag is "latest"."""
        platform = {"os": "linux", "architecture": debian_architecture()}
        top = self.put_json(
            {**platform, "created": "2023-11-14T22:13:20Z", "config": config,
             "rootfs": {"type": "layers", "diff_ids": self.diff_ids}},
            "config.v1+json")
        manifest = self.put_json(
            {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
             "config": top, "layers": self.layers}, "manifest.v1+json")
        manifest["platform"] = platform
        manifest["annotations"] = {"org.opencontainers.image.ref.name":
                                   "latest"}
        with open(os.path.join(self.path, "index.json"), "w") as file:
            json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
        with open(os.path.join(self.path, "oci-layout"), "w") as file:
            file.write('{"imageLayoutVersion": "1.0.0"}')


def debian_architecture():
    return subprocess.run(["dpkg", "--print-architecture"], check=True,
                          capture_output=True, text=True).stdout.strip()


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or \
        os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "supermachine", "images")


def recipe_key(*paths):
    """What a cached image is kept by: the bytes of what made it."""
    hasher = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            hasher.update(file.read())
    return hasher.hexdigest()[:16]

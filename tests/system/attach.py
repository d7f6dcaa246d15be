"""attach.py: a terminal that attaches to the machine `tty`, leaves with Ctrl-P
Ctrl-Q, comes back and ends it. Prints one line."""

import os
import pty
import select
import sys

WAIT_S = 40


def attach(steps):
    """Type each step's bytes once its pattern was seen."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("supermachine", ["supermachine", "attach", "tty"])
    seen = b""
    for pattern, keys in steps:
        while pattern not in seen:
            if not select.select([fd], [], [], WAIT_S)[0]:
                sys.exit(f"no {pattern} in {seen}")
            seen += os.read(fd, 4096)
        os.write(fd, keys)
    while True:
        try:
            more = os.read(fd, 4096)
        except OSError:
            break
        if not more:
            break
        seen += more
    return seen, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


seen, status = attach([(b"", b"echo a$((1+1))b\n"), (b"a2b", b"\x10\x11")])
if b"detached from tty" not in seen or status != 0:
    sys.exit(f"did not leave: {status} {seen}")
seen, status = attach([(b"", b"echo r$((1+1))y\n"), (b"r2y", b"exit 6\n")])
print(f"detached, then {status}")

#!/usr/bin/env python3
"""terminal.py: `supermachine run` on a terminal, driven through a real pty.

    terminal.py REFERENCE PROGRAMS [NAME...]

PROGRAMS is an image that has nano and procps's top, too.

Each test prints "ok NAME" or "not ok NAME". What the user sees is read from
the pty's master; how the terminal is set is read from its slave, before,
during and after.
"""

import fcntl
import hashlib
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time

REFERENCE, PROGRAMS = sys.argv[1:3]
PATIENCE_S = 120


class Wrong(Exception):
    pass


class Terminal:
    """A terminal of 31 x 117 with `supermachine run` in its foreground."""

    def __init__(self, *command, options=(), reference=REFERENCE, words=None):
        self.master, self.slave = os.openpty()
        self.resize(31, 117)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            ["supermachine", *(words or ["run", *options, reference,
                                         *command])],
            stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, preexec_fn=self.adopt)

    @staticmethod
    def adopt():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text)

    def expect(self, text):
        """Read until (text) has been shown; forget what came up to there."""
        end = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            ended = self.process.poll() is not None
            if select.select([self.master], [], [], 1)[0]:
                self.seen += os.read(self.master, 65536)
            elif ended or time.monotonic() > end:
                raise Wrong(f"{text!r} did not come; seen: {self.seen!r}")
        self.seen = self.seen.split(text, 1)[1]

    def expect_status(self, status):
        """The end of the command; the terminal is as it was before."""
        try:
            got = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Wrong(f"it does not end; seen: {self.rest()!r}") from None
        if got != status:
            raise Wrong(f"status {got}, not {status}; seen: {self.rest()!r}")
        self.expect_as_before()

    def rest(self):
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return self.seen

    def expect_as_before(self):
        if termios.tcgetattr(self.slave) != self.before:
            raise Wrong("the terminal is not as it was before")

    def kill_worker(self):
        subprocess.run(["pkill", "-9", "-x", "supermachine-vm"], check=True)

    def expect_raw(self):
        flags = termios.tcgetattr(self.slave)[3]
        if flags & (termios.ICANON | termios.ECHO | termios.ISIG):
            raise Wrong("the terminal is not raw")

    def expect_stopped(self):
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise Wrong(f"it was not stopped but ended: {status}")


def test_comes_by_itself():
    with Terminal("sh", "-c", "test -t 0 && test -t 1 && test -t 2 && "
                  "stty size; echo $TERM") as terminal:
        terminal.expect(b"31 117\r\nxterm\r\n")
        terminal.expect_status(0)


def test_size_follows():
    with Terminal("sh", "-c", "trap 'stty size; exit 3' WINCH; echo go; "
                  "while :; do sleep 0.1; done") as terminal:
        terminal.expect(b"go\r\n")
        terminal.resize(50, 132)
        terminal.expect(b"50 132\r\n")
        terminal.expect_status(3)


def test_is_raw_while_it_runs():
    with Terminal("sh", "-c", "read x; echo got $x") as terminal:
        terminal.type(b"early\r")
        terminal.expect(b"got early\r\n")
        terminal.expect_status(0)
    with Terminal("cat") as terminal:
        terminal.type(b"line\r")
        terminal.expect(b"line\r\nline\r\n")
        terminal.expect_raw()
        terminal.type(b"\x04")
        terminal.expect_status(0)


def test_control_c_reaches_the_command():
    with Terminal("sh", "-c", "echo go; exec sleep 1000") as terminal:
        terminal.expect(b"go\r\n")
        terminal.type(b"\x03")
        terminal.expect_status(130)
    with Terminal("sh", "-c", "trap 'echo caught; exit 9' INT; echo go; "
                  "while :; do sleep 1; done") as terminal:
        terminal.expect(b"go\r\n")
        terminal.type(b"\x03")
        terminal.expect(b"caught\r\n")
        terminal.expect_status(9)


def test_control_d_ends_a_shell():
    with Terminal("sh") as terminal:
        terminal.expect(b"$ ")
        terminal.type(b"echo $((6 * 7))\r")
        terminal.expect(b"\r\n42\r\n")
        terminal.expect(b"$ ")
        terminal.type(b"\x04")
        terminal.expect_status(0)


def test_control_z_stops_in_the_guest():
    with Terminal("sh") as terminal:
        terminal.expect(b"$ ")
        terminal.type(b"sh -c 'echo up; exec sleep 1000'\r")
        terminal.expect(b"\r\nup\r\n")
        terminal.type(b"\x1a")
        terminal.expect(b"Stopped")
        terminal.type(b"kill -9 %1; wait; exit 4\r")
        terminal.expect_status(4)


def test_stopped_and_continued():
    with Terminal("sh", "-c", "trap 'stty size' WINCH; echo go; "
                  "while :; do read x && echo got $x && exit 5; done") as terminal:
        terminal.expect(b"go\r\n")
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.expect_stopped()
        terminal.expect_as_before()
        terminal.resize(40, 100)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.expect(b"40 100\r\n")
        terminal.expect_raw()
        terminal.type(b"word\r")
        terminal.expect(b"got word\r\n")
        terminal.expect_status(5)


def test_signals_put_it_back():
    for number in signal.SIGTERM, signal.SIGHUP, signal.SIGINT:
        with Terminal("sh", "-c", "echo go; exec sleep 1000") as terminal:
            terminal.expect(b"go\r\n")
            terminal.process.send_signal(number)
            terminal.expect_status(128 + number)


def test_giving_up_while_no_input_is_taken():
    """More than the command and all before it hold: it takes nothing."""
    with Terminal("sh", "-c", "stty raw -echo; trap '' TERM; echo go; "
                  "exec sleep 1000") as terminal:
        terminal.expect(b"go")
        os.set_blocking(terminal.master, False)
        typed = 0
        while select.select([], [terminal.master], [], 5)[1]:
            typed += os.write(terminal.master, b"x" * 1000)
        if typed < 100000:
            raise Wrong(f"{typed} bytes were taken")
        # Three are counted; those that wait already are one.
        for _ in range(PATIENCE_S):
            if terminal.process.poll() is not None:
                break
            terminal.process.send_signal(signal.SIGTERM)
            time.sleep(1)
        terminal.expect_status(137)


def test_killed_worker_puts_it_back():
    with Terminal("sh", "-c", "echo go; exec sleep 1000") as terminal:
        terminal.expect(b"go\r\n")
        terminal.kill_worker()
        terminal.expect_status(125)
        if b"worker process died" not in terminal.rest():
            raise Wrong(f"no word of the worker: {terminal.seen!r}")


def test_failed_start_puts_it_back():
    with Terminal("no-such-command") as terminal:
        terminal.expect_status(127)
    with Terminal("true", options=["--kernel", "/etc/passwd"]) as terminal:
        terminal.expect_status(125)


def test_editor():
    with Terminal("sh") as terminal:
        terminal.expect(b"$ ")
        terminal.type(b"vi /tmp/text\r")
        terminal.expect(b"\x1b[?1049h")
        terminal.expect(b"100%")
        terminal.type(b"iwritten in vi")
        terminal.expect(b"written in vi")
        terminal.type(b"\x1b")
        terminal.expect(b"- /tmp/text")
        terminal.type(b":wq\r")
        terminal.expect(b"$ ")
        terminal.type(b"cat /tmp/text\r")
        terminal.expect(b"\r\nwritten in vi\r\n")
        terminal.type(b"exit\r")
        terminal.expect_status(0)


def test_top():
    with Terminal("top") as terminal:
        terminal.expect(b"Mem:")
        terminal.expect(b"COMMAND")
        terminal.type(b"q")
        terminal.expect_status(0)


def test_nano():
    with Terminal("sh", reference=PROGRAMS) as terminal:
        terminal.expect(b"# ")
        terminal.type(b"nano /tmp/text\r")
        terminal.expect(b"GNU nano")
        terminal.expect(b"Exit")
        terminal.type(b"written in nano")
        terminal.expect(b"written in nano")
        # It draws itself anew, and its last line is the new last line.
        terminal.resize(20, 90)
        terminal.expect(b"GNU nano")
        terminal.expect(b"\x1b[20")
        # Control-C tells where the cursor is.
        terminal.type(b"\x03")
        terminal.expect(b"[ line ")
        terminal.type(b"\x18")
        terminal.expect(b"Save modified buffer")
        terminal.type(b"y")
        terminal.expect(b"File Name to Write")
        terminal.type(b"\r")
        terminal.expect(b"# ")
        terminal.type(b"cat /tmp/text\r")
        terminal.expect(b"\r\nwritten in nano\r\n")
        # Before the shell listens a Ctrl-D is an end of file for nobody.
        terminal.expect(b"# ")
        terminal.type(b"\x04")
        terminal.expect_status(0)


def test_top_of_procps():
    with Terminal("/usr/bin/top", "-d", "1000",
                  reference=PROGRAMS) as terminal:
        terminal.expect(b"load average")
        terminal.expect(b"COMMAND")
        terminal.resize(12, 70)
        terminal.expect(b"load average")
        terminal.type(b"\x03")
        terminal.expect_status(0)


def test_editor_of_a_killed_worker():
    with Terminal("nano", reference=PROGRAMS) as terminal:
        terminal.expect(b"GNU nano")
        terminal.expect_raw()
        terminal.kill_worker()
        terminal.expect_status(125)


def test_much_output_is_whole():
    with Terminal("seq", "1", "20000") as terminal:
        for number in range(1, 20001):
            terminal.expect(b"%d\r\n" % number)
        terminal.expect_status(0)


def test_much_input_is_whole():
    text = b"".join(b"%d," % number for number in range(8000))
    with Terminal("sh", "-c", "stty raw -echo; echo go; "
                  f"head -c {len(text)} | md5sum") as terminal:
        terminal.expect(b"go\n")
        for at in range(0, len(text), 1000):
            terminal.type(text[at:at + 1000])
        terminal.expect(hashlib.md5(text).hexdigest().encode())
        terminal.expect_status(0)


def state_of(name):
    """What ps says of it, "" if it knows of none."""
    listed = subprocess.run(
        ["supermachine", "ps", "-a", "--format", "{{.Names}} {{.State}}"],
        capture_output=True, text=True, check=True).stdout
    return dict(line.split() for line in listed.splitlines()).get(name, "")


def await_no_process():
    end = time.monotonic() + PATIENCE_S
    while subprocess.run(["pgrep", "-x", "supermachine.*"], check=False,
                         stdout=subprocess.DEVNULL).returncode == 0:
        if time.monotonic() > end:
            raise Wrong("processes are left")


def test_keys_leave_the_machine_running():
    with Terminal("sh", options=["--name", "left"]) as terminal:
        terminal.expect(b"$ ")
        # One of the two is the command's.
        terminal.type(b"X=le$((1 + 1))ft\x10\x7f\r")
        terminal.expect(b"$ ")
        terminal.type(b"\x10\x11")
        terminal.expect(b"detached from left")
        terminal.expect_status(0)
    if state_of("left") != "running":
        raise Wrong(f"it is {state_of('left')}")
    with Terminal(words=["attach", "left"]) as terminal:
        terminal.type(b"echo $X\r")
        terminal.expect(b"\r\nle2f")
        terminal.type(b"exit 6\r")
        terminal.expect_status(6)
    said = subprocess.run(["supermachine", "logs", "left"], check=True,
                          capture_output=True).stdout
    if b"\nle2f" not in said:
        raise Wrong(f"its log has not what it said: {said!r}")
    # One that was left is kept until it is removed.
    if state_of("left") != "exited":
        raise Wrong(f"it is {state_of('left')}")
    subprocess.run(["supermachine", "rm", "left"], check=True,
                   stdout=subprocess.DEVNULL)


def test_keys_are_those_that_were_asked_for():
    with Terminal("cat", options=["--rm", "--name", "keys", "--detach-keys",
                                  "a,ctrl-x"]) as terminal:
        terminal.type(b"\x10\x11ab\r")
        terminal.expect(b"ab\r\n")
        terminal.type(b"a\x18")
        terminal.expect(b"detached from keys")
        terminal.expect_status(0)
    subprocess.run(["supermachine", "kill", "keys"], check=True,
                   stdout=subprocess.DEVNULL)
    await_no_process()
    if state_of("keys"):
        raise Wrong("run --rm was forgotten")


def test_two_terminals_see_the_same():
    with Terminal("sh", options=["--name", "both"]) as first:
        first.expect(b"$ ")
        with Terminal(words=["attach", "both"]) as second:
            second.type(b"echo se$((1 + 1))en\r")
            second.expect(b"\r\nse2en\r\n")
            first.expect(b"\r\nse2en\r\n")
            second.type(b"\x10\x11")
            second.expect_status(0)
        first.type(b"exit 5\r")
        first.expect_status(5)
    subprocess.run(["supermachine", "rm", "both"], check=True,
                   stdout=subprocess.DEVNULL)


def test_killed_command_takes_the_machine():
    with Terminal("sh") as terminal:
        terminal.expect(b"$ ")
        terminal.process.kill()
        terminal.process.wait()
        await_no_process()


def test_control_c_before_it_runs():
    with Terminal("sleep", "1000", options=["--cold"]) as terminal:
        # It neither shows nor edits any more: the machine is on its way.
        while termios.tcgetattr(terminal.slave)[3] & termios.ECHO:
            pass
        terminal.type(b"\x03")
        terminal.expect_status(130)
    await_no_process()


def test_warm_goes_on_where_a_shell_waited():
    for status in 3, 4:
        with Terminal("sh", options=["--warm"]) as terminal:
            # The second one's was written before: it is drawn again.
            terminal.expect(b"$ ")
            terminal.type(b"echo $((6 * 7)); exit %d\r" % status)
            terminal.expect(b"\r\n42\r\n")
            terminal.expect_status(status)
            if b"not kept" in terminal.rest():
                raise Wrong(f"it was not kept: {terminal.seen!r}")


def test_warm_waits_no_longer_after_control_c():
    with Terminal("sh", "-c", "trap 'exit 9' INT; echo go; while :; do :; done",
                  options=["--warm"]) as terminal:
        terminal.expect(b"go\r\n")
        terminal.type(b"x\x03")
        terminal.expect(b"not kept: Ctrl-C was typed")
        terminal.expect_status(9)


def main():
    wanted = sys.argv[3:]
    for name, test in list(globals().items()):
        if not name.startswith("test_") or (wanted and name[5:] not in wanted):
            continue
        label = "terminal/" + name[5:]
        try:
            test()
            print("ok", label, flush=True)
        except Wrong as wrong:
            print("   ", wrong)
            print("not ok", label, flush=True)


main()

#!/usr/bin/env python3
"""crash.py: kill -9 at random moments, and what is left then.

    crash.py REFERENCE COUNT SEED

COUNT times, a machine is started or used in one of several ways, and at a
random moment some of its processes are killed: the command that was typed, the
worker, the keeper of a detached machine, supermachine-image, or several of
them at once. Then `ps` must tell the truth: what it calls running takes
commands, and of everything else no process is there. At the end nothing but
images is left.

The moments come from SEED alone, so that a failure can be had again, as far as
the machine's own timing allows.
"""

import os
import pathlib
import random
import select
import shutil
import signal
import subprocess
import sys
import time

REFERENCE, COUNT, SEED = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
HOME = pathlib.Path(os.environ["SUPERMACHINE_HOME"])
CALLER, WORKER, IMAGE = "supermachine", "supermachine-vm", "supermachine-im"
PATIENCE_S = 120
chance = random.Random(SEED)


class Wrong(Exception):
    pass


def processes():
    """Ours that live: {number: name}."""
    found = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            # PID (NAME) STATE ...
            line = pathlib.Path(entry.path, "stat").read_text()
        except OSError:
            continue
        name = line[line.index("(") + 1:line.rindex(")")]
        state = line[line.rindex(")") + 2]
        if name.startswith(CALLER) and state not in "ZX":
            found[int(entry.name)] = name
    return found


def await_end(number):
    """Wait for the end of a process, by its descriptor."""
    try:
        fd = os.pidfd_open(number)
    except ProcessLookupError:
        return
    try:
        if not select.select([fd], [], [], PATIENCE_S)[0]:
            raise Wrong(f"process {number} does not end: {processes()}")
    finally:
        os.close(fd)


def await_none():
    """Until no process is left, nor any that one of them has started."""
    while numbers := processes():
        for number in numbers:
            await_end(number)


def kill(numbers):
    for number in numbers:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            pass


def call(*words, patience=PATIENCE_S):
    """Status and output of a command of ours."""
    try:
        done = subprocess.run(
            ["supermachine", *words], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=patience,
            text=True, check=False)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{' '.join(words)} does not end") from None
    return done.returncode, done.stdout.strip()


def spawn(*words):
    return subprocess.Popen(["supermachine", *words], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def listed():
    """What ps says: {name: state}."""
    status, text = call("ps", "-a", "--format", "{{.Names}} {{.State}}")
    if status:
        raise Wrong(f"ps: status {status}: {text}")
    return dict(line.split() for line in text.splitlines())


def pick(started, victims):
    """The processes that (victims) stands for, as far as they are there."""
    now = processes()
    keepers = [n for n, name in now.items()
               if name == CALLER and n != started.pid]
    chosen = []
    if "caller" in victims and started.pid in now:
        chosen.append(started.pid)
    if "keeper" in victims:
        chosen += keepers
    if "worker" in victims:
        chosen += [n for n, name in now.items() if name == WORKER]
    if "image" in victims:
        chosen += [n for n, name in now.items() if name == IMAGE]
    # None of them is there yet, or any more: then all that is there.
    chosen = chosen or list(now)
    chance.shuffle(chosen)
    return chosen


def check_told(name):
    """What ps says of (name) is so; then the machine goes."""
    end = time.monotonic() + PATIENCE_S
    state = listed().get(name)
    while state == "running":
        status, text = call("exec", name, "echo", "alive")
        if (status, text) == (0, "alive"):
            call("rm", "-f", name)
            await_none()
            return
        # Its keeper may be about to hear of the end of the worker.
        if time.monotonic() > end:
            raise Wrong(f"ps says running, exec: status {status}: {text}")
        state = listed().get(name)
    # It is on its way, so somebody must be at it, or has got on meanwhile.
    if state == "created" and not processes():
        state = listed().get(name)
        if state == "created":
            raise Wrong("ps says created, and no process is there")
    if state == "created":
        status, text = call("rm", "-f", name)
        if status:
            raise Wrong(f"rm -f of what is created: status {status}: {text}")
    elif state in ("exited", "dead"):
        await_none()
        status, text = call("rm", name)
        if status:
            raise Wrong(f"rm of what is {state}: status {status}: {text}")
    elif state is None:
        await_none()
    else:
        raise Wrong(f"ps calls it {state}")
    await_none()


def check_nothing_left():
    await_none()
    rest = listed()
    if rest:
        raise Wrong(f"ps still lists {rest}")
    left = [path for path in HOME.rglob("*")
            if path.is_socket() or path.suffix in (".tmp", ".new")
            or path.name.startswith(".unnamed")]
    machines = HOME / "machines"
    if machines.is_dir():
        left += [path for path in machines.rglob("*")
                 if path not in (machines / "names", machines / "events")]
    if left:
        raise Wrong(f"left behind: {[str(path) for path in left]}")


def forget_images():
    """So that the next start has to make the root file system anew."""
    for name in "rootfs", "resolved":
        shutil.rmtree(HOME / name, ignore_errors=True)


def wait_until(moment, started):
    """(moment) seconds from now, or less if the command ends before."""
    fd = os.pidfd_open(started.pid)
    select.select([fd], [], [], moment)
    os.close(fd)


def crash_start(words, victims, cold, longest):
    if cold:
        forget_images()
    started = spawn("run", "--name", "crash", *words, REFERENCE, "sleep",
                    "1000")
    moment = chance.uniform(0, longest)
    wait_until(moment, started)
    # A detached machine's command has ended: its moment is later.
    if started.poll() is not None and "-d" in words:
        select.select([], [], [], chance.uniform(0, 0.3))
    killed = pick(started, victims)
    kill(killed)
    if started.pid in killed:
        started.wait(PATIENCE_S)
    what = f"at {moment:.3f} s, killed {len(killed)}"
    try:
        if "-d" not in words and killed:
            # Without its worker, or without itself, it is over.
            started.wait(PATIENCE_S)
        elif "-d" in words:
            # The command comes back, whatever became of the machine.
            started.wait(PATIENCE_S)
        check_told("crash")
        started.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise Wrong(f"the command does not end; {what}") from None
    except Wrong as wrong:
        raise Wrong(f"{wrong}; {what}") from None
    finally:
        kill([started.pid])
        started.wait()
    if cold:
        # What a dead process left half-made, the next one takes away.
        status, text = call("run", "--rm", REFERENCE, "true")
        if status:
            raise Wrong(f"the next run: status {status}: {text}; {what}")


def crash_exec(victims, longest):
    """A command in a detached machine; its caller or its machine dies."""
    status, text = call("run", "-d", "--name", "crash", REFERENCE, "sleep",
                        "1000")
    if status:
        raise Wrong(f"run -d: status {status}: {text}")
    started = spawn("exec", "crash", "sleep", "777")
    wait_until(chance.uniform(0, longest / 4), started)
    killed = pick(started, victims)
    kill(killed)
    try:
        if victims == {"caller"}:
            # It took its command along, and nothing else.
            started.wait(PATIENCE_S)
            status, text = call("exec", "crash", "sh", "-c",
                                "while pgrep -f 'sleep 77[7]'; do sleep 0.1; "
                                "done >/dev/null")
            if status:
                raise Wrong(f"after its caller: status {status}: {text}")
        else:
            started.wait(PATIENCE_S)
        check_told("crash")
    except subprocess.TimeoutExpired:
        raise Wrong("exec does not end") from None
    finally:
        kill([started.pid])
        started.wait()


WAYS = (
    ("run", {"caller"}),
    ("run", {"worker"}),
    ("run", {"caller", "worker"}),
    ("run --rm", {"caller", "worker"}),
    ("run cold", {"caller"}),
    ("run cold", {"image"}),
    ("run -d", {"caller"}),
    ("run -d", {"keeper"}),
    ("run -d", {"worker"}),
    ("run -d", {"keeper", "worker"}),
    ("run -d --rm", {"keeper"}),
    ("exec", {"caller"}),
    ("exec", {"keeper"}),
    ("exec", {"worker"}),
    ("exec", {"caller", "keeper", "worker"}),
)


def crash(number, longest):
    # Each way once before any comes again, in an order of its own each round.
    if number % len(WAYS) == 0:
        crash.ways = chance.sample(WAYS, len(WAYS))
    way, victims = crash.ways[number % len(WAYS)]
    label = f"{way} without {'+'.join(sorted(victims))}"
    try:
        if way == "exec":
            crash_exec(victims, longest)
        else:
            words = [word for word in way.split()[1:] if word != "cold"]
            crash_start(words, victims, "cold" in way, longest)
        check_nothing_left()
    except Wrong as wrong:
        print(f"    crash {number}, {label}: {wrong}", flush=True)
        kill(processes())
        await_none()
        for name in listed():
            call("rm", "-f", name)
        return False
    return True


def main():
    print(f"    seed {SEED}", flush=True)
    begin = time.monotonic()
    status, text = call("run", "--rm", REFERENCE, "true")
    if status:
        sys.exit(f"crash.py: run: status {status}: {text}")
    # Beyond the end of a start, so that machines that run are hit as well.
    longest = 1.3 * (time.monotonic() - begin)
    bad = sum(not crash(number, longest) for number in range(COUNT))
    print("not ok" if bad else "ok", f"crash/{COUNT}_kills", flush=True)
    sys.exit(0)


main()

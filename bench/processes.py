"""What the kernel says about processes: CPU time, memory, who listens; and where they may run."""

import os
import pathlib


def pids(run_dir):
    """Name to pid, from the pid files of a run directory."""
    found = {}
    for file in sorted(pathlib.Path(run_dir).glob("*.pid")):
        pid = int(file.read_text().split()[0])
        if pathlib.Path(f"/proc/{pid}").exists() and pid not in found.values():
            found[file.stem] = pid
    return found


def threads(pid):
    return [int(thread) for thread in os.listdir(f"/proc/{pid}/task")]


def children(pid):
    """The process and all its descendants."""
    found = [pid]
    for thread in threads(pid):
        for child in pathlib.Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
            found += children(int(child))
    return found


def cpu_seconds(pid):
    """User and system time of a process, all threads, to the nanosecond."""
    spent = 0
    for thread in threads(pid):
        try:
            spent += int(pathlib.Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
        except OSError:
            pass  # the thread has ended
    return spent / 1e9


def busy_seconds():
    """CPU time of all processes of the host."""
    user, nice, system, _, _, irq, softirq = pathlib.Path("/proc/stat").read_text().split()[1:8]
    return sum(map(int, (user, nice, system, irq, softirq))) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    """PSS and private dirty in KiB, and the number of threads."""
    values = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, rest = line.split(":", 1)
        values[name] = int(rest.split()[0])
    return {"pss_kib": values["Pss"], "private_dirty_kib": values["Private_Dirty"], "rss_kib": values["Rss"],
            "threads": len(threads(pid))}


def pin(pid, cpus):
    """Every thread there is now, and what these start later."""
    for thread in threads(pid):
        os.sched_setaffinity(thread, cpus)


def listener(port):
    """The pid that listens on a TCP port of this host, or None: of others' processes only root may know."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    for folder in pathlib.Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.readlink(folder / name) in sockets for name in os.listdir(folder)):
                return int(folder.parent.name)
        except OSError:
            continue
    return None

"""What the kernel says about the processes of a runtime: CPU time, memory, threads."""

import os
import pathlib

TICK = os.sysconf("SC_CLK_TCK")


def pids(run_dir):
    """Name to pid, from the pid files of a run directory."""
    found = {}
    for file in sorted(pathlib.Path(run_dir).glob("*.pid")):
        pid = int(file.read_text().split()[0])
        if pathlib.Path(f"/proc/{pid}").exists():
            found[file.stem] = pid
    return found


def cpu_seconds(pid):
    """User and system time of a process, all threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid):
    """PSS and private dirty in KiB, and the number of threads."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    values = {}
    for line in rollup.splitlines()[1:]:
        name, rest = line.split(":", 1)
        values[name] = int(rest.split()[0])
    threads = len(os.listdir(f"/proc/{pid}/task"))
    return {"pss": values["Pss"], "private_dirty": values["Private_Dirty"], "rss": values["Rss"], "threads": threads}

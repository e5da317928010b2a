"""Builds and runs everything that must pass; called by ./check."""

import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SANITIZER_LABELS = "^(unit|conformance|integration|needs-.*)$"


# What reads bytes of apps and clients: HTTP/2, messages, JSON, expressions. The others have a few seconds.
FUZZ_A_MINUTE = {
    "expression_fuzzer", "fuzz_configuration_grpc", "fuzz_dapr_http", "fuzz_http2", "fuzz_http2_client",
    "fuzz_lock_requests", "fuzz_rpc_message", "fuzz_runtime", "fuzz_secrets_grpc", "fuzz_state_messages",
    "invoke_rpc_fuzzer", "pubsub_event_fuzzer", "pubsub_message_fuzzer",
}


class Totals:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add(self, name, outcome):
        if outcome == "passed":
            self.passed += 1
        else:
            getattr(self, outcome).append(name)


def step(title):
    print(f"== {title}", flush=True)


def build(preset, totals):
    step(f"build {preset}")
    started = time.monotonic()
    done = subprocess.run(["scripts/build.sh", preset], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(done.stdout[-20000:])
    totals.add(f"build {preset}", "passed" if done.returncode == 0 else "failed")
    print(f"   {time.monotonic() - started:.0f} s", flush=True)
    return done.returncode == 0


def count_inner(preset, name, output, ok, totals):
    """The tests inside one CTest entry: GoogleTest and unittest print how many there were."""
    skipped = re.findall(r"^\[  SKIPPED \] (\S+) \(", output, re.M) + re.findall(r"^(.*) \.\.\. skipped", output, re.M)
    ran = re.search(r"^\[  PASSED  \] (\d+) tests?", output, re.M)
    python = re.search(r"^Ran (\d+) tests? in", output, re.M)
    failed = sorted(set(re.findall(r"^\[  FAILED  \] ([\w./]+)", output, re.M)
                        + re.findall(r"^(?:FAIL|ERROR): (\S+)", output, re.M)))
    if ran:
        totals.passed += int(ran.group(1))
    elif python:
        totals.passed += max(int(python.group(1)) - len(failed) - len(skipped), 0)
    elif ok:
        totals.passed += 1
    for test in skipped:
        totals.add(f"{preset}: {test}", "skipped")
    for test in failed if failed else ([] if ok else [name]):
        totals.add(f"{preset}: {test}", "failed")


def test(preset, label, totals):
    step(f"test {preset}")
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "ctest.xml")
        command = ["ctest", "--test-dir", f"build/{preset}", "--output-junit", report, "--output-on-failure",
                   "--test-output-size-passed", "4000000", "--test-output-size-failed", "4000000",
                   "-j", str(max(1, (os.cpu_count() or 1)))]
        if label:
            command += ["-L", label]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            print(done.stdout[-60000:])
        cases = ElementTree.parse(report).getroot().iter("testcase") if os.path.exists(report) else []
        found = False
        for case in cases:
            found = True
            status = case.get("status")
            output = case.findtext("system-out") or ""
            if status in ("notrun", "disabled"):
                totals.add(f"{preset}: {case.get('name')}", "skipped")
            else:
                count_inner(preset, case.get("name"), output, status == "run", totals)
        if not found:
            totals.add(f"{preset}: no test was found", "failed")


def fuzz_one(fuzzer, seconds):
    """The exit code and what there is to say."""
    name = os.path.basename(fuzzer)
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus")
        os.mkdir(corpus)
        done = subprocess.run([fuzzer, f"-max_total_time={seconds}", "-rss_limit_mb=2048", "-timeout=10", corpus],
                              cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace")
        said = ""
        if done.returncode != 0:
            said = done.stdout[-8000:]
            for finding in glob.glob(os.path.join(folder, "*-*")):
                kept = os.path.join(ROOT, "build", f"{name}-{os.path.basename(finding)}")
                shutil.move(finding, kept)
                said += f"\n   the input is in {kept}"
        return done.returncode, said


def fuzz(preset, seconds, totals):
    """As many at once as there are CPUs."""
    fuzzers = sorted(glob.glob(os.path.join(ROOT, f"build/{preset}/fuzz-bin/*")))
    if not fuzzers:
        return
    spans = [seconds or (60 if os.path.basename(one) in FUZZ_A_MINUTE else 3) for one in fuzzers]
    step(f"fuzz {len(fuzzers)} targets, {min(spans)} to {max(spans)} s each")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for fuzzer, (code, said) in zip(fuzzers, pool.map(fuzz_one, fuzzers, spans)):
            if said:
                print(said)
            totals.add(f"fuzz {os.path.basename(fuzzer)}", "passed" if code == 0 else "failed")


def check_format(totals):
    """Only files that differ from the last commit: what is committed was checked when it was written."""
    step("format of changed files")
    changed = subprocess.run(["git", "diff", "--name-only", "--diff-filter=d", "HEAD"], cwd=ROOT,
                             stdout=subprocess.PIPE, text=True).stdout.split()
    sources = [f for f in changed if f.endswith((".cpp", ".hpp"))]
    if not sources:
        return
    done = subprocess.run(["clang-format-14", "--dry-run", "--Werror", *sources], cwd=ROOT)
    totals.add("clang-format", "passed" if done.returncode == 0 else "failed")


def main():
    arguments = argparse.ArgumentParser(prog="check")
    arguments.add_argument("--full", action="store_true")
    full = arguments.parse_args().full
    seconds = int(os.environ.get("FUZZ_SECONDS", "0")) or (600 if full else 0)
    started = time.monotonic()
    totals = Totals()
    check_format(totals)
    presets = [("release", None), ("asan", SANITIZER_LABELS)]
    if full:
        presets += [("tsan", SANITIZER_LABELS), ("gcc-asan", SANITIZER_LABELS)]
    for preset, label in presets:
        if build(preset, totals):
            test(preset, label, totals)
    fuzz("asan", seconds, totals)

    for name in totals.failed:
        print(f"failed: {name}")
    for name in totals.skipped:
        print(f"skipped: {name}")
    print(f"({(time.monotonic() - started) / 60:.1f} minutes)")
    print(f"check: {totals.passed} tests passed, {len(totals.failed)} failed, {len(totals.skipped)} skipped")
    return 1 if totals.failed or totals.skipped else 0


if __name__ == "__main__":
    sys.exit(main())

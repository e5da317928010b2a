"""What the tree promises (docs/architecture.md): who may include whom, no API's words in the gateway, a
table of the folders that is true, files of a readable size, tests that do not sleep.

RulesRefuseTest sees every rule refuse a violation."""

import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCE = (".hpp", ".cpp", ".h")
MOST_LINES = 700
# A suite that runs against every implementation of a contract is read test by test.
MOST_LINES_OF_A_TEST = 1100

# Folder -> folders it may include, besides itself. The longest matching folder counts.
MAY_INCLUDE = {
    "bus": set(),
    "config-cache": {"bus"},
    "net": {"bus"},
    "sdk": {"bus", "config-cache", "net"},
    "gateway": {"bus", "config-cache", "net", "sdk"},
    "cli": {"bus", "net"},
    # The one program that has gateway and capabilities in it: docs/decisions/0008-in-process.md.
    "in-process": {"bus", "gateway", "sdk", "capabilities/config", "capabilities/invoke", "capabilities/lock",
                   "capabilities/pubsub", "capabilities/secrets", "capabilities/state"},
    "ebpf": set(),
    "examples": {"bus", "config-cache", "sdk"},
    "capabilities/config": {"bus", "config-cache", "sdk"},
    "capabilities/invoke": {"bus", "config-cache", "net", "sdk"},
    "capabilities/pubsub": {"bus", "config-cache", "sdk"},
    "capabilities/secrets": {"bus", "config-cache", "sdk"},
    "capabilities/state": {"bus", "config-cache", "sdk"},
}

# Words of an API. `publish` and `state` alone are English and bus words; as part of a path, of an error
# code, or compared with as a name they are an API's.
API_WORDS = re.compile(
    r"pub[-_ ]?sub|state[-_ ]?store|secret|/state\b|/publish\b|/invoke\b|/configuration\b|/bindings\b|/lock\b"
    r"|\"(?:publish|invoke|configuration|bindings|lock|actors|workflow)\"|[=!]=\s*\"state\"|\"state\"\s*[=!]="
    r"|ERR_(?:STATE|PUBSUB|SECRET|DIRECT_INVOKE|CONFIGURATION|LOCK|TOPIC|ACTOR|BINDING|INVOKE)"
    r"|cloud[-_ ]?event|dead[-_ ]?letter|\betag\b",
    re.IGNORECASE)

# Concrete backends are named where they are made, in their own files and in tests.
BACKEND = re.compile(r"\b(?:Sqlite|Memory|Redis|Kafka|LocalEnv|LocalFile)(?:Store|Broker|SecretStore|Backend)\b")


def sources():
    """(path from the root, text) of every source file of ours."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in ("build", ".git", "__pycache__") and not f.startswith(".")]
        for name in files:
            if name.endswith(SOURCE + (".py", ".sh")):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8", errors="replace") as file:
                    yield os.path.relpath(path, ROOT), file.read()


def is_test(path):
    return bool(re.search(r"(_test|_fuzzer|_bench|_conformance)\.\w+$|(^|/)(testing/|fuzz_\w+\.cpp$)|^tests/|^bench/", path))


def area_of(path):
    """The longest folder of MAY_INCLUDE that holds a path; a capability that is not listed is one of
    its own."""
    parts = path.split("/")
    if parts[0] == "capabilities" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0]


def wrong_includes(path, text):
    area = area_of(path)
    if area not in MAY_INCLUDE and not path.startswith("capabilities/"):
        return
    allowed = MAY_INCLUDE.get(area, {"bus", "config-cache", "sdk"}) | {area}
    for included in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
        if included.endswith("_generated.h"):
            included = included.replace("/generated/", "/")
        if "/" not in included:
            yield f"{path} includes \"{included}\": includes are written from the root"
        elif included.endswith(".pb.h") or included.startswith("proto/"):
            if not path.startswith(("sdk/", "capabilities/", "examples/", "gateway/runtime/")):
                yield f"{path} includes \"{included}\": messages of an API are for capabilities"
        elif area_of(included) not in allowed:
            yield f"{path} includes \"{included}\": {area} may include only {', '.join(sorted(allowed))}"
        elif "/testing/" in included and not is_test(path):
            yield f"{path} includes \"{included}\": testing/ is for tests"


def api_words_in_gateway(path, text):
    if not path.startswith("gateway/") or path.startswith("gateway/runtime/") or is_test(path):
        return
    for number, line in enumerate(text.splitlines(), 1):
        found = API_WORDS.search(line)
        if found:
            yield f"{path}:{number}: '{found.group(0)}' is a word of an API, which the gateway knows nothing of"


def named_backends(path, text):
    if not path.startswith("capabilities/") or is_test(path):
        return
    stem = os.path.splitext(os.path.basename(path))[0]
    if stem == "main" or stem.startswith("make_"):
        return
    for found in set(BACKEND.findall(text)):
        words = re.sub(r"(?<!^)(?=[A-Z])", "_", found).lower()
        if not stem.startswith(words.split("_")[0]) and not stem.startswith("local"):
            yield f"{path} names the backend {found}: only main.cpp and make_*.cpp may"


def too_long(path, text):
    lines, most = text.count("\n"), MOST_LINES_OF_A_TEST if is_test(path) else MOST_LINES
    if lines > most:
        yield f"{path} has {lines} lines, more than {most}"


SLEEPS = re.compile(r"\b(?:sleep_for|usleep|nanosleep|time\.sleep)\s*\(|(?<![\w.:])sleep\s*\(\s*\d|std::this_thread::sleep")


def sleeping_tests(path, text):
    if not is_test(path) or path.startswith(("tests/structure/", "bench/")):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if SLEEPS.search(line):
            yield f"{path}:{number}: a test waits for what it needs, it does not sleep"


def folders_without_a_row(readme, folders):
    for folder in sorted(folders):
        if not re.search(rf"^\| *`{re.escape(folder)}/`", readme, re.M):
            yield f"{folder}/ has no row in README.md"
    for row in re.findall(r"^\| *`([\w-]+)/`", readme, re.M):
        if row not in folders:
            yield f"README.md has a row for {row}/, which does not exist"


RULES = (wrong_includes, api_words_in_gateway, named_backends, too_long, sleeping_tests)


class StructureTest(unittest.TestCase):
    def hold(self, rule):
        violations = [violation for path, text in sources() for violation in rule(path, text)]
        self.assertEqual(violations, [], "\n" + "\n".join(violations))

    def test_dependencies_point_one_way(self):
        self.hold(wrong_includes)

    def test_the_gateway_knows_no_api(self):
        self.hold(api_words_in_gateway)

    def test_only_main_and_make_name_a_backend(self):
        self.hold(named_backends)

    def test_no_file_is_too_long_to_read(self):
        self.hold(too_long)

    def test_no_test_sleeps(self):
        self.hold(sleeping_tests)

    def test_every_folder_has_a_row_in_the_readme(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
            readme = file.read()
        folders = {f for f in os.listdir(ROOT) if os.path.isdir(os.path.join(ROOT, f))
                   and not f.startswith(".") and f not in ("build", "__pycache__")}
        violations = list(folders_without_a_row(readme, folders))
        self.assertEqual(violations, [], "\n" + "\n".join(violations))


class RulesRefuseTest(unittest.TestCase):
    """Each rule is seen to refuse what it is there for, and to let its neighbour through."""

    def refused(self, rule, path, text):
        self.assertTrue(list(rule(path, text)), f"{rule.__name__} lets {path} through: {text}")

    def allowed(self, rule, path, text):
        self.assertEqual(list(rule(path, text)), [])

    def test_an_include_against_the_direction_is_refused(self):
        for path, included in (("bus/link.cpp", "sdk/request.hpp"), ("bus/x.hpp", "config-cache/replica.hpp"),
                               ("sdk/run.cpp", "gateway/facts.hpp"), ("config-cache/a.cpp", "sdk/request.hpp"),
                               ("capabilities/state/service.cpp", "capabilities/pubsub/broker.hpp"),
                               ("capabilities/new/a.cpp", "capabilities/state/store.hpp"),
                               ("capabilities/state/a.cpp", "gateway/facts.hpp"),
                               ("gateway/main.cpp", "capabilities/state/store.hpp"),
                               ("cli/up.cpp", "gateway/app_config.hpp"), ("bus/link.cpp", "frame.hpp"),
                               ("cli/up.cpp", "in-process/capabilities.hpp"),
                               ("gateway/server.cpp", "in-process/capabilities.hpp"),
                               ("capabilities/state/a.cpp", "in-process/capabilities.hpp"),
                               ("bus/link.cpp", "bus/testing/fake_clock.hpp"),
                               ("gateway/dispatch.cpp", "dapr/proto/runtime/v1/state.pb.h")):
            self.refused(wrong_includes, path, f'#include "{included}"\n')
        for path, included in (("gateway/main.cpp", "sdk/status.hpp"), ("sdk/run.cpp", "bus/link.hpp"),
                               ("capabilities/state/a.cpp", "capabilities/state/store.hpp"),
                               ("in-process/main.cpp", "capabilities/state/capability.hpp"),
                               ("in-process/capabilities.hpp", "gateway/server.hpp"),
                               ("bus/link_test.cpp", "bus/testing/fake_clock.hpp"),
                               ("capabilities/state/a.cpp", "dapr/proto/runtime/v1/state.pb.h")):
            self.allowed(wrong_includes, path, f'#include "{included}"\n')

    def test_a_word_of_an_api_in_the_gateway_is_refused(self):
        for line in ('route("/v1.0/state/{store}")', "// asks pubsub to stop", 'code = "ERR_STATE_STORE_NOT_FOUND";',
                     'if (capability == "state")', "SecretStore x;", "// the PubSub process", '"/v1.0/publish/x"'):
            self.refused(api_words_in_gateway, "gateway/dispatch.cpp", line)
            self.allowed(api_words_in_gateway, "gateway/runtime/metadata.cpp", line)
        for line in ("lane->publish(std::move(frame));", "std::uint8_t state_;", "struct State {", "// the link's state"):
            self.allowed(api_words_in_gateway, "gateway/dispatch.cpp", line)

    def test_a_backend_named_outside_its_factory_is_refused(self):
        self.refused(named_backends, "capabilities/state/service.cpp", "SqliteStore store;")
        self.allowed(named_backends, "capabilities/state/make_store.cpp", "SqliteStore store;")
        self.allowed(named_backends, "capabilities/state/sqlite_store.cpp", "SqliteStore store;")
        self.allowed(named_backends, "capabilities/state/service_test.cpp", "MemoryStore store;")

    def test_a_file_that_is_too_long_is_refused(self):
        self.refused(too_long, "bus/link.cpp", "\n" * (MOST_LINES + 1))
        self.refused(too_long, "bus/link_test.cpp", "\n" * (MOST_LINES_OF_A_TEST + 1))
        self.allowed(too_long, "bus/link.cpp", "\n" * MOST_LINES)

    def test_a_sleeping_test_is_refused(self):
        for line in ("std::this_thread::sleep_for(1s);", "usleep(10);", "time.sleep(1)", "  sleep(1);"):
            self.refused(sleeping_tests, "bus/link_test.cpp", line)
        self.allowed(sleeping_tests, "bus/link.cpp", "sleep_for(1s);")
        self.allowed(sleeping_tests, "bus/link_test.cpp", "co_await loop.sleep_until(deadline);")

    def test_a_folder_without_a_row_and_a_row_without_a_folder_are_refused(self):
        self.assertTrue(list(folders_without_a_row("| `bus/` | x |\n", {"bus", "sdk"})))
        self.assertTrue(list(folders_without_a_row("| `bus/` | x |\n| `old/` | y |\n", {"bus"})))
        self.assertEqual(list(folders_without_a_row("| `bus/` | x |\n", {"bus"})), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])

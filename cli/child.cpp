#include "cli/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace caisson::cli {

namespace {

/// As shells say it: the program could not be run.
constexpr int kCannotStart = 127;

/// glibc declares pidfd_open without C linkage guards before 2.37; the call itself is stable.
int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

/// posix_spawn's two settings objects, with their destruction.
struct SpawnSettings {
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

/// What posix_spawn cannot do: a child that the system signals when its parent's thread is gone. The
/// child of the fork may call only what is safe in a signal handler.
Result<pid_t> fork_bound(const ProcessSpec& spec, char* const* argv, char* const* envp) {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    return Error{Errc::kResourceExhausted, fmt::format("cannot start {}: {}", spec.program, std::strerror(errno))};
  }
  if (pid > 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kCannotStart);  // it was gone before it could be asked for
  ::setpgid(0, 0);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int input = ::open("/dev/null", O_RDONLY);
  if (input >= 0 && input != STDIN_FILENO) {
    ::dup2(input, STDIN_FILENO);
    ::close(input);
  }
  ::execve(spec.program.c_str(), argv, envp);
  ::_exit(kCannotStart);
}

Result<pid_t> spawn(const ProcessSpec& spec, const SpawnSettings& settings) {
  std::vector<std::string> words = {spec.program};
  words.insert(words.end(), spec.arguments.begin(), spec.arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  std::vector<std::string> pairs;
  for (const auto& [name, value] : spec.environment) pairs.push_back(fmt::format("{}={}", name, value));
  std::vector<char*> envp;
  for (std::string& pair : pairs) envp.push_back(pair.data());
  envp.push_back(nullptr);

  pid_t pid = 0;
  if (spec.ends_with_parent) return fork_bound(spec, argv.data(), envp.data());
  const int number =
      ::posix_spawn(&pid, spec.program.c_str(), &settings.files, &settings.attributes, argv.data(), envp.data());
  if (number != 0) {
    return Error{Errc::kFailedPrecondition, fmt::format("cannot start {}: {}", spec.program, std::strerror(number))};
  }
  return pid;
}

std::string describe(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return fmt::format("exit code {}", info.si_status);
  return fmt::format("signal {} ({})", info.si_status, ::strsignal(info.si_status));
}

}  // namespace

Result<std::unique_ptr<Child>> Child::start(EventLoop& loop, const ProcessSpec& spec) {
  const SpawnSettings settings;
  ASSIGN(const pid_t pid, spawn(spec, settings));
  std::unique_ptr<Child> child(new Child(loop, pid, open_pidfd(pid)));
  TRY(child->watch());
  return child;
}

Result<std::unique_ptr<Child>> Child::adopt(EventLoop& loop, pid_t pid) {
  std::unique_ptr<Child> child(new Child(loop, pid, open_pidfd(pid)));
  TRY(child->watch());
  return child;
}

Child::Child(EventLoop& loop, pid_t pid, int pidfd)
    : loop_(loop), pid_(pid), pidfd_(pidfd), watch_(loop, [this](std::uint32_t) { collect(); }) {}

Child::~Child() {
  watch_.stop();
  if (pidfd_ >= 0) ::close(pidfd_);
}

Result<void> Child::watch() {
  if (pidfd_ < 0) {
    return Error{Errc::kUnavailable, fmt::format("pid {}: {}", pid_, std::strerror(errno))};
  }
  return watch_.start(pidfd_, EPOLLIN);
}

void Child::signal(int number) {
  if (running_) ::syscall(SYS_pidfd_send_signal, pidfd_, number, nullptr, 0);
}

Task<bool> Child::ended(Deadline deadline) {
  while (running_) {
    const Wake wake = co_await waiting_.wait(loop_, deadline);
    if (wake == Wake::kDeadline) break;
  }
  co_return !running_;
}

void Child::collect() {
  if (!running_) return;
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_), &info, WEXITED | WNOHANG) == 0) {
    if (info.si_pid == 0) return;  // not yet
    end_ = describe(info);
    if (info.si_code == CLD_EXITED) exit_code_ = info.si_status;
  } else {
    end_ = "ended (an earlier caisson started it)";
  }
  running_ = false;
  waiting_.wake_all();
}

Result<std::string> output_of(const ProcessSpec& spec, std::size_t limit) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error{Errc::kResourceExhausted, std::strerror(errno)};
  SpawnSettings settings;
  ::posix_spawn_file_actions_adddup2(&settings.files, ends[1], STDOUT_FILENO);
  auto pid = spawn(spec, settings);
  ::close(ends[1]);
  if (!pid) {
    ::close(ends[0]);
    return std::move(pid).error();
  }

  constexpr int kPatienceMs = 10'000;
  std::string text;
  char piece[16 * 1024];
  bool whole = false;
  while (text.size() <= limit) {
    pollfd ready{ends[0], POLLIN, 0};
    if (::poll(&ready, 1, kPatienceMs) <= 0) break;
    const ssize_t got = ::read(ends[0], piece, sizeof piece);
    whole = got == 0;
    if (got <= 0) break;
    text.append(piece, static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  if (!whole) ::kill(*pid, SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(*pid), &info, WEXITED);
  if (!whole || info.si_code != CLD_EXITED || info.si_status != 0) {
    return Error{
        Errc::kFailedPrecondition,
        fmt::format("{} {}: {}", spec.program, spec.arguments.empty() ? "" : spec.arguments.front(), describe(info))};
  }
  return text;
}

}  // namespace caisson::cli

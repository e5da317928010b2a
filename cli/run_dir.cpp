#include "cli/run_dir.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <utility>

#include "bus/compartments.hpp"
#include "cli/gateways.hpp"
#include "cli/instances.hpp"

namespace caisson::cli {

namespace {

Error failed(const std::string& what, int number) {
  return Error{Errc::kFailedPrecondition, fmt::format("{}: {}", what, std::strerror(number))};
}

std::optional<pid_t> pid_in(std::string_view text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || pid <= 1) return std::nullopt;
  return pid;
}

}  // namespace

Result<void> make_private_dir(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) == 0) {
    if (!S_ISDIR(found.st_mode)) return Error{Errc::kFailedPrecondition, path + " is not a folder"};
    if (found.st_uid != ::geteuid()) {
      return Error{Errc::kFailedPrecondition,
                   fmt::format("{} belongs to user {}, not to this one", path, found.st_uid)};
    }
    return ok();
  }
  const std::size_t slash = path.find_last_of('/');
  if (slash != std::string::npos && slash != 0) {
    const std::string parent = path.substr(0, slash);
    if (::access(parent.c_str(), F_OK) != 0) TRY(make_private_dir(parent));
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return failed("cannot make " + path, errno);
  return ok();
}

Result<void> write_file(const std::string& path, std::string_view text) {
  // Not ".new": the process itself writes its pid file under that name.
  const std::string beside = path + ".up";
  const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failed("cannot write " + path, errno);
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0) {
      const int number = errno;
      ::close(fd);
      ::unlink(beside.c_str());
      return failed("cannot write " + path, number);
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  const bool synced = ::fsync(fd) == 0;
  const int number = errno;
  ::close(fd);
  if (!synced || ::rename(beside.c_str(), path.c_str()) != 0) {
    return failed("cannot write " + path, synced ? errno : number);
  }
  return ok();
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int number = errno;
    Error error = failed("cannot read " + path, number);
    if (number == ENOENT) error.code = Errc::kNotFound;
    return error;
  }
  std::string text;
  char piece[16 * 1024];
  while (true) {
    const ssize_t got = ::read(fd, piece, sizeof piece);
    if (got < 0) {
      const int number = errno;
      ::close(fd);
      return failed("cannot read " + path, number);
    }
    if (got == 0) break;
    text.append(piece, static_cast<std::size_t>(got));
    if (text.size() > limit) {
      ::close(fd);
      return Error{Errc::kResourceExhausted, fmt::format("{} is larger than {} bytes", path, limit)};
    }
  }
  ::close(fd);
  return text;
}

Result<DirLock> DirLock::take(const std::string& dir) {
  const std::string path = dir + "/caisson.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return failed("cannot open " + path, errno);
  DirLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed("cannot lock " + path, errno);
    char text[32] = {};
    const ssize_t got = ::pread(fd, text, sizeof text - 1, 0);
    const auto pid = pid_in(std::string_view(text, got > 0 ? static_cast<std::size_t>(got) : 0));
    return Error{Errc::kFailedPrecondition, fmt::format("{} is in use by another caisson{}", dir,
                                                        pid ? fmt::format(" (pid {})", *pid) : std::string())};
  }
  const std::string own = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, own.data(), own.size(), 0) != static_cast<ssize_t>(own.size())) {
    return failed("cannot write " + path, errno);
  }
  return lock;
}

DirLock::DirLock(DirLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
DirLock::~DirLock() {
  if (fd_ >= 0) ::close(fd_);
}

std::string pid_file(const std::string& run_dir, std::string_view process) {
  return fmt::format("{}/{}.pid", run_dir, process);
}

std::optional<pid_t> read_pid(const std::string& run_dir, std::string_view process) {
  const auto text = read_file(pid_file(run_dir, process), 64);
  return text ? pid_in(*text) : std::nullopt;
}

std::string command_line_of(pid_t pid) {
  auto text = read_file(fmt::format("/proc/{}/cmdline", pid));
  return text ? *std::move(text) : std::string();
}

std::string program_of(pid_t pid) {
  char path[PATH_MAX];
  const ssize_t size = ::readlink(fmt::format("/proc/{}/exe", pid).c_str(), path, sizeof path);
  return size > 0 ? std::string(path, static_cast<std::size_t>(size)) : std::string();
}

bool is_process(pid_t pid, const std::string& run_dir, std::string_view name) {
  const std::string line = command_line_of(pid);
  const auto says = [&](std::string_view text) { return line.find(text) != std::string::npos; };
  if (const std::uint32_t number = gateway_number(name); number > 1) {
    return says("caisson-gateway") &&
           says(fmt::format("{0}--run-dir{0}{1}{0}", '\0', gateway_run_dir(run_dir, number)));
  }
  const std::string_view capability = without_number(capability_of(name));
  if (!says(fmt::format("caisson-{}", capability)) || !says(run_dir)) return false;
  const std::string instance = fmt::format("--instance{0}{1}{0}", '\0', name);
  return name == capability || says(instance);
}

std::vector<std::string> compartments_in(const std::string& run_dir) {
  constexpr std::string_view kEnding = ".pid";
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(run_dir, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.ends_with(kEnding)) continue;
    name.resize(name.size() - kEnding.size());
    if (is_compartment_name(capability_of(name)) && is_compartment_name(compartment_of(name))) {
      names.push_back(std::move(name));
    }
  }
  return names;
}

}  // namespace caisson::cli

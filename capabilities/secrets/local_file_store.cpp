#include "capabilities/secrets/local_file_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <simdjson.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

namespace caisson::secrets {

namespace {

namespace dom = simdjson::dom;

std::string joined(const std::string& path, std::string_view separator, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}{}{}", path, separator, name);
}

/// A value that is neither object nor array, as text.
std::string scalar_text(const dom::element& value) {
  if (value.is_string()) return std::string(value.get_string().value_unsafe());
  if (value.is_null()) return {};
  return simdjson::minify(value);
}

/// Adds a value under its path; of two with one path the later stands. The depth is bounded by the
/// parser's.
void flatten(const dom::element& value, const std::string& path, std::string_view separator, Secret& into) {
  if (value.is_object()) {
    for (const auto& [name, inner] : value.get_object().value_unsafe()) {
      flatten(inner, joined(path, separator, name), separator, into);
    }
  } else if (value.is_array()) {
    std::size_t index = 0;
    for (const dom::element inner : value.get_array().value_unsafe()) {
      flatten(inner, joined(path, separator, std::to_string(index++)), separator, into);
    }
  } else {
    std::string& kept = into[path];
    wipe(kept);
    kept = scalar_text(value);
  }
}

struct OpenFile {
  int fd = -1;
  ~OpenFile() {
    if (fd >= 0) ::close(fd);
  }
};

Error unreadable(const std::string& file) {
  return {Errc::kUnavailable, fmt::format("{}: {}", file, std::strerror(errno))};
}

bool is_fresh(std::int64_t modified_seconds) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec - modified_seconds <= 1;
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const OpenFile file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return unreadable(path);
  std::string text;
  char piece[16384];
  while (true) {
    const ssize_t got = ::read(file.fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(path);
    if (got == 0) break;
    if (text.size() + static_cast<std::size_t>(got) > limit) {
      wipe(text);
      return Error{Errc::kInvalidArgument, fmt::format("{}: over {} bytes", path, limit)};
    }
    if (text.capacity() < text.size() + static_cast<std::size_t>(got)) {
      // Grown by hand, so that the bytes left behind are overwritten.
      std::string larger;
      larger.reserve(std::max(text.size() * 2, sizeof piece * 2));
      larger = text;
      wipe(text);
      text = std::move(larger);
    }
    text.append(piece, static_cast<std::size_t>(got));
  }
  ::explicit_bzero(piece, sizeof piece);
  return text;
}

}  // namespace

Result<Secrets> parse_secrets(std::string_view json, std::string_view separator, bool multi_valued) {
  dom::parser parser;
  dom::element document;
  if (const auto error = parser.parse(json.data(), json.size(), /*realloc_if_needed=*/true).get(document)) {
    return Error{Errc::kInvalidArgument, fmt::format("not JSON: {}", simdjson::error_message(error))};
  }
  if (!document.is_object()) return Error{Errc::kInvalidArgument, "the JSON is not an object"};

  Secrets secrets;
  if (multi_valued) {
    for (const auto& [name, value] : document.get_object().value_unsafe()) {
      Secret secret;
      const bool several = value.is_object() || value.is_array();
      flatten(value, several ? std::string() : std::string(name), separator, secret);
      secrets.insert_or_assign(std::string(name), std::move(secret));
    }
    return secrets;
  }
  Secret flat;
  flatten(document, {}, separator, flat);
  for (auto& [name, value] : flat) secrets[name][name] = std::move(value);
  return secrets;
}

Result<std::shared_ptr<LocalFileStore>> LocalFileStore::open(Options options) {
  const std::shared_ptr<LocalFileStore> store(new LocalFileStore(std::move(options)));
  TRY(store->read());
  return store;
}

LocalFileStore::~LocalFileStore() { wipe(secrets_); }

Task<Result<Secret>> LocalFileStore::get(std::string name, Deadline) {
  read_again_if_changed();
  const auto found = secrets_.find(name);
  if (found == secrets_.end()) co_return Error{Errc::kNotFound, fmt::format("secret {} not found", name)};
  co_return found->second;
}

Task<Result<Secrets>> LocalFileStore::get_all(Deadline) {
  read_again_if_changed();
  co_return secrets_;
}

void LocalFileStore::read_again_if_changed() {
  const auto now = version();
  if (now && *now == version_ && !reason_) return;
  const Result<void> read_now = now ? read() : Result<void>(now.error());
  if (read_now) {
    if (reason_) log(LogLevel::kInfo, fmt::format("{} can be read again", options_.file));
    reason_.reset();
    return;
  }
  reason_ = fmt::format("{}; the secrets read before stay in force", read_now.error().message);
  log_limit_.log(LogLevel::kError, *reason_);
}

Result<void> LocalFileStore::read() {
  // The version is taken first: a change while reading is seen at the next look.
  ASSIGN(const Version now, version());
  ASSIGN(std::string text, read_file(options_.file, kMaxFile));
  Result<Secrets> parsed = parse_secrets(text, options_.separator, options_.multi_valued);
  wipe(text);
  if (!parsed) return Error{parsed.error().code, fmt::format("{}: {}", options_.file, parsed.error().message)};
  wipe(secrets_);
  secrets_ = *std::move(parsed);
  version_ = now;
  // A second write within the file system's clock tick leaves the same times: looked at again.
  if (is_fresh(now.modified_seconds)) version_ = {};
  return ok();
}

Result<LocalFileStore::Version> LocalFileStore::version() const {
  struct stat info {};
  if (::stat(options_.file.c_str(), &info) != 0) return unreadable(options_.file);
  return Version{info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ino, info.st_size};
}

}  // namespace caisson::secrets

#include "capabilities/config/items/local_file_store.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "capabilities/config/items/items_file.hpp"

namespace caisson::items {

namespace {

constexpr Nanos kPatience = std::chrono::milliseconds(200);
/// Where the folder can be watched, only links into other folders need it.
constexpr Nanos kLookAgain = std::chrono::seconds(5);
constexpr Nanos kLookAgainUnwatched = std::chrono::seconds(1);

std::string folder_of(const std::string& file) {
  const std::string folder = std::filesystem::path(file).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

LocalFileStore::LocalFileStore(EventLoop& loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      copy_(options_.last_good),
      watchers_(loop),
      next_look_(loop, [this] { look_again(); }),
      folder_(loop, [this] { look_again(); }) {}

Result<std::shared_ptr<LocalFileStore>> LocalFileStore::open(EventLoop& loop, Options options) {
  std::shared_ptr<LocalFileStore> store(new LocalFileStore(loop, std::move(options)));
  if (const Result<void> read = store->read(); !read) {
    auto last = config::read_file(store->options_.last_good, kMaxItemsFile);
    if (!last) return read.error();
    Result<Items> items = parse_items(*last);
    if (!items) return read.error();
    store->text_ = *std::move(last);
    store->items_ = *std::move(items);
    store->say(read.error().message);
  }
  store->look_again();
  return store;
}

/// Takes what the file says now. An error names the file and, where it can be told, the line.
Result<void> LocalFileStore::read() {
  Result<std::string> text = config::read_file(options_.file, kMaxItemsFile);
  if (!text && text.error().code == Errc::kNotFound) {
    return Error{Errc::kUnavailable, fmt::format("{} does not exist", options_.file)};
  }
  if (!text) return std::move(text).error();
  if (text_ == *text) return ok();
  Result<Items> items = parse_items(*text);
  if (!items) return Error{items.error().code, fmt::format("{}:{}", options_.file, items.error().message)};
  copy_.replace(*text);
  text_ = *std::move(text);
  take(*std::move(items));
  return ok();
}

void LocalFileStore::look_again() {
  const bool watched = folder_.watch({folder_of(options_.file)});  // before reading: nothing is missed
  Nanos pause = watched ? kLookAgain : kLookAgainUnwatched;
  if (const Result<void> read_now = read(); read_now) {
    broken_since_.reset();
    if (!note_.empty()) log(LogLevel::kInfo, fmt::format("{} is in order again", options_.file));
    say({});
  } else {
    const Nanos now = loop_.clock().now();
    if (!broken_since_) broken_since_ = now;
    if (now - *broken_since_ >= kPatience) {
      say(read_now.error().message);
    } else {
      pause = kPatience;
    }
  }
  next_look_.start_after(pause);
}

void LocalFileStore::take(Items items) {
  const Items before = std::exchange(items_, std::move(items));
  for (const auto& [key, item] : items_) {
    const auto old = before.find(key);
    if (old == before.end() || old->second != item) watchers_.tell(key);
  }
  for (const auto& [key, item] : before) {
    if (!items_.contains(key)) watchers_.tell(key);
  }
}

void LocalFileStore::say(const std::string& problem) {
  std::string note = problem.empty() ? problem : problem + "; the items read before stay in force";
  if (note == note_) return;
  note_ = std::move(note);
  if (!note_.empty()) log_limit_.log(LogLevel::kError, note_);
  noted();
}

Task<Result<Items>> LocalFileStore::get(std::vector<std::string> keys, Deadline) {
  if (keys.empty()) co_return items_;
  Items found;
  for (const std::string& key : keys) {
    const auto item = items_.find(key);
    if (item != items_.end()) found.insert(*item);
  }
  co_return found;
}

std::unique_ptr<Watch> LocalFileStore::watch(std::vector<std::string> keys, Changed changed) {
  auto watch = watchers_.add(keys, std::move(changed));
  watchers_.tell_new_ones();
  return watch;
}

}  // namespace caisson::items

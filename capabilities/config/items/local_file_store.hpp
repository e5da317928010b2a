#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "capabilities/config/folder_watch.hpp"
#include "capabilities/config/items/watchers.hpp"
#include "config-cache/durable_file.hpp"

namespace caisson::items {

/// `configuration.local.file`: the items of one JSON file (items_file.hpp), read again when it changes.
/// While the file is broken or away, the items read before stay in force, which note() and the log say;
/// so they do across a restart, from a copy that only this user may read.
class LocalFileStore final : public Store {
 public:
  struct Options {
    std::string file;       // relative to the working directory
    std::string last_good;  // where the copy is kept; empty: none is
  };

  /// Reads the file, or the copy when there is one. Otherwise fails and names the file.
  static Result<std::shared_ptr<LocalFileStore>> open(EventLoop& loop, Options options);

  Task<Result<Items>> get(std::vector<std::string> keys, Deadline deadline) override;
  std::unique_ptr<Watch> watch(std::vector<std::string> keys, Changed changed) override;
  [[nodiscard]] std::string note() const override { return note_; }

  /// Called when note() says something else than before.
  std::function<void()> noted = [] {};

 private:
  LocalFileStore(EventLoop& loop, Options options);
  Result<void> read();
  void look_again();
  void take(Items items);
  void say(const std::string& problem);

  EventLoop& loop_;
  const Options options_;
  std::optional<std::string> text_;  // what the items were read from
  Items items_;
  std::string note_;
  LogLimit log_limit_;
  config::DurableFile copy_;
  Watchers watchers_;
  /// An editor that writes in place leaves the file broken for a moment.
  std::optional<Nanos> broken_since_;
  Timer next_look_;
  config::FolderWatch folder_;
};

}  // namespace caisson::items

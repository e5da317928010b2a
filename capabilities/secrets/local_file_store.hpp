#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "capabilities/secrets/secret_store.hpp"

namespace caisson::secrets {

/// A JSON file as secrets (`secretstores.local.file`), for development. It is read again when it has
/// changed; when it cannot be read or parsed then, the secrets read before stay in force, which
/// down_reason() and the log say with the file's name.
///
/// Nested objects become names joined by the separator (`a:b:c`), arrays `a:0`, `a:1`. With
/// multi-valued secrets a top-level object is one secret with several keys instead.
class LocalFileStore final : public SecretStore {
 public:
  struct Options {
    std::string file;  // relative to the working directory
    std::string separator = ":";
    bool multi_valued = false;
  };
  /// Files beyond this are refused.
  static constexpr std::size_t kMaxFile = std::size_t{16} << 20;

  /// Reads the file; kUnavailable or kInvalidArgument names it.
  static Result<std::shared_ptr<LocalFileStore>> open(Options options);
  ~LocalFileStore() override;

  Task<Result<Secret>> get(std::string name, Deadline deadline) override;
  Task<Result<Secrets>> get_all(Deadline deadline) override;
  [[nodiscard]] std::optional<std::string> down_reason() const override { return reason_; }

 private:
  /// What tells one state of the file from another.
  struct Version {
    std::int64_t modified_seconds = 0;
    std::int64_t modified_nanos = 0;
    std::uint64_t inode = 0;
    std::int64_t size = -1;
    bool operator==(const Version&) const = default;
  };

  explicit LocalFileStore(Options options) : options_(std::move(options)) {}
  void read_again_if_changed();
  Result<void> read();
  Result<Version> version() const;

  Options options_;
  Version version_;
  Secrets secrets_;
  std::optional<std::string> reason_;
  LogLimit log_limit_;
};

/// The secrets of a JSON text; kInvalidArgument says what is wrong with it. Part of the store, apart
/// for its fuzzer.
Result<Secrets> parse_secrets(std::string_view json, std::string_view separator, bool multi_valued);

}  // namespace caisson::secrets

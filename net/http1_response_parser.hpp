#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/result.hpp"

namespace caisson::net {

/// Status line and headers of an answer, without those that concern one connection only.
struct ResponseHead {
  std::uint16_t status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  /// The body's length, where the head says it.
  std::optional<std::uint64_t> content_length;
};

/// Reads one HTTP/1.x answer from bytes, however they are cut; answers of the 1xx class before it
/// are passed over. Owns no socket. After an error it is of no more use.
class Http1ResponseParser {
 public:
  static constexpr std::size_t kMaxHead = 32 * 1024;
  static constexpr std::size_t kMaxHeaders = 256;

  /// `to_head`: the answer to a HEAD request, which has no body whatever its headers say.
  explicit Http1ResponseParser(bool to_head);
  ~Http1ResponseParser();

  /// kDataLoss when the bytes are no HTTP answer or its head is over the limits.
  Result<void> feed(std::string_view bytes);
  /// The peer closed. kDataLoss when the answer was not complete.
  Result<void> end();

  [[nodiscard]] bool began() const { return began_; }
  [[nodiscard]] bool head_done() const { return head_done_; }
  [[nodiscard]] bool done() const { return done_; }
  /// The connection may carry another request: complete, kept alive, nothing left over.
  [[nodiscard]] bool connection_reusable() const;

  [[nodiscard]] ResponseHead& head() { return head_; }
  /// The body's bytes that have arrived since the last call.
  [[nodiscard]] std::string take_body() { return std::exchange(body_, {}); }
  [[nodiscard]] bool has_body() const { return !body_.empty(); }

 private:
  class Beast;
  Result<std::size_t> consume(std::string_view bytes);
  void finish_head();

  bool to_head_;
  bool began_ = false;
  bool head_done_ = false;
  bool done_ = false;
  ResponseHead head_;
  std::string body_;
  std::string pending_;  // not yet understood: the piece of a head, or of a chunk's
  std::unique_ptr<Beast> beast_;
};

}  // namespace caisson::net

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/result.hpp"
#include "bus/wire.hpp"

namespace caisson::gateway {

/// The head of one request. All views point into memory of the parser and are valid until its
/// next_request().
struct RequestHead {
  std::string_view method;
  /// As the client sent it, percent-encoded, without the query.
  std::string_view path;
  /// Raw, without '?'.
  std::string_view query;
  std::vector<Field> fields;
  /// The client wants the connection to stay open afterwards.
  bool keep_alive = false;
  /// HTTP/1.0: knows no chunked answers.
  bool http10 = false;
  bool expects_continue = false;
  bool chunked = false;
  /// Of the body, where the client said so; 0 where there is none.
  std::uint64_t content_length = 0;

  [[nodiscard]] bool has_body() const { return chunked || content_length != 0; }
  /// The first value under `name`, compared without regard to case; empty when there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

/// Reads HTTP/1.x requests from bytes, one after another; owns no socket. Boost.Beast's parser does
/// the parsing. One connection, one thread.
class Http1Parser {
 public:
  enum class Progress : std::uint8_t { kNeedMore, kHead, kBody, kDone };
  struct Step {
    Progress progress = Progress::kNeedMore;
    std::size_t consumed = 0;
    /// kBody: a piece of the body, a view into the input.
    std::string_view body;
  };

  /// `header_limit`: bytes of request line and headers together.
  explicit Http1Parser(std::size_t header_limit);
  ~Http1Parser();

  /// Forgets the last request and expects the next.
  void next_request();

  /// Takes some of `input`, which begins where the last step stopped consuming. kNeedMore: the rest
  /// must be given again with more behind it. kOutOfRange: the head is over the limit;
  /// kUnimplemented: a transfer coding other than chunked; kInvalidArgument: no HTTP request. After
  /// an error nothing more can be read.
  Result<Step> feed(std::string_view input);

  /// From kHead until next_request().
  [[nodiscard]] const RequestHead& head() const { return head_; }
  /// A byte of the present request has been seen.
  [[nodiscard]] bool begun() const { return begun_; }
  /// The whole request has been seen; the next one may begin.
  [[nodiscard]] bool done() const;

 private:
  class Machine;
  Result<void> finish_head();

  std::size_t header_limit_;
  std::size_t header_bytes_ = 0;
  bool begun_ = false;
  bool in_head_ = true;
  RequestHead head_;
  std::unique_ptr<Machine> machine_;
};

}  // namespace caisson::gateway

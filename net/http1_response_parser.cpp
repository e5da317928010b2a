#include "net/http1_response_parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <limits>

#include "net/http_headers.hpp"

namespace caisson::net {

namespace http = boost::beast::http;

namespace {

/// A chunk's head with its extensions, or trailers, still without their end.
constexpr std::size_t kMaxPending = 64 * 1024;

Error no_http(const std::string& why) { return {Errc::kDataLoss, "the answer is no valid HTTP: " + why}; }

using ErrorCode = boost::beast::error_code;
using Text = boost::beast::string_view;

}  // namespace

/// Boost.Beast's state machine; what it finds goes into the owner's members.
class Http1ResponseParser::Beast final : public http::basic_parser<false> {
 public:
  explicit Beast(Http1ResponseParser& owner) : owner_(owner) {
    eager(true);
    skip(owner.to_head_);
    header_limit(kMaxHead);
    // Bounded by who reads it; `none` would mean zero to the version of Debian 12.
    body_limit(std::numeric_limits<std::uint64_t>::max());
  }

  [[nodiscard]] bool ambiguous_length() const { return lengths_ + encodings_ > 1; }

 private:
  void on_request_impl(http::verb, Text, Text, int, ErrorCode&) override {}

  void on_response_impl(int code, Text, int, ErrorCode& error) override {
    if (code < 100 || code == 101) error = http::error::bad_status;  // nothing here asks for an upgrade
    owner_.head_.status = static_cast<std::uint16_t>(code);
  }

  void on_field_impl(http::field name, Text text, Text value, ErrorCode& error) override {
    if (in_body_) return;  // trailers
    if (owner_.head_.headers.size() >= kMaxHeaders) {
      error = http::error::header_limit;
      return;
    }
    if (name == http::field::content_length) ++lengths_;
    if (name == http::field::transfer_encoding) ++encodings_;
    owner_.head_.headers.emplace_back(std::string(text.data(), text.size()), std::string(value.data(), value.size()));
  }

  void on_header_impl(ErrorCode&) override { in_body_ = true; }

  void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCode&) override {}

  std::size_t on_body_impl(Text body, ErrorCode&) override {
    owner_.body_.append(body.data(), body.size());
    return body.size();
  }

  void on_chunk_header_impl(std::uint64_t, Text, ErrorCode&) override {}

  std::size_t on_chunk_body_impl(std::uint64_t, Text body, ErrorCode&) override {
    owner_.body_.append(body.data(), body.size());
    return body.size();
  }

  void on_finish_impl(ErrorCode&) override {}

  Http1ResponseParser& owner_;
  bool in_body_ = false;
  int lengths_ = 0;
  int encodings_ = 0;
};

Http1ResponseParser::Http1ResponseParser(bool to_head) : to_head_(to_head), beast_(std::make_unique<Beast>(*this)) {}
Http1ResponseParser::~Http1ResponseParser() = default;

Result<void> Http1ResponseParser::feed(std::string_view bytes) {
  if (bytes.empty()) return ok();
  began_ = true;
  if (!pending_.empty()) {
    pending_ += bytes;
    bytes = pending_;
  }
  ASSIGN(const std::size_t used, consume(bytes));
  if (pending_.empty()) {
    pending_ = bytes.substr(used);
  } else {
    pending_.erase(0, used);
  }
  if (!done_ && pending_.size() > kMaxPending) return no_http("a chunk's head is too long");
  return ok();
}

/// How much of `bytes` it took.
Result<std::size_t> Http1ResponseParser::consume(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken != bytes.size() && !done_) {
    ErrorCode error;
    const std::string_view left = bytes.substr(taken);
    const std::size_t used = beast_->put(boost::asio::buffer(left.data(), left.size()), error);
    taken += used;
    const bool needs_more = error == http::error::need_more;
    if (error && !needs_more) return no_http(error.message());
    if (!head_done_ && beast_->is_header_done()) finish_head();
    if (head_done_ && beast_->is_done()) done_ = true;
    if (needs_more || used == 0) break;
  }
  return taken;
}

/// An interim answer is forgotten; what follows it is read anew.
void Http1ResponseParser::finish_head() {
  if (head_.status / 100 == 1) {
    head_ = ResponseHead();
    beast_ = std::make_unique<Beast>(*this);
    return;
  }
  head_done_ = true;
  if (const auto length = beast_->content_length(); length) head_.content_length = *length;
  drop_connection_headers(head_.headers);
}

Result<void> Http1ResponseParser::end() {
  if (done_) return ok();
  if (!head_done_) return no_http("it ended before its head did");
  ErrorCode error;
  beast_->put_eof(error);
  if (error) return no_http(error.message());
  done_ = true;
  return ok();
}

bool Http1ResponseParser::connection_reusable() const {
  return done_ && pending_.empty() && !beast_->ambiguous_length() && !beast_->need_eof() && beast_->keep_alive();
}

}  // namespace caisson::net

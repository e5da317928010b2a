#include "gateway/connection.hpp"

#include <array>

namespace caisson::gateway {

namespace {

constexpr std::size_t kReadSize = 16 * 1024;
/// How HTTP/2 begins (RFC 9113 section 3.4).
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

Connection::Connection(EventLoop& loop, int fd, const Services& services, const HttpOptions& options,
                       GatewayCounters& counters, std::function<void()> abandon)
    : loop_(loop),
      services_(services),
      options_(options),
      counters_(counters),
      abandon_(std::move(abandon)),
      socket_(loop, fd) {}

Task<void> Connection::run() {
  if (!socket_.start()) co_return;
  auto reading = first_bytes();
  std::string first = co_await std::move(reading);
  if (first.empty() || finishing_) co_return;  // an unused connection ends without a word
  if (first.starts_with(kPreface)) {
    http2_ = std::make_unique<Http2Connection>(loop_, socket_, services_, options_, counters_);
    co_await http2_->run(std::move(first));
  } else {
    http1_ = std::make_unique<Http1Connection>(loop_, socket_, services_.http, options_, counters_, abandon_);
    co_await http1_->run(std::move(first));
  }
}

Task<std::string> Connection::first_bytes() {
  const Deadline deadline = loop_.deadline_in(options_.header_time);
  std::string bytes;
  while (bytes.size() < kPreface.size() && kPreface.starts_with(bytes)) {
    std::array<char, kReadSize> some;
    auto reading = socket_.read(some, deadline);
    const auto got = co_await std::move(reading);
    if (!got || *got == 0) break;
    bytes.append(some.data(), *got);
  }
  co_return bytes;
}

void Connection::finish() {
  finishing_ = true;
  if (http1_ != nullptr) return http1_->finish();
  if (http2_ != nullptr) return http2_->finish();
  abandon_();
}

}  // namespace caisson::gateway

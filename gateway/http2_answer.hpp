#pragma once

#include <string_view>

#include "bus/event_loop.hpp"
#include "bus/task.hpp"
#include "gateway/http2_stream.hpp"
#include "gateway/http_service.hpp"

namespace caisson::gateway {

/// Writes the answer to one plain HTTP request into its stream. Lives as long as the writing.
class Http2Answer {
 public:
  /// `patience`: the client takes nothing of a streamed body for so long. `head_only`: of a HEAD.
  Http2Answer(EventLoop& loop, Http2Stream& stream, Nanos patience, bool head_only)
      : loop_(loop), stream_(stream), patience_(patience), head_only_(head_only) {}

  /// `extra`: more header lines, as HttpAnswer::headers.
  Task<void> write(HttpAnswer answer, std::string_view extra);

 private:
  Task<void> write_stream(HttpAnswer& answer);

  EventLoop& loop_;
  Http2Stream& stream_;
  Nanos patience_;
  bool head_only_;
};

}  // namespace caisson::gateway

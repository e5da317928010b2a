#include "gateway/http2_answer.hpp"

#include <nghttp2/nghttp2.h>

#include <charconv>
#include <string>
#include <vector>

#include "gateway/response_head.hpp"

namespace caisson::gateway {

namespace {

/// What a capability says about the length of its body, where it is a number.
std::optional<std::uint64_t> said_length(const Frame& reply) {
  const std::string_view said = reply.headers().get("content-length");
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(said.data(), said.data() + said.size(), length);
  if (said.empty() || error != std::errc() || end != said.data() + said.size()) return std::nullopt;
  return length;
}

}  // namespace

Task<void> Http2Answer::write(HttpAnswer answer, std::string_view extra) {
  const Frame* const reply = answer.reply ? &answer.reply->head : nullptr;
  const bool streamed = reply != nullptr && reply->streamed();
  const std::uint16_t status = valid_status(reply != nullptr ? reply->envelope().status() : answer.status);
  const std::string code = std::to_string(status);
  std::string date;
  append_date(date);

  std::vector<Field> fields{{":status", code}};
  append_lines(fields, date);
  if (reply != nullptr) {
    for (const Field field : reply->headers()) {
      if (is_reply_header(field)) fields.push_back(field);
    }
  }
  append_lines(fields, answer.headers);
  append_lines(fields, extra);

  const std::string_view body = reply != nullptr ? reply->payload() : std::string_view(answer.body);
  const auto said = reply != nullptr ? said_length(*reply) : std::nullopt;
  std::string length;
  if (is_bodiless(status)) {
  } else if (streamed || (head_only_ && body.empty())) {
    if (said) length = std::to_string(*said);
  } else {
    length = std::to_string(body.size());
  }
  if (!length.empty()) fields.push_back({"content-length", length});

  const bool no_body = is_bodiless(status) || head_only_ || (!streamed && body.empty());
  stream_.send_head(fields, no_body);
  if (no_body) co_return;
  if (streamed) {
    auto writing = write_stream(answer);
    co_await std::move(writing);
    co_return;
  }
  stream_.send(reply != nullptr ? std::move(answer.reply->head).into_payload() : Buffer(std::move(answer.body)));
  stream_.finish();
}

/// Passes the body on as it comes. One that is cut short must not look whole: the stream is reset.
Task<void> Http2Answer::write_stream(HttpAnswer& answer) {
  const std::optional<std::uint64_t> length = said_length(answer.reply->head);
  std::uint64_t sent = 0;
  Buffer piece = Buffer::copy_of(answer.reply->head.payload());
  while (true) {
    sent += piece.size();
    if (length && sent > *length) break;
    auto writing = stream_.write(std::move(piece), loop_.deadline_in(patience_));
    const auto written = co_await std::move(writing);
    if (!written) break;
    auto reading = answer.reply->rest.next(Deadline::never());  // ends with link or client
    Result<std::optional<Buffer>> next = co_await std::move(reading);
    if (!next) break;
    if (!*next) {
      if (length && sent != *length) break;
      stream_.finish();
      co_return;
    }
    piece = **std::move(next);
  }
  stream_.reset(NGHTTP2_INTERNAL_ERROR);
}

}  // namespace caisson::gateway

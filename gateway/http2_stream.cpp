#include "gateway/http2_stream.hpp"

#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "gateway/http2_session.hpp"

namespace caisson::gateway {

namespace {

/// A writer goes on while less than this waits for the peer.
constexpr std::size_t kHighWater = 64 * 1024;
/// What a pair counts beside its bytes (RFC 9113 section 10.5.1).
constexpr std::size_t kPairCost = 32;
/// What most heads take, and what a stream may take along when it becomes another.
constexpr std::size_t kUsualHead = 512;
constexpr std::size_t kUsualPairs = 16;
constexpr std::size_t kMostKept = 4096;

std::uint8_t* bytes_of(std::string_view text) {
  return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
}

Error stream_closed() { return {Errc::kCancelled, "the stream was reset, or its connection ended"}; }

}  // namespace

void Http2Fields::add(std::string_view name, std::string_view value) {
  if (spans_.empty()) {
    bytes_.reserve(kUsualHead);
    spans_.reserve(kUsualPairs);
  }
  spans_.push_back({static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(name.size()),
                    static_cast<std::uint32_t>(value.size())});
  bytes_ += name;
  bytes_ += value;
}

Field Http2Fields::operator[](std::size_t index) const {
  const Span& span = spans_[index];
  const std::string_view bytes(bytes_);
  return {bytes.substr(span.at, span.name), bytes.substr(span.at + span.name, span.value)};
}

void Http2Fields::clear() {
  bytes_.clear();
  spans_.clear();
}

std::string_view Http2Fields::get(std::string_view name) const {
  for (std::size_t i = 0; i < size(); ++i) {
    const Field field = (*this)[i];
    if (field.name == name) return field.value;
  }
  return {};
}

Http2Stream::Http2Stream(Http2Session& session, std::int32_t id) : session_(&session), id_(id) {
  progress_ = session.loop_.now();
  end_.reserve(2);
}

void Http2Stream::renew(Http2Session& session, std::int32_t id) {
  session_ = &session;
  id_ = id;
  code_ = 0;
  served_by = 0;
  head_.clear();
  trailers_.clear();
  field_bytes_ = 0;
  begun_ = head_too_large_ = ended_ = false;
  arrived_.clear();
  output_.clear();
  output_at_ = piece_at_ = waiting_ = 0;
  end_.clear();
  finished_ = deferred_ = false;
  progress_ = session.loop_.now();
}

bool Http2Stream::worth_keeping() const {
  return head_.capacity() + trailers_.capacity() + arrived_.capacity() <= kMostKept &&
         output_.capacity() <= kUsualPairs;
}

// --- what arrives ---

/// False: this head is so far over the limit that its connection should end.
bool Http2Stream::add_field(std::string_view name, std::string_view value, std::size_t limit) {
  field_bytes_ += name.size() + value.size() + kPairCost;
  if (field_bytes_ > limit) {
    head_too_large_ = true;
    return field_bytes_ <= 8 * limit;
  }
  (begun_ ? trailers_ : head_).add(name, value);
  return true;
}

void Http2Stream::on_head() {
  begun_ = true;
  field_bytes_ = 0;
  arrival_.wake_all();
}

void Http2Stream::on_data(std::string_view bytes) {
  arrived_ += bytes;
  arrival_.wake_all();
}

void Http2Stream::on_ended() {
  ended_ = true;
  arrival_.wake_all();
}

bool Http2Stream::refused() const { return closed() && code_ == NGHTTP2_REFUSED_STREAM; }

void Http2Stream::on_closed(std::uint32_t code) {
  session_ = nullptr;
  code_ = code;
  output_.clear();
  waiting_ = 0;
  arrival_.wake_all();
  drained_.wake_all();
}

std::string Http2Stream::take() {
  std::string taken = std::move(arrived_);
  arrived_.clear();
  if (session_ != nullptr && !ended_ && !taken.empty()) {
    nghttp2_session_consume_stream(session_->session_, id_, taken.size());
    session_->handler_.on_output();
  }
  return taken;
}

Task<Result<void>> Http2Stream::more(Deadline deadline) {
  EventLoop* const loop = session_ == nullptr ? nullptr : &session_->loop_;
  while (arrived_.empty() && !ended_) {
    if (closed()) co_return stream_closed();
    const Wake wake = co_await arrival_.wait(*loop, deadline);
    if (wake == Wake::kDeadline && arrived_.empty() && !ended_) {
      co_return Error{Errc::kDeadlineExceeded, "nothing more arrived in time"};
    }
  }
  co_return ok();
}

Task<Result<void>> Http2Stream::head_arrived(Deadline deadline) {
  EventLoop* const loop = session_ == nullptr ? nullptr : &session_->loop_;
  while (!begun_) {
    if (closed()) co_return stream_closed();
    const Wake wake = co_await arrival_.wait(*loop, deadline);
    if (wake == Wake::kDeadline && !begun_) {
      co_return Error{Errc::kDeadlineExceeded, "no answer came in time"};
    }
  }
  co_return ok();
}

// --- what is sent ---

namespace {

/// What is different in every message would only push the rest out of the peer's table.
bool is_never_the_same(std::string_view name) { return name == "grpc-trace-bin" || name == "traceparent"; }

/// Valid until the next call: nghttp2 copies what it is given.
template <class List>
std::span<const nghttp2_nv> pairs_of(const List& fields) {
  thread_local std::vector<nghttp2_nv> pairs;
  pairs.clear();
  for (const auto& field : fields) {
    const std::uint8_t flags = is_never_the_same(field.name) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
    pairs.push_back({bytes_of(field.name), bytes_of(field.value), field.name.size(), field.value.size(), flags});
  }
  return pairs;
}

}  // namespace

void Http2Stream::send_head(std::span<const Field> fields, bool last) {
  if (closed()) return;
  const std::span<const nghttp2_nv> pairs = pairs_of(fields);
  nghttp2_data_provider body{};
  body.source.ptr = this;
  body.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t most, std::uint32_t* flags,
                          nghttp2_data_source* source,
                          void*) -> ssize_t { return static_cast<Http2Stream*>(source->ptr)->offer(most, *flags); };
  finished_ = last;
  progress_ = session_->loop_.now();
  nghttp2_submit_response(session_->session_, id_, pairs.data(), pairs.size(), last ? nullptr : &body);
  session_->handler_.on_output();
}

void Http2Stream::send(Buffer piece) {
  if (closed() || piece.empty()) return;
  if (waiting_ == 0) progress_ = session_->loop_.now();
  waiting_ += piece.size();
  output_.push_back(std::move(piece));
  if (std::exchange(deferred_, false)) nghttp2_session_resume_data(session_->session_, id_);
  session_->handler_.on_output();
}

Task<Result<void>> Http2Stream::write(Buffer piece, Deadline deadline) {
  send(std::move(piece));
  while (!closed() && waiting_ >= kHighWater) {
    const Wake wake = co_await drained_.wait(session_->loop_, deadline);
    if (wake == Wake::kDeadline && waiting_ >= kHighWater) {
      co_return Error{Errc::kDeadlineExceeded, "the peer took nothing in time"};
    }
  }
  if (closed()) co_return stream_closed();
  co_return ok();
}

void Http2Stream::finish(std::span<const Field> trailers) {
  if (closed() || finished_) return;
  finished_ = true;
  for (const Field& field : trailers) end_.push_back({std::string(field.name), std::string(field.value)});
  if (std::exchange(deferred_, false)) nghttp2_session_resume_data(session_->session_, id_);
  session_->handler_.on_output();
}

void Http2Stream::reset(std::uint32_t code) {
  if (closed()) return;
  output_.clear();
  output_at_ = piece_at_ = waiting_ = 0;
  drained_.wake_all();
  nghttp2_submit_rst_stream(session_->session_, NGHTTP2_FLAG_NONE, id_, code);
  session_->handler_.on_output();
}

/// How much of the body may go now; nghttp2 then asks for it with give().
std::ptrdiff_t Http2Stream::offer(std::size_t most, std::uint32_t& flags) {
  if (waiting_ == 0 && !finished_) {
    deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  const std::size_t size = std::min(most, waiting_);
  if (size != 0) flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (finished_ && size == waiting_) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!end_.empty()) {
      flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const std::span<const nghttp2_nv> pairs = pairs_of(end_);
      nghttp2_submit_trailer(session_->session_, id_, pairs.data(), pairs.size());
    }
  }
  return static_cast<std::ptrdiff_t>(size);
}

void Http2Stream::give(std::string& out, std::size_t size) {
  waiting_ -= size;
  progress_ = session_->loop_.now();
  while (size != 0) {
    Buffer& piece = output_[output_at_];
    const std::string_view some = piece.view().substr(piece_at_, size);
    out += some;
    size -= some.size();
    piece_at_ += some.size();
    if (piece_at_ != piece.size()) break;
    piece = Buffer();  // its memory goes back at once
    piece_at_ = 0;
    ++output_at_;
  }
  if (output_at_ == output_.size()) {
    output_.clear();
    output_at_ = 0;
  } else if (output_at_ >= 64) {
    output_.erase(output_.begin(), output_.begin() + static_cast<std::ptrdiff_t>(output_at_));
    output_at_ = 0;
  }
  if (waiting_ < kHighWater) drained_.wake_all();
}

}  // namespace caisson::gateway

#include "sdk/redis/connection.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/scratch_buffer.hpp"

namespace caisson::redis {

namespace {

/// Bytes that wait for room in the socket: what is beyond stays with the client, where it counts as
/// not sent.
constexpr std::size_t kMostOutput = 1U << 20;
constexpr std::size_t kMostSent = 65536;
constexpr std::size_t kReadBuffer = 64U << 10;
/// Reads between two turns of the loop: others are served in between.
constexpr int kReadsPerTurn = 16;

/// Shared by all connections of a thread: each read is parsed before the next.
std::span<char> read_buffer() {
  thread_local ScratchBuffer<kReadBuffer> buffer;
  return buffer;
}

bool is_pushed(const Reply& reply) {
  if (reply.kind != ReplyKind::kArray || reply.items.empty()) return false;
  const std::string& kind = reply.items.front().text;
  return kind == "message" || kind == "pmessage";
}

}  // namespace

Connection::Connection(EventLoop& loop, std::unique_ptr<net::TcpStream> stream, Options options)
    : loop_(loop),
      stream_(std::move(stream)),
      options_(std::move(options)),
      last_heard_(loop.now()),
      silence_(loop, [this] { look_at_silence(); }),
      read_on_(loop, [this] { read(/*until_empty=*/true); }) {
  stream_->keep_alive();
  stream_->on_event([this](std::uint32_t events) { event(events); });
  read_on_.start(Deadline::at(loop.now()));  // what came during the TLS handshake rings no bell again
  watch_silence();
}

Connection::~Connection() {
  const Error error{Errc::kUnknown, "the connection was closed before the reply"};
  fail_sent(error);
  for (Request* request : unwritten_) {
    if (request != nullptr) request->fail(error);
  }
}

bool Connection::has_room() const {
  return !broken_ && output_.size() - output_written_ < kMostOutput && sent_.size() < kMostSent;
}

void Connection::send(Request& request) {
  const std::size_t before = output_.size();
  for (const Command& command : request.commands_) command.encode(output_);
  const std::uint64_t begin = taken_;
  taken_ += output_.size() - before;
  request.connection_ = this;
  request.number_ = first_number_ + sent_.size();
  sent_.push_back({&request, request.commands_.size(), begin, taken_, loop_.now(), request.blocks_for_});
  if (sent_.size() == 1) watch_silence();
}

void Connection::flush() {
  while (!broken_ && output_written_ < output_.size()) {
    auto written = stream_->write_some({std::string_view(output_).substr(output_written_), "", ""});
    if (!written) return fail(std::move(written).error());
    if (*written == 0) return drop_written();
    output_written_ += *written;
    written_ += *written;
    if (!sent_.empty() && sent_.front().end > written_ - *written) last_written_ = loop_.now();
  }
  output_.clear();
  output_written_ = 0;
  if (output_.capacity() > kMostOutput) output_.shrink_to_fit();
}

/// Moves no byte more than about once.
void Connection::drop_written() {
  if (output_written_ < output_.size() / 2) return;
  output_.erase(0, output_written_);
  output_written_ = 0;
}

Task<Result<Reply>> Connection::ask(Command command, Deadline deadline) {
  Reply reply;
  Request request(std::span(&command, 1), std::span(&reply, 1));
  if (broken_) co_return *broken_;
  send(request);
  flush();
  while (!request.done()) {
    const Wake wake = co_await request.wait(loop_, deadline);
    if (wake == Wake::kDeadline && !request.done()) co_return Error{Errc::kUnavailable, "no answer"};
  }
  if (request.failure()) co_return broken_.value_or(*request.failure());
  co_return reply;
}

void Connection::forget(Request& request) {
  if (broken_) {
    std::ranges::replace(unwritten_, &request, nullptr);
  } else {
    sent_[request.number_ - first_number_].request = nullptr;
  }
}

void Connection::event(std::uint32_t events) {
  if (broken_) return;
  flush();
  // Another edge follows every byte that comes after a short read, but none follows an end that is
  // here already.
  read(stream_->encrypted() || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
}

void Connection::read(bool until_empty) {
  for (int i = 0; !broken_; ++i) {
    if (i == kReadsPerTurn) return read_on_.start(Deadline::at(loop_.now()));
    const std::span<char> buffer = read_buffer();
    auto got = stream_->read_some(buffer);
    if (!got) return fail(std::move(got).error());
    if (!*got) return;
    if (**got == 0) return fail({Errc::kUnavailable, "the server closed the connection"});
    last_heard_ = loop_.now();
    replies_.feed({buffer.data(), **got});
    if (!take_replies()) return;
    if (**got < buffer.size() && !until_empty) return;
  }
}

bool Connection::take_replies() {
  while (true) {
    auto reply = replies_.next();
    if (!reply) {
      fail(std::move(reply).error());
      return false;
    }
    if (!*reply) return true;
    answer(**std::move(reply));
    if (broken_) return false;
  }
}

void Connection::answer(Reply reply) {
  if (options_.pushed && (is_pushed(reply) || sent_.empty())) return options_.pushed(std::move(reply));
  if (sent_.empty()) {
    return fail({Errc::kUnavailable, reply.is_error() ? reply.text : "the server answers what it was not asked"});
  }
  Sent& oldest = sent_.front();
  if (oldest.request != nullptr) oldest.request->take(std::move(reply));
  if (--oldest.replies_left > 0) return;
  sent_.pop_front();
  ++first_number_;
  watch_silence();
  options_.changed();
}

/// What was written, if only in part, may have been executed; what was not may be sent again.
void Connection::fail(Error error) {
  if (broken_) return;
  silence_.cancel();
  read_on_.cancel();
  while (!sent_.empty() && sent_.back().begin >= written_) {
    unwritten_.push_front(sent_.back().request);
    sent_.pop_back();
  }
  fail_sent({Errc::kUnknown, fmt::format("sent, but not answered: {}", error.message)});
  broken_.emplace(std::move(error));
  options_.changed();
}

void Connection::fail_sent(const Error& error) {
  for (const Sent& sent : sent_) {
    if (sent.request != nullptr) sent.request->fail(error);
  }
  sent_.clear();
}

void Connection::give_back(RequestQueue& queue) {
  while (!unwritten_.empty()) {
    Request* const request = unwritten_.back();
    unwritten_.pop_back();
    if (request == nullptr) continue;
    request->connection_ = nullptr;
    queue.push_front(*request);
  }
}

// --- is anybody there? ---

Nanos Connection::silence_limit() const {
  if (sent_.empty()) return last_heard_ + options_.ping_after;
  const Sent& oldest = sent_.front();
  return std::max({oldest.since, last_heard_, last_written_}) + options_.read_timeout + oldest.blocks_for;
}

/// The timer is moved only to an earlier moment: when it rings too early, it is set again.
void Connection::watch_silence() {
  const Nanos limit = silence_limit();
  if (silence_.started() && watching_until_ <= limit) return;
  watching_until_ = limit;
  silence_.start(Deadline::at(limit));
}

void Connection::look_at_silence() {
  if (loop_.now() >= silence_limit()) {
    if (!sent_.empty()) {
      const auto waited =
          std::chrono::duration_cast<std::chrono::milliseconds>(options_.read_timeout + sent_.front().blocks_for);
      return fail({Errc::kUnavailable, fmt::format("the server has not answered for {} ms", waited.count())});
    }
    ping();
  }
  watch_silence();
}

void Connection::ping() {
  const std::size_t before = output_.size();
  Command{"PING"}.encode(output_);
  const std::uint64_t begin = taken_;
  taken_ += output_.size() - before;
  sent_.push_back({nullptr, 1, begin, taken_, loop_.now(), {}});
  flush();
}

}  // namespace caisson::redis

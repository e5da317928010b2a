#include "bus/link.hpp"

#include <algorithm>
#include <random>
#include <utility>

#include "bus/exchange.hpp"

namespace caisson {

namespace {

/// No honest peer gives more; keeps the sum from overflowing.
constexpr std::int64_t kMostCredit = std::int64_t{1} << 40;

/// The peer numbers what it begins; it does not learn where that puts it in a table.
std::uint64_t unknown_to_the_peer() {
  std::random_device source;
  return std::uint64_t{source()} << 32 | source();
}

}  // namespace

Link::Link(EventLoop& loop, std::unique_ptr<Lane> lane, Side side, Options options, Handlers handlers)
    : loop_(loop),
      side_(side),
      options_(options),
      handlers_(std::move(handlers)),
      served_(unknown_to_the_peer()),
      heartbeat_(loop, [this] { beat(); }),
      lane_(std::move(lane)),
      scope_(loop) {}

Link::~Link() {
  *alive_ = false;
  lane_down_ = true;
  for (Table* table : {&asked_, &served_}) table->take_all([](Exchange& exchange) { exchange.fail(link_down()); });
  room_.wake_all();
}

void Link::start(std::string_view name, std::string hello) {
  last_in_ = last_out_ = loop_.clock().now();
  heartbeat_.start_after(options_.heartbeat);
  hello_.emplace(Hello{std::string(name), Buffer(std::move(hello))});
  started_ = true;
  lane_->start(*this);
  pay_owed();  // a lane that is not connected yet has no room; on_writable() follows
}

void Link::close(Error reason) {
  if (lane_down_ || std::exchange(closing_, true)) return;
  loop_.post([this, alive = alive_, reason = std::move(reason)] {
    if (*alive) on_down(reason);
  });
}

void Link::violation(const std::string& what) { close({Errc::kDataLoss, "the peer broke the protocol: " + what}); }

void Link::on_down(Error reason) {
  if (std::exchange(lane_down_, true)) return;
  heartbeat_.cancel();
  owed_.clear();
  hello_.reset();
  const Error unavailable{Errc::kUnavailable, reason.message};
  for (Table* table : {&asked_, &served_}) table->take_all([&](Exchange& exchange) { exchange.fail(unavailable); });
  scope_.cancel_all();
  room_.wake_all();
  loop_.post([this, alive = alive_, reason = std::move(reason)] {
    if (!*alive || !handlers_.down) return;
    const auto handler = std::move(handlers_.down);  // outlives a link that it destroys
    handler(reason);
  });
}

void Link::on_writable() {
  pay_owed();
  room_.wake_all();
}

void Link::beat() {
  const Nanos now = loop_.now();
  if (now - last_in_ >= options_.silence_limit) {
    close({Errc::kUnavailable, "the peer has been silent too long"});
    return;
  }
  if (now - last_out_ >= options_.heartbeat) {
    Envelope ping;
    ping.kind = wire::Kind::Ping;
    Buffer nothing;
    [[maybe_unused]] const auto sent = publish(ping, nothing);  // a full lane is no news
  }
  // A waiter that was woken and then destroyed took the wake with it.
  if (has_room()) room_.wake_all();
  heartbeat_.start_after(options_.heartbeat);
}

// --- what comes in ---

void Link::on_frame(Frame frame) {
  if (down()) return;
  const wire::Kind kind = frame->kind();
  if (!ready_ && kind == wire::Kind::Ping) return;  // some lanes probe a new peer; no sign of HELLO
  last_in_ = loop_.now();
  if (!ready_ && kind != wire::Kind::Hello) return violation("a frame before HELLO");
  switch (kind) {
    case wire::Kind::Hello:
      return on_hello(std::move(frame));
    case wire::Kind::Request:
    case wire::Kind::Call:
      return on_request(std::move(frame));
    case wire::Kind::Reply:
      return on_reply(std::move(frame));
    case wire::Kind::StreamData:
    case wire::Kind::StreamEnd:
    case wire::Kind::Credit:
      return on_stream(std::move(frame));
    case wire::Kind::Cancel:
      return on_cancel(frame.envelope());
    case wire::Kind::App:
    case wire::Kind::Config:
    case wire::Kind::Status:
    case wire::Kind::Goodbye:
      if (handlers_.control) handlers_.control(std::move(frame));
      return;
    case wire::Kind::Ping:
      return;
    case wire::Kind::None:
      break;
  }
  // A newer peer may know kinds that this version does not; they carry nothing it relies on.
  if (peer_version_ > options_.schema_version) {
    ++unknown_kinds_;
    return;
  }
  violation("a frame of no known kind");
}

void Link::on_hello(Frame frame) {
  if (ready_) return violation("a second HELLO");
  const int distance = static_cast<int>(frame->version()) - options_.schema_version;
  if (distance < -1 || distance > 1) {
    close({Errc::kFailedPrecondition, "the peer speaks schema version " + std::to_string(frame->version()) +
                                          ", this side " + std::to_string(options_.schema_version)});
    return;
  }
  ready_ = true;
  peer_version_ = frame->version();
  if (handlers_.control) handlers_.control(std::move(frame));
  room_.wake_all();
}

void Link::on_request(Frame frame) {
  const bool expected = frame->kind() == (side_ == Side::kGateway ? wire::Kind::Call : wire::Kind::Request);
  if (!expected) return violation("a request in the wrong direction");
  const std::uint64_t id = frame->id();
  if (served_.find(id) != nullptr) return violation("a request id used twice");

  const ExchangeRef exchange(new Exchange(this, id, false));
  served_.insert(*exchange);
  exchange->in_ended = !frame.streamed();
  const Deadline deadline = deadline_of(frame.envelope());
  exchange->deadline = deadline;
  if (served_.size() > options_.max_served) {
    return refuse(*exchange, {Errc::kResourceExhausted, "too many requests in flight"});
  }
  if (deadline.passed(loop_.now())) {
    return refuse(*exchange, {Errc::kDeadlineExceeded, "arrived after its deadline"});
  }
  if (frame->hops() > kMaxHops) {
    return refuse(*exchange, {Errc::kInvalidArgument, "a call was passed on too often"});
  }
  if (!handlers_.serve) {
    return refuse(*exchange, {Errc::kUnimplemented, "nothing is served in this direction"});
  }
  const TaskScope::Id task = scope_.spawn(handlers_.serve(Incoming(std::move(frame), exchange, deadline)));
  exchange->task = task;
}

/// Answers without running a handler.
void Link::refuse(Exchange& exchange, Error error) {
  exchange.replied = true;
  owe({wire::Kind::Reply, 0, exchange.id(), 0, std::move(error)});
}

void Link::on_reply(Frame frame) {
  Exchange* const found = asked_.find(frame->id());
  if (found == nullptr) return;  // cancelled meanwhile
  Exchange& exchange = *found;
  if (exchange.replied) return violation("a second reply");
  exchange.replied = true;
  exchange.in_ended = !frame.streamed();
  const Errc error = errc_from_wire(frame->error());
  if (error != Errc::kOk) {
    exchange.reply_error = Error{error, std::string(text(frame->message()))};
  } else {
    exchange.reply.emplace(std::move(frame));
  }
  exchange.reply_arrived.wake_all();
  if (exchange.in_ended) answer_complete(exchange);
}

/// Nobody reads the rest of a request that is answered: its writer stops, and a server that reads
/// on all the same is told that no more comes.
void Link::answer_complete(Exchange& exchange) {
  if (std::exchange(exchange.out_ended, true)) return;
  exchange.out_changed.wake_all();
  room_.wake_all();  // the writer may be waiting for the lane instead
  owe({wire::Kind::StreamEnd,
       exchange.stream_flags(),
       exchange.id(),
       0,
       {Errc::kCancelled, "the answer came before the end of the request"}});
}

void Link::on_stream(Frame frame) {
  const bool of_call = (frame->flags() & kOfCall) != 0;
  const bool from_asker = (frame->flags() & kFromAsker) != 0;
  const bool begun_here = of_call == (side_ == Side::kCapability);
  if (begun_here == from_asker) return violation("a stream frame in the wrong direction");
  const Table& table = begun_here ? asked_ : served_;
  Exchange* const found = table.find(frame->id());
  if (found == nullptr) return;  // over on this side; the writer will learn of it
  Exchange& exchange = *found;

  switch (frame->kind()) {
    case wire::Kind::Credit:
      exchange.out_credit = std::min(exchange.out_credit + frame->credit(), kMostCredit);
      exchange.out_changed.wake_all();
      return;
    case wire::Kind::StreamData:
      if (exchange.in_ended) return violation("data after the end of a body");
      // One piece may overdraw: the writer sends whenever it has any credit left.
      if (exchange.in_budget <= 0) return violation("data without credit");
      exchange.in_budget -= cost_of(frame.payload().size());
      exchange.pieces.push_back(std::move(frame).into_payload());
      break;
    default: {
      if (std::exchange(exchange.in_ended, true)) return violation("a second end of a body");
      const Errc error = errc_from_wire(frame->error());
      if (error != Errc::kOk) exchange.in_error = Error{error, std::string(text(frame->message()))};
      exchange.in_end.status = frame->status();
      exchange.in_end.message = text(frame->message());
      for (const Field field : Fields(frame->trailers()))
        exchange.in_end.trailers.emplace_back(field.name, field.value);
      if (begun_here) answer_complete(exchange);
    }
  }
  exchange.in_changed.wake_all();
}

void Link::on_cancel(const wire::Envelope& envelope) {
  Exchange* const found = served_.find(envelope.id());
  if (found == nullptr) return;
  Exchange& exchange = *found;
  exchange.cancelled = true;
  // Handles of the body may live elsewhere than in the task.
  exchange.out_ended = true;
  if (!std::exchange(exchange.in_ended, true)) {
    exchange.in_error = Error{Errc::kCancelled, "the asker no longer waits"};
  }
  exchange.in_changed.wake_all();
  exchange.out_changed.wake_all();
  room_.wake_all();
  if (exchange.task != 0) scope_.cancel(exchange.task);
}

// --- what goes out ---

Result<ExchangeRef> Link::begin(Envelope& request, Buffer& body, Deadline deadline) {
  if (down()) return link_down();
  if (!ready_) return Error{Errc::kUnavailable, "the peer has not said HELLO yet"};
  if (asked_.size() >= options_.max_asked) {
    return Error{Errc::kResourceExhausted, "too many requests in flight"};
  }
  if (request.hops > kMaxHops) return Error{Errc::kInvalidArgument, "a call was passed on too often"};
  request.kind = side_ == Side::kGateway ? wire::Kind::Request : wire::Kind::Call;
  request.id = next_id_++;
  set_deadline(request, deadline);
  TRY(publish(request, body));
  ExchangeRef exchange(new Exchange(this, request.id, true));
  exchange->deadline = deadline;
  exchange->out_ended = (request.flags & kStreamed) == 0;
  asked_.insert(*exchange);
  return exchange;
}

Task<Result<Reply>> Link::call(Envelope request, Buffer& body, Deadline deadline) {
  CO_ASSIGN(OpenCall call, ask(request, body, deadline));
  co_return co_await call.reply(deadline);
}

Result<OpenCall> Link::ask(Envelope request, Buffer& body, Deadline deadline) {
  request.flags &= static_cast<std::uint16_t>(~kStreamed);
  ASSIGN(auto exchange, begin(request, body, deadline));
  return OpenCall{BodyWriter(), std::move(exchange)};
}

Result<OpenCall> Link::open(Envelope request, Buffer& first, Deadline deadline) {
  request.flags |= kStreamed;
  ASSIGN(auto exchange, begin(request, first, deadline));
  return OpenCall{BodyWriter(exchange), exchange};
}

Result<void> Link::send(Envelope envelope, Buffer& payload) { return publish(envelope, payload); }

Task<Result<void>> Link::send_when_room(Envelope envelope, Buffer payload, Deadline deadline) {
  const std::shared_ptr<bool> alive = alive_;
  while (true) {
    if (!*alive) co_return link_down();
    Result<void> sent = publish(envelope, payload);
    if (!lane_is_full(sent)) co_return sent;
    const Wake why = co_await room_.wait(loop_, deadline);
    if (why == Wake::kDeadline) co_return sent;
  }
}

Result<void> Link::publish(Envelope& envelope, Buffer& payload) {
  if (down()) return link_down();
  if (!started_) return Error{Errc::kFailedPrecondition, "the link has not been started"};
  // What is owed was promised earlier and goes first, so that nothing overtakes it.
  if (!pay_owed()) return Error{Errc::kResourceExhausted, "the lane is full"};
  envelope.version = options_.schema_version;
  Result<void> sent = lane_->publish(envelope, payload);
  if (sent) last_out_ = loop_.now();
  return sent;
}

void Link::owe(Owed owed) {
  if (down()) return;
  // A few per exchange; a peer that makes us owe more asks without reading the answers.
  if (owed_.size() >= 4 * (options_.max_asked + options_.max_served)) {
    return violation("too many answers are waiting to be read");
  }
  if (owed.error.message.size() > kLongestMessage) owed.error.message.resize(kLongestMessage);
  owed_.push_back(std::move(owed));
  pay_owed();
}

bool Link::pay_owed() {
  if (down() || !say_hello()) return false;
  while (!owed_.empty()) {
    const Owed& next = owed_.front();
    Envelope out;
    out.version = options_.schema_version;
    out.kind = next.kind;
    out.flags = next.flags;
    out.id = next.id;
    out.credit = next.credit;
    out.error = next.error.code;
    out.message = next.error.code == Errc::kOk ? next.end.message : next.error.message;
    out.status = next.end.status;
    out.trailers = next.end.trailers;
    Buffer nothing;
    const Result<void> sent = lane_->publish(out, nothing);
    if (lane_is_full(sent)) return false;
    last_out_ = loop_.now();
    owed_.pop_front();
  }
  return true;
}

bool Link::say_hello() {
  if (!hello_) return true;
  Envelope envelope;
  envelope.version = options_.schema_version;
  envelope.kind = wire::Kind::Hello;
  envelope.target = hello_->name;
  const Result<void> sent = lane_->publish(envelope, hello_->payload);
  if (!sent) {
    if (sent.error().code != Errc::kResourceExhausted) close(sent.error());
    return false;
  }
  last_out_ = loop_.now();
  hello_.reset();
  return true;
}

void Link::set_deadline(Envelope& envelope, Deadline deadline) const {
  if (deadline.is_never()) return;
  if (options_.same_host) {
    // At least one, since zero means none.
    envelope.deadline_ns = static_cast<std::uint64_t>(std::max(deadline.moment(), Nanos(1)).count());
  } else {
    envelope.timeout_ns = static_cast<std::uint64_t>(deadline.left(loop_.clock().now()).count()) + 1;
  }
}

Deadline Link::deadline_of(const wire::Envelope& envelope) const {
  constexpr auto kLongest = static_cast<std::uint64_t>(Nanos::max().count());
  if (envelope.deadline_ns() != 0 && options_.same_host) {
    return Deadline::at(Nanos(std::min(envelope.deadline_ns(), kLongest)));
  }
  if (envelope.timeout_ns() != 0) {
    return Deadline::after(loop_.clock(), Nanos(std::min(envelope.timeout_ns(), kLongest)));
  }
  return Deadline::never();
}

/// The last handle of an exchange is gone: tells the peer what it still waits for.
void Link::forget(Exchange& exchange) {
  const std::uint64_t id = exchange.id();
  if (exchange.asked) {
    asked_.erase(exchange);
    const bool over = exchange.replied && exchange.in_ended;
    if (!over) owe({wire::Kind::Cancel, 0, id, 0, {Errc::kOk, {}}});
    room_.wake_one();
    return;
  }
  served_.erase(exchange);
  if (exchange.cancelled) return;
  if (exchange.replied) return;
  if (exchange.deadline.passed(loop_.now())) {
    owe({wire::Kind::Reply, 0, id, 0, {Errc::kDeadlineExceeded, "not answered before its deadline"}});
  } else {
    owe({wire::Kind::Reply, 0, id, 0, {Errc::kInternal, "the request was dropped without an answer"}});
  }
}

}  // namespace caisson

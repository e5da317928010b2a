#include "sdk/process.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <random>

#include "bus/json_writer.hpp"
#include "bus/network_namespace.hpp"
#include "bus/sealed_memory.hpp"
#include "sdk/status.hpp"

namespace caisson::sdk {

namespace {

constexpr Nanos kFirstReconnect = std::chrono::milliseconds(5);
constexpr Nanos kLongestReconnect = std::chrono::milliseconds(500);

std::string random_id() {
  std::random_device source;
  return fmt::format("{:08x}{:08x}", source(), source());
}

/// The processes of one capability share its folder, but not their configuration.
std::string snapshot_path(const Process::Options& options) {
  if (options.data_dir.empty()) return {};
  std::string part = options.compartment.empty() ? std::string() : "." + options.compartment;
  if (!options.number.is_first()) part += fmt::format("-{}", options.number.number);
  return fmt::format("{}/generation{}.snapshot", options.data_dir, part);
}

std::uint64_t number_of(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

Process::Process(EventLoop& loop, Options options, const MakeCapability& make)
    : loop_(loop),
      options_(std::move(options)),
      incarnation_(random_id()),
      replica_(snapshot_path(options_)),
      definition_(options_.name),
      capability_(make(*this)),
      scope_(loop) {
  capability_->define(definition_);
}

Process::~Process() {
  *alive_ = false;
  // Requests that are still served use the capability: they go first.
  for (Gateway& gateway : gateways_) gateway.link.reset();
}

Result<void> Process::start() {
  if (!options_.counters_path.empty()) TRY(counters_.open(options_.counters_path));
  requests_served_ = counters_.counter("requests_total");
  requests_refused_ = counters_.counter("requests_refused_total");
  links_lost_ = counters_.counter("links_lost_total");
  counters_.gauge("start_time_seconds").set(static_cast<std::uint64_t>(::time(nullptr)));
  capability_->start();
  if (definition_.manifest().takes_config && replica_.load()) {
    log(LogLevel::kInfo, fmt::format("configuration {}.{} from disk is in force", replica_.current()->term,
                                     replica_.current()->sequence));
    capability_->configure(replica_.current());
  }
  return ok();
}

void Process::connect(std::string address, Connect connect) {
  Gateway& gateway = gateways_.emplace_back();
  gateway.same_host = !address.starts_with("tcp://");
  gateway.address = std::move(address);
  scope_.spawn(stay_linked(gateway, std::move(connect)));
}

void Process::adopt(std::unique_ptr<Lane> lane) {
  Gateway& gateway = gateways_.emplace_back();
  gateway.address = "inproc";
  open_link(gateway, std::move(lane));
  scope_.spawn(stay_adopted(gateway));
}

bool Process::linked() const {
  return std::ranges::any_of(gateways_, [](const Gateway& g) { return g.link != nullptr && g.link->ready(); });
}

// --- links ---

Task<void> Process::stay_linked(Gateway& gateway, Connect connect) {
  Nanos pause = kFirstReconnect;
  while (true) {
    auto lane = connect(gateway.address);
    if (lane) {
      open_link(gateway, *std::move(lane));
      if (co_await until_lost(gateway)) pause = kFirstReconnect;
    } else {
      link_log_.log(LogLevel::kWarning, fmt::format("{}: {}", gateway.address, lane.error().message));
    }
    co_await loop_.sleep_until(loop_.deadline_in(pause));
    pause = std::min(pause * 2, kLongestReconnect);
  }
}

/// Waits for the link's end and clears up after it; true when it had been ready.
Task<bool> Process::until_lost(Gateway& gateway) {
  while (!gateway.lost) co_await gateway.changed.wait(loop_, Deadline::never());
  const bool was_ready = gateway.link->ready();
  gateway.link.reset();
  const auto apps = std::exchange(gateway.apps, {});
  for (const auto& [app, known] : apps) show_app(app);
  co_return was_ready;
}

Task<void> Process::stay_adopted(Gateway& gateway) { co_await until_lost(gateway); }

void Process::open_link(Gateway& gateway, std::unique_ptr<Lane> lane) {
  gateway.lost = false;
  gateway.released = false;
  Link::Options options;
  options.same_host = gateway.same_host;
  options.max_served = std::max<std::size_t>(definition_.manifest().max_in_flight * 2, 1024);
  Link::Handlers handlers;
  handlers.serve = [this, &gateway](Incoming incoming) { return serve(gateway, std::move(incoming)); };
  handlers.control = [this, &gateway](Frame frame) { on_control(gateway, std::move(frame)); };
  handlers.down = [this, &gateway](const Error& reason) {
    if (gateway.link->ready()) links_lost_.add();
    link_log_.log(LogLevel::kInfo, fmt::format("link to {} ended: {}", gateway.address, reason.message));
    gateway.lost = true;
    gateway.changed.wake_all();
  };
  gateway.link = std::make_unique<Link>(loop_, std::move(lane), Side::kCapability, options, std::move(handlers));
  gateway.link->start(options_.name, hello());
}

Process::Gateway* Process::gateway_of(std::string_view app) {
  Gateway* first = nullptr;
  for (Gateway& gateway : gateways_) {
    if (gateway.link == nullptr || !gateway.link->ready()) continue;
    if (app.empty()) return &gateway;
    const auto known = gateway.apps.find(app);
    if (known == gateway.apps.end()) continue;
    if (known->second.found) return &gateway;
    if (first == nullptr) first = &gateway;
  }
  return first;
}

std::string Process::hello() const {
  JsonWriter json;
  json.begin_object();
  json.key("capability").value(options_.name).key("instance").value(options_.instance);
  json.key("incarnation").value(incarnation_).key("version").value(CAISSON_VERSION);
  json.key("pid").value(static_cast<std::int64_t>(::getpid()));
  json.key("counters").value(options_.counters_path);
  if (!options_.number.is_first()) json.key("number").value(options_.number.number);
  json.end_object();
  return json.take();
}

// --- what comes in ---

Task<void> Process::serve(Gateway& gateway, Incoming incoming) {
  const Frame& head = incoming.head();
  const std::string_view app = text(head->app());
  const std::string_view target = text(head->target());
  // A link stands for the apps of its gateway and for no other.
  const bool foreign = target.empty() ? !gateway.apps.contains(app) : !app.empty() && !gateway.apps.contains(app);
  if (foreign) {
    Error error{Errc::kPermissionDenied, fmt::format("this link does not serve app '{}'", app)};
    return refuse(std::move(incoming), std::move(error));
  }
  const StreamHandler* const handler = definition_.find(head->route(), target);
  if (handler == nullptr) {
    Error error{Errc::kUnimplemented, fmt::format("'{}' has no route {}{}", options_.name, head->route(), target)};
    return refuse(std::move(incoming), std::move(error));
  }
  requests_served_.add();
  return (*handler)(Request(std::move(incoming)));
}

Task<void> Process::refuse(Incoming incoming, Error error) {
  requests_refused_.add();
  auto replying = incoming.reply_error(std::move(error));
  [[maybe_unused]] const auto sent = co_await std::move(replying);
}

void Process::on_control(Gateway& gateway, Frame frame) {
  switch (frame->kind()) {
    case wire::Kind::Hello:
      return on_hello(gateway);
    case wire::Kind::App:
      return on_app(gateway, frame);
    case wire::Kind::Config:
      return frame.headers().has("answer") ? on_config_answer(frame) : on_config(gateway, frame);
    case wire::Kind::Goodbye:
      gateway.released = true;
      gateway.changed.wake_all();
      return;
    default:
      return;
  }
}

void Process::on_hello(Gateway& gateway) {
  gateway.changed.wake_all();
  status_changed();
  for (const auto& [audience, snapshot] : published_) {
    scope_.spawn(send_later(gateway, wire::Kind::Config, audience, another(snapshot)));
  }
  if (draining_) scope_.spawn(send_later(gateway, wire::Kind::Goodbye, {}, {}));
}

void Process::on_app(Gateway& gateway, const Frame& frame) {
  const std::string app(text(frame->app()));
  const std::string_view query = text(frame->target());
  const Fields headers = frame.headers();
  if (!query.empty()) {
    const auto known = gateway.apps.find(app);
    if (known == gateway.apps.end()) return;
    AppAnswer& answer = known->second.answers[std::string(query)];
    answer = {app, std::string(query), number_of(headers.get("incarnation")), frame->status(),
              std::string(frame.payload())};
    const Acting& acting = acting_[app];
    if (acting.gateway == &gateway) show_answer(acting, answer);
    return;
  }
  if (frame->status() == 404) {
    forget_app(gateway, app);
    return;
  }
  KnownApp& known = gateway.apps[app];
  AppState& state = known.state;
  const std::uint64_t incarnation = number_of(headers.get("incarnation"));
  if (incarnation != state.incarnation) known.answers.clear();
  state.id = app;
  state.reachable = headers.get("reachable") == "true";
  state.healthy = headers.get("healthy") == "true";
  state.incarnation = incarnation;
  state.protocol = headers.get("protocol");
  // An address on a loopback interface means something only where that interface is.
  const std::uint64_t network = number_of(headers.get("network"));
  const bool same_network = gateway.same_host && network != 0 && network == network_namespace();
  state.address = same_network ? headers.get("address") : std::string_view();
  known.found = known.found || state.healthy;
  Gateway* const acts = gateway_of(app);
  if (acts == &gateway || acting_[app].gateway != acts) show_app(app);
}

void Process::forget_app(Gateway& gateway, const std::string& app) {
  gateway.apps.erase(app);
  show_app(app);
}

/// Tells the capability what the gateway that acts for the app says; that it is gone when none does.
void Process::show_app(const std::string& app) {
  const Gateway* const gateway = gateway_of(app);
  if (gateway == nullptr) {
    acting_.erase(app);
    if (apps_.erase(app) != 0) capability_->app_gone(app);
    return;
  }
  const KnownApp& known = gateway->apps.find(app)->second;
  Acting& acting = acting_[app];
  AppState& shown = apps_[app];
  const bool takes_over = acting.gateway != nullptr && acting.gateway != gateway;
  if (takes_over) acting.offset = shown.incarnation == 0 ? 0 : shown.incarnation - known.state.incarnation;
  acting.gateway = gateway;
  shown = known.state;
  shown.incarnation += acting.offset;
  capability_->app_changed(shown);
  if (!takes_over) return;
  for (const auto& [query, answer] : known.answers) show_answer(acting, answer);
}

void Process::show_answer(const Acting& acting, AppAnswer answer) {
  answer.incarnation += acting.offset;
  capability_->app_answered(answer);
}

void Process::on_config(Gateway& gateway, const Frame& frame) {
  const Result<bool> accepted = replica_.accept(frame.payload());
  const auto current = replica_.current();
  const std::string audience(text(frame->target()));
  const std::string term = current ? std::to_string(current->term) : "0";
  const std::string sequence = current ? std::to_string(current->sequence) : "0";
  const Field headers[] = {{"term", term}, {"sequence", sequence}};
  Envelope answer;
  answer.kind = wire::Kind::Config;
  answer.target = audience;
  answer.headers = headers;
  answer.status = 200;
  if (!accepted) {
    answer.error = accepted.error().code;
    answer.message = accepted.error().message;
    link_log_.log(LogLevel::kError, fmt::format("configuration refused: {}", accepted.error().message));
  }
  send(gateway, answer, {});
  if (accepted && *accepted) {
    capability_->configure(current);
    status_changed();
  }
}

void Process::on_config_answer(const Frame& frame) {
  const Fields headers = frame.headers();
  const Errc code = errc_from_wire(frame->error());
  const Error refused{code, std::string(text(frame->message()))};
  capability_->config_answered(std::string(text(frame->target())), number_of(headers.get("term")),
                               number_of(headers.get("sequence")), code == Errc::kOk ? nullptr : &refused);
}

// --- what goes out ---

Task<Result<Reply>> Process::call(Envelope call, Buffer body, Deadline deadline) {
  const std::string app(call.app);
  while (true) {
    Gateway* const gateway = gateway_of(app);
    if (gateway == nullptr) {
      co_return Error{Errc::kUnavailable, app.empty() ? std::string("no gateway is linked")
                                                      : fmt::format("no gateway for app '{}' is linked", app)};
    }
    if (gateway->link->has_room()) co_return co_await gateway->link->call(call, body, deadline);
    const Wake wake = co_await gateway->link->room().wait(loop_, deadline);
    if (wake == Wake::kDeadline) {
      co_return Error{Errc::kDeadlineExceeded, "too many calls are under way"};
    }
  }
}

Result<OpenCall> Process::open_call(Envelope call, Buffer first, Deadline deadline) {
  Gateway* const gateway = gateway_of(call.app);
  if (gateway == nullptr) return Error{Errc::kUnavailable, "no gateway is linked"};
  return gateway->link->open(call, first, deadline);
}

void Process::publish_config(std::string audience, std::string snapshot) {
  // One physical copy for this process and the gateway, as long as their lane can pass it on.
  Result<Buffer> sealed = sealed_copy(snapshot);
  Buffer kept = sealed ? *std::move(sealed) : Buffer(std::move(snapshot));
  for (Gateway& gateway : gateways_) {
    if (gateway.link == nullptr || !gateway.link->ready()) continue;
    scope_.spawn(send_later(gateway, wire::Kind::Config, audience, another(kept)));
  }
  published_[std::move(audience)] = std::move(kept);
}

void Process::status_changed() {
  if (std::exchange(status_due_, true)) return;
  loop_.post([this, alive = alive_] {
    if (*alive) send_status();
  });
}

void Process::send_status() {
  status_due_ = false;
  std::string status;
  for (Gateway& gateway : gateways_) {
    if (gateway.link == nullptr || !gateway.link->ready()) continue;
    if (status.empty()) status = status_text();
    scope_.spawn(send_later(gateway, wire::Kind::Status, {}, status));
  }
}

std::string Process::status_text() const {
  Status status;
  status.capability = options_.name;
  status.instance = options_.instance;
  status.version = CAISSON_VERSION;
  status.draining = draining_;
  status.configured = !definition_.manifest().takes_config || replica_.current() != nullptr;
  status.components = capability_->components();
  const std::string metadata = capability_->metadata();
  status.metadata = "{" + metadata + "}";
  return to_json(status);
}

void Process::send(Gateway& gateway, const Envelope& envelope, std::string payload) {
  Buffer body(std::move(payload));
  const Result<void> sent = gateway.link->send(envelope, body);
  // A control frame that finds no room at all: the other side is stuck, and a new link tells it all
  // again.
  if (!sent && sent.error().code == Errc::kResourceExhausted) gateway.link->close(sent.error());
}

Task<void> Process::send_later(Gateway& gateway, wire::Kind kind, std::string target, Buffer payload) {
  Link* const link = gateway.link.get();
  Envelope envelope;
  envelope.kind = kind;
  envelope.target = target;
  const Deadline deadline = loop_.deadline_in(std::chrono::seconds(5));
  const auto sent = co_await link->send_when_room(envelope, std::move(payload), deadline);
  if (!sent && sent.error().code == Errc::kResourceExhausted && gateway.link.get() == link) {
    link->close(sent.error());
  }
}

Task<void> Process::drain(Deadline deadline) {
  draining_ = true;
  for (Gateway& gateway : gateways_) {
    if (gateway.link == nullptr || !gateway.link->ready()) continue;
    scope_.spawn(send_later(gateway, wire::Kind::Goodbye, {}, {}));
  }
  status_changed();
  co_await capability_->drain(deadline);
  for (Gateway& gateway : gateways_) {
    while (gateway.link != nullptr && gateway.link->ready() && !gateway.lost &&
           (!gateway.released || gateway.link->serving() > 0)) {
      // The gateway's GOODBYE wakes this; requests that end do not, so it looks again by itself.
      const Deadline look_again = loop_.deadline_in(std::chrono::milliseconds(10)).earlier(deadline);
      co_await gateway.changed.wait(loop_, look_again);
      if (deadline.passed(loop_.now())) co_return;
    }
  }
}

}  // namespace caisson::sdk

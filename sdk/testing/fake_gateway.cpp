#include "sdk/testing/fake_gateway.hpp"

#include <cstdio>
#include <cstdlib>
#include <limits>

#include "bus/inproc_lane.hpp"
#include "bus/network_namespace.hpp"
#include "bus/testing/run.hpp"
#include "config-cache/generation.hpp"

namespace caisson::testing {

namespace {

using namespace std::chrono_literals;
using Parameters = std::vector<std::pair<std::string, std::string>>;

constexpr Nanos kPatience = 60s;

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> all;
  while (!path.empty()) {
    if (path.front() == '/') path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    all.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return all;
}

std::string decoded(std::string_view text) { return sdk::percent_decode(text, true).value_or(std::string(text)); }

/// The parameters of a path that fits the pattern.
std::optional<Parameters> match(const std::string& pattern, std::string_view path) {
  const auto wanted = segments(pattern);
  const auto given = segments(path);
  Parameters found;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    std::string_view name = wanted[i];
    if (!name.starts_with('{')) {
      if (i >= given.size() || given[i] != name) return std::nullopt;
      continue;
    }
    name = name.substr(1, name.size() - 2);
    if (name.ends_with("...")) {
      if (i >= given.size()) return std::nullopt;
      const auto at = static_cast<std::size_t>(given[i].data() - path.data());
      found.emplace_back(name.substr(0, name.size() - 3), decoded(path.substr(at)));
      return found;
    }
    if (i >= given.size() || given[i].empty()) return std::nullopt;
    found.emplace_back(name, decoded(given[i]));
  }
  if (given.size() != wanted.size()) return std::nullopt;
  return found;
}

bool has_method(const std::string& list, const std::string& method) {
  return list == "*" || ("," + list + ",").find("," + method + ",") != std::string::npos;
}

}  // namespace

std::string Answer::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equal_ignoring_case(key, name)) return value;
  }
  return {};
}

/// The envelope of a request with everything its views point to.
struct FakeGateway::Prepared {
  Ask ask;
  Parameters parameters;
  std::vector<Field> parameter_fields;
  std::vector<Field> header_fields;
  std::uint16_t route = 0;

  /// After the last move of this object.
  Envelope envelope() {
    for (const auto& [name, value] : parameters) parameter_fields.push_back({name, value});
    for (const auto& [name, value] : ask.headers) header_fields.push_back({name, value});
    Envelope request;
    request.route = route;
    request.app = ask.app;
    request.method = ask.method;
    request.path = ask.path;
    request.query = ask.query;
    request.hops = ask.hops;
    request.request = ask.request;
    request.parameters = parameter_fields;
    request.headers = header_fields;
    return request;
  }
};

FakeGateway::FakeGateway(EventLoop& loop, const std::string& name, const sdk::MakeCapability& make,
                         std::string data_dir)
    : loop_(loop) {
  sdk::Process::Options options;
  options.name = name;
  options.instance = name + "-1";
  options.data_dir = std::move(data_dir);
  process_ = std::make_unique<sdk::Process>(loop, std::move(options), make);
  if (const auto started = process_->start(); !started) {
    std::fprintf(stderr, "FakeGateway: %s\n", started.error().message.c_str());
    std::abort();
  }
  auto [ours, theirs] = make_inproc_lanes(loop);
  Link::Handlers handlers;
  handlers.control = [this](const Frame& frame) { on_control(frame); };
  handlers.serve = [this](Incoming incoming) {
    return on_call_ ? on_call_(std::move(incoming)) : reply_to(std::move(incoming), 404, {}, "nobody answers calls");
  };
  Link::Options link_options;
  link_options.silence_limit = std::chrono::hours(24);  // tests let time pass
  link_ = std::make_unique<Link>(loop, std::move(ours), Side::kGateway, link_options, std::move(handlers));
  link_->start("gateway", "{}");
  process_->adopt(std::move(theirs));
  run_until(loop, [this] { return !status_.empty(); });
}

FakeGateway::~FakeGateway() = default;

void FakeGateway::on_control(const Frame& frame) {
  if (frame->kind() == wire::Kind::Status) status_ = frame.payload();
  if (frame->kind() == wire::Kind::Config) config_answer_ = text(frame->message());
}

void FakeGateway::set_app(const std::string& id, bool reachable, std::uint64_t incarnation, std::string_view protocol,
                          const std::string& address) {
  const std::string flag = reachable ? "true" : "false";
  const std::string number = std::to_string(incarnation);
  const std::string network = std::to_string(network_namespace());
  const Field headers[] = {{"reachable", flag},    {"healthy", flag},    {"incarnation", number},
                           {"protocol", protocol}, {"address", address}, {"network", network}};
  Envelope envelope;
  envelope.kind = wire::Kind::App;
  envelope.app = id;
  envelope.headers = headers;
  Buffer nothing;
  if (!link_->send(envelope, nothing)) std::abort();
  run_until(loop_, [&] {
    const auto app = process_->apps().find(id);
    return app != process_->apps().end() && app->second.reachable == reachable &&
           app->second.incarnation == incarnation && app->second.address == address;
  });
}

void FakeGateway::remove_app(const std::string& id) {
  Envelope envelope;
  envelope.kind = wire::Kind::App;
  envelope.app = id;
  envelope.status = 404;
  Buffer nothing;
  if (!link_->send(envelope, nothing)) std::abort();
  run_until(loop_, [&] { return !process_->apps().contains(id); });
}

void FakeGateway::answer_query(const std::string& app, std::string_view query, std::uint16_t status, std::string body,
                               std::uint64_t incarnation) {
  const std::string number = std::to_string(incarnation);
  const Field headers[] = {{"incarnation", number}};
  Envelope envelope;
  envelope.kind = wire::Kind::App;
  envelope.app = app;
  envelope.target = query;
  envelope.status = status;
  envelope.headers = headers;
  Buffer payload(std::move(body));
  if (!link_->send(envelope, payload)) std::abort();
}

std::string FakeGateway::configure(config::Generation generation) {
  generation.term = 1;
  generation.sequence = ++sequence_;
  generation.audience = process_->manifest().capability;
  Envelope envelope;
  envelope.kind = wire::Kind::Config;
  envelope.target = generation.audience;
  Buffer snapshot(config::encode(generation));
  config_answer_.reset();
  if (!link_->send(envelope, snapshot)) std::abort();
  run_until(loop_, [this] { return config_answer_.has_value(); });
  return *config_answer_;
}

FakeGateway::Prepared FakeGateway::prepare(const Ask& ask) const {
  Prepared prepared;
  prepared.ask = ask;
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (const Route& route : process_->manifest().routes) {
    const bool fits = route.fallback && (route.rpc != Rpc::kNone) == ask.rpc;
    if (fits && least == std::numeric_limits<std::size_t>::max()) prepared.route = route.number;
    if (route.path.empty() || !has_method(route.method, ask.method)) continue;
    auto parameters = match(route.path, ask.path);
    if (!parameters || parameters->size() >= least) continue;
    least = parameters->size();
    prepared.route = route.number;
    prepared.parameters = *std::move(parameters);
  }
  return prepared;
}

Task<Result<Reply>> FakeGateway::send(Ask ask) {
  Prepared prepared = prepare(ask);
  const Envelope request = prepared.envelope();
  Buffer body(std::move(prepared.ask.body));
  co_return co_await link_->call(request, body, loop_.deadline_in(kPatience));
}

Result<OpenCall> FakeGateway::open(const Ask& ask, std::string first) {
  Prepared prepared = prepare(ask);
  const Envelope request = prepared.envelope();
  Buffer body(std::move(first));
  return link_->open(request, body, loop_.deadline_in(kPatience));
}

Task<Answer> FakeGateway::whole(Task<Result<Reply>> task, Deadline deadline) {
  Answer answer;
  Result<Reply> reply = co_await std::move(task);
  if (!reply) {
    answer.error = reply.error();
    co_return answer;
  }
  answer.status = reply->head->status();
  for (const Field field : reply->head.headers()) answer.headers.emplace_back(field.name, field.value);
  answer.body = reply->head.payload();
  answer.message = text(reply->head->message());
  for (const Field field : Fields(reply->head->trailers())) answer.trailers.emplace_back(field.name, field.value);
  auto rest = co_await reply->rest.all(std::size_t{64} << 20, deadline);
  if (rest) {
    answer.body += *rest;
  } else {
    answer.error = rest.error();
  }
  const BodyEnd& end = reply->rest.end();
  if (!end.empty()) {
    answer.status = end.status;
    answer.message = end.message;
    answer.trailers = end.trailers;
  }
  co_return answer;
}

Answer FakeGateway::ask(const Ask& ask) { return run(loop_, whole(send(ask), loop_.deadline_in(kPatience))); }

Answer FakeGateway::call(const std::string& target, const std::vector<std::pair<std::string, std::string>>& headers,
                         std::string body) {
  std::vector<Field> fields;
  for (const auto& [name, value] : headers) fields.push_back({name, value});
  Envelope request;
  request.target = target;
  request.headers = fields;
  Buffer payload(std::move(body));
  return run(loop_, whole(link_->call(request, payload, loop_.deadline_in(kPatience)), loop_.deadline_in(kPatience)));
}

sdk::Status FakeGateway::status() const {
  auto parsed = sdk::parse_status(status_);
  if (!parsed) {
    std::fprintf(stderr, "FakeGateway: status: %s\n", parsed.error().message.c_str());
    std::abort();
  }
  return *std::move(parsed);
}

void FakeGateway::wait_for_status(const std::function<bool(const sdk::Status&)>& done) {
  run_until(loop_, [&] { return done(status()); });
}

Task<void> reply_to(Incoming call, std::uint16_t status, std::vector<Field> headers, std::string body) {
  Envelope reply;
  reply.status = status;
  reply.headers = headers;
  [[maybe_unused]] const auto sent = co_await call.reply(reply, Buffer(std::move(body)));
}

}  // namespace caisson::testing

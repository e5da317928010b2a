#include "gateway/gateway.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "config-cache/generation.hpp"
#include "config-cache/replica.hpp"
#include "gateway/app_frames.hpp"

namespace caisson::gateway {

namespace {

/// For how long a port that was closed here may be open at the gateways that share it.
constexpr Nanos kHeldOn = std::chrono::seconds(10);

/// Grows with every start on this host, so that a ledger can tell an old gateway from a new one.
std::uint64_t make_incarnation() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

std::vector<RouteRule> rules_for(std::string_view protocol, const std::vector<config::ApiRule>& rules) {
  std::vector<RouteRule> result;
  for (const auto& rule : rules) {
    if (rule.protocol.empty() || equal_ignoring_case(rule.protocol, protocol)) {
      result.push_back({rule.name, rule.version});
    }
  }
  return result;
}

}  // namespace

Gateway::Gateway(EventLoop& loop, Options options, Handlers handlers)
    : loop_(loop),
      options_(std::move(options)),
      handlers_(std::move(handlers)),
      window_(make_incarnation()),
      folder_(loop, options_.manifests.empty() ? options_.run_dir + "/manifests" : options_.manifests,
              [this] {
                const Result<void> changed = manifests_changed();
                if (!changed) log(LogLevel::kError, changed.error().message);
              }),
      calls_(loop, *this, counters_),
      links_(loop, counters_, {std::to_string(window_.incarnation())}, link_handlers(), handlers_.make_listener),
      config_(
          loop, links_, [this](const config::Generation& generation) { config_in_force(generation); },
          [this] { dispatch_.parking().wake_all(); }),
      own_generation_(options_.run_dir + "/gateway.generation"),
      dispatch_(loop, links_, window_, counters_, options_.dispatch),
      admin_service_(handlers_.pages),
      scope_(loop) {
  routing_.table = *RouteTable::make({}, {});  // nothing cannot overlap
}

Gateway::~Gateway() {
  // Connections wait in dispatch, calls in links and apps: those who wait go first.
  admin_.reset();
  for (auto& [id, app] : apps_) {
    app->http_door.reset();
    app->grpc_door.reset();
  }
  links_.clear();
}

CapabilityLinks::Handlers Gateway::link_handlers() {
  CapabilityLinks::Handlers handlers;
  handlers.call = [this](Instance& instance, Incoming call) {
    return calls_.serve(instance.capability(), std::move(call));
  };
  handlers.linked = [this](Instance& instance) { introduce(instance); };
  handlers.changed = [this](Instance& instance) { dispatch_.parking().wake(instance.process()); };
  handlers.config = [this](Instance& instance, Frame frame) { config_.on_frame(instance, std::move(frame)); };
  handlers.may_serve = [this](const Instance& instance) { return may_serve(instance); };
  handlers.apps = [this] {
    std::vector<std::string> ids;
    for (const auto& [id, app] : apps_) ids.push_back(id);
    return ids;
  };
  return handlers;
}

// --- manifests and routes ---

Result<void> Gateway::start() {
  TRY(folder_.start());
  if (options_.sharing == Sharing::kFirst) {
    auto before = read_ports(options_.run_dir);
    if (!before) log(LogLevel::kError, before.error().message);
    if (before) ports_before_ = *std::move(before);
    for (const auto& [id, ports] : ports_before_) expect_held(ports);
  }
  recall();
  return manifests_changed();
}

Result<void> Gateway::expect(const std::vector<Compartment>& compartments) { return links_.expect(compartments); }

Result<void> Gateway::link_inproc(Manifest manifest, std::unique_ptr<Lane> lane) {
  auto shared = std::make_shared<const Manifest>(std::move(manifest));
  linked_in_.push_back(shared);
  TRY(rebuild_routes());
  links_.adopt(std::move(shared), std::move(lane));
  return ok();
}

std::vector<std::shared_ptr<const Manifest>> Gateway::all_manifests() const {
  auto all = linked_in_;
  for (const auto& manifest : folder_.manifests()) {
    const bool taken =
        std::ranges::any_of(linked_in_, [&](const auto& m) { return m->capability == manifest->capability; });
    if (!taken) all.push_back(manifest);
  }
  return all;
}

Result<void> Gateway::manifests_changed() {
  TRY(rebuild_routes());
  std::vector<std::shared_ptr<const Manifest>> installed;
  for (const auto& manifest : in_force_) {
    if (!std::ranges::count(linked_in_, manifest)) installed.push_back(manifest);
  }
  return links_.set_manifests(installed);
}

/// Leaves the routes as they are where manifests overlap.
Result<void> Gateway::rebuild_routes() {
  const auto manifests = all_manifests();
  ASSIGN(auto table, RouteTable::make(manifests, rules_, rpc_rules_));
  routing_.table = std::move(table);
  in_force_ = manifests;
  set_queries();
  return ok();
}

void Gateway::set_queries() {
  AppQueries queries;
  const auto add = [](const std::vector<std::string>& wanted, std::vector<std::string>& to) {
    for (const std::string& query : wanted) {
      if (!contains(to, query)) to.push_back(query);
    }
  };
  for (const auto& manifest : in_force_) {
    add(manifest->app_queries, queries.paths);
    add(manifest->app_rpc_queries, queries.rpcs);
    if (queries.health_rpc.empty()) queries.health_rpc = manifest->app_health_rpc;
  }
  for (auto& [id, app] : apps_) app->channel->set_queries(queries);
}

// --- configuration ---

void Gateway::config_in_force(const config::Generation& generation) {
  const Result<void> placed = links_.place(generation);
  if (!placed) log(LogLevel::kError, placed.error().message);
  dispatch_.parking().wake_all();
  if (generation.audience != "gateway") return;
  own_generation_.replace(config::encode(generation));
  apply(generation.configuration);
  const Result<void> rebuilt = rebuild_routes();
  if (!rebuilt) log(LogLevel::kError, rebuilt.error().message);
}

/// What an app may use does not open up because the gateway comes back while nobody publishes. Only that
/// is taken from the last generation: where things are may have changed.
void Gateway::recall() {
  const auto last = config::load_snapshot(own_generation_.path());
  if (last) return apply(last->configuration);
  if (last.error().code != Errc::kNotFound) log(LogLevel::kError, last.error().message);
}

void Gateway::apply(const config::Configuration& configuration) {
  rules_ = {rules_for("http", configuration.api_allowed), rules_for("http", configuration.api_denied)};
  rpc_rules_ = {rules_for("grpc", configuration.api_allowed), rules_for("grpc", configuration.api_denied)};
  routing_.tracer.set_rate(configuration.sampling_rate);
}

/// Without its configuration a capability would refuse what it is about to know: until there is one
/// its requests wait. It has one when it lists components, when one is kept for it here (sent right
/// behind HELLO), or when nobody publishes any.
bool Gateway::may_serve(const Instance& instance) const {
  const Manifest& manifest = instance.manifest();
  if (instance.linked_in() || !manifest.takes_config || manifest.publishes_config) return true;
  if (instance.has_components() || config_.served(audience_of(instance.process()))) return true;
  return std::ranges::none_of(in_force_, [](const auto& other) { return other->publishes_config; });
}

// --- apps ---

void Gateway::tell(const ControlFrame& frame) {
  links_.for_each([&](Instance& instance) { instance.post(frame); });
}

/// What an instance must know before its first request.
void Gateway::introduce(Instance& instance) {
  config_.send_to(instance);
  for (const auto& [id, app] : apps_) {
    instance.post(app_state_frame(*app->channel));
    for (const auto& [path, answer] : app->answers) {
      instance.post(app_answer_frame(id, app->answers_of, path, answer.status, answer.body));
    }
  }
}

Result<void> Gateway::set_apps(std::vector<AppConfig> configs) {
  for (auto it = apps_.begin(); it != apps_.end();) {
    const bool unchanged = std::ranges::any_of(configs, [&](const auto& c) { return c == it->second->asked; });
    if (unchanged) {
      ++it;
      continue;
    }
    auto leaving = std::move(it->second);
    it = apps_.erase(it);
    expect_held({leaving->config.http_port, leaving->config.grpc_port});
    close_app(std::move(leaving));
  }
  Result<void> outcome;
  for (const AppConfig& config : configs) {
    if (apps_.contains(config.id)) continue;
    const Result<void> opened = open_app(config);
    if (!opened) outcome = Error{opened.error().code, fmt::format("app '{}': {}", config.id, opened.error().message)};
  }
  ports_before_.clear();
  set_queries();
  return outcome;
}

Result<void> Gateway::open_app(const AppConfig& config) {
  auto app = std::make_unique<App>();
  app->asked = app->config = config;
  app->api = std::make_unique<ApiService>(app->config, routing_, dispatch_, counters_);
  app->rpc = std::make_unique<RpcService>(loop_, app->config, routing_, dispatch_, counters_);
  TRY(open_doors(*app));
  app->channel = std::make_unique<AppChannel>(loop_, app->config, static_cast<AppObserver&>(*this));
  AppChannel& channel = *app->channel;
  apps_[config.id] = std::move(app);
  tell(app_state_frame(channel));
  channel.start();
  return ok();
}

Result<void> Gateway::open_doors(App& app) {
  HttpOptions http = options_.http;
  http.header_limit = app.config.read_buffer_size;
  const Services api{*app.api};
  const Services rpc{no_http_, app.rpc.get()};
  app.http_door = std::make_unique<Listener>(loop_, api, http, counters_, options_.max_connections);
  app.grpc_door = std::make_unique<Listener>(loop_, rpc, http, counters_, options_.max_connections);
  const std::string& folder = app.config.unix_socket_dir;
  if (!folder.empty()) {
    app.config.http_port = app.config.grpc_port = 0;
    TRY(app.http_door->listen_unix(fmt::format("{}/dapr-{}-http.socket", folder, app.config.id)));
    return app.grpc_door->listen_unix(fmt::format("{}/dapr-{}-grpc.socket", folder, app.config.id));
  }
  const AppPorts before = ports_before_[app.config.id];
  ASSIGN(app.config.http_port, open_door(*app.http_door, app.config, app.config.http_port, before.http));
  ASSIGN(app.config.grpc_port, open_door(*app.grpc_door, app.config, app.config.grpc_port, before.grpc));
  return ok();
}

Result<std::uint16_t> Gateway::open_door(Listener& door, const AppConfig& config, std::uint16_t port,
                                         std::uint16_t before) {
  if (port == 0 && before != 0) {
    auto again = door.listen_tcp(config.listen_addresses, before, Sharing::kJoin);
    if (again) return again;
    door.finish();  // of several addresses some may be open
  }
  const auto held = held_on_.find(port);
  const bool joins = held != held_on_.end() && loop_.now() < held->second;
  return door.listen_tcp(config.listen_addresses, port, joins ? Sharing::kJoin : options_.sharing);
}

/// Those who share the ports follow this gateway a moment later.
void Gateway::expect_held(const AppPorts& ports) {
  if (options_.sharing != Sharing::kFirst) return;
  std::erase_if(held_on_, [&](const auto& held) { return held.second <= loop_.now(); });
  for (const std::uint16_t port : {ports.http, ports.grpc}) held_on_[port] = loop_.now() + kHeldOn;
  held_on_.erase(0);
}

void Gateway::App::finish() const {
  http_door->finish();
  grpc_door->finish();
}

Task<void> Gateway::App::join(Deadline deadline) const {
  [[maybe_unused]] const bool http_done = co_await http_door->join(deadline);
  [[maybe_unused]] const bool grpc_done = co_await grpc_door->join(deadline);
}

void Gateway::close_app(std::unique_ptr<App> app) {
  tell(app_gone_frame(app->config.id));
  app->finish();
  scope_.spawn(let_finish(std::move(app)));
}

Task<void> Gateway::let_finish(std::unique_ptr<App> app) {
  co_await app->join(loop_.deadline_in(options_.dispatch.deadline));
}

void Gateway::app_changed(const AppChannel& channel) {
  const auto found = apps_.find(channel.config().id);
  if (found == apps_.end() || found->second->channel.get() != &channel) return;
  if (found->second->answers_of != channel.incarnation()) found->second->answers.clear();
  tell(app_state_frame(channel));
}

void Gateway::app_answered(const AppChannel& channel, const std::string& path, std::uint16_t status,
                           const std::string& body) {
  const auto found = apps_.find(channel.config().id);
  if (found == apps_.end() || found->second->channel.get() != &channel) return;
  App& app = *found->second;
  if (app.answers_of != channel.incarnation()) app.answers.clear();
  app.answers_of = channel.incarnation();
  app.answers[path] = {status, body};
  tell(app_answer_frame(found->first, app.answers_of, path, status, body));
}

// --- calls ---

AppChannel* Gateway::app(std::string_view id) {
  const auto found = apps_.find(id);
  return found == apps_.end() ? nullptr : found->second->channel.get();
}

bool Gateway::granted(std::string_view capability, std::string_view target) const {
  return std::ranges::any_of(in_force_, [&](const auto& manifest) {
    return manifest->capability == capability && contains(manifest->calls, target);
  });
}

Task<Result<Link*>> Gateway::instance_serving(std::string target, Deadline deadline) {
  while (true) {
    const auto serves = std::ranges::find_if(in_force_, [&](const auto& m) { return contains(m->serves, target); });
    if (serves == in_force_.end()) {
      co_return Error{Errc::kNotFound, fmt::format("no capability serves '{}'", target)};
    }
    const std::string capability = (*serves)->capability;
    if (Instance* const instance = links_.pick(capability, {})) co_return &instance->link();
    const Deadline until = deadline.earlier(loop_.deadline_in(options_.dispatch.parking_time));
    CO_TRY(co_await dispatch_.parking().wait(capability, 0, until));
  }
}

// --- facts ---

std::vector<CapabilityFacts> Gateway::capabilities() const {
  auto all = links_.facts();
  for (CapabilityFacts& capability : all) capability.parked = dispatch_.parking().parked(capability.name);
  return all;
}

const AppChannel* Gateway::app(std::string_view id) const {
  const auto found = apps_.find(id);
  return found == apps_.end() ? nullptr : found->second->channel.get();
}

std::vector<const AppChannel*> Gateway::apps() const {
  std::vector<const AppChannel*> all;
  for (const auto& [id, app] : apps_) all.push_back(app->channel.get());
  return all;
}

void Gateway::shut_down(bool force) { handlers_.shut_down(force); }

// --- ports, and the end ---

Result<std::uint16_t> Gateway::open_admin(const std::string& address, std::uint16_t port) {
  admin_ = std::make_unique<Listener>(loop_, Services{admin_service_}, options_.http, counters_, 64);
  ASSIGN(admin_port_, admin_->listen_tcp({address}, port));
  return admin_port_;
}

std::uint16_t Gateway::http_port(std::string_view id) const {
  const auto found = apps_.find(id);
  return found == apps_.end() ? 0 : found->second->config.http_port;
}

std::uint16_t Gateway::grpc_port(std::string_view id) const {
  const auto found = apps_.find(id);
  return found == apps_.end() ? 0 : found->second->config.grpc_port;
}

Result<void> Gateway::write_ports() const {
  PortsFile ports;
  ports.pid = ::getpid();
  ports.admin = admin_port_;
  for (const auto& [id, app] : apps_) ports.apps[id] = {app->config.http_port, app->config.grpc_port};
  return replace_file(ports_path(options_.run_dir), to_json(ports));
}

Task<void> Gateway::shut_down_gracefully(Deadline deadline) {
  shutting_down_ = true;
  links_.keep_all();  // they may have been asked to end as well; what is under way still needs them
  for (auto& [id, app] : apps_) app->finish();
  for (auto& [id, app] : apps_) co_await app->join(deadline);
  [[maybe_unused]] const bool done = co_await scope_.join(deadline);
  const auto look_again = [this] { return loop_.deadline_in(std::chrono::milliseconds(2)); };
  if (options_.sharing != Sharing::kAlone) {
    // Who is linked to another gateway calls the apps through that from now on.
    for (const auto& [id, app] : apps_) tell(app_gone_frame(id));
    do {
      co_await loop_.sleep_until(look_again());
    } while (!deadline.passed(loop_.now()) && calls_.under_way() != 0);
  }
  // What capabilities have under way with the apps is finished; the rest of it is for the next gateway.
  calls_.close();
  while (!deadline.passed(loop_.now()) && calls_.under_way() != 0) co_await loop_.sleep_until(look_again());
  links_.release_all();
  while (!deadline.passed(loop_.now()) && !links_.all_told()) co_await loop_.sleep_until(look_again());
}

}  // namespace caisson::gateway

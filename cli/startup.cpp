#include "cli/startup.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <map>

#include "bus/log.hpp"
#include "cli/status.hpp"
#include "net/http1_client.hpp"

namespace caisson::cli {

namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr Nanos kOneLook = std::chrono::seconds(2);
constexpr Nanos kBetweenLooks = std::chrono::milliseconds(20);
constexpr Nanos kBetweenLooksAtTheApp = std::chrono::milliseconds(100);
/// A component may fail once because the secret store it asks is a moment behind, and come up then.
constexpr Nanos kPatience = std::chrono::seconds(1);
constexpr std::size_t kLargestStatus = 4 * 1024 * 1024;

std::string text_of(const object& from, const char* name) {
  std::string_view value;
  return from[name].get(value) == simdjson::SUCCESS ? std::string(value) : std::string();
}

bool is_true(const object& from, const char* name) {
  bool value = false;
  return from[name].get(value) == simdjson::SUCCESS && value;
}

bool is_of_app(const object& component, std::string_view app) {
  array scopes;
  if (component["scopes"].get(scopes) != simdjson::SUCCESS) return true;
  return std::ranges::any_of(scopes, [&](const element scope) {
    std::string_view name;
    return scope.get(name) == simdjson::SUCCESS && name == app;
  });
}

/// Whether the instance has ended its first attempts; adds what failed.
bool read_instance(const object& instance, std::string_view app, StartupView& view) {
  bool attempted = is_true(instance, "configured");
  array components;
  if (instance["components"].get(components) != simdjson::SUCCESS) return false;
  for (const element item : components) {
    object component;
    if (item.get(component) != simdjson::SUCCESS) return false;
    if (text_of(component, "state") == "INIT") attempted = false;
    if (!is_true(component, "initFailed") || is_true(component, "ignoreErrors") || !is_of_app(component, app)) continue;
    view.failed.push_back({text_of(component, "name"), text_of(component, "type"), text_of(component, "version"),
                           text_of(component, "reason")});
  }
  return attempted;
}

bool read_capability(const object& capability, std::string_view app, StartupView& view) {
  array instances;
  if (capability["instances"].get(instances) != simdjson::SUCCESS) return false;
  bool attempted = false;
  for (const element item : instances) {
    object instance;
    if (item.get(instance) != simdjson::SUCCESS) return false;
    attempted = read_instance(instance, app, view) || attempted;
  }
  // Who was never configured (an installed manifest alone) keeps nobody waiting; nor does the one who
  // answers this very question.
  return attempted || !is_true(capability, "configured") || text_of(capability, "name") == "runtime";
}

}  // namespace

Result<StartupView> parse_startup(std::string_view status, std::string_view app) {
  simdjson::dom::parser parser;
  object document;
  array apps;
  array capabilities;
  if (parser.parse(simdjson::padded_string(status)).get(document) != simdjson::SUCCESS ||
      document["apps"].get(apps) != simdjson::SUCCESS ||
      document["capabilities"].get(capabilities) != simdjson::SUCCESS) {
    return Error{Errc::kInvalidArgument, "the gateway's status is not of the form it should be"};
  }
  StartupView view;
  for (const element item : apps) {
    object entry;
    if (item.get(entry) != simdjson::SUCCESS || text_of(entry, "id") != app) continue;
    std::uint64_t http_port = 0;
    std::uint64_t port = 0;
    std::uint64_t incarnation = 0;
    (void)entry["httpPort"].get(http_port);
    (void)entry["port"].get(port);
    (void)entry["incarnation"].get(incarnation);
    view.http_port = static_cast<std::uint16_t>(http_port);
    view.app_discovered = port == 0 || incarnation != 0;
    view.app_healthy = is_true(entry, "healthy");
  }
  view.initialised = true;
  for (const element item : capabilities) {
    object capability;
    if (item.get(capability) != simdjson::SUCCESS || !read_capability(capability, app, view)) view.initialised = false;
  }
  return view;
}

Startup::Startup(EventLoop& loop, std::string run_dir, std::string app, std::uint16_t app_port,
                 std::string app_protocol)
    : loop_(loop),
      run_dir_(std::move(run_dir)),
      app_(std::move(app)),
      app_port_(app_port),
      app_protocol_(std::move(app_protocol)) {}

Task<Result<StartupView>> Startup::look() {
  const std::uint16_t port = open_admin_port(run_dir_);
  if (port == 0) co_return Error{Errc::kUnavailable, "the gateway does not listen yet"};
  CO_ASSIGN(net::Endpoint endpoint, net::make_endpoint("127.0.0.1", port));
  net::Http1Client client(loop_, std::move(endpoint), {});
  const Deadline deadline = loop_.deadline_in(kOneLook);
  net::HttpRequestHead head;
  head.path = "/status";
  auto call = client.call(head, {}, deadline);
  CO_ASSIGN(net::HttpReply reply, co_await std::move(call));
  std::string text;
  while (true) {
    auto next = reply.next(deadline);
    CO_ASSIGN(const std::optional<Buffer> piece, co_await std::move(next));
    if (!piece) break;
    text += piece->view();
    if (text.size() > kLargestStatus) co_return Error{Errc::kOutOfRange, "the gateway's status is too long"};
  }
  co_return parse_startup(text, app_);
}

Task<Result<void>> Startup::follow() {
  const Nanos started = loop_.now();
  const auto elapsed = [&] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - started).count();
  };
  std::map<std::string, Nanos> failing_since;
  bool served = false;
  bool waits_for_app = false;
  while (true) {
    auto task = look();
    const auto view = co_await std::move(task);
    if (view) {
      std::map<std::string, Nanos> failing;
      for (const auto& component : view->failed) {
        const auto before = failing_since.find(component.name);
        const Nanos since = before == failing_since.end() ? loop_.now() : before->second;
        failing[component.name] = since;
        if (loop_.now() - since < kPatience) continue;
        co_return Error{Errc::kFailedPrecondition,
                        fmt::format("process component {0} error: [INIT_COMPONENT_FAILURE]: initialization error "
                                    "occurred for {0} ({1}/{2}): {3}",
                                    component.name, component.type, component.version, component.reason)};
      }
      failing_since = std::move(failing);
      if (!served) {
        served = true;
        if (view->http_port != 0)
          log(LogLevel::kInfo, fmt::format("HTTP server is running on port {}", view->http_port));
      }
      const bool ready = view->initialised && failing_since.empty();
      if (ready && app_port_ != 0 && !waits_for_app) {
        waits_for_app = true;
        log(LogLevel::kInfo, fmt::format("application protocol: {}. waiting on port {}.  This will block until the app "
                                         "is listening on that port.",
                                         app_protocol_, app_port_));
      }
      if (ready && view->app_discovered) break;
    }
    co_await loop_.sleep_until(loop_.deadline_in(waits_for_app ? kBetweenLooksAtTheApp : kBetweenLooks));
  }
  if (app_port_ != 0) log(LogLevel::kInfo, fmt::format("application discovered on port {}", app_port_));
  log(LogLevel::kInfo, fmt::format("dapr initialized. Status: Running. Init Elapsed {}ms", elapsed()));
  co_return ok();
}

Task<void> Startup::while_app_is_healthy(Deadline deadline) {
  while (!deadline.passed(loop_.now())) {
    auto task = look();
    const auto view = co_await std::move(task);
    if (!view || (app_port_ != 0 && !view->app_healthy)) co_return;
    co_await loop_.sleep_until(deadline.earlier(loop_.deadline_in(kBetweenLooksAtTheApp)));
  }
}

}  // namespace caisson::cli

#include "cli/app_list.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <functional>
#include <limits>
#include <map>
#include <set>

#include "bus/json_writer.hpp"

namespace caisson::cli {

namespace {

Error wrong(const YAML::Node& node, const std::string& what) {
  return Error{Errc::kInvalidArgument, fmt::format("line {}: {}", node.Mark().line + 1, what)};
}

/// Puts a node into a member; throws YAML::Exception when it is of another type.
using Setter = std::function<void(App&, const YAML::Node&)>;

template <class Integer>
Setter integer(Integer App::*member) {
  return [member](App& app, const YAML::Node& node) { app.*member = node.as<Integer>(); };
}
Setter text(std::string App::*member) {
  return [member](App& app, const YAML::Node& node) { app.*member = node.as<std::string>(); };
}
Setter texts(std::vector<std::string> App::*member) {
  return [member](App& app, const YAML::Node& node) { app.*member = node.as<std::vector<std::string>>(); };
}

const std::map<std::string, Setter>& members() {
  static const std::map<std::string, Setter> kMembers = {
      {"id", text(&App::id)},
      {"httpPort", integer(&App::http_port)},
      {"grpcPort", integer(&App::grpc_port)},
      {"listenAddresses", texts(&App::listen_addresses)},
      {"unixSocketDir", text(&App::unix_socket_dir)},
      {"apiToken", text(&App::api_token)},
      {"maxBodySize", integer(&App::max_body_size)},
      {"readBufferSize", integer(&App::read_buffer_size)},
      {"appPort", integer(&App::app_port)},
      {"appProtocol", text(&App::app_protocol)},
      {"appChannelAddress", text(&App::app_channel_address)},
      {"appMaxConcurrency", integer(&App::app_max_concurrency)},
      {"appToken", text(&App::app_token)},
      {"healthCheck", [](App& app, const YAML::Node& node) { app.health_check = node.as<bool>(); }},
      {"healthPath", text(&App::health_path)},
      {"healthInterval", integer(&App::health_interval_ms)},
      {"healthTimeout", integer(&App::health_timeout_ms)},
      {"healthThreshold", integer(&App::health_threshold)},
      {"disabledQueries", texts(&App::disabled_queries)},
  };
  return kMembers;
}

Result<App> parse_app(const YAML::Node& node) {
  if (!node.IsMap()) return wrong(node, "each app is a mapping with at least an id");
  App app;
  app.id.clear();
  app.http_port = 0;
  app.grpc_port = 0;
  for (const auto& entry : node) {
    const auto name = entry.first.as<std::string>();
    const auto setter = members().find(name);
    if (setter == members().end()) return wrong(entry.first, "an app has no member " + name);
    try {
      setter->second(app, entry.second);
    } catch (const YAML::Exception&) {
      return wrong(entry.second, name + " is of the wrong type or out of range");
    }
  }
  if (app.id.empty()) return wrong(node, "an app has no id");
  return app;
}

}  // namespace

Result<std::vector<App>> parse_apps_file(const std::string& text) {
  try {
    const YAML::Node root = YAML::Load(text);
    std::vector<App> apps;
    if (root.IsNull()) return apps;
    if (!root.IsSequence()) return wrong(root, "an apps file is a list of apps");
    for (const auto& node : root) {
      ASSIGN(App app, parse_app(node));
      apps.push_back(std::move(app));
    }
    TRY(check_apps(apps));
    return apps;
  } catch (const YAML::Exception& broken) {
    return Error{Errc::kInvalidArgument, fmt::format("line {}: {}", broken.mark.line + 1, broken.msg)};
  }
}

Result<void> check_apps(const std::vector<App>& apps) {
  std::set<std::string> ids;
  std::map<std::uint16_t, std::string> runtime_ports;
  for (const App& app : apps) {
    if (!ids.insert(app.id).second) {
      return Error{Errc::kInvalidArgument, fmt::format("app {} is listed twice", app.id)};
    }
    for (const std::uint16_t port : {app.http_port, app.grpc_port}) {
      if (port == 0) continue;
      const auto [other, is_new] = runtime_ports.emplace(port, app.id);
      if (!is_new) {
        return Error{Errc::kInvalidArgument,
                     fmt::format("port {} is given to app {} and to app {}", port, other->second, app.id)};
      }
    }
  }
  for (const App& app : apps) {
    if (app.app_port != 0 && runtime_ports.contains(app.app_port)) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("app {}: its port {} must differ from the runtime's own", app.id, app.app_port)};
    }
  }
  return ok();
}

namespace {

/// What the gateway knows as paths has names in daprd's flags.
std::vector<std::string> queries_of(const App& app) {
  std::vector<std::string> queries;
  for (const std::string& query : app.disabled_queries) {
    if (query == "config") {
      queries.emplace_back("/dapr/config");
    } else if (query == "subscribe") {
      queries.insert(queries.end(), {"/dapr/subscribe", "/dapr.proto.runtime.v1.AppCallback/ListTopicSubscriptions"});
    } else {
      queries.push_back(query);
    }
  }
  return queries;
}

}  // namespace

std::string apps_to_json(const std::vector<App>& apps) {
  JsonWriter json;
  const auto list = [&](const std::vector<std::string>& items) {
    json.begin_array();
    for (const std::string& item : items) json.value(item);
    json.end_array();
  };
  // The gateway counts bytes; -1 is a person's way to say "no limit".
  const auto bytes = [](std::int64_t size) { return size < 0 ? std::numeric_limits<std::int64_t>::max() : size; };
  json.begin_array();
  for (const App& app : apps) {
    json.begin_object();
    json.key("id").value(app.id);
    json.key("httpPort").value(unsigned{app.http_port}).key("grpcPort").value(unsigned{app.grpc_port});
    json.key("listenAddresses");
    list(app.listen_addresses);
    json.key("unixSocketDir").value(app.unix_socket_dir).key("apiToken").value(app.api_token);
    json.key("maxBodySize").value(bytes(app.max_body_size));
    json.key("readBufferSize").value(bytes(app.read_buffer_size));
    json.key("appPort").value(unsigned{app.app_port}).key("appProtocol").value(app.app_protocol);
    json.key("appChannelAddress").value(app.app_channel_address);
    json.key("appMaxConcurrency").value(app.app_max_concurrency);
    json.key("appToken").value(app.app_token);
    json.key("healthCheck").value(app.health_check).key("healthPath").value(app.health_path);
    json.key("healthInterval").value(app.health_interval_ms);
    json.key("healthTimeout").value(app.health_timeout_ms);
    json.key("healthThreshold").value(app.health_threshold);
    json.key("disabledQueries");
    list(queries_of(app));
    json.end_object();
  }
  json.end_array();
  return json.take();
}

}  // namespace caisson::cli

#include "gateway/ports_file.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <utility>

#include "bus/json_writer.hpp"
#include "gateway/folder_watch.hpp"

namespace caisson::gateway {

namespace {

constexpr std::size_t kLargestPortsFile = 4 * 1024 * 1024;

Error wrong(std::string_view what) { return {Errc::kInvalidArgument, fmt::format("ports file: {}", what)}; }

Result<std::uint16_t> port_in(const simdjson::dom::object& app, const char* name) {
  std::uint64_t port = 0;
  if (app[name].get(port) != simdjson::SUCCESS || port > 65535) return wrong(fmt::format("'{}' is no port", name));
  return static_cast<std::uint16_t>(port);
}

bool serves(std::uint16_t open, std::uint16_t asked) { return open != 0 && (asked == 0 || asked == open); }

}  // namespace

std::string ports_path(const std::string& run_dir) { return run_dir + "/gateway.json"; }

std::string to_json(const PortsFile& ports) {
  JsonWriter json;
  json.begin_object().key("pid").value(ports.pid).key("admin").value(unsigned{ports.admin});
  json.key("apps").begin_array();
  for (const auto& [id, app] : ports.apps) {
    json.begin_object().key("id").value(id);
    json.key("http").value(unsigned{app.http}).key("grpc").value(unsigned{app.grpc}).end_object();
  }
  json.end_array().end_object();
  return json.take();
}

Result<PortsByApp> parse_ports(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  simdjson::dom::array list;
  if (parser.parse(simdjson::padded_string(json)).get(document) != simdjson::SUCCESS) return wrong("no JSON");
  if (document["apps"].get(list) != simdjson::SUCCESS) return wrong("'apps' is no list");
  PortsByApp apps;
  for (const simdjson::dom::element item : list) {
    simdjson::dom::object app;
    std::string_view id;
    if (item.get(app) != simdjson::SUCCESS || app["id"].get(id) != simdjson::SUCCESS) return wrong("an app has no id");
    AppPorts& ports = apps[std::string(id)];
    ASSIGN(ports.http, port_in(app, "http"));
    ASSIGN(ports.grpc, port_in(app, "grpc"));
  }
  return apps;
}

Result<PortsByApp> read_ports(const std::string& run_dir) {
  const auto text = read_whole_file(ports_path(run_dir), kLargestPortsFile);
  if (text) return parse_ports(*text);
  if (text.error().code == Errc::kNotFound) return PortsByApp();
  return text.error();
}

std::vector<AppConfig> with_ports_of(const PortsByApp& other, std::vector<AppConfig> apps) {
  std::vector<AppConfig> open;
  for (AppConfig& app : apps) {
    const auto found = other.find(app.id);
    if (found == other.end()) continue;
    const AppPorts& ports = found->second;
    if (!serves(ports.http, app.http_port) || !serves(ports.grpc, app.grpc_port)) continue;
    app.http_port = ports.http;
    app.grpc_port = ports.grpc;
    open.push_back(std::move(app));
  }
  return open;
}

}  // namespace caisson::gateway

#include "cli/status.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "bus/json_writer.hpp"
#include "cli/run_dir.hpp"

namespace caisson::cli {

namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

/// A member that must be there and of its type.
template <class T>
Result<T> member(const object& from, const char* name) {
  T value{};
  if (from[name].get(value) != simdjson::SUCCESS) {
    return Error{Errc::kInvalidArgument, fmt::format("status: {} is missing or of a wrong type", name)};
  }
  return value;
}

std::string_view text_or(const object& from, const char* name, std::string_view otherwise) {
  std::string_view value;
  return from[name].get(value) == simdjson::SUCCESS ? value : otherwise;
}

void write(JsonWriter& json, const ProcessStatus& process) {
  json.begin_object().key("name").value(process.name).key("pid").value(process.pid);
  json.key("state").value(process.state).key("stateForMs").value(process.state_for_ms);
  json.key("restarts").value(process.restarts).key("lastEnd").value(process.last_end).end_object();
}

Result<ProcessStatus> parse_process(const element& item) {
  object from;
  if (item.get(from) != simdjson::SUCCESS) {
    return Error{Errc::kInvalidArgument, "status: a process is not an object"};
  }
  ProcessStatus process;
  ASSIGN(const auto name, member<std::string_view>(from, "name"));
  ASSIGN(process.pid, member<std::int64_t>(from, "pid"));
  ASSIGN(const auto state, member<std::string_view>(from, "state"));
  ASSIGN(process.state_for_ms, member<std::int64_t>(from, "stateForMs"));
  ASSIGN(process.restarts, member<std::uint64_t>(from, "restarts"));
  ASSIGN(const auto last_end, member<std::string_view>(from, "lastEnd"));
  process.name = name;
  process.state = state;
  process.last_end = last_end;
  return process;
}

/// Rows of text, every column as wide as its widest cell.
class Table {
 public:
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  [[nodiscard]] std::string text() const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    for (const auto& row : rows_) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
      out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return out;
  }
  [[nodiscard]] bool empty() const { return rows_.size() < 2; }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string text_of(std::string_view text) { return std::string(text); }

/// Components, and who is at which configuration, out of the gateway's document. Members that are not
/// there are left out of the table, so that a gateway of another version can be asked too.
std::string render_capabilities(const object& gateway) {
  Table components;
  components.row({"COMPONENT", "TYPE", "STATE", "PROCESS", "REASON"});
  Table instances;
  instances.row({"CAPABILITY", "INSTANCE", "LINK", "CONFIG"});
  array capabilities;
  if (gateway["capabilities"].get(capabilities) != simdjson::SUCCESS) return {};
  for (const element item : capabilities) {
    object capability;
    array list;
    if (item.get(capability) != simdjson::SUCCESS) continue;
    if (capability["instances"].get(list) != simdjson::SUCCESS) continue;
    for (const element entry : list) {
      object instance;
      if (entry.get(instance) != simdjson::SUCCESS) continue;
      bool linked = false;
      bool draining = false;
      std::uint64_t term = 0;
      std::uint64_t sequence = 0;
      (void)instance["linked"].get(linked);
      (void)instance["draining"].get(draining);
      const bool configured = instance.at_pointer("/config/term").get(term) == simdjson::SUCCESS &&
                              instance.at_pointer("/config/sequence").get(sequence) == simdjson::SUCCESS;
      instances.row({text_of(text_or(capability, "name", "?")), text_of(text_or(instance, "instance", "")),
                     draining ? "draining"
                     : linked ? "up"
                              : "down",
                     configured && term != 0 ? fmt::format("{}.{}", term, sequence) : "-"});
      array parts;
      if (instance["components"].get(parts) != simdjson::SUCCESS) continue;
      for (const element part : parts) {
        object component;
        if (part.get(component) != simdjson::SUCCESS) continue;
        components.row({text_of(text_or(component, "name", "?")), text_of(text_or(component, "type", "")),
                        text_of(text_or(component, "state", "")),
                        text_of(text_or(instance, "instance", text_or(capability, "name", "?"))),
                        text_of(text_or(component, "reason", ""))});
      }
    }
  }
  std::string out;
  if (!instances.empty()) out += "\n" + instances.text();
  if (!components.empty()) out += "\n" + components.text();
  return out;
}

std::string render_apps(const object& gateway) {
  array apps;
  if (gateway["apps"].get(apps) != simdjson::SUCCESS) return {};
  Table table;
  table.row({"APP", "HTTP", "GRPC", "APP PORT", "APP STATE"});
  for (const element item : apps) {
    object app;
    if (item.get(app) != simdjson::SUCCESS) continue;
    std::uint64_t http = 0;
    std::uint64_t grpc = 0;
    std::uint64_t port = 0;
    bool healthy = false;
    bool reachable = false;
    (void)app["httpPort"].get(http);
    (void)app["grpcPort"].get(grpc);
    (void)app["port"].get(port);
    (void)app["healthy"].get(healthy);
    (void)app["reachable"].get(reachable);
    table.row({text_of(text_or(app, "id", "?")), http == 0 ? "-" : fmt::format("{}", http),
               grpc == 0 ? "-" : fmt::format("{}", grpc), port == 0 ? "-" : fmt::format("{}", port),
               port == 0   ? "-"
               : healthy   ? "healthy"
               : reachable ? "reachable"
                           : "not reachable"});
  }
  return table.empty() ? std::string() : "\n" + table.text();
}

}  // namespace

std::string_view name_of(ProcessState state) {
  switch (state) {
    case ProcessState::kStarting:
      return "starting";
    case ProcessState::kRunning:
      return "running";
    case ProcessState::kWaiting:
      return "waiting";
    case ProcessState::kCrashLooping:
      return "crash-looping";
    case ProcessState::kStopping:
      return "stopping";
    case ProcessState::kStopped:
      break;
  }
  return "stopped";
}

std::string to_json(const RuntimeStatus& status) {
  JsonWriter json;
  json.begin_object().key("pid").value(status.pid).key("version").value(status.version);
  json.key("runDir").value(status.run_dir).key("dataDir").value(status.data_dir);
  json.key("adminPort").value(unsigned{status.admin_port}).key("processes").begin_array();
  for (const ProcessStatus& process : status.processes) write(json, process);
  json.end_array().end_object();
  return json.take();
}

std::uint16_t open_admin_port(const std::string& run_dir) {
  const auto text = read_file(run_dir + "/gateway.json");
  if (!text) return 0;
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  std::uint64_t port = 0;
  if (parser.parse(simdjson::padded_string(*text)).get(document) != simdjson::SUCCESS ||
      document["admin"].get(port) != simdjson::SUCCESS || port > 65535) {
    return 0;
  }
  return static_cast<std::uint16_t>(port);
}

Result<RuntimeStatus> parse_runtime_status(std::string_view json) {
  simdjson::dom::parser parser;
  object from;
  if (parser.parse(simdjson::padded_string(json)).get(from) != simdjson::SUCCESS) {
    return Error{Errc::kInvalidArgument, "status: not a JSON object"};
  }
  RuntimeStatus status;
  ASSIGN(status.pid, member<std::int64_t>(from, "pid"));
  ASSIGN(const auto version, member<std::string_view>(from, "version"));
  ASSIGN(const auto run_dir, member<std::string_view>(from, "runDir"));
  ASSIGN(const auto data_dir, member<std::string_view>(from, "dataDir"));
  ASSIGN(const auto port, member<std::uint64_t>(from, "adminPort"));
  ASSIGN(const auto processes, member<array>(from, "processes"));
  if (port > 65535) return Error{Errc::kInvalidArgument, "status: adminPort is out of range"};
  status.version = version;
  status.run_dir = run_dir;
  status.data_dir = data_dir;
  status.admin_port = static_cast<std::uint16_t>(port);
  for (const element item : processes) {
    ASSIGN(ProcessStatus process, parse_process(item));
    status.processes.push_back(std::move(process));
  }
  return status;
}

std::string human_duration(std::int64_t milliseconds) {
  if (milliseconds < 1000) return fmt::format("{} ms", milliseconds);
  const std::int64_t seconds = milliseconds / 1000;
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m {}s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}h {}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d {}h", seconds / 86400, seconds / 3600 % 24);
}

std::string render_status(const RuntimeStatus& status, std::string_view gateway_status) {
  std::string out = "no caisson up: the processes are another's to supervise\n";
  if (status.pid != 0) {
    out = fmt::format("caisson {}, pid {}, run directory {}, data in {}\n\n", status.version, status.pid,
                      status.run_dir, status.data_dir);
    Table table;
    table.row({"PROCESS", "PID", "STATE", "FOR", "RESTARTS", "LAST END"});
    for (const ProcessStatus& process : status.processes) {
      table.row({process.name, process.pid == 0 ? "-" : fmt::format("{}", process.pid), process.state,
                 human_duration(process.state_for_ms), fmt::format("{}", process.restarts), process.last_end});
    }
    out += table.text();
  }
  simdjson::dom::parser parser;
  object gateway;
  if (gateway_status.empty() ||
      parser.parse(simdjson::padded_string(gateway_status)).get(gateway) != simdjson::SUCCESS) {
    return out + "\nThe gateway does not answer on its admin port: nothing is known about components.\n";
  }
  return out + render_apps(gateway) + render_capabilities(gateway);
}

std::string status_json(const RuntimeStatus& status, std::string_view gateway_status) {
  simdjson::dom::parser parser;
  object gateway;
  const bool known = !gateway_status.empty() &&
                     parser.parse(simdjson::padded_string(gateway_status)).get(gateway) == simdjson::SUCCESS;
  JsonWriter json;
  json.begin_object().key("runtime").raw(to_json(status)).key("gateway");
  if (known) {
    json.raw(simdjson::minify(gateway));
  } else {
    json.null();
  }
  json.end_object();
  return json.take();
}

}  // namespace caisson::cli

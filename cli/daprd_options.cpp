#include "cli/daprd_options.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <string_view>

#include "bus/duration.hpp"
#include "bus/wire.hpp"

namespace caisson::cli {

namespace {

/// Everything the flags can say. What `up` takes as it is goes straight into its options.
struct Daprd {
  UpOptions up;
  std::string app_id;
  std::string mode = "standalone";
  bool app_ssl = false;
  bool enable_metrics = true;
  bool help = false;
  bool version = false;
  bool build_info = false;
  bool wait = false;
};

Error bad(std::string_view value, std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("'{}' is not {}", value, what)};
}

// --- values ---

using Apply = std::function<Result<void>(Daprd&, const std::string& value)>;
struct Flag {
  bool is_switch = false;  // takes a value only as --flag=value
  Apply apply;
};

template <class Number>
Result<Number> number_in(const std::string& text, std::int64_t least, std::int64_t most) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most) {
    return bad(text, fmt::format("a whole number from {} to {}", least, most));
  }
  return static_cast<Number>(number);
}

Result<bool> boolean_in(std::string_view text) {
  for (const std::string_view word : {"true", "TRUE", "True", "t", "T", "1"}) {
    if (text == word) return true;
  }
  for (const std::string_view word : {"false", "FALSE", "False", "f", "F", "0"}) {
    if (text == word) return false;
  }
  return bad(text, "true or false");
}

Flag text(std::function<std::string&(Daprd&)> member) {
  return {false, [member](Daprd& to, const std::string& value) -> Result<void> {
            member(to) = value;
            return ok();
          }};
}
Flag list(std::function<std::vector<std::string>&(Daprd&)> member) {
  return {false, [member](Daprd& to, const std::string& value) -> Result<void> {
            std::string_view rest = value;
            while (!rest.empty()) {
              const std::size_t comma = std::min(rest.find(','), rest.size());
              if (comma != 0) member(to).emplace_back(rest.substr(0, comma));
              rest.remove_prefix(std::min(comma + 1, rest.size()));
            }
            return ok();
          }};
}
template <class Number>
Flag whole(std::int64_t least, std::int64_t most, std::function<void(Daprd&, Number)> put) {
  return {false, [=](Daprd& to, const std::string& value) -> Result<void> {
            ASSIGN(const Number number, number_in<Number>(value, least, most));
            put(to, number);
            return ok();
          }};
}
/// The Dapr CLI says -1 for a port that is not wanted.
Flag port(std::function<void(Daprd&, std::uint16_t)> put) {
  return whole<std::int64_t>(-1, 65535, [put](Daprd& to, std::int64_t number) {
    put(to, static_cast<std::uint16_t>(std::max<std::int64_t>(number, 0)));
  });
}
Flag size(std::int64_t unit, std::function<std::int64_t&(Daprd&)> member) {
  return {false, [=](Daprd& to, const std::string& value) -> Result<void> {
            ASSIGN(const std::int64_t quantity, parse_quantity(value));
            std::int64_t bytes = quantity;
            if (quantity > 0 && __builtin_mul_overflow(quantity, unit, &bytes)) return bad(value, "a size");
            member(to) = bytes;
            return ok();
          }};
}
Flag on_or_off(std::function<void(Daprd&, bool)> put) {
  return {true, [put](Daprd& to, const std::string& value) -> Result<void> {
            ASSIGN(const bool is_on, boolean_in(value));
            put(to, is_on);
            return ok();
          }};
}
Flag on_or_off(bool Daprd::*member) {
  return on_or_off([member](Daprd& to, bool is_on) { to.*member = is_on; });
}
Flag duration(std::function<void(Daprd&, Nanos)> put) {
  return {false, [put](Daprd& to, const std::string& value) -> Result<void> {
            const auto span = parse_duration(value);
            const bool has_unit = value == "0" || value.find_first_not_of("+-.0123456789") != std::string::npos;
            if (!span || !has_unit || *span < Nanos::zero()) return bad(value, "a duration such as 5s or 1m30s");
            put(to, *span);
            return ok();
          }};
}

// --- what means nothing here: its form is checked, as a typing error should be found ---

Flag ignored() {
  return {false, [](Daprd&, const std::string&) { return ok(); }};
}
Flag ignored_switch() {
  return on_or_off([](Daprd&, bool) {});
}
Flag ignored_port() {
  return port([](Daprd&, std::uint16_t) {});
}
Flag ignored_duration() {
  return duration([](Daprd&, Nanos) {});
}

void add_app_flags(std::map<std::string_view, Flag>& flags) {
  flags["app-id"] = text([](Daprd& to) -> std::string& { return to.app_id; });
  flags["app-port"] = port([](Daprd& to, std::uint16_t value) { to.up.app.app_port = value; });
  flags["app-protocol"] = {false, [](Daprd& to, const std::string& value) -> Result<void> {
                             for (const std::string_view one : {"http", "https", "grpc", "grpcs", "h2c"}) {
                               if (!equal_ignoring_case(value, one)) continue;
                               to.up.app.app_protocol = one;
                               return ok();
                             }
                             return bad(value, "http, https, grpc, grpcs or h2c");
                           }};
  flags["app-channel-address"] = text([](Daprd& to) -> std::string& { return to.up.app.app_channel_address; });
  flags["app-max-concurrency"] = whole<std::int64_t>(INT32_MIN, INT32_MAX, [](Daprd& to, std::int64_t value) {
    to.up.app.app_max_concurrency = value > 0 ? value : -1;
  });
  flags["app-ssl"] = on_or_off(&Daprd::app_ssl);
  flags["enable-app-health-check"] = on_or_off([](Daprd& to, bool is_on) { to.up.app.health_check = is_on; });
  flags["app-health-check-path"] = text([](Daprd& to) -> std::string& { return to.up.app.health_path; });
  flags["app-health-probe-interval"] = whole<std::int64_t>(
      1, 86400, [](Daprd& to, std::int64_t seconds) { to.up.app.health_interval_ms = seconds * 1000; });
  flags["app-health-probe-timeout"] =
      whole<std::int64_t>(1, 86'400'000, [](Daprd& to, std::int64_t value) { to.up.app.health_timeout_ms = value; });
  flags["app-health-threshold"] =
      whole<std::int64_t>(1, INT32_MAX, [](Daprd& to, std::int64_t value) { to.up.app.health_threshold = value; });
  flags["disable-init-endpoints"] =
      list([](Daprd& to) -> std::vector<std::string>& { return to.up.app.disabled_queries; });
}

void add_door_flags(std::map<std::string_view, Flag>& flags) {
  flags["dapr-http-port"] = port([](Daprd& to, std::uint16_t value) { to.up.app.http_port = value; });
  flags["dapr-grpc-port"] = port([](Daprd& to, std::uint16_t value) { to.up.app.grpc_port = value; });
  flags["dapr-listen-addresses"] =
      list([](Daprd& to) -> std::vector<std::string>& { return to.up.app.listen_addresses; });
  flags["unix-domain-socket"] = text([](Daprd& to) -> std::string& { return to.up.app.unix_socket_dir; });
  flags["max-body-size"] = size(1, [](Daprd& to) -> std::int64_t& { return to.up.app.max_body_size; });
  flags["dapr-http-max-request-size"] =
      size(1024L * 1024, [](Daprd& to) -> std::int64_t& { return to.up.app.max_body_size; });
  flags["read-buffer-size"] = size(1, [](Daprd& to) -> std::int64_t& { return to.up.app.read_buffer_size; });
  flags["dapr-http-read-buffer-size"] =
      size(1024, [](Daprd& to) -> std::int64_t& { return to.up.app.read_buffer_size; });
}

void add_runtime_flags(std::map<std::string_view, Flag>& flags) {
  const auto resources = [](Daprd& to, const std::string& value) -> Result<void> {
    if (value.empty()) return bad(value, "a folder");
    to.up.resources_paths.push_back(value);
    return ok();
  };
  flags["resources-path"] = flags["components-path"] = {false, resources};
  flags["config"] = list([](Daprd& to) -> std::vector<std::string>& { return to.up.configs; });
  flags["mode"] = text([](Daprd& to) -> std::string& { return to.mode; });
  flags["log-level"] = {false, [](Daprd& to, const std::string& value) -> Result<void> {
                          for (const std::string_view level : {"debug", "info", "warn", "error", "fatal"}) {
                            if (!equal_ignoring_case(value, level)) continue;
                            to.up.log_level = level;
                            return ok();
                          }
                          return bad(value, "debug, info, warn, error or fatal");
                        }};
  flags["log-as-json"] = on_or_off([](Daprd& to, bool is_on) { to.up.log_as_json = is_on; });
  flags["log-file"] = text([](Daprd& to) -> std::string& { return to.up.log_file; });
  flags["enable-metrics"] = on_or_off(&Daprd::enable_metrics);
  flags["metrics-port"] = port([](Daprd& to, std::uint16_t value) { to.up.admin_port = value; });
  flags["metrics-listen-address"] = text([](Daprd& to) -> std::string& { return to.up.admin_address; });
  flags["dapr-graceful-shutdown-seconds"] = whole<std::uint32_t>(-1, 3600, [](Daprd& to, std::uint32_t value) {
    to.up.graceful_shutdown_seconds = value == UINT32_MAX ? 5 : value;
  });
  flags["dapr-block-shutdown-duration"] = duration([](Daprd& to, Nanos span) { to.up.block_shutdown = span; });
  flags["help"] = flags["h"] = on_or_off(&Daprd::help);
  flags["version"] = on_or_off(&Daprd::version);
  flags["build-info"] = on_or_off(&Daprd::build_info);
  flags["wait"] = on_or_off(&Daprd::wait);
  flags["run-dir"] = text([](Daprd& to) -> std::string& { return to.up.run_dir; });
  flags["data-dir"] = text([](Daprd& to) -> std::string& { return to.up.data_dir; });
  flags["transport"] = text([](Daprd& to) -> std::string& { return to.up.transport; });
}

std::map<std::string_view, Flag> all_flags() {
  std::map<std::string_view, Flag> flags;
  add_app_flags(flags);
  add_door_flags(flags);
  add_runtime_flags(flags);
  for (const std::string_view name :
       {"dapr-public-listen-address", "dapr-internal-grpc-listen-address", "placement-host-address",
        "scheduler-host-address", "scheduler-job-streams", "actors-service", "reminders-service",
        "control-plane-address", "control-plane-trust-domain", "control-plane-namespace", "sentry-address",
        "sentry-request-jwt-audiences", "allowed-origins", "dapr-http-max-request-header-size"}) {
    flags[name] = ignored();
  }
  for (const std::string_view name : {"dapr-internal-grpc-port", "dapr-public-port", "profile-port"}) {
    flags[name] = ignored_port();
  }
  for (const std::string_view name :
       {"enable-profiling", "enable-mtls", "enable-api-logging", "disable-builtin-k8s-secret-store"}) {
    flags[name] = ignored_switch();
  }
  for (const std::string_view name :
       {"actors-disseminate-timeout", "app-binding-options-timeout", "hot-reload-reconcile-interval"}) {
    flags[name] = ignored_duration();
  }
  return flags;
}

Result<void> read_words(const std::vector<std::string>& words, Daprd& to) {
  const auto flags = all_flags();
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (!word.starts_with('-') || word == "-" || word == "--") {
      return Error{Errc::kInvalidArgument, fmt::format("'{}' is not a flag", word)};
    }
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    const std::size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const auto flag = flags.find(name);
    if (flag == flags.end()) return Error{Errc::kInvalidArgument, fmt::format("unknown flag: --{}", name)};
    std::string value = "true";
    if (equals != std::string_view::npos) {
      value = word.substr(equals + 1);
    } else if (!flag->second.is_switch) {
      if (++i == words.size()) {
        return Error{Errc::kInvalidArgument, fmt::format("flag needs an argument: --{}", name)};
      }
      value = words[i];
    }
    if (const auto applied = flag->second.apply(to, value); !applied) {
      return Error{applied.error().code, fmt::format("--{}: {}", name, applied.error().message)};
    }
  }
  return ok();
}

// --- folders ---

/// A short name that stays the same from start to start (FNV-1a).
std::string digest(std::string_view text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return fmt::format("{:016x}", hash);
}

/// What no other daprd of this host has at the same time: its HTTP port, or its Unix sockets. With a port
/// that the system chooses, this process.
std::string own_name(const App& app) {
  if (!app.unix_socket_dir.empty()) return "daprd-" + digest(app.unix_socket_dir + '\0' + app.id);
  if (app.http_port == 0) return fmt::format("daprd-pid{}", ::getpid());
  std::string addresses;
  for (const std::string& address : app.listen_addresses) addresses += address + ' ';
  if (addresses.empty()) return fmt::format("daprd-{}", app.http_port);
  return fmt::format("daprd-{}-{}", app.http_port, digest(addresses).substr(0, 8));
}

void choose_folders(UpOptions& up, const Environment& environment) {
  const std::string name = own_name(up.app);
  if (up.run_dir.empty()) up.run_dir = default_run_dir() + "/" + name;
  if (!up.data_dir.empty()) return;
  // By app and folders too: what one app keeps is not another's that comes to the same port later.
  std::string identity = up.app.id;
  for (const std::string& path : up.resources_paths) identity += '\0' + path;
  const auto home = environment.find("HOME");
  const bool usable =
      home != environment.end() && home->second.starts_with('/') && ::access(home->second.c_str(), W_OK | X_OK) == 0;
  const std::string base = usable && up.app.http_port != 0 ? home->second + "/.caisson/" : up.run_dir + "/data/";
  up.data_dir = base + name + "-" + digest(identity);
}

// --- rules over several flags ---

Result<void> finish(Daprd& daprd) {
  UpOptions& up = daprd.up;
  App& app = up.app;
  app.id = daprd.app_id;
  if (app.id.empty()) return Error{Errc::kInvalidArgument, "app-id parameter cannot be empty"};
  if (daprd.mode != "standalone") {
    return Error{Errc::kUnimplemented,
                 fmt::format("--mode {}: there is only standalone; resources come from folders", daprd.mode)};
  }
  if (daprd.app_ssl && app.app_protocol == "http") app.app_protocol = "https";
  if (daprd.app_ssl && app.app_protocol == "grpc") app.app_protocol = "grpcs";
  if (app.health_check && app.health_timeout_ms > app.health_interval_ms) {
    return Error{Errc::kInvalidArgument,
                 "value for 'health-probe-timeout' must be smaller than or equal to 'health-probe-interval'"};
  }
  for (const std::string& query : app.disabled_queries) {
    if (query != "config" && query != "subscribe") {
      return Error{Errc::kInvalidArgument,
                   fmt::format("--disable-init-endpoints: '{}' is not config or subscribe", query)};
    }
  }
  if (!daprd.enable_metrics) {  // still for `caisson status`, and for nobody else
    up.admin_port = 0;
    up.admin_address = "127.0.0.1";
  }
  return ok();
}

}  // namespace

Parsed parse_daprd_command_line(int argc, const char* const* argv, const Environment& environment) {
  Daprd daprd;
  daprd.up.as_daprd = true;
  daprd.up.admin_address = "0.0.0.0";
  Parsed parsed;
  const auto refuse = [&parsed](const Error& error) {
    parsed.text = "daprd: " + error.message + "\n";
    parsed.exit_code = 1;
    return parsed;
  };
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  if (const auto read = read_words(words, daprd); !read) return refuse(read.error());
  if (daprd.help) {
    parsed.text = "Usage of daprd (what each means here: cli/README.md):\n";
    for (const auto& [name, flag] : all_flags()) {
      parsed.text += fmt::format("      --{}{}\n", name, flag.is_switch ? "" : " VALUE");
    }
    return parsed;
  }
  if (daprd.version) {
    parsed.text = CAISSON_VERSION "\n";
    return parsed;
  }
  if (daprd.build_info) {
    parsed.text = "Version: " CAISSON_VERSION "\nGit Commit: unknown\nGit Version: unknown\n";
    return parsed;
  }
  parsed.proceed = true;
  parsed.options.command = daprd.wait ? Command::kWait : Command::kUp;
  parsed.options.health_port = daprd.up.app.http_port;
  if (daprd.wait) return parsed;
  if (const auto finished = finish(daprd); !finished) {
    parsed.proceed = false;
    return refuse(finished.error());
  }
  make_paths_absolute(daprd.up);
  choose_folders(daprd.up, environment);
  make_paths_absolute(daprd.up);
  parsed.options.up = std::move(daprd.up);
  return parsed;
}

}  // namespace caisson::cli

#include "gateway/metrics.hpp"

#include <fmt/format.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>

#include "bus/json_writer.hpp"
#include "sdk/counters.hpp"
#include "sdk/status.hpp"

namespace caisson::gateway {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

/// A member of a struct of counters, as it is shown.
template <class Counters>
struct Shown {
  const char* name;
  const char* help;
  std::uint64_t Counters::*value;
  bool is_gauge = false;
};

constexpr Shown<GatewayCounters> kOwn[] = {
    {"caisson_gateway_connections_accepted_total", "Connections accepted", &GatewayCounters::connections_accepted},
    {"caisson_gateway_connections_open", "Connections open now", &GatewayCounters::connections_open, true},
    {"caisson_gateway_requests_total", "Requests read", &GatewayCounters::requests},
    {"caisson_gateway_requests_malformed_total", "Requests that were no HTTP", &GatewayCounters::requests_malformed},
    {"caisson_gateway_requests_unauthenticated_total", "Requests without the token",
     &GatewayCounters::requests_unauthenticated},
    {"caisson_gateway_requests_too_large_total", "Requests over a limit of size", &GatewayCounters::requests_too_large},
    {"caisson_gateway_requests_parked_total", "Requests that waited for an instance",
     &GatewayCounters::requests_parked},
    {"caisson_gateway_requests_resent_total", "Requests sent to a second instance", &GatewayCounters::requests_resent},
    {"caisson_gateway_requests_overloaded_total", "Requests answered with overload",
     &GatewayCounters::requests_overloaded},
    {"caisson_gateway_requests_too_late_total", "Requests whose deadline passed", &GatewayCounters::requests_too_late},
    {"caisson_gateway_requests_unknown_outcome_total", "Requests that died with their instance",
     &GatewayCounters::requests_unknown_outcome},
    {"caisson_gateway_requests_quarantined_total", "Requests that killed two instances",
     &GatewayCounters::requests_quarantined},
    {"caisson_gateway_calls_total", "Calls by capabilities", &GatewayCounters::calls},
    {"caisson_gateway_calls_denied_total", "Calls that no manifest grants", &GatewayCounters::calls_denied},
    {"caisson_gateway_calls_over_hop_limit_total", "Calls passed on too often", &GatewayCounters::calls_over_hop_limit},
    {"caisson_gateway_calls_forwarded_total", "Calls passed to another capability", &GatewayCounters::calls_forwarded},
    {"caisson_gateway_links_opened_total", "Links to instances opened", &GatewayCounters::links_opened},
    {"caisson_gateway_links_lost_total", "Links to instances lost", &GatewayCounters::links_lost},
    {"caisson_gateway_frames_refused_total", "Frames that failed verification", &GatewayCounters::frames_refused},
};

/// Seen from the gateway's end.
constexpr Shown<LaneCounters> kLane[] = {
    {"caisson_lane_frames_in_total", "Frames that came over the lane", &LaneCounters::frames_in},
    {"caisson_lane_frames_out_total", "Frames that went over the lane", &LaneCounters::frames_out},
    {"caisson_lane_bytes_in_total", "Bytes of those that came", &LaneCounters::bytes_in},
    {"caisson_lane_bytes_out_total", "Bytes of those that went", &LaneCounters::bytes_out},
    {"caisson_lane_frames_refused_total", "Frames of the peer that failed verification", &LaneCounters::refused},
    {"caisson_lane_full_total", "Times the lane had no room", &LaneCounters::full},
    {"caisson_lane_rings_total", "Times the peer was rung awake", &LaneCounters::rings},
    {"caisson_lane_wakes_total", "Times the peer rang", &LaneCounters::wakes},
    {"caisson_lane_lent_pieces", "Pieces of memory that the peer has not given back", &LaneCounters::lent, true},
    {"caisson_lane_own_bytes", "Shared memory of this end", &LaneCounters::own_bytes, true},
    {"caisson_lane_mapped_bytes", "Shared memory of the peer that is mapped", &LaneCounters::mapped_bytes, true},
};

bool is_metric_name(std::string_view name) {
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name.front())) == 0 &&
         std::ranges::all_of(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; });
}

/// Reads `key="value",…` as another process wrote it; false when it is not of that form.
bool read_labels(std::string_view text, Labels& to) {
  while (!text.empty()) {
    const std::size_t equals = text.find("=\"");
    if (equals == std::string_view::npos) return false;
    const std::string_view name = text.substr(0, equals);
    text.remove_prefix(equals + 2);
    const std::size_t quote = text.find('"');
    if (quote == std::string_view::npos || !is_metric_name(name)) return false;
    const bool taken = std::ranges::any_of(to, [&](const auto& label) { return label.name == name; });
    if (!taken) to.push_back({std::string(name), std::string(text.substr(0, quote))});
    text.remove_prefix(quote + 1);
    if (!text.empty() && text.front() != ',') return false;
    if (!text.empty()) text.remove_prefix(1);
  }
  return true;
}

/// Collects series by family, as the text format wants them.
class Families {
 public:
  void add(const std::string& name, const char* help, bool is_gauge, Labels labels, double value) {
    MetricFamily& family = families_[name];
    const MetricType type = is_gauge ? MetricType::Gauge : MetricType::Counter;
    if (family.name.empty()) {
      family.name = name;
      family.help = help;
      family.type = type;
    }
    if (family.type != type) return;  // one name, two kinds: the first counts
    // Two series alike would spoil the whole scrape.
    if (!seen_.insert({name, labels}).second) return;
    ClientMetric metric;
    metric.label = std::move(labels);
    (is_gauge ? metric.gauge.value : metric.counter.value) = value;
    family.metric.push_back(std::move(metric));
  }

  [[nodiscard]] std::size_t series() const { return seen_.size(); }

  [[nodiscard]] std::string text() const {
    std::vector<MetricFamily> list;
    for (const auto& [name, family] : families_) list.push_back(family);
    return prometheus::TextSerializer().Serialize(list);
  }

 private:
  std::map<std::string, MetricFamily> families_;
  std::set<std::pair<std::string, Labels>> seen_;
};

void add_apps(Families& families, const Facts& facts) {
  for (const AppChannel* app : facts.apps()) {
    const Labels labels = {{"app", app->config().id}};
    families.add("caisson_app_reachable", "The app's port accepts connections", true, labels, app->reachable() ? 1 : 0);
    families.add("caisson_app_healthy", "The app is reachable and passes its health check", true, labels,
                 app->healthy() ? 1 : 0);
    families.add("caisson_app_incarnations_total", "Times the app was seen to begin", false, labels,
                 static_cast<double>(app->incarnation()));
    families.add("caisson_app_calls_in_flight", "Calls to the app under way", true, labels,
                 static_cast<double>(app->calls_in_flight()));
  }
}

template <class Counters, std::size_t kCount>
void add_all(Families& families, const Shown<Counters> (&shown)[kCount], const Labels& labels,
             const Counters& counters) {
  for (const Shown<Counters>& one : shown) {
    families.add(one.name, one.help, one.is_gauge, labels, static_cast<double>(counters.*one.value));
  }
}

void add_table(Families& families, const std::string& path, const Labels& owner) {
  if (path.empty()) return;
  const auto values = sdk::read_counters(path);
  if (!values) return;  // never begun, or its directory is gone
  for (const sdk::CounterValue& value : *values) {
    if (families.series() >= kMaxSeries) return;
    Labels labels = owner;
    if (!is_metric_name(value.name) || !read_labels(value.labels, labels)) continue;
    const std::string name = value.name.starts_with("caisson_") ? value.name : "caisson_" + value.name;
    families.add(name, "Counted by a capability", value.is_gauge, std::move(labels), static_cast<double>(value.value));
  }
}

void add_capabilities(Families& families, const Facts& facts) {
  for (const CapabilityFacts& capability : facts.capabilities()) {
    families.add("caisson_capability_parked", "Requests that wait for an instance now", true,
                 {{"capability", capability.name}}, static_cast<double>(capability.parked));
    for (const InstanceFacts& instance : capability.instances) {
      const Labels labels = {{"capability", instance.capability}, {"instance", instance.instance}};
      families.add("caisson_instance_linked", "The instance's link is up", true, labels, instance.linked ? 1 : 0);
      families.add("caisson_instance_requests_in_flight", "Requests at the instance now", true, labels,
                   static_cast<double>(instance.in_flight));
      if (instance.linked) add_all(families, kLane, labels, instance.lane);
      add_table(families, instance.counters_path, labels);
    }
  }
}

void add_other_gateways(Families& families, const std::string& run_dir) {
  std::error_code error;
  std::set<std::string> folders;
  for (std::filesystem::directory_iterator it(run_dir + "/gateways", error), end; !error && it != end;
       it.increment(error)) {
    folders.insert(it->path().filename());
  }
  for (const std::string& number : folders) {
    const std::string path = fmt::format("{}/gateways/{}/{}", run_dir, number, kGatewayCounters);
    add_table(families, path, {{"gateway", "gateway-" + number}});
  }
}

// --- status ---

constexpr std::string_view kStates[] = {"INIT", "UP", "DOWN"};

std::int64_t seconds(Nanos span) { return std::chrono::duration_cast<std::chrono::seconds>(span).count(); }

void write_app(JsonWriter& json, const AppChannel& app) {
  json.begin_object();
  json.key("id").value(app.config().id);
  json.key("httpPort").value(static_cast<unsigned>(app.config().http_port));
  json.key("grpcPort").value(static_cast<unsigned>(app.config().grpc_port));
  json.key("port").value(static_cast<unsigned>(app.config().app_port));
  json.key("reachable").value(app.reachable());
  json.key("healthy").value(app.healthy());
  json.key("incarnation").value(app.incarnation());
  json.end_object();
}

void write_components(JsonWriter& json, const InstanceFacts& instance) {
  json.key("components").begin_array();
  const auto status = sdk::parse_status(instance.status);
  if (status) {
    for (const sdk::ComponentStatus& component : status->components) {
      json.begin_object();
      json.key("name").value(component.name);
      json.key("type").value(component.type);
      json.key("version").value(component.version);
      json.key("state").value(kStates[static_cast<std::size_t>(component.state)]);
      if (!component.reason.empty()) json.key("reason").value(component.reason);
      if (component.ignore_errors) json.key("ignoreErrors").value(true);
      if (component.init_failed) json.key("initFailed").value(true);
      if (!component.scopes.empty()) {
        json.key("scopes").begin_array();
        for (const std::string& scope : component.scopes) json.value(scope);
        json.end_array();
      }
      json.end_object();
    }
  }
  json.end_array();
  json.key("configured").value(status && status->configured);
}

void write_instance(JsonWriter& json, const InstanceFacts& instance, Nanos now) {
  json.begin_object();
  json.key("instance").value(instance.instance);
  json.key("pid").value(instance.pid);
  json.key("version").value(instance.version);
  json.key("linked").value(instance.linked);
  json.key("draining").value(instance.draining);
  json.key("sinceSeconds").value(seconds(std::max(now - instance.since, Nanos::zero())));
  json.key("inFlight").value(static_cast<std::uint64_t>(instance.in_flight));
  json.key("config").begin_object();
  json.key("term").value(instance.config_term);
  json.key("sequence").value(instance.config_sequence);
  json.end_object();
  write_components(json, instance);
  json.end_object();
}

}  // namespace

std::string render_metrics(const Facts& facts, const GatewayCounters& counters, const std::string& shared_run_dir) {
  Families families;
  Labels labels;
  if (!shared_run_dir.empty()) labels.push_back({"gateway", "gateway"});
  add_all(families, kOwn, labels, counters);
  if (!shared_run_dir.empty()) add_other_gateways(families, shared_run_dir);
  add_apps(families, facts);
  add_capabilities(families, facts);
  return families.text();
}

void publish(const GatewayCounters& counters, sdk::Counters& table) {
  for (const auto& own : kOwn) {
    sdk::Counter shown = own.is_gauge ? table.gauge(own.name) : table.counter(own.name);
    shown.set(counters.*own.value);
  }
}

std::string render_status(const Facts& facts, Nanos now, Nanos started) {
  JsonWriter json;
  json.begin_object();
  json.key("version").value(CAISSON_VERSION);
  json.key("pid").value(static_cast<std::int64_t>(::getpid()));
  json.key("uptimeSeconds").value(seconds(now - started));
  json.key("apps").begin_array();
  for (const AppChannel* app : facts.apps()) write_app(json, *app);
  json.end_array();
  json.key("capabilities").begin_array();
  for (const CapabilityFacts& capability : facts.capabilities()) {
    json.begin_object();
    json.key("name").value(capability.name);
    json.key("configured").value(capability.configured);
    json.key("parked").value(static_cast<std::uint64_t>(capability.parked));
    json.key("instances").begin_array();
    for (const InstanceFacts& instance : capability.instances) write_instance(json, instance, now);
    json.end_array().end_object();
  }
  json.end_array().end_object();
  return json.take();
}

}  // namespace caisson::gateway

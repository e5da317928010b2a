#include "gateway/capability_links.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "bus/json_writer.hpp"

namespace caisson::gateway {

namespace {

constexpr std::size_t kLargestHello = 16 * 1024;
constexpr std::size_t kMostRemembered = 16;
/// How long the only instance serves on after it asked to leave: where everything ends at once
/// without a supervisor, this gateway is asked to end within that time, and needs it until then.
constexpr Nanos kHold = std::chrono::seconds(1);

std::string text_member(simdjson::dom::object from, std::string_view name) {
  std::string_view value;
  return from[name].get(value) == simdjson::SUCCESS ? std::string(value) : std::string();
}

}  // namespace

CapabilityLinks::CapabilityLinks(EventLoop& loop, GatewayCounters& counters, Options options, Handlers handlers,
                                 MakeListener make_listener)
    : loop_(loop),
      counters_(counters),
      options_(std::move(options)),
      handlers_(std::move(handlers)),
      make_listener_(std::move(make_listener)) {}

CapabilityLinks::~CapabilityLinks() { clear(); }

void CapabilityLinks::clear() {
  for (auto& [name, capability] : capabilities_) {
    capability.listener.reset();
    for (const auto& instance : capability.instances) {
      instance->hold.reset();
      instance->set_link(nullptr);
    }
  }
  capabilities_.clear();
}

Result<void> CapabilityLinks::set_manifests(const std::vector<std::shared_ptr<const Manifest>>& manifests) {
  for (auto& [name, capability] : capabilities_) {
    const bool still = std::ranges::any_of(manifests, [&](const auto& m) { return m->capability == name; });
    if (still || !capability.installed) continue;
    capability.installed = false;
    capability.manifest = nullptr;
    capability.listener.reset();
    const auto instances = capability.instances;
    for (const auto& instance : instances) {
      instance->link().close({Errc::kUnavailable, "the capability's manifest was removed"});
    }
  }
  Result<void> outcome;
  for (const auto& manifest : manifests) {
    Capability& capability = capabilities_[manifest->capability];
    capability.manifest = manifest;
    capability.installed = true;
    if (capability.listener != nullptr) continue;
    auto listener = make_listener_(*manifest);
    Result<void> listens;
    if (listener) {
      listens = (*listener)->listen(
          [this, &capability](std::unique_ptr<Lane> lane) { open_link(capability, std::move(lane), false); });
    } else {
      listens = listener.error();
    }
    if (listens) {
      capability.listener = *std::move(listener);
    } else {
      outcome = Error{listens.error().code,
                      fmt::format("capability '{}': {}", manifest->capability, listens.error().message)};
    }
  }
  return outcome;
}

void CapabilityLinks::adopt(std::shared_ptr<const Manifest> manifest, std::unique_ptr<Lane> lane) {
  Capability& capability = capabilities_[manifest->capability];
  capability.manifest = std::move(manifest);
  open_link(capability, std::move(lane), true);
}

void CapabilityLinks::open_link(Capability& capability, std::unique_ptr<Lane> lane, bool linked_in) {
  if (capability.manifest == nullptr || capability.instances.size() >= options_.max_instances) {
    log_.log(LogLevel::kWarning, "an instance was turned away: too many, or no manifest");
    return;
  }
  // Deleted from the loop, never from inside a task of its own link.
  EventLoop& loop = loop_;
  std::shared_ptr<Instance> instance(new Instance(loop_, capability.manifest, linked_in), [&loop](Instance* last) {
    const std::shared_ptr<Instance> keep(last);
    loop.post([keep] {});
  });
  instance->facts.capability = capability.manifest->capability;
  instance->facts.since = loop_.now();

  Instance* const raw = instance.get();
  Link::Options options;
  // The window is kept by Instance::Place; the link's own is only a second line.
  options.max_asked = capability.manifest->max_in_flight * 2 + 64;
  options.same_host = capability.listener == nullptr || !capability.listener->address().starts_with("tcp://");
  Link::Handlers handlers;
  handlers.serve = [this, raw](Incoming call) { return handlers_.call(*raw, std::move(call)); };
  handlers.control = [this, raw](Frame frame) { on_control(*raw, frame); };
  handlers.down = [this, raw](const Error& reason) { on_down(*raw, reason); };
  instance->set_link(std::make_unique<Link>(loop_, std::move(lane), Side::kGateway, options, std::move(handlers)));
  capability.instances.push_back(instance);
  instance->link().start("gateway", hello());
}

std::string CapabilityLinks::hello() const {
  JsonWriter json;
  json.begin_object().key("incarnation").value(options_.incarnation).key("apps").begin_array();
  for (const std::string& app : handlers_.apps()) json.value(app);
  json.end_array().end_object();
  return json.take();
}

// --- what a capability says ---

void CapabilityLinks::on_control(Instance& instance, const Frame& frame) {
  switch (frame->kind()) {
    case wire::Kind::Hello:
      return on_hello(instance, frame);
    case wire::Kind::Status: {
      const Result<void> taken = instance.set_status(frame.payload());
      if (!taken) log_.log(LogLevel::kWarning, fmt::format("{}: {}", instance.capability(), taken.error().message));
      if (taken) handlers_.changed(instance);
      return;
    }
    case wire::Kind::Config:
      return handlers_.config(instance, frame);
    case wire::Kind::Goodbye:
      return on_goodbye(instance);
    default:
      return;
  }
}

void CapabilityLinks::on_hello(Instance& instance, const Frame& frame) {
  const auto refuse = [&](std::string why) {
    log_.log(LogLevel::kWarning, fmt::format("{}: HELLO refused: {}", instance.capability(), why));
    instance.link().close({Errc::kPermissionDenied, std::move(why)});
  };
  const std::string_view json = frame.payload();
  if (json.size() > kLargestHello) return refuse("too long");
  simdjson::dom::parser parser;
  simdjson::dom::object members;
  if (parser.parse(json.data(), json.size()).get(members) != simdjson::SUCCESS) return refuse("no JSON object");
  const std::string name = text_member(members, "capability");
  if (name != instance.capability() || (!text(frame->target()).empty() && text(frame->target()) != name)) {
    return refuse(fmt::format("'{}' connected where '{}' belongs", name, instance.capability()));
  }
  InstanceFacts& facts = instance.facts;
  facts.instance = text_member(members, "instance");
  facts.version = text_member(members, "version");
  facts.counters_path = text_member(members, "counters");
  instance.incarnation = text_member(members, "incarnation");
  if (members["pid"].get(facts.pid) != simdjson::SUCCESS) facts.pid = 0;
  facts.linked = true;
  ++counters_.links_opened;
  facts.since = loop_.now();

  Capability& capability = capabilities_.find(instance.capability())->second;
  for (const auto& other : capability.instances) {
    if (other.get() != &instance && other->facts.linked && other->facts.instance == facts.instance) {
      other->link().close({Errc::kUnavailable, "a newer link of the same instance"});
    }
  }
  for (const auto& other : capability.instances) {
    if (other.get() != &instance && other->facts.draining && !ending_) let_go(*other);
  }
  std::erase_if(capability.gone, [&](const InstanceFacts& gone) { return gone.instance == facts.instance; });
  log(LogLevel::kInfo, fmt::format("{} '{}' {} linked", instance.capability(), facts.instance, facts.version));
  handlers_.linked(instance);
  handlers_.changed(instance);
}

/// It wants to leave, and serves until it is let go: at once where another takes its place.
void CapabilityLinks::on_goodbye(Instance& instance) {
  instance.facts.draining = true;
  const Capability& capability = capabilities_.find(instance.capability())->second;
  const bool replaced = std::ranges::any_of(capability.instances, [&](const auto& other) {
    return other.get() != &instance && other->ready() && !other->facts.draining;
  });
  if (replaced) return let_go(instance);
  if (instance.hold) return;
  instance.hold.emplace(loop_, [this, &instance] {
    if (!ending_) let_go(instance);
  });
  instance.hold->start_after(kHold);
}

/// No new requests; GOODBYE tells it that none is on its way to it any more.
void CapabilityLinks::let_go(Instance& instance) {
  if (std::exchange(instance.released, true)) return;
  instance.queue().close();
  ControlFrame goodbye;
  goodbye.kind = wire::Kind::Goodbye;
  instance.post(std::move(goodbye));
}

void CapabilityLinks::on_down(Instance& instance, const Error& reason) {
  const auto keep = instance.shared_from_this();
  log_.log(LogLevel::kInfo,
           fmt::format("{} '{}': link ended: {}", instance.capability(), instance.facts.instance, reason.message));
  Capability& capability = capabilities_.find(instance.capability())->second;
  std::erase_if(capability.instances, [&](const auto& other) { return other.get() == &instance; });
  instance.hold.reset();
  instance.lost();
  if (!instance.facts.linked) return;
  instance.facts.linked = false;
  ++counters_.links_lost;
  instance.facts.since = loop_.now();
  instance.facts.in_flight = 0;
  const bool replaced = std::ranges::any_of(
      capability.instances, [&](const auto& other) { return other->facts.instance == instance.facts.instance; });
  if (replaced) return;
  if (capability.gone.size() >= kMostRemembered) capability.gone.erase(capability.gone.begin());
  capability.gone.push_back(instance.facts);
}

// --- for the others ---

std::shared_ptr<Instance> CapabilityLinks::pick(std::string_view name, std::string_view component) const {
  const auto found = capabilities_.find(name);
  if (found == capabilities_.end()) return nullptr;
  const std::shared_ptr<Instance>* best = nullptr;
  // One that stays before one that leaves, then one that holds the component, then the least busy.
  const auto rank = [&](const Instance& instance) {
    const bool holds = !component.empty() && instance.holds(component);
    return std::tuple(instance.facts.draining, !holds, instance.in_flight());
  };
  for (const auto& instance : found->second.instances) {
    if (!instance->ready() || !handlers_.may_serve(*instance)) continue;
    if (best == nullptr || rank(*instance) < rank(**best)) best = &instance;
  }
  return best == nullptr ? nullptr : *best;
}

void CapabilityLinks::for_each(const std::function<void(Instance&)>& visit) const {
  for (const auto& [name, capability] : capabilities_) {
    const auto instances = capability.instances;
    for (const auto& instance : instances) {
      if (instance->facts.linked) visit(*instance);
    }
  }
}

std::vector<CapabilityFacts> CapabilityLinks::facts() const {
  std::vector<CapabilityFacts> all;
  for (const auto& [name, capability] : capabilities_) {
    if (capability.manifest == nullptr && capability.instances.empty()) continue;
    CapabilityFacts facts;
    facts.name = name;
    facts.configured = capability.manifest != nullptr;
    for (const auto& instance : capability.instances) {
      if (!instance->facts.linked) continue;
      facts.instances.push_back(instance->facts);
      facts.instances.back().in_flight = instance->in_flight();
    }
    facts.instances.insert(facts.instances.end(), capability.gone.begin(), capability.gone.end());
    all.push_back(std::move(facts));
  }
  return all;
}

void CapabilityLinks::release_all() {
  for_each([this](Instance& instance) { let_go(instance); });
}

bool CapabilityLinks::all_told() const {
  bool told = true;
  for_each([&](const Instance& instance) { told = told && instance.told(); });
  return told;
}

}  // namespace caisson::gateway

#include "gateway/capability_links.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "bus/json_writer.hpp"
#include "gateway/rendezvous.hpp"

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
  for (auto& [process, group] : groups_) {
    group.listener.reset();
    for (const auto& instance : group.instances) {
      instance->hold.reset();
      instance->set_link(nullptr);
    }
  }
  groups_.clear();
}

// --- whom to listen for ---

Result<void> CapabilityLinks::set_manifests(const std::vector<std::shared_ptr<const Manifest>>& manifests) {
  for (auto& [process, group] : groups_) {
    const bool still = std::ranges::any_of(manifests, [&](const auto& m) { return m->capability == group.capability; });
    if (still || !group.installed) continue;
    group.installed = false;
    group.manifest = nullptr;
    group.listener.reset();
    const auto instances = group.instances;
    for (const auto& instance : instances) {
      instance->link().close({Errc::kUnavailable, "the capability's manifest was removed"});
    }
  }
  Result<void> outcome;
  for (const auto& manifest : manifests) {
    groups_[manifest->capability].capability = manifest->capability;
    for (auto& [process, group] : groups_) {
      if (group.capability != manifest->capability) continue;
      group.manifest = manifest;
      group.installed = true;
      const Result<void> listens = listen(process, group);
      if (!listens) outcome = listens;
    }
  }
  return outcome;
}

Result<void> CapabilityLinks::listen(const std::string& process, Group& group) {
  if (group.listener != nullptr || !group.installed) return ok();
  auto listener = make_listener_(process);
  Result<void> listens;
  if (listener) {
    listens = (*listener)->listen(
        [this, process, &group](std::unique_ptr<Lane> lane) { open_link(process, group, std::move(lane), false); });
  } else {
    listens = listener.error();
  }
  if (!listens) return Error{listens.error().code, fmt::format("'{}': {}", process, listens.error().message)};
  group.listener = *std::move(listener);
  return ok();
}

Result<void> CapabilityLinks::expect(const std::vector<Compartment>& compartments) {
  placement_.begin_with(compartments);
  Result<void> outcome;
  for (const Compartment& compartment : compartments) {
    const Result<void> used = use(compartment.process());
    if (!used) outcome = used;
  }
  return outcome;
}

Result<void> CapabilityLinks::place(const config::Generation& generation) {
  placement_.take(generation);
  if (compartment_of(generation.audience).empty()) return ok();
  const std::string process = process_of(generation.audience);
  if (!generation.components.empty()) return use(process);
  retire(process);
  return ok();
}

Result<void> CapabilityLinks::use(const std::string& process) {
  if (!groups_.contains(process)) {
    if (!is_compartment_name(compartment_of(process))) {
      return Error{Errc::kInvalidArgument, fmt::format("'{}' is no name of a compartment", process)};
    }
    if (groups_.size() >= options_.max_groups) return Error{Errc::kResourceExhausted, "too many compartments"};
  }
  Group& group = groups_[process];
  group.capability = capability_of(process);
  group.in_use = true;
  const auto own = groups_.find(group.capability);
  if (own != groups_.end()) {
    group.manifest = own->second.manifest;
    group.installed = own->second.installed;
  }
  return listen(process, group);
}

/// Its instances are told that they hold nothing, and may stay; those who watch over them end them.
void CapabilityLinks::retire(const std::string& process) {
  const auto found = groups_.find(process);
  if (found == groups_.end()) return;
  found->second.in_use = false;
  found->second.gone.clear();
  if (found->second.instances.empty()) groups_.erase(found);
}

void CapabilityLinks::adopt(std::shared_ptr<const Manifest> manifest, std::unique_ptr<Lane> lane) {
  const std::string process = manifest->capability;
  Group& group = groups_[process];
  group.capability = process;
  group.manifest = std::move(manifest);
  open_link(process, group, std::move(lane), true);
}

void CapabilityLinks::open_link(const std::string& process, Group& group, std::unique_ptr<Lane> lane, bool linked_in) {
  if (group.manifest == nullptr || group.instances.size() >= options_.max_instances) {
    log_.log(LogLevel::kWarning, "an instance was turned away: too many, or no manifest");
    return;
  }
  // Deleted from the loop, never from inside a task of its own link.
  EventLoop& loop = loop_;
  std::shared_ptr<Instance> instance(new Instance(loop_, group.manifest, process, linked_in), [&loop](Instance* last) {
    const std::shared_ptr<Instance> keep(last);
    loop.post([keep] {});
  });
  instance->facts.capability = group.capability;
  instance->facts.since = loop_.now();

  Instance* const raw = instance.get();
  Link::Options options;
  // The window is kept by Instance::Place; the link's own is only a second line.
  options.max_asked = group.manifest->max_in_flight * 2 + 64;
  options.same_host = group.listener == nullptr || !group.listener->address().starts_with("tcp://");
  Link::Handlers handlers;
  handlers.serve = [this, raw](Incoming call) { return handlers_.call(*raw, std::move(call)); };
  handlers.control = [this, raw](Frame frame) { on_control(*raw, std::move(frame)); };
  handlers.down = [this, raw](const Error& reason) { on_down(*raw, reason); };
  instance->set_link(std::make_unique<Link>(loop_, std::move(lane), Side::kGateway, options, std::move(handlers)));
  group.instances.push_back(instance);
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

void CapabilityLinks::on_control(Instance& instance, Frame frame) {
  switch (frame->kind()) {
    case wire::Kind::Hello:
      return on_hello(instance, frame);
    case wire::Kind::Status: {
      const Result<void> taken = instance.set_status(frame.payload());
      if (!taken) log_.log(LogLevel::kWarning, fmt::format("{}: {}", instance.process(), taken.error().message));
      if (taken) handlers_.changed(instance);
      return;
    }
    case wire::Kind::Config:
      return handlers_.config(instance, std::move(frame));
    case wire::Kind::Goodbye:
      return on_goodbye(instance);
    default:
      return;
  }
}

void CapabilityLinks::on_hello(Instance& instance, const Frame& frame) {
  const auto refuse = [&](std::string why) {
    log_.log(LogLevel::kWarning, fmt::format("{}: HELLO refused: {}", instance.process(), why));
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
  std::int64_t number = 1;
  instance.is_first = members["number"].get(number) != simdjson::SUCCESS || number == 1;
  instance.name_hash = fnv1a(facts.instance);
  facts.linked = true;
  ++counters_.links_opened;
  facts.since = loop_.now();

  Group& group = groups_.find(instance.process())->second;
  for (const auto& other : group.instances) {
    if (other.get() != &instance && other->facts.linked && other->facts.instance == facts.instance) {
      other->link().close({Errc::kUnavailable, "a newer link of the same instance"});
    }
  }
  for (const auto& other : group.instances) {
    if (other.get() != &instance && other->facts.draining && !ending_) let_go(*other);
  }
  std::erase_if(group.gone, [&](const InstanceFacts& gone) { return gone.instance == facts.instance; });
  log(LogLevel::kInfo, fmt::format("{} '{}' {} linked", instance.process(), facts.instance, facts.version));
  handlers_.linked(instance);
  handlers_.changed(instance);
}

/// It wants to leave, and serves until it is let go: at once where another takes its place.
void CapabilityLinks::on_goodbye(Instance& instance) {
  instance.facts.draining = true;
  const Group& group = groups_.find(instance.process())->second;
  const bool replaced = std::ranges::any_of(group.instances, [&](const auto& other) {
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
           fmt::format("{} '{}': link ended: {}", instance.process(), instance.facts.instance, reason.message));
  Group& group = groups_.find(instance.process())->second;
  std::erase_if(group.instances, [&](const auto& other) { return other.get() == &instance; });
  instance.hold.reset();
  instance.lost();
  if (!group.in_use && group.instances.empty()) {
    // Not from inside a call of its listener's lane.
    loop_.post([this, process = instance.process(), alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired()) return;
      const auto found = groups_.find(process);
      if (found != groups_.end() && !found->second.in_use) retire(process);
    });
  }
  if (!instance.facts.linked) return;
  instance.facts.linked = false;
  ++counters_.links_lost;
  instance.facts.since = loop_.now();
  instance.facts.in_flight = 0;
  const bool replaced = std::ranges::any_of(
      group.instances, [&](const auto& other) { return other->facts.instance == instance.facts.instance; });
  if (replaced || !group.in_use) return;
  if (group.gone.size() >= kMostRemembered) group.gone.erase(group.gone.begin());
  group.gone.push_back(instance.facts);
}

// --- for the others ---

Instance* CapabilityLinks::pick(std::string_view name, std::string_view component, const RequestKey& key) const {
  const Placement::Holder holder = placement_.holder(name, component);
  const auto found = groups_.find(holder.process);
  if (found == groups_.end() || !holder.ready) return nullptr;
  const auto& instances = found->second.instances;
  if (instances.size() > 1) return best_of(found->second, component, key.text());
  return !instances.empty() && may_take(*instances.front(), component) ? instances.front().get() : nullptr;
}

/// What only one instance may hold is the first's, so another one is asked only for what it says it holds.
bool CapabilityLinks::may_take(const Instance& instance, std::string_view component) const {
  if (!instance.ready() || !handlers_.may_serve(instance)) return false;
  return instance.is_first || component.empty() || instance.holds(component) != Instance::Holds::kNothing;
}

Instance* CapabilityLinks::best_of(const Group& group, std::string_view component, std::string_view key) const {
  const std::uint64_t hash = fnv1a(key);
  // One that stays before one that leaves, then one where the component is up, then one that holds it, then one
  // with room, then the one the key belongs to, then the least busy.
  const auto rank = [&](const Instance& instance) {
    const std::uint64_t share = key.empty() ? 0 : weight(instance.name_hash, hash);
    return std::tuple(instance.facts.draining, instance.holds(component), !instance.has_room(), ~share,
                      instance.in_flight());
  };
  Instance* best = nullptr;
  for (const auto& instance : group.instances) {
    if (!may_take(*instance, component)) continue;
    if (best == nullptr || rank(*instance) < rank(*best)) best = instance.get();
  }
  return best;
}

void CapabilityLinks::for_each(const std::function<void(Instance&)>& visit) const {
  for (const auto& [process, group] : groups_) {
    const auto instances = group.instances;
    for (const auto& instance : instances) {
      if (instance->facts.linked) visit(*instance);
    }
  }
}

std::vector<CapabilityFacts> CapabilityLinks::facts() const {
  std::vector<CapabilityFacts> all;
  for (const auto& [process, group] : groups_) {
    if (group.manifest == nullptr && group.instances.empty()) continue;
    CapabilityFacts facts;
    facts.name = process;
    facts.configured = group.manifest != nullptr && group.in_use;
    facts.components = placement_.components_of(process);
    for (const auto& instance : group.instances) {
      if (!instance->facts.linked) continue;
      facts.instances.push_back(instance->facts);
      facts.instances.back().in_flight = instance->in_flight();
      facts.instances.back().lane = instance->link().lane().counters();
    }
    facts.instances.insert(facts.instances.end(), group.gone.begin(), group.gone.end());
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

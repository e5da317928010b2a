#include "sdk/component_set.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace caisson::sdk {

namespace {

constexpr Nanos kFirstRetry = std::chrono::milliseconds(250);
constexpr Nanos kLongestRetry = std::chrono::seconds(15);
/// As long as the one who holds what only one may hold is given to finish and let go.
constexpr Nanos kHandOver = std::chrono::seconds(10);
constexpr Nanos kHandOverLook = std::chrono::milliseconds(20);

bool same(const config::Component& a, const config::Component& b) {
  const auto same_item = [](const config::MetadataItem& x, const config::MetadataItem& y) {
    return x.name == y.name && x.value == y.value && x.secret_name == y.secret_name && x.secret_key == y.secret_key &&
           x.env == y.env;
  };
  return a.type == b.type && a.version == b.version && a.secret_store == b.secret_store &&
         a.init_timeout == b.init_timeout && std::ranges::equal(a.metadata, b.metadata, same_item);
}

bool visible_to(const std::vector<std::string>& scopes, std::string_view app) {
  return app.empty() || scopes.empty() || std::ranges::find(scopes, app) != scopes.end();
}

}  // namespace

/// One component name: the document that is wanted, and what serves meanwhile.
struct ComponentSet::Slot {
  config::Component document;
  std::shared_ptr<Component> component;  // the newest that came up; may be of an older document
  config::Component serving;             // the document of `component`
  bool current = false;                  // `component` is of `document`
  bool attempted = false;                // the first initialisation has ended, either way
  std::string reason;                    // why it is not current
  TaskScope::Id task = 0;
};

ComponentSet::ComponentSet(Context& context, Options options, Make make)
    : context_(context), options_(std::move(options)), make_(std::move(make)), scope_(context.loop()) {}

ComponentSet::~ComponentSet() = default;

void ComponentSet::configure(const config::Generation& generation) {
  std::map<std::string, const config::Component*, std::less<>> wanted;
  of_the_first_instance_.clear();
  for (const config::Component& document : generation.components) {
    if (!document.type.starts_with(options_.prefix)) continue;
    if (!context_.instance_number().is_first() && options_.exclusive(document)) {
      of_the_first_instance_[document.name] = document.scopes;
    } else {
      wanted.emplace(document.name, &document);
    }
  }
  some_are_elsewhere_ = !generation.elsewhere.empty();

  for (auto slot = slots_.begin(); slot != slots_.end();) {
    if (wanted.contains(slot->first)) {
      ++slot;
      continue;
    }
    scope_.cancel(slot->second->task);
    const std::string name = slot->first;
    slot = slots_.erase(slot);  // the component lives on in the requests that use it
    options_.changed(name);
  }

  for (const auto& [name, document] : wanted) {
    std::shared_ptr<Slot>& slot = slots_[name];
    if (slot != nullptr && same(slot->document, *document)) {
      slot->document = *document;  // scopes and origin take effect without a new component
      continue;
    }
    if (slot == nullptr) {
      slot = std::make_shared<Slot>();
    } else {
      scope_.cancel(slot->task);
    }
    slot->document = *document;
    slot->current = false;
    slot->reason = "initialising";
    slot->task = scope_.spawn(keep(slot));
  }
  changed_.wake_all();
  context_.status_changed();
}

namespace {

bool is_held(const Result<std::shared_ptr<Component>>& made) {
  return !made && made.error().code == Errc::kAlreadyExists;
}

}  // namespace

/// Brings one component up, however long it takes; ends when it is.
Task<void> ComponentSet::keep(std::shared_ptr<Slot> slot) {
  Nanos pause = kFirstRetry;
  while (true) {
    auto made = co_await make_one(slot->document);
    if (is_held(made)) {
      // What the new one needs is held by the old one, here or in a process the component comes from.
      auto task = slot->component != nullptr ? replace_exclusive(*slot) : wait_for_hand_over(*slot);
      made = co_await std::move(task);
    }
    slot->attempted = true;
    if (made) {
      came_up(*slot, *std::move(made));
      co_return;
    }
    slot->reason = made.error().message;
    log_limit_.log(LogLevel::kError, fmt::format("component '{}' ({}, {}:{}) cannot be initialised: {}",
                                                 slot->document.name, slot->document.type, slot->document.origin.file,
                                                 slot->document.origin.line, slot->reason));
    changed_.wake_all();
    context_.status_changed();
    co_await context_.loop().sleep_until(context_.loop().deadline_in(pause));
    pause = std::min(pause * 2, kLongestRetry);
  }
}

/// The holder, another process of this capability, is told to let go at about the same time. At the
/// first initialisation only: one that was refused before is refused by somebody who stays.
Task<Result<std::shared_ptr<Component>>> ComponentSet::wait_for_hand_over(const Slot& slot) {
  EventLoop& loop = context_.loop();
  const Deadline patience = loop.deadline_in(kHandOver);
  while (true) {
    auto made = co_await make_one(slot.document);
    if (!is_held(made) || slot.attempted || patience.passed(loop.now())) co_return made;
    co_await loop.sleep_until(loop.deadline_in(kHandOverLook));
  }
}

/// Break before make: lets go of the old component once nobody uses it any more, opens the new one,
/// and when that fails opens the old one again. Requests wait meanwhile.
Task<Result<std::shared_ptr<Component>>> ComponentSet::replace_exclusive(Slot& slot) {
  const config::Component old_document = slot.serving;
  const std::weak_ptr<Component> old = slot.component;
  slot.component = nullptr;
  slot.attempted = false;
  EventLoop& loop = context_.loop();
  const Deadline patience = loop.deadline_in(kHandOver);
  while (!old.expired() && !patience.passed(loop.now())) {
    co_await loop.sleep_until(loop.deadline_in(std::chrono::milliseconds(5)));
  }
  auto made = co_await make_one(slot.document);
  if (made) co_return made;
  auto again = co_await make_one(old_document);
  if (again) slot.component = *std::move(again);
  co_return made;
}

void ComponentSet::came_up(Slot& slot, std::shared_ptr<Component> component) {
  slot.component = std::move(component);
  slot.serving = slot.document;
  slot.current = true;
  slot.reason.clear();
  log(LogLevel::kInfo, fmt::format("component '{}' ({}) is up", slot.document.name, slot.document.type));
  changed_.wake_all();
  options_.changed(slot.document.name);
  context_.status_changed();
}

namespace {

/// One attempt, run beside the one who waits for it, so that an initialisation which ignores its
/// deadline is given up all the same.
struct Attempt {
  std::optional<Result<std::shared_ptr<Component>>> result;
  WaitQueue ended;
};

Task<void> attempt(Context& context, const ComponentSet::Make& make, config::Component document, Deadline deadline,
                   std::shared_ptr<Attempt> state) {
  auto metadata = co_await resolve_metadata(context, document, deadline);
  if (!metadata) {
    state->result.emplace(std::move(metadata).error());
  } else {
    const ComponentSpec spec{document.name, document.type, document.version, *std::move(metadata)};
    auto made = co_await make(spec, deadline);
    state->result.emplace(std::move(made));
  }
  state->ended.wake_all();
}

}  // namespace

Task<Result<std::shared_ptr<Component>>> ComponentSet::make_one(const config::Component& document) {
  EventLoop& loop = context_.loop();
  const Deadline deadline = loop.deadline_in(document.init_timeout);
  const auto state = std::make_shared<Attempt>();
  TaskScope scope(loop);
  scope.spawn(attempt(context_, make_, document, deadline, state));
  // A little later than the deadline that the attempt itself was given.
  const Deadline give_up = loop.deadline_in(document.init_timeout + std::chrono::milliseconds(50));
  while (!state->result) {
    const Wake wake = co_await state->ended.wait(loop, give_up);
    if (wake == Wake::kDeadline && !state->result) {
      co_return Error{
          Errc::kDeadlineExceeded,
          fmt::format("not initialised within {} ms",
                      std::chrono::duration_cast<std::chrono::milliseconds>(document.init_timeout).count())};
    }
  }
  co_return std::move(*state->result);
}

ComponentSet::Found ComponentSet::find(std::string_view name, std::string_view app) const {
  const auto slot = slots_.find(name);
  if (slot == slots_.end() || !visible_to(slot->second->document.scopes, app)) {
    const auto first = of_the_first_instance_.find(name);
    if (first != of_the_first_instance_.end() && visible_to(first->second, app)) {
      return {nullptr, Absent::kNotReady, "the first instance of the capability holds it"};
    }
    const auto is_seen = [&](const auto& entry) { return visible_to(entry.second->document.scopes, app); };
    const bool any = some_are_elsewhere_ || !of_the_first_instance_.empty() || std::ranges::any_of(slots_, is_seen);
    return {nullptr, any ? Absent::kUnknown : Absent::kNoneConfigured, {}};
  }
  if (slot->second->component != nullptr) return {slot->second->component, Absent::kUnknown, {}};
  return {nullptr, Absent::kNotReady, slot->second->reason};
}

Task<ComponentSet::Found> ComponentSet::find_when_ready(std::string name, std::string app, Deadline deadline) const {
  bool was_known = false;
  while (true) {
    Found found = find(name, app);
    const bool known = found.component != nullptr || found.absent == Absent::kNotReady;
    // Not "unknown": it may be somebody else's by now, who can be asked.
    if (!known && was_known) co_return Found{nullptr, Absent::kNotReady, "it was taken away while it was initialised"};
    if (!known || found.component != nullptr) co_return found;
    was_known = true;
    const auto slot = slots_.find(name);
    if (slot == slots_.end() || slot->second->attempted) co_return found;
    const Wake wake = co_await changed_.wait(context_.loop(), deadline);
    if (wake == Wake::kDeadline) co_return found;
  }
}

std::vector<ComponentStatus> ComponentSet::status() const {
  std::vector<ComponentStatus> all;
  for (const auto& [name, slot] : slots_) {
    ComponentStatus status;
    status.name = name;
    status.type = slot->document.type;
    status.version = slot->document.version;
    status.ignore_errors = slot->document.ignore_errors;
    status.scopes = slot->document.scopes;
    if (slot->component != nullptr) {
      const auto down = slot->component->down_reason();
      status.state = down ? ComponentState::kDown : ComponentState::kUp;
      status.reason =
          down.value_or(slot->current ? slot->component->note() : "an older document serves: " + slot->reason);
      status.capabilities = slot->component->capabilities();
    } else {
      status.state = slot->attempted ? ComponentState::kDown : ComponentState::kInit;
      status.init_failed = slot->attempted;
      status.reason = slot->reason;
    }
    all.push_back(std::move(status));
  }
  return all;
}

void ComponentSet::clear() {
  scope_.cancel_all();
  slots_.clear();
  of_the_first_instance_.clear();
  changed_.wake_all();
}

}  // namespace caisson::sdk

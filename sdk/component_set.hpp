#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/duration.hpp"
#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "sdk/capability.hpp"

namespace caisson::sdk {

/// A component's metadata with references resolved. Names are matched without regard to case.
class Metadata {
 public:
  using Items = std::vector<std::pair<std::string, std::string>>;

  Metadata() = default;
  explicit Metadata(Items items) : items_(std::move(items)) {}

  [[nodiscard]] std::optional<std::string> find(std::string_view name) const;
  [[nodiscard]] std::string get(std::string_view name, std::string_view otherwise = {}) const;
  /// kInvalidArgument names the key when the text is not of the kind asked for.
  [[nodiscard]] Result<bool> get_bool(std::string_view name, bool otherwise) const;
  [[nodiscard]] Result<std::int64_t> get_int(std::string_view name, std::int64_t otherwise) const;
  /// Go's duration syntax ("1m30s", "500ms") or a bare number of milliseconds.
  [[nodiscard]] Result<Nanos> get_duration(std::string_view name, Nanos otherwise) const;
  [[nodiscard]] const Items& items() const { return items_; }

 private:
  Items items_;
};

using caisson::parse_duration;
/// y, yes, true, t, on, 1 in any case.
bool is_truthy(std::string_view text);

/// A component ready to be made.
struct ComponentSpec {
  std::string name;
  std::string type;
  std::string version;
  Metadata metadata;
};

/// Resolves secretKeyRef (by a call to `secrets.resolve`) and envRef of a component.
Task<Result<Metadata>> resolve_metadata(Context& context, const config::Component& component, Deadline deadline);

/// A running component of any capability.
class Component {
 public:
  virtual ~Component() = default;
  /// Feature names for the runtime's metadata.
  [[nodiscard]] virtual std::vector<std::string> capabilities() const { return {}; }
  /// Why it cannot serve at the moment, e.g. "connection refused"; nothing while it can.
  [[nodiscard]] virtual std::optional<std::string> down_reason() const { return std::nullopt; }
  /// Something to be said beside its status although it serves, e.g. that it began anew.
  [[nodiscard]] virtual std::string note() const { return {}; }
};

/// Keeps one component per document in step with the configuration: initialised beside the others,
/// each with its own deadline; retried with back-off when that fails; a changed one is initialised
/// beside the old one, which serves until the new one is up; a removed one is dropped once the last
/// request that uses it has ended. Where initialising fails with kAlreadyExists, its storage is held: the
/// old one is let go of first, and opened again if that does not help; where there is no old one, another
/// process is given some time to let go; requests wait meanwhile. Owner: a capability; one thread.
class ComponentSet {
 public:
  /// Makes and initialises one component. Must end by `deadline`. The spec outlives the task.
  using Make = std::function<Task<Result<std::shared_ptr<Component>>>(const ComponentSpec&, Deadline deadline)>;
  struct Options {
    /// "state.": only types with this prefix are kept here.
    std::string prefix;
    /// True for what two processes cannot have open, or what lives in a process: of several instances the
    /// first opens it, and the others leave it out of their status and never answer for it.
    std::function<bool(const config::Component&)> exclusive = [](const config::Component&) { return false; };
    /// Called when a component came up, went away or was replaced.
    std::function<void(const std::string& name)> changed = [](const std::string&) {};
  };

  ComponentSet(Context& context, Options options, Make make);
  ~ComponentSet();

  void configure(const config::Generation& generation);

  enum class Absent : std::uint8_t {
    kNoneConfigured,  // no component of this kind for the app at all, in no process of the capability
    kUnknown,         // none of that name for the app
    kNotReady,        // known, but not initialised; `reason` says why
  };
  struct Found {
    std::shared_ptr<Component> component;  // null: absent
    Absent absent = Absent::kUnknown;
    std::string reason;
  };
  /// The component of that name, as the app may see it (scopes). An empty app is the runtime itself
  /// (a call by another capability), which sees all; no API request has an empty one.
  [[nodiscard]] Found find(std::string_view name, std::string_view app) const;
  /// Waits until find() would no longer say kNotReady because of a first initialisation that still
  /// runs, or until the deadline.
  Task<Found> find_when_ready(std::string name, std::string app, Deadline deadline) const;

  [[nodiscard]] std::vector<ComponentStatus> status() const;
  /// Drops all components, in order.
  void clear();

 private:
  struct Slot;
  Task<void> keep(std::shared_ptr<Slot> slot);
  Task<Result<std::shared_ptr<Component>>> replace_exclusive(Slot& slot);
  Task<Result<std::shared_ptr<Component>>> wait_for_hand_over(const Slot& slot);
  void came_up(Slot& slot, std::shared_ptr<Component> component);
  Task<Result<std::shared_ptr<Component>>> make_one(const config::Component& document);

  Context& context_;
  Options options_;
  Make make_;
  std::map<std::string, std::shared_ptr<Slot>, std::less<>> slots_;
  std::map<std::string, std::vector<std::string>, std::less<>> of_the_first_instance_;  // to their scopes
  bool some_are_elsewhere_ = false;
  mutable WaitQueue changed_;  // a reader that waits changes nothing that others see
  LogLimit log_limit_;
  TaskScope scope_;
};

}  // namespace caisson::sdk

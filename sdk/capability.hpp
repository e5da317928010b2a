#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bus/link.hpp"
#include "bus/manifest.hpp"
#include "config-cache/documents.hpp"
#include "sdk/counters.hpp"
#include "sdk/request.hpp"

/// What a capability is built on; ours and anybody's use the same.
namespace caisson::sdk {

/// Serves one request; the Response it returns is sent.
using Handler = std::function<Task<Response>(Request&)>;
/// Serves one request and answers by itself, with whole or streamed bodies.
using StreamHandler = std::function<Task<void>(Request)>;

/// What a capability offers: its manifest and the functions behind it, filled in by
/// Capability::define(). One visible table per capability.
class Definition {
 public:
  explicit Definition(std::string capability);

  /// Serves a route; its number is given here, in the order of these calls, starting at 1.
  void route(Route route, Handler handler);
  void stream_route(Route route, StreamHandler handler);
  /// Answers a call by another capability.
  void serve_call(std::string name, Handler handler);
  /// The same for one that answers by itself, e.g. with an error's code.
  void serve_call_stream(std::string name, StreamHandler handler);
  /// The manifest's other fields: calls, app_queries, …
  Manifest& manifest() { return manifest_; }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }

  /// The function behind a request frame; null when there is none.
  [[nodiscard]] const StreamHandler* find(std::uint16_t route, std::string_view call) const;

 private:
  Manifest manifest_;
  std::vector<StreamHandler> routes_;  // by number, from 1
  std::map<std::string, StreamHandler, std::less<>> calls_;
};

/// What is known about an app of a gateway, from its App frames.
struct AppState {
  std::string id;
  /// Its port accepts connections, and it answers its health probe where one is configured.
  bool reachable = false;
  bool healthy = false;
  /// Changes when the app has restarted.
  std::uint64_t incarnation = 0;
  std::string protocol;  // http, grpc, …; empty: the app has no port
  /// "127.0.0.1:8080", where this process may call the app without its gateway: over HTTP/1.1, in the
  /// clear. Empty: it may not, or cannot.
  std::string address;
};

/// The answer of an app to one of the manifest's app_queries or app_rpc_queries.
struct AppAnswer {
  std::string app;
  std::string path;
  std::uint64_t incarnation = 0;
  /// HTTP's, 0: the app could not be asked; of a gRPC query gRPC's, then kUnavailable.
  std::uint16_t status = 0;
  std::string body;
};

enum class ComponentState : std::uint8_t { kInit, kUp, kDown };

struct ComponentStatus {
  std::string name;
  std::string type;
  std::string version;
  ComponentState state = ComponentState::kInit;
  /// Why it is not up, in words; never a metadata value.
  std::string reason;
  std::vector<std::string> capabilities;  // ETAG, TRANSACTIONAL, …
  bool ignore_errors = false;
  /// It is not up because it could not be initialised, rather than because its server is away.
  bool init_failed = false;
  std::vector<std::string> scopes;
};

/// Which of the processes that serve the same components of a capability this is. A component that only one
/// process may hold is the first's; the gateway asks another one only for components that its STATUS names.
struct InstanceNumber {
  unsigned number = 1;  // from 1
  unsigned of = 1;
  [[nodiscard]] bool is_first() const { return number == 1; }
  [[nodiscard]] bool is_alone() const { return of == 1; }
};

/// What the process offers to its capability. Lives longer than the capability. One thread.
class Context {
 public:
  virtual ~Context() = default;

  virtual EventLoop& loop() = 0;
  /// Where this capability keeps what must survive a restart.
  [[nodiscard]] virtual const std::string& data_dir() const = 0;
  /// Name of this process among the instances of its capability.
  [[nodiscard]] virtual const std::string& instance() const = 0;
  [[nodiscard]] virtual InstanceNumber instance_number() const { return {}; }
  virtual Counters& counters() = 0;
  /// Command-line arguments that the process itself does not know; the capability's own.
  [[nodiscard]] virtual const std::vector<std::string>& arguments() const = 0;

  /// Calls `call.target` ("app", or a name that another capability serves) through the gateway that
  /// serves `call.app`; an empty app means any gateway. kPermissionDenied when the manifest does
  /// not grant it, kUnavailable when no gateway is linked or the target has no instance.
  virtual Task<Result<Reply>> call(Envelope call, Buffer body, Deadline deadline) = 0;
  /// The same with a streamed request body.
  virtual Result<OpenCall> open_call(Envelope call, Buffer first, Deadline deadline) = 0;

  /// All apps of all linked gateways.
  [[nodiscard]] virtual const std::map<std::string, AppState>& apps() const = 0;

  /// Tells the gateways soon what Capability::components() and metadata() now say.
  virtual void status_changed() = 0;

  /// Publishes a configuration generation (manifest: publishes_config). Kept until it has been
  /// handed to every gateway, also to those that link later.
  virtual void publish_config(std::string audience, std::string snapshot) = 0;
};

/// One capability: a library that a small main() runs with sdk::run(), or several in one process.
/// All calls come on the loop's thread; none of them may block.
class Capability {
 public:
  virtual ~Capability() = default;

  /// Called once, before anything else; also for --print-manifest, where nothing follows.
  virtual void define(Definition& definition) = 0;

  /// The process serves from here on: open what is needed, spawn what runs beside.
  virtual void start() {}

  /// A configuration generation is in force. Components are initialised beside this call; nothing
  /// waits for them.
  virtual void configure(std::shared_ptr<const config::Generation> generation) { (void)generation; }

  virtual void app_changed(const AppState& app) { (void)app; }
  virtual void app_gone(const std::string& app) { (void)app; }
  virtual void app_answered(const AppAnswer& answer) { (void)answer; }

  /// An audience accepted a generation or refused a document of it (publishers only).
  virtual void config_answered(const std::string& audience, std::uint64_t term, std::uint64_t sequence,
                               const Error* refused) {
    (void)audience, (void)term, (void)sequence, (void)refused;
  }

  [[nodiscard]] virtual std::vector<ComponentStatus> components() const { return {}; }
  /// JSON members (without braces) that are added to the runtime's metadata, e.g.
  /// "subscriptions":[…] ; empty for none.
  [[nodiscard]] virtual std::string metadata() const { return {}; }

  /// No new requests come. Finish what runs: stop fetching, acknowledge, release.
  virtual Task<void> drain(Deadline deadline) {
    (void)deadline;
    co_return;
  }
};

using MakeCapability = std::function<std::unique_ptr<Capability>(Context&)>;

/// The main() of a capability's process: flags, logging, links, HELLO, configuration, watchdog,
/// signals, draining. Returns the exit code.
int run(int argc, char** argv, std::string_view name, const MakeCapability& make);

}  // namespace caisson::sdk

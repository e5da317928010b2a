#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config-cache/durable_file.hpp"
#include "gateway/admin_service.hpp"
#include "gateway/api_service.hpp"
#include "gateway/calls.hpp"
#include "gateway/capability_links.hpp"
#include "gateway/config_relay.hpp"
#include "gateway/dispatch.hpp"
#include "gateway/facts.hpp"
#include "gateway/listener.hpp"
#include "gateway/manifest_folder.hpp"
#include "gateway/no_http_service.hpp"
#include "gateway/ports_file.hpp"
#include "gateway/rpc_service.hpp"

namespace caisson::gateway {

/// One gateway: the doors of its apps, the links of its capabilities, and what lies between. It
/// knows no API; manifests say what goes where. One thread, one event loop.
class Gateway final : public Facts, private AppObserver, private CallTargets {
 public:
  struct Options {
    std::string run_dir;
    std::string manifests = {};  // their folder; empty: RUN_DIR/manifests
    Dispatch::Options dispatch;
    HttpOptions http;  // the header limit is the app's
    std::size_t max_connections = 16384;
    /// Of the apps' TCP ports. kFirst: what the gateway before had open in this run directory is this one's
    /// again, since those who share it hold it still.
    Sharing sharing = Sharing::kAlone;
  };
  struct Handlers {
    /// A listener for a capability's instances.
    CapabilityLinks::MakeListener make_listener;
    /// Somebody asked for the end of the whole runtime.
    std::function<void(bool force)> shut_down;
    /// The pages of the admin port.
    AdminService::Pages pages;
  };

  Gateway(EventLoop& loop, Options options, Handlers handlers);
  ~Gateway();

  /// Reads the manifests and listens for their capabilities. Errors: overlapping routes, naming both
  /// manifests; a bus address in use.
  Result<void> start();
  /// The compartments that were in use when configuration was last published; believed until it is
  /// published again. Errors as of start().
  Result<void> expect(const std::vector<Compartment>& compartments);
  /// Links a capability in this process; before or after start().
  Result<void> link_inproc(Manifest manifest, std::unique_ptr<Lane> lane);
  /// Opens doors for new apps and closes those of apps that are no longer among them. An error names
  /// the app whose door cannot be opened; the others are open all the same.
  Result<void> set_apps(std::vector<AppConfig> apps);
  /// Opens the admin port on one address; returns it.
  Result<std::uint16_t> open_admin(const std::string& address, std::uint16_t port);
  /// The ports that an app's doors got; 0 where it has none.
  [[nodiscard]] std::uint16_t http_port(std::string_view app) const;
  [[nodiscard]] std::uint16_t grpc_port(std::string_view app) const;

  /// Writes RUN_DIR/gateway.json: gateway/ports_file.hpp.
  Result<void> write_ports() const;

  /// Closes the doors, waits for what is under way, lets the capabilities go.
  Task<void> shut_down_gracefully(Deadline deadline);

  [[nodiscard]] std::vector<CapabilityFacts> capabilities() const override;
  [[nodiscard]] const AppChannel* app(std::string_view id) const override;
  [[nodiscard]] std::vector<const AppChannel*> apps() const override;
  [[nodiscard]] bool shutting_down() const override { return shutting_down_; }
  void shut_down(bool force) override;
  [[nodiscard]] const GatewayCounters& counters() const { return counters_; }

 private:
  struct AppAnswer {
    std::uint16_t status = 0;
    std::string body;
  };
  /// An app with its doors, one for HTTP and one for gRPC. What the listeners use stands before them.
  struct App {
    AppConfig asked;   // as it was given, with port 0 where the system chose
    AppConfig config;  // with the ports that are open
    std::unique_ptr<AppChannel> channel;
    std::unique_ptr<ApiService> api;
    std::unique_ptr<RpcService> rpc;
    std::unique_ptr<Listener> http_door;
    std::unique_ptr<Listener> grpc_door;

    void finish() const;
    [[nodiscard]] Task<void> join(Deadline deadline) const;
    std::uint64_t answers_of = 0;  // incarnation
    std::map<std::string, AppAnswer> answers;
  };

  CapabilityLinks::Handlers link_handlers();
  Result<void> manifests_changed();
  Result<void> rebuild_routes();
  [[nodiscard]] std::vector<std::shared_ptr<const Manifest>> all_manifests() const;
  void set_queries();
  void config_in_force(const config::Generation& generation);
  void recall();
  void apply(const config::Configuration& configuration);
  [[nodiscard]] bool may_serve(const Instance& instance) const;
  void tell(const ControlFrame& frame);
  void introduce(Instance& instance);

  Result<void> open_app(const AppConfig& config);
  Result<void> open_doors(App& app);
  Result<std::uint16_t> open_door(Listener& door, const AppConfig& config, std::uint16_t port, std::uint16_t before);
  void expect_held(const AppPorts& ports);
  void close_app(std::unique_ptr<App> app);
  Task<void> let_finish(std::unique_ptr<App> app);

  // AppObserver
  void app_changed(const AppChannel& app) override;
  void app_answered(const AppChannel& app, const std::string& path, std::uint16_t status,
                    const std::string& body) override;
  // CallTargets
  AppChannel* app(std::string_view id) override;
  [[nodiscard]] bool granted(std::string_view capability, std::string_view target) const override;
  Task<Result<Link*>> instance_serving(std::string target, Deadline deadline) override;

  EventLoop& loop_;
  Options options_;
  Handlers handlers_;
  std::string incarnation_;
  bool shutting_down_ = false;
  std::uint16_t admin_port_ = 0;
  PortsByApp ports_before_;                 // of the gateway that ran here before; until the apps are set first
  std::map<std::uint16_t, Nanos> held_on_;  // ports that others of this runtime may still hold, and until when
  GatewayCounters counters_;
  RequestWindow window_;
  Routing routing_;
  RouteRules rules_;
  RouteRules rpc_rules_;
  std::vector<std::shared_ptr<const Manifest>> linked_in_;
  std::vector<std::shared_ptr<const Manifest>> in_force_;  // the last set without an overlap
  ManifestFolder folder_;
  Calls calls_;
  std::map<std::string, std::unique_ptr<App>, std::less<>> apps_;
  CapabilityLinks links_;
  ConfigRelay config_;
  config::DurableFile own_generation_;
  Dispatch dispatch_;
  AdminService admin_service_;
  NoHttpService no_http_;
  TaskScope scope_;  // doors that are closing
  std::unique_ptr<Listener> admin_;
};

}  // namespace caisson::gateway

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bus/lane.hpp"
#include "bus/log.hpp"
#include "gateway/gateway_counters.hpp"
#include "gateway/instance.hpp"
#include "gateway/placement.hpp"
#include "gateway/request_key.hpp"

namespace caisson::gateway {

/// The links of all instances of all capabilities. There is one listener per manifest and one per
/// compartment in use; who connects there is that capability, whatever name its HELLO carries, and
/// holds that compartment. One thread.
class CapabilityLinks {
 public:
  struct Options {
    /// What HELLO says about this gateway.
    std::string incarnation;
    std::size_t max_instances = 64;  // of one process
    std::size_t max_groups = 256 + kMostCompartments;
  };
  struct Handlers {
    /// A call of a capability; runs on its link's scope.
    std::function<Task<void>(Instance&, Incoming)> call;
    /// It said HELLO; sends it what it must know before any request.
    std::function<void(Instance&)> linked;
    /// It may serve now what it could not before, or told its status.
    std::function<void(Instance&)> changed;
    /// A CONFIG frame.
    std::function<void(Instance&, Frame)> config;
    /// Whether requests may go to it, beyond being linked (it may lack its configuration).
    std::function<bool(const Instance&)> may_serve;
    /// The ids of the apps this gateway stands for.
    std::function<std::vector<std::string>()> apps;
  };
  /// For a process: CAPABILITY or CAPABILITY.COMPARTMENT.
  using MakeListener = std::function<Result<std::unique_ptr<LaneListener>>(const std::string& process)>;

  CapabilityLinks(EventLoop& loop, GatewayCounters& counters, Options options, Handlers handlers,
                  MakeListener make_listener);
  ~CapabilityLinks();
  /// Ends all links at once, with the calls they serve.
  void clear();

  /// Listens for every capability of `manifests` and closes what is no longer among them. An error
  /// names the capability; the others are in force all the same.
  Result<void> set_manifests(const std::vector<std::shared_ptr<const Manifest>>& manifests);
  /// The compartments to begin with, until generations come.
  Result<void> expect(const std::vector<Compartment>& compartments);
  /// A generation is in force: listens for a compartment that holds something, and closes one that
  /// holds nothing any more once its last instance has left. Requests go where it says.
  Result<void> place(const config::Generation& generation);
  /// Takes a link to a capability in this process.
  void adopt(std::shared_ptr<const Manifest> manifest, std::unique_ptr<Lane> lane);

  /// The process whose instances a request should go to.
  [[nodiscard]] std::string process_for(std::string_view capability, std::string_view component) const {
    return std::string(placement_.holder(capability, component).process);
  }
  /// The instance a request should go to, of that process: one that holds the component, else any; of
  /// several with room the one that the key belongs to (rendezvous.hpp), or without a key the one with the
  /// fewest requests in flight. Null: none is ready, or none that could hold the component. Who waits with it
  /// keeps it alive.
  [[nodiscard]] Instance* pick(std::string_view capability, std::string_view component,
                               const RequestKey& key = {}) const;

  void for_each(const std::function<void(Instance&)>& visit) const;
  [[nodiscard]] std::vector<CapabilityFacts> facts() const;
  /// This gateway is ending: until release_all() nobody is let go, however long ago it asked.
  void keep_all() { ending_ = true; }
  /// Says GOODBYE to all: they may go once what runs is finished.
  void release_all();
  /// No control frame waits for room any more.
  [[nodiscard]] bool all_told() const;

 private:
  /// The instances behind one socket directory.
  struct Group {
    std::string capability;
    bool in_use = true;  // false: a compartment that holds nothing any more
    std::shared_ptr<const Manifest> manifest;
    bool installed = false;  // by the folder
    std::unique_ptr<LaneListener> listener;
    std::vector<std::shared_ptr<Instance>> instances;
    std::vector<InstanceFacts> gone;  // the last of each that is not linked now
  };

  [[nodiscard]] bool may_take(const Instance& instance, std::string_view component) const;
  [[nodiscard]] Instance* best_of(const Group& group, std::string_view component, std::string_view key) const;
  Result<void> listen(const std::string& process, Group& group);
  Result<void> use(const std::string& process);
  void retire(const std::string& process);
  void open_link(const std::string& process, Group& group, std::unique_ptr<Lane> lane, bool linked_in);
  void on_control(Instance& instance, Frame frame);
  void on_hello(Instance& instance, const Frame& frame);
  void on_goodbye(Instance& instance);
  void let_go(Instance& instance);
  void on_down(Instance& instance, const Error& reason);
  [[nodiscard]] std::string hello() const;

  EventLoop& loop_;
  GatewayCounters& counters_;
  Options options_;
  Handlers handlers_;
  MakeListener make_listener_;
  LogLimit log_;
  bool ending_ = false;
  Placement placement_;
  std::map<std::string, Group, std::less<>> groups_;  // by process
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace caisson::gateway

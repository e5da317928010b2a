#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/link.hpp"
#include "bus/log.hpp"
#include "config-cache/replica.hpp"
#include "sdk/capability.hpp"

namespace caisson::sdk {

/// Runs one capability on an event loop: keeps it linked to its gateways, hands it requests, apps
/// and configuration, carries its calls. `run()` puts one into a process of its own; the gateway
/// hosts its own capability with one, and tests do.
///
/// Where several gateways stand for one app, one of them acts for it: the capability is told what that one
/// says, and its calls to the app go there, so that the app's limits hold. It is the first, in the order of
/// connect(), that is linked and has found the app healthy since; none has: the first that is linked. When
/// another takes over, the app's incarnation goes on: that a gateway ended says nothing about the app.
///
/// One thread. Destroying it ends all links and drops what they still serve.
class Process final : public Context {
 public:
  /// Opens a lane to a gateway's address.
  using Connect = std::function<Result<std::unique_ptr<Lane>>(const std::string& address)>;

  struct Options {
    std::string name;
    std::string instance;
    std::string data_dir;       // empty: nothing is kept on disk
    std::string counters_path;  // empty: counters that nobody reads
    std::vector<std::string> arguments;
    std::string compartment{};  // which part of the capability this is; empty: its own process
    InstanceNumber number{};    // which of the processes that serve this part
  };

  Process(EventLoop& loop, Options options, const MakeCapability& make);
  ~Process() override;

  /// Opens counters and the last configuration on disk, and starts the capability. An unreadable
  /// snapshot is moved aside and said aloud; only unusable directories are errors.
  Result<void> start();
  /// Links to a gateway, again and again with back-off when it is lost.
  void connect(std::string address, Connect connect);
  /// Links over a lane that is there (inproc); not renewed when it is lost.
  void adopt(std::unique_ptr<Lane> lane);

  /// Tells the gateways, lets the capability finish, and waits until they have let go of it.
  Task<void> drain(Deadline deadline);

  [[nodiscard]] const Manifest& manifest() const { return definition_.manifest(); }
  [[nodiscard]] bool linked() const;

  EventLoop& loop() override { return loop_; }
  [[nodiscard]] const std::string& data_dir() const override { return options_.data_dir; }
  [[nodiscard]] const std::string& instance() const override { return options_.instance; }
  Counters& counters() override { return counters_; }
  [[nodiscard]] InstanceNumber instance_number() const override { return options_.number; }
  [[nodiscard]] const std::vector<std::string>& arguments() const override { return options_.arguments; }
  Task<Result<Reply>> call(Envelope call, Buffer body, Deadline deadline) override;
  Result<OpenCall> open_call(Envelope call, Buffer first, Deadline deadline) override;
  [[nodiscard]] const std::map<std::string, AppState>& apps() const override { return apps_; }
  void status_changed() override;
  void publish_config(std::string audience, std::string snapshot) override;

 private:
  /// What one gateway says of an app, in its own numbers.
  struct KnownApp {
    AppState state;
    bool found = false;  // it has been healthy since this gateway is linked
    std::map<std::string, AppAnswer> answers;
  };
  /// One gateway, linked or not.
  struct Gateway {
    std::string address;
    bool same_host = true;
    std::unique_ptr<Link> link;
    std::map<std::string, KnownApp, std::less<>> apps;
    bool lost = false;
    bool released = false;  // it said GOODBYE: it needs this process no more
    WaitQueue changed;
  };
  /// Who acts for an app, and by how much the incarnations the capability sees differ from that gateway's.
  struct Acting {
    const Gateway* gateway = nullptr;
    std::uint64_t offset = 0;
  };

  Task<void> stay_linked(Gateway& gateway, Connect connect);
  Task<void> stay_adopted(Gateway& gateway);
  Task<bool> until_lost(Gateway& gateway);
  void open_link(Gateway& gateway, std::unique_ptr<Lane> lane);
  [[nodiscard]] Gateway* gateway_of(std::string_view app);

  Task<void> serve(Gateway& gateway, Incoming incoming);
  Task<void> refuse(Incoming incoming, Error error);
  void on_control(Gateway& gateway, Frame frame);
  void on_hello(Gateway& gateway);
  void on_app(Gateway& gateway, const Frame& frame);
  void on_config(Gateway& gateway, const Frame& frame);
  void on_config_answer(const Frame& frame);
  void forget_app(Gateway& gateway, const std::string& app);
  void show_app(const std::string& app);
  void show_answer(const Acting& acting, AppAnswer answer);
  void send(Gateway& gateway, const Envelope& envelope, std::string payload);
  Task<void> send_later(Gateway& gateway, wire::Kind kind, std::string target, Buffer payload);
  void send_status();
  [[nodiscard]] std::string hello() const;
  [[nodiscard]] std::string status_text() const;

  EventLoop& loop_;
  Options options_;
  std::string incarnation_;
  Counters counters_;
  Counter requests_served_;
  Counter requests_refused_;
  Counter links_lost_;
  config::Replica replica_;
  Definition definition_;
  std::map<std::string, AppState> apps_;  // as shown to the capability
  std::map<std::string, Acting> acting_;
  std::map<std::string, Buffer> published_;  // audience to snapshot, in sealed memory
  bool draining_ = false;
  bool status_due_ = false;
  LogLimit link_log_;
  std::unique_ptr<Capability> capability_;
  std::list<Gateway> gateways_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  TaskScope scope_;  // last: its tasks use everything above
};

}  // namespace caisson::sdk

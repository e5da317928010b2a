#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "gateway/app_channel.hpp"
#include "gateway/testing/link_pair.hpp"

namespace caisson::gateway::testing {

/// Notes what it is told.
class Observer final : public AppObserver {
 public:
  void app_changed(const AppChannel& app) override {
    ++changes;
    reachable = app.reachable();
    healthy = app.healthy();
  }
  void app_answered(const AppChannel&, const std::string& path, std::uint16_t status,
                    const std::string& body) override {
    answers.push_back(path + " " + std::to_string(status) + " " + body);
  }

  int changes = 0;
  bool reachable = false;
  bool healthy = false;
  std::vector<std::string> answers;
};

/// A channel to an app in the test's own process, and a link over which a capability calls it; time is the
/// test's.
class AppChannelTest : public ::testing::Test {
 protected:
  template <class Server>
  static AppConfig config_for(const Server& app, std::string protocol = "http") {
    AppConfig config;
    config.id = "shop";
    config.app_port = app.port();
    config.app_protocol = std::move(protocol);
    return config;
  }

  void open(AppConfig config, AppQueries queries = {}) {
    channel_ = std::make_unique<AppChannel>(loop_, std::move(config), observer_);
    channel_->set_queries(std::move(queries));
    channel_->start();
  }

  /// Opens the channel and a link over which it is called, and waits for the app.
  void open_and_link(AppConfig config) {
    open(std::move(config));
    caisson::testing::run_until(loop_, [&] { return channel_->reachable(); });
    link();
  }
  void link() {
    links_ = std::make_unique<LinkPair>(loop_, [this](Incoming call) { return channel_->serve(std::move(call)); });
  }

  /// Lets the test's time pass until the condition holds; how much it took.
  Nanos pass_time_until(const std::function<bool()>& done) {
    const Nanos before = clock_.now();
    while (true) {
      // Everything that this moment brings happens before the next: all of it is in this process.
      while (loop_.turn(Nanos::zero())) {
      }
      if (done()) return clock_.now() - before;
      if (clock_.now() - before > std::chrono::minutes(5)) {
        ADD_FAILURE() << "the condition did not come true within five minutes of the test's time";
        return clock_.now() - before;
      }
      clock_.advance(std::chrono::milliseconds(5));
    }
  }
  void pass_time(Nanos span) {
    const Nanos end = clock_.now() + span;
    pass_time_until([&] { return clock_.now() >= end; });
  }

  Task<Result<WholeReply>> call_of(Envelope envelope, std::string body, Deadline deadline) {
    Buffer payload(std::move(body));
    co_return co_await whole(links_->capability.call(envelope, payload, deadline), deadline);
  }
  static Envelope envelope(std::string_view method, std::string_view path) {
    Envelope call;
    call.target = "app";
    call.app = "shop";
    call.method = method;
    call.path = path;
    return call;
  }
  Result<WholeReply> call(std::string_view method, std::string_view path, std::string body = {}) {
    return caisson::testing::run(
        loop_, call_of(envelope(method, path), std::move(body), loop_.deadline_in(std::chrono::seconds(60))));
  }
  /// Begins a call whose answer is put into `to`.
  TaskScope::Id begin_call(std::string_view path, Deadline deadline, std::optional<Result<WholeReply>>& to) {
    struct Keep {
      static Task<void> result(Task<Result<WholeReply>> task, std::optional<Result<WholeReply>>& to) {
        to.emplace(co_await std::move(task));
      }
    };
    return scope_.spawn(Keep::result(call_of(envelope("GET", path), {}, deadline), to));
  }

  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  Observer observer_;
  std::unique_ptr<AppChannel> channel_;
  std::unique_ptr<LinkPair> links_;
  TaskScope scope_{loop_};
};

}  // namespace caisson::gateway::testing

#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"
#include "capabilities/config/items/dapr_grpc.hpp"
#include "capabilities/config/items/dapr_http.hpp"
#include "sdk/testing/fake_gateway.hpp"

namespace caisson::items::testing {

/// The configuration API alone, given its components as any capability is.
class ItemsCapability final : public sdk::Capability {
 public:
  explicit ItemsCapability(sdk::Context& context) : service_(context), http_(service_), grpc_(service_, context) {}

  void define(sdk::Definition& definition) override {
    definition.manifest().calls = {"app", "secrets.resolve"};
    http_.define(definition);
    grpc_.define(definition);
  }
  void start() override { service_.start(); }
  void configure(std::shared_ptr<const config::Generation> generation) override { service_.configure(*generation); }
  void app_changed(const sdk::AppState& app) override { service_.app_changed(app); }
  [[nodiscard]] std::vector<sdk::ComponentStatus> components() const override { return service_.status(); }
  Task<void> drain(Deadline deadline) override { return service_.drain(deadline); }

 private:
  ItemsService service_;
  DaprHttp http_;
  DaprGrpc grpc_;
};

/// An update as an app got it.
struct Told {
  std::string app;
  std::string path;
  std::string body;
};

/// The API behind a gateway that the test plays, with one file store `flags`; the app's answers are the
/// test's.
template <class ClockOfTest>
class ItemsRigOn : public ::testing::Test {
 protected:
  ItemsRigOn() {
    std::filesystem::create_directory(directory_.path() / "data");
    write(R"({"a":"1","b":"1"})");
    generation_.components.push_back(file_store("flags", file_));
    start();
  }

  /// A new process with what the last one left on disk.
  void start() {
    gateway_.reset();
    gateway_ = std::make_unique<caisson::testing::FakeGateway>(
        loop_, "config", [](sdk::Context& context) { return std::make_unique<ItemsCapability>(context); },
        (directory_.path() / "data").string());
    gateway_->on_call([this](Incoming call) { return answer(std::move(call)); });
    configure();
    gateway_->set_app("shop");
  }
  /// After all that is under way is on the disk: jobs there end in the order they were begun.
  void stop() {
    settle();
    gateway_->set_app("the-last");
    const std::string id = subscribe("key=none", "the-last");
    EXPECT_EQ(get("/v1.0/configuration/flags/" + id + "/unsubscribe", {}, "the-last").status, 200);
    gateway_.reset();
  }
  void configure() {
    ASSERT_EQ(gateway_->configure(generation_), "");
    gateway_->wait_for_status([this](const sdk::Status& status) {
      return status.components.size() == generation_.components.size() &&
             std::ranges::none_of(status.components,
                                  [](const auto& component) { return component.state == sdk::ComponentState::kInit; });
    });
  }

  static config::Component file_store(const std::string& name, const std::filesystem::path& file) {
    config::Component component;
    component.name = name;
    component.type = "configuration.local.file";
    component.version = "v1";
    component.origin = {"resources/" + name + ".yaml", 1};
    component.metadata.push_back({"file", file.string(), {}, {}, {}});
    return component;
  }

  /// Replaces the store's file as an editor does.
  void write(const std::string& json) const {
    const std::filesystem::path next = directory_.path() / "next";
    std::ofstream(next, std::ios::trunc) << json;
    std::filesystem::rename(next, file_);
  }

  caisson::testing::Answer get(const std::string& path, const std::string& query = {},
                               const std::string& app = "shop") {
    caisson::testing::Ask ask;
    ask.path = path;
    ask.query = query;
    ask.app = app;
    return gateway_->ask(ask);
  }
  /// Gives the subscription's id.
  std::string subscribe(const std::string& query = {}, const std::string& app = "shop") {
    const auto answer = get("/v1.0/configuration/flags/subscribe", query, app);
    EXPECT_EQ(answer.status, 200) << answer.body;
    const std::size_t begin = answer.body.find(":\"") + 2;
    return answer.body.substr(begin, answer.body.find('"', begin) - begin);
  }

  void wait_until(const std::function<bool()>& done) { caisson::testing::run_until(loop_, done); }
  /// Waits for so many updates in all.
  void wait_for_told(std::size_t count) {
    wait_until([&] { return told_.size() >= count; });
  }
  /// Lets the loop do all it has to do at this moment of the clock.
  void settle() {
    for (int quiet = 0; quiet < 5;) quiet = loop_.turn(std::chrono::milliseconds(10)) ? 0 : quiet + 1;
  }

  /// In steps, between which the links hear of each other.
  void advance(Nanos span) {
    while (span > Nanos::zero()) {
      const Nanos step = std::min<Nanos>(span, std::chrono::seconds(1));
      clock_.advance(step);
      span -= step;
      for (int turn = 0; turn < 3; ++turn) loop_.turn(Nanos::zero());
    }
  }

  Task<void> answer(Incoming call) {
    told_.push_back({std::string(text(call.head()->app())), std::string(text(call.head()->path())),
                     std::string(call.head().payload())});
    while (hold_) co_await released_.wait(loop_, Deadline::never());
    std::uint16_t status = status_;
    if (const auto special = status_of_.find(told_.back().path); special != status_of_.end()) status = special->second;
    auto task = caisson::testing::reply_to(std::move(call), status, {}, {});
    co_await std::move(task);
  }

  caisson::testing::TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_.path() / "flags.json";
  ClockOfTest clock_;
  EventLoop loop_{clock_};
  config::Generation generation_;
  std::vector<Told> told_;
  std::uint16_t status_ = 200;
  std::map<std::string, std::uint16_t> status_of_;  // by path
  bool hold_ = false;
  WaitQueue released_;
  std::unique_ptr<caisson::testing::FakeGateway> gateway_;
};

/// Time stands still until the test advances it.
using ItemsRig = ItemsRigOn<caisson::testing::FakeClock>;

}  // namespace caisson::items::testing

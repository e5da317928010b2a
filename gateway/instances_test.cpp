#include <gmock/gmock.h>

#include <algorithm>

#include "gateway/testing/gateway_fixture.hpp"

namespace caisson::gateway::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

/// Several instances of one capability: who is asked for what.
class InstancesTest : public GatewayTest {
 protected:
  void TearDown() override {
    instances_.clear();
    GatewayTest::TearDown();
  }

  void start_without_instances() {
    Manifest manifest = fake_manifest();
    manifest.routes[0].key = "key";
    manifest.max_in_flight = 2;
    install(manifest);
    start();
  }
  /// Links an instance that answers with its name, once `gate_` is open.
  void add(const std::string& name, int number, const std::vector<std::string>& components = {}) {
    auto [ours, theirs] = make_inproc_lanes(loop_);
    accept_(std::move(ours));
    auto serve = [this, name](Incoming incoming) { return answer(name, std::move(incoming)); };
    const std::string more = ",\"number\":" + std::to_string(number);
    auto instance = std::make_unique<FakeCapability>(loop_, std::move(theirs), serve, "fake", name, more);
    run_until(loop_, [&] { return instance->link.ready() && !instance->apps.empty(); });
    say_status(*instance, components);
    instances_[name] = std::move(instance);
  }
  void say_status(FakeCapability& instance, const std::vector<std::string>& components,
                  const std::string& state = "UP") {
    std::string json = R"({"components":[)";
    for (const std::string& component : components) {
      json += (json.ends_with('[') ? "" : ",") + (R"({"name":")" + component + R"(","state":")" + state + "\"}");
    }
    Envelope status;
    status.kind = wire::Kind::Status;
    json += "]}";
    Buffer payload = Buffer::copy_of(json);
    ASSERT_TRUE(instance.link.send(status, payload));
    run_until(loop_, [&] {
      const std::vector<CapabilityFacts> all = gateway_->capabilities();
      return std::ranges::any_of(all.front().instances, [&](const auto& one) { return one.status == json; });
    });
  }
  Task<void> answer(std::string name, Incoming incoming) {
    ++asked_[name];
    while (!open_) co_await gate_.wait(loop_, Deadline::never());
    Envelope reply;
    reply.status = 200;
    Buffer body = Buffer::copy_of("<" + name + ">");
    [[maybe_unused]] const auto sent = co_await incoming.reply(reply, std::move(body));
  }
  std::string who_serves(const std::string& path) {
    Client client(port_);
    const std::string answer = exchange(client, get(path), ">");
    const std::size_t begin = answer.find('<');
    return begin == std::string::npos ? answer : answer.substr(begin + 1, answer.size() - begin - 2);
  }
  std::map<std::string, std::string> owners(int keys) {
    std::map<std::string, std::string> all;
    for (int i = 0; i < keys; ++i) {
      const std::string key = "k" + std::to_string(i);
      all[key] = who_serves("/v1/things/box/" + key);
    }
    return all;
  }

  bool open_ = true;
  WaitQueue gate_;
  std::map<std::string, int> asked_;
  std::map<std::string, std::unique_ptr<FakeCapability>> instances_;
};

TEST_F(InstancesTest, AKeyStaysWithItsInstanceAndMovesOnlyWhenThatGoes) {
  start_without_instances();
  for (int i = 1; i <= 3; ++i) add("i" + std::to_string(i), i, {"box"});
  const auto before = owners(60);
  EXPECT_EQ(owners(60), before);
  EXPECT_EQ(asked_.size(), 3U);

  instances_.erase("i2");
  run_until(loop_, [&] { return !gateway_->capabilities().front().instances.back().linked; });

  const auto after = owners(60);
  for (const auto& [key, owner] : before) {
    if (owner != "i2") {
      EXPECT_EQ(after.at(key), owner) << key;
    }
  }
  add("i2", 2, {"box"});
  EXPECT_EQ(owners(60), before);
}

TEST_F(InstancesTest, OneWhereTheComponentIsNotUpIsAskedOnlyWhereNoOtherIs) {
  start_without_instances();
  add("i1", 1, {"box"});
  add("i2", 2, {"box"});
  say_status(*instances_["i1"], {"box"}, "INIT");
  for (const auto& [key, owner] : owners(20)) EXPECT_EQ(owner, "i2") << key;

  say_status(*instances_["i2"], {"box"}, "DOWN");

  owners(20);
  EXPECT_EQ(asked_.size(), 2U);
}

TEST_F(InstancesTest, AFullInstanceIsPassedOver) {
  start_without_instances();
  add("i1", 1, {"box"});
  add("i2", 2, {"box"});
  open_ = false;
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<bool> sent(4, false);
  for (int i = 0; i < 4; ++i) clients.push_back(std::make_unique<Client>(port_));

  run_until(loop_, [&] {
    for (int i = 0; i < 4; ++i) sent[i] = sent[i] || clients[i]->send(get("/v1/things/box/same"));
    return asked_["i1"] + asked_["i2"] == 4;
  });

  EXPECT_EQ(asked_["i1"], 2);
  EXPECT_EQ(asked_["i2"], 2);
  open_ = true;
  gate_.wake_all();
  for (auto& client : clients) EXPECT_THAT(exchange(*client, "", ">"), StartsWith("HTTP/1.1 200"));
}

TEST_F(InstancesTest, WhatOnlyTheFirstHoldsIsAskedOfNobodyElse) {
  start_without_instances();
  add("i1", 1, {"shared", "box"});
  add("i2", 2, {"shared"});
  for (const auto& [key, owner] : owners(20)) EXPECT_EQ(owner, "i1") << key;

  instances_.erase("i1");
  run_until(loop_, [&] { return !gateway_->capabilities().front().instances.back().linked; });
  EXPECT_EQ(who_serves("/v1/things/shared/k"), "i2");
  Client client(port_);
  run_until(loop_, [&, sent = false]() mutable {
    sent = sent || client.send(get("/v1/things/box/k"));
    return gateway_->capabilities().front().parked == 1;
  });
  say_status(*instances_["i2"], {"shared", "other"});  // wakes whoever waits, who waits on
  EXPECT_EQ(client.received(), "");

  add("i1", 1, {"shared", "box"});

  EXPECT_THAT(exchange(client, "", ">"), HasSubstr("<i1>"));
}

TEST_F(InstancesTest, OneThatIsNotTheFirstIsAskedNothingBeforeItsStatus) {
  start_without_instances();
  add("i2", 2);
  Client client(port_);
  run_until(loop_, [&, sent = false]() mutable {
    sent = sent || client.send(get("/v1/things/box/k"));
    return gateway_->capabilities().front().parked == 1;
  });

  say_status(*instances_["i2"], {"box"});

  EXPECT_THAT(exchange(client, "", ">"), HasSubstr("<i2>"));
}

TEST(RequestKeyTest, ItStandsWhereTheRouteSays) {
  Route http;
  http.key = "key";
  Route rpc;
  rpc.rpc = Rpc::kUnary;
  rpc.key = "2";
  const std::string message =
      "\x0a\x05store\x12\x04"
      "cart";

  EXPECT_EQ(RequestKey(http, "cart", "body").text(), "cart");
  EXPECT_EQ(RequestKey(rpc, "", message).text(), "cart");
  EXPECT_EQ(RequestKey(rpc, "", message.substr(0, 9)).text(), "");
  EXPECT_EQ(RequestKey(Route{}, "cart", message).text(), "");
  EXPECT_EQ(RequestKey().text(), "");
}

}  // namespace
}  // namespace caisson::gateway::testing

#include "sdk/component_set.hpp"

#include <gtest/gtest.h>

#include "bus/testing/run.hpp"

namespace caisson::sdk {
namespace {

using namespace std::chrono_literals;

/// What a ComponentSet needs of a process: a loop, and secrets that the test hands out.
class LoopContext final : public Context {
 public:
  explicit LoopContext(EventLoop& event_loop) : loop_(event_loop) {}

  EventLoop& loop() override { return loop_; }
  [[nodiscard]] const std::string& data_dir() const override { return none_; }
  [[nodiscard]] const std::string& instance() const override { return none_; }
  [[nodiscard]] InstanceNumber instance_number() const override { return number; }
  Counters& counters() override { return counters_; }
  [[nodiscard]] const std::vector<std::string>& arguments() const override { return arguments_; }
  Task<Result<Reply>> call(Envelope call, Buffer, Deadline) override {
    asked_for.emplace_back(Field(call.headers[0]).value);
    co_return Error{Errc::kUnavailable, "secrets is away"};
  }
  Result<OpenCall> open_call(Envelope, Buffer, Deadline) override { return Error{Errc::kUnavailable, ""}; }
  [[nodiscard]] const std::map<std::string, AppState>& apps() const override { return apps_; }
  void status_changed() override { ++status_changes; }
  void publish_config(std::string, std::string) override {}

  std::vector<std::string> asked_for;
  int status_changes = 0;
  InstanceNumber number;

 private:
  EventLoop& loop_;
  std::string none_;
  Counters counters_;
  std::vector<std::string> arguments_;
  std::map<std::string, AppState> apps_;
};

/// A component that holds its `file` as long as it lives.
class Holder final : public Component {
 public:
  Holder(std::string held, std::string label, std::vector<std::string>& all)
      : file(std::move(held)), name(std::move(label)), held_(all) {
    held_.push_back(file);
  }
  ~Holder() override { std::erase(held_, file); }

  const std::string file;
  const std::string name;

 private:
  std::vector<std::string>& held_;
};

class ComponentSetTest : public ::testing::Test {
 protected:
  ComponentSetTest() {
    options_.prefix = "box.";
    options_.exclusive = [](const config::Component& component) { return component.type == "box.exclusive"; };
    set_.emplace(context_, options_, [this](const ComponentSpec& spec, Deadline) { return make(spec); });
  }

  /// By value: a test may hand in one that dies before the task runs.
  Task<Result<std::shared_ptr<Component>>> make(ComponentSpec spec) {
    ++attempts_;
    const std::string file = spec.metadata.get("file");
    if (file == "broken") co_return Error{Errc::kUnavailable, "the file is broken"};
    if (spec.metadata.get("refuse") == "yes") co_return Error{Errc::kUnavailable, "refused"};
    if (std::ranges::find(held_, file) != held_.end()) co_return Error{Errc::kAlreadyExists, "held"};
    if (file == "slow") co_await loop_.sleep_until(Deadline::never());
    if (spec.metadata.get("gated") == "yes") co_await gate_.wait(loop_, Deadline::never());
    co_return std::shared_ptr<Component>(std::make_shared<Holder>(file, spec.metadata.get("name"), held_));
  }

  static config::Component document(std::string type, std::map<std::string, std::string> metadata) {
    config::Component component;
    component.name = "c";
    component.type = std::move(type);
    component.version = "v1";
    for (auto& [name, value] : metadata) component.metadata.push_back({name, value, {}, {}, {}});
    return component;
  }

  void configure(const std::vector<config::Component>& components) {
    config::Generation generation;
    generation.components = components;
    set_->configure(generation);
  }

  static Task<void> take(Task<ComponentSet::Found> task, std::optional<ComponentSet::Found>& to) {
    auto found = co_await std::move(task);
    to.emplace(std::move(found));
  }
  /// Name of the component that serves; empty: none.
  std::string serving(std::string_view app = "shop") {
    const auto found = set_->find("c", app);
    return found.component == nullptr ? std::string() : static_cast<Holder&>(*found.component).name;
  }
  void wait_for(const std::string& name) {
    testing::run_until(loop_, [&] { return serving() == name; });
  }
  void wait_for_attempts(int count) {
    testing::run_until(loop_, [&] { return attempts_ >= count; });
  }

  SystemClock clock_;
  EventLoop loop_{clock_};
  LoopContext context_{loop_};
  ComponentSet::Options options_;
  std::vector<std::string> held_;
  int attempts_ = 0;
  WaitQueue gate_;
  std::optional<ComponentSet> set_;
};

TEST_F(ComponentSetTest, AComponentComesUpAndIsFoundByName) {
  configure({document("box.exclusive", {{"file", "a"}, {"name", "first"}}), document("other.kind", {})});

  wait_for("first");

  EXPECT_EQ(set_->status().size(), 1u);
  EXPECT_EQ(set_->status()[0].state, ComponentState::kUp);
}

TEST_F(ComponentSetTest, OneThatFailsIsTriedAgainAndSaysWhy) {
  configure({document("box.exclusive", {{"file", "broken"}})});

  wait_for_attempts(2);

  EXPECT_EQ(set_->status()[0].state, ComponentState::kDown);
  EXPECT_EQ(set_->status()[0].reason, "the file is broken");
  EXPECT_EQ(set_->find("c", "shop").absent, ComponentSet::Absent::kNotReady);
}

TEST_F(ComponentSetTest, AChangeIsMadeBesideTheOldOneWhichServesMeanwhile) {
  configure({document("box.exclusive", {{"file", "a"}, {"name", "first"}})});
  wait_for("first");

  configure({document("box.exclusive", {{"file", "b"}, {"name", "second"}, {"gated", "yes"}})});
  wait_for_attempts(2);
  EXPECT_EQ(serving(), "first");

  gate_.wake_all();
  wait_for("second");
  EXPECT_EQ(held_, std::vector<std::string>{"b"});
}

TEST_F(ComponentSetTest, AChangeThatFailsLeavesTheOldOneServing) {
  configure({document("box.exclusive", {{"file", "a"}, {"name", "first"}})});
  wait_for("first");

  configure({document("box.exclusive", {{"file", "broken"}})});
  wait_for_attempts(3);

  EXPECT_EQ(serving(), "first");
  EXPECT_NE(set_->status()[0].reason.find("the file is broken"), std::string::npos);
}

TEST_F(ComponentSetTest, WhatTheOldOneHoldsIsLetGoOfFirst) {
  configure({document("box.exclusive", {{"file", "a"}, {"name", "first"}})});
  wait_for("first");

  configure({document("box.exclusive", {{"file", "a"}, {"name", "second"}})});

  wait_for("second");
  EXPECT_EQ(held_, std::vector<std::string>{"a"});
}

TEST_F(ComponentSetTest, WhatAnotherProcessHoldsIsWaitedForAndSoDoRequests) {
  held_.push_back("a");
  configure({document("box.exclusive", {{"file", "a"}, {"name", "first"}})});
  wait_for_attempts(3);
  EXPECT_EQ(set_->status()[0].state, ComponentState::kInit);

  std::erase(held_, "a");

  const auto found = testing::run(loop_, set_->find_when_ready("c", "shop", loop_.deadline_in(20s)));
  EXPECT_NE(found.component, nullptr);
}

TEST_F(ComponentSetTest, WhoWaitsForAComponentThatIsTakenAwayIsNotToldThatThereIsNone) {
  held_.push_back("a");
  configure({document("box.exclusive", {{"file", "a"}, {"name", "first"}})});
  std::optional<ComponentSet::Found> found;
  TaskScope scope(loop_);
  scope.spawn(take(set_->find_when_ready("c", "shop", Deadline::never()), found));

  configure({});

  testing::run_until(loop_, [&] { return found.has_value(); });
  EXPECT_EQ(found->absent, ComponentSet::Absent::kNotReady);
}

TEST_F(ComponentSetTest, AComponentOfAnotherProcessOfTheCapabilityIsConfiguredAllTheSame) {
  config::Generation generation;
  generation.elsewhere = {{"far", "b"}};
  set_->configure(generation);

  EXPECT_EQ(set_->find("c", "shop").absent, ComponentSet::Absent::kUnknown);
}

TEST_F(ComponentSetTest, WhenEvenThatDoesNotHelpTheOldOneIsOpenedAgain) {
  configure({document("box.exclusive", {{"file", "a"}, {"name", "first"}})});
  wait_for("first");
  // Held by the old one at the first attempt, refused for good at the second.
  struct Trap {
    int calls = 0;
  };
  const auto trap = std::make_shared<Trap>();
  set_.emplace(context_, options_, [this, trap](const ComponentSpec& spec, Deadline) {
    if (spec.metadata.get("name") == "second" && trap->calls++ > 0) {
      const ComponentSpec refused{spec.name, spec.type, spec.version, Metadata(Metadata::Items{{"refuse", "yes"}})};
      return make(refused);
    }
    return make(spec);
  });
  configure({document("box.exclusive", {{"file", "a"}, {"name", "first"}})});
  wait_for("first");

  configure({document("box.exclusive", {{"file", "a"}, {"name", "second"}})});
  testing::run_until(loop_, [&] { return trap->calls >= 2; });

  wait_for("first");
  EXPECT_NE(set_->status()[0].reason.find("refused"), std::string::npos);
}

TEST_F(ComponentSetTest, ARequestInFlightKeepsARemovedComponentAlive) {
  configure({document("box.exclusive", {{"file", "a"}, {"name", "first"}})});
  wait_for("first");
  auto in_use = set_->find("c", "shop").component;

  configure({});

  EXPECT_EQ(set_->find("c", "shop").absent, ComponentSet::Absent::kNoneConfigured);
  EXPECT_EQ(held_.size(), 1u);
  in_use.reset();
  EXPECT_TRUE(held_.empty());
}

TEST_F(ComponentSetTest, AnInitialisationThatNeverEndsIsGivenUpAtItsDeadline) {
  auto slow = document("box.exclusive", {{"file", "slow"}});
  slow.init_timeout = 10ms;
  configure({slow});

  testing::run_until(loop_, [&] { return set_->status()[0].state == ComponentState::kDown; });

  EXPECT_EQ(set_->status()[0].reason, "not initialised within 10 ms");
}

TEST_F(ComponentSetTest, AnAppOutsideTheScopesDoesNotSeeIt) {
  auto scoped = document("box.exclusive", {{"file", "a"}, {"name", "first"}});
  scoped.scopes = {"shop"};
  configure({scoped});
  wait_for("first");

  EXPECT_EQ(set_->find("c", "other").absent, ComponentSet::Absent::kNoneConfigured);
}

TEST_F(ComponentSetTest, WhatOnlyOneInstanceMayHoldIsOpenedByTheFirstAndByNoOther) {
  context_.number = {2, 2};
  auto first_only = document("box.exclusive", {{"file", "a"}, {"name", "first"}});
  first_only.name = "one";
  first_only.scopes = {"shop"};
  configure({first_only, document("box.shared", {{"file", "b"}, {"name", "second"}})});

  wait_for("second");

  EXPECT_EQ(held_, (std::vector<std::string>{"b"}));
  ASSERT_EQ(set_->status().size(), 1u);
  EXPECT_EQ(set_->status()[0].name, "c");
  const auto found = testing::run(loop_, set_->find_when_ready("one", "shop", Deadline::never()));
  EXPECT_EQ(found.component, nullptr);
  EXPECT_EQ(found.absent, ComponentSet::Absent::kNotReady);
  EXPECT_EQ(found.reason, "the first instance of the capability holds it");
  EXPECT_EQ(set_->find("one", "other").absent, ComponentSet::Absent::kUnknown);
}

TEST_F(ComponentSetTest, ASecretThatCannotBeHadKeepsTheComponentDown) {
  auto locked = document("box.exclusive", {});
  locked.secret_store = "vault";
  locked.metadata.push_back({"password", {}, "redis", "password", {}});
  configure({locked});

  testing::run_until(loop_, [&] { return set_->status()[0].state == ComponentState::kDown; });

  EXPECT_EQ(context_.asked_for.at(0), "vault");
  EXPECT_EQ(set_->status()[0].reason, "metadata 'password': secret 'redis' of store 'vault': secrets is away");
  EXPECT_EQ(attempts_, 0);
}

TEST_F(ComponentSetTest, AWaitForAComponentEndsWhenItsFirstAttemptDoes) {
  configure({document("box.exclusive", {{"file", "broken"}})});

  const auto found = testing::run(loop_, set_->find_when_ready("c", "shop", loop_.deadline_in(20s)));

  EXPECT_EQ(found.component, nullptr);
  EXPECT_EQ(found.reason, "the file is broken");
}

}  // namespace
}  // namespace caisson::sdk

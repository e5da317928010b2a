#include "capabilities/config/capability.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "capabilities/config/testing/temporary_folder.hpp"
#include "config-cache/generation.hpp"

namespace caisson::config {
namespace {

using caisson::testing::run_until;
using testing::component_yaml;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using testing::TemporaryFolder;

/// A process that remembers what was published.
class FakeContext final : public sdk::Context {
 public:
  FakeContext(EventLoop& loop, std::string data_dir, std::vector<std::string> arguments)
      : loop_(loop), data_dir_(std::move(data_dir)), arguments_(std::move(arguments)) {}

  EventLoop& loop() override { return loop_; }
  [[nodiscard]] const std::string& data_dir() const override { return data_dir_; }
  [[nodiscard]] const std::string& instance() const override { return instance_; }
  sdk::Counters& counters() override { return counters_; }
  [[nodiscard]] const std::vector<std::string>& arguments() const override { return arguments_; }
  Task<Result<Reply>> call(Envelope, Buffer, Deadline) override { co_return Error{Errc::kUnavailable, "no gateway"}; }
  Result<OpenCall> open_call(Envelope, Buffer, Deadline) override { return Error{Errc::kUnavailable, "no gateway"}; }
  [[nodiscard]] const std::map<std::string, sdk::AppState>& apps() const override { return apps_; }
  void status_changed() override {}
  void publish_config(std::string audience, std::string snapshot) override {
    Result<Generation> generation = decode(snapshot);
    ASSERT_TRUE(generation) << generation.error().message;
    EXPECT_EQ(generation->audience, audience);
    ++publications;
    snapshots[audience] = snapshot;
    published[audience] = *std::move(generation);
  }

  std::map<std::string, Generation> published;
  std::map<std::string, std::string> snapshots;
  int publications = 0;

 private:
  EventLoop& loop_;
  std::string data_dir_;
  std::string instance_ = "config";
  std::vector<std::string> arguments_;
  sdk::Counters counters_;
  std::map<std::string, sdk::AppState> apps_;
};

class ConfigCapabilityTest : public ::testing::Test {
 protected:
  /// One start of the process, until the next.
  FakeContext& start(std::vector<std::string> arguments) {
    capability_.reset();
    context_.emplace(loop_, data_.path(), std::move(arguments));
    capability_.emplace(*context_);
    capability_->start();
    return *context_;
  }
  FakeContext& start() { return start({"--resources-path", folder_.path()}); }

  testing::TemporaryFolder folder_;
  testing::TemporaryFolder data_;
  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  std::optional<FakeContext> context_;
  std::optional<ConfigCapability> capability_;
};

TEST_F(ConfigCapabilityTest, EveryAudienceGetsItsGenerationAtTheStart) {
  folder_.write("a.yaml", component_yaml("cart", "state.redis", "canary") + "---\n" + component_yaml("p", "pubsub.x"));

  FakeContext& context = start();

  EXPECT_THAT(context.published.at("state").components, SizeIs(1));
  EXPECT_THAT(context.published.at("pubsub").components, SizeIs(1));
  for (const auto& [audience, snapshot] : context.snapshots) {
    EXPECT_EQ(snapshot.find("canary") != std::string::npos, audience == "state") << audience;
  }
  EXPECT_THAT(capability_->metadata(), Not(HasSubstr("canary")));
}

TEST_F(ConfigCapabilityTest, WithoutAFolderThereAreAStateStoreAndABroker) {
  FakeContext& context = start({});

  EXPECT_EQ(context.published.at("state").components.at(0).name, "statestore");
  EXPECT_EQ(context.published.at("state").components.at(0).type, "state.sqlite");
  EXPECT_EQ(context.published.at("pubsub").components.at(0).name, "pubsub");
  EXPECT_EQ(context.published.at("pubsub").components.at(0).type, "pubsub.sqlite");
}

TEST_F(ConfigCapabilityTest, AChangedFileIsPublishedToItsAudienceOnly) {
  folder_.write("a.yaml", component_yaml("cart", "state.redis", "1") + "---\n" + component_yaml("p", "pubsub.x"));
  FakeContext& context = start();
  const std::uint64_t state = context.published.at("state").sequence;
  const std::uint64_t pubsub = context.published.at("pubsub").sequence;
  clock_.advance(std::chrono::seconds(1));

  folder_.write("new", component_yaml("cart", "state.redis", "2") + "---\n" + component_yaml("p", "pubsub.x"));
  std::filesystem::rename(folder_.path("new"), folder_.path("a.yaml"));
  run_until(loop_, [&] { return context.published.at("state").components.at(0).metadata.at(0).value == "2"; });

  EXPECT_GT(context.published.at("state").sequence, state);
  EXPECT_EQ(context.published.at("pubsub").sequence, pubsub);
}

TEST_F(ConfigCapabilityTest, AnAddedAndARemovedFileTakeEffectWithoutARestart) {
  folder_.write("a.yaml", component_yaml("cart", "state.redis"));
  FakeContext& context = start();
  clock_.advance(std::chrono::seconds(1));

  folder_.write("b.yaml", component_yaml("orders", "pubsub.redis"));
  run_until(loop_, [&] { return !context.published.at("pubsub").components.empty(); });
  EXPECT_THAT(context.published.at("pubsub").components, SizeIs(1));
  folder_.remove("b.yaml");
  run_until(loop_, [&] {
    clock_.advance(std::chrono::milliseconds(20));
    return context.published.at("pubsub").components.empty();
  });

  EXPECT_THAT(context.published.at("state").components, SizeIs(1));
}

TEST_F(ConfigCapabilityTest, AComponentThatNobodyServesIsShownAsOneThatFailed) {
  folder_.write("a.yaml", component_yaml("mail", "bindings.smtp"));
  start();

  const auto shown = capability_->components();

  ASSERT_THAT(shown, SizeIs(1));
  EXPECT_EQ(shown.front().name, "mail");
  EXPECT_EQ(shown.front().state, sdk::ComponentState::kDown);
  EXPECT_TRUE(shown.front().init_failed);
  EXPECT_EQ(shown.front().reason, "no capability here serves type 'bindings.smtp'");
}

TEST_F(ConfigCapabilityTest, ADeletionIsPublishedOnlyWhenItsPatienceIsOver) {
  folder_.write("a.yaml", component_yaml("cart", "state.redis"));
  folder_.write("b.yaml", component_yaml("p", "pubsub.x"));
  FakeContext& context = start();
  clock_.advance(std::chrono::seconds(1));
  const std::uint64_t publications = static_cast<std::uint64_t>(context.publications);

  folder_.remove("b.yaml");
  for (int turn = 0; turn < 20; ++turn) loop_.turn(std::chrono::milliseconds(1));  // time stands still
  EXPECT_EQ(static_cast<std::uint64_t>(context.publications), publications);
  clock_.advance(kDeletionPatience);
  run_until(loop_, [&] { return context.published.at("pubsub").components.empty(); });
}

TEST_F(ConfigCapabilityTest, ABrokenFileIsInTheMetadataWithFileAndLineUntilItIsPutRight) {
  folder_.write("a.yaml", component_yaml("cart", "state.redis"));
  FakeContext& context = start();
  clock_.advance(std::chrono::seconds(1));

  const std::string file = folder_.write("a.yaml", "kind: Component\nspec: [\n");
  run_until(loop_,
            [&] { return capability_->metadata().find("\"file\":\"" + file + "\",\"line\":") != std::string::npos; });
  EXPECT_THAT(context.published.at("state").components, SizeIs(1));
  clock_.advance(std::chrono::seconds(1));
  folder_.write("a.yaml", component_yaml("cart", "state.redis"));
  run_until(loop_, [&] { return capability_->metadata().find("\"errors\":[]") != std::string::npos; });
}

TEST_F(ConfigCapabilityTest, AFolderThatAppearsLaterIsRead) {
  FakeContext& context = start({"--resources-path=" + folder_.path("later")});
  EXPECT_THAT(capability_->metadata(), HasSubstr("cannot be read"));
  std::filesystem::create_directory(folder_.path("later"));
  folder_.write("later/a.yaml", component_yaml("cart", "state.redis"));

  run_until(loop_, [&] {
    clock_.advance(std::chrono::milliseconds(200));
    return context.published.contains("state") && !context.published.at("state").components.empty();
  });
}

TEST_F(ConfigCapabilityTest, EveryStartHasAHigherTerm) {
  folder_.write("a.yaml", component_yaml("cart", "state.redis"));

  const std::uint64_t first = start().published.at("state").term;
  const std::uint64_t second = start().published.at("state").term;
  data_.write("term", "99999999999999");
  const std::uint64_t third = start().published.at("state").term;
  data_.write("term", "rubbish");
  const std::uint64_t fourth = start().published.at("state").term;

  EXPECT_GT(second, first);
  EXPECT_EQ(third, 100000000000000U);
  EXPECT_GT(fourth, second);
}

TEST_F(ConfigCapabilityTest, AFolderThatIsEmptyAtTheStartIsHeldWhenItWasNotBefore) {
  folder_.write("a.yaml", component_yaml("cart", "state.redis"));
  start();
  folder_.remove("a.yaml");

  FakeContext& context = start();
  for (int i = 0; i < 20; ++i) {
    clock_.advance(std::chrono::milliseconds(50));
    loop_.turn(std::chrono::milliseconds(0));
  }

  EXPECT_THAT(context.published.at("state").components, SizeIs(1));
  EXPECT_THAT(capability_->metadata(), HasSubstr(".empty"));
}

TEST_F(ConfigCapabilityTest, ADamagedSnapshotOfTheLastDocumentsIsMovedAside) {
  folder_.write("a.yaml", component_yaml("cart", "state.redis"));
  data_.write("resources.snapshot", "rubbish");

  FakeContext& context = start();

  EXPECT_THAT(context.published.at("state").components, SizeIs(1));
  EXPECT_TRUE(std::filesystem::exists(data_.path("resources.snapshot.damaged")));
}

TEST_F(ConfigCapabilityTest, AMissingConfigurationFilePublishesNothingUntilItIsThere) {
  folder_.write("a.yaml", component_yaml("cart", "state.redis"));
  FakeContext& context = start({"--resources-path", folder_.path(), "--config", folder_.path("c.cfg")});
  EXPECT_THAT(context.published, IsEmpty());
  EXPECT_THAT(capability_->metadata(), HasSubstr("c.cfg"));
  clock_.advance(std::chrono::seconds(1));

  folder_.write("c.cfg", "kind: Configuration\nspec: {api: {denied: [{name: invoke}]}}\n");
  run_until(loop_, [&] { return !context.published.empty(); });

  EXPECT_THAT(context.published.at("gateway").configuration.api_denied, SizeIs(1));
}

TEST_F(ConfigCapabilityTest, AnswersAreShownByAudience) {
  FakeContext& context = start({});
  const std::uint64_t term = context.published.at("state").term;
  const Error reason{Errc::kDataLoss, "checksum"};

  capability_->config_answered("state", term, 1, nullptr);
  capability_->config_answered("pubsub", 0, 0, &reason);
  capability_->config_answered("nobody", term, 1, nullptr);

  EXPECT_THAT(capability_->metadata(), HasSubstr("\"acknowledged\":\"" + std::to_string(term) + ".1\""));
  EXPECT_THAT(capability_->metadata(), HasSubstr("\"refused\":\"checksum\""));
  EXPECT_THAT(capability_->metadata(), Not(HasSubstr("nobody")));
}

TEST_F(ConfigCapabilityTest, AConfigurationStoreThatIsNotReadyHoldsNothingUp) {
  folder_.write("a.yaml", component_yaml("flags", "configuration.odd") + "---\n" + component_yaml("s", "state.x"));

  FakeContext& context = start();

  EXPECT_THAT(context.published.at("state").components, SizeIs(1));
  EXPECT_FALSE(context.published.contains("config"));
  run_until(loop_, [&] {
    const auto components = capability_->components();
    return components.size() == 1 && components[0].state == sdk::ComponentState::kDown;
  });
  EXPECT_THAT(capability_->components()[0].reason, HasSubstr("configuration.odd"));
}

TEST_F(ConfigCapabilityTest, TheFlagsAreDaprs) {
  const auto flags =
      parse_flags({"--resources-path", "/a", "--components-path=/b", "--config", "c", "--config=d", "--other", "x"});

  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->folders, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(flags->configurations, (std::vector<std::string>{"c", "d"}));
  EXPECT_FALSE(parse_flags({"--config"}));
}

/// A store with its compartment; empty: none.
std::string store_yaml(const std::string& name, const std::string& compartment) {
  std::string yaml = component_yaml(name, "state.redis", "1");
  if (compartment.empty()) return yaml;
  const std::string named = "  name: " + name + "\n";
  return yaml.insert(yaml.find(named) + named.size(),
                     "  annotations:\n    caisson.io/compartment: " + compartment + "\n");
}

class CompartmentsTest : public ConfigCapabilityTest {
 protected:
  void TearDown() override { capability_.reset(); }  // writes into a folder that goes first

  FakeContext& start_with_file() {
    return start({"--resources-path", folder_.path(), "--compartments-file", list_.path("compartments.json")});
  }
  void annotate(const std::string& compartment) {
    folder_.write("new", store_yaml("cart", compartment) + "---\n" + component_yaml("other", "state.redis", "1"));
    std::filesystem::rename(folder_.path("new"), folder_.path("a.yaml"));
    clock_.advance(std::chrono::seconds(1));
  }
  /// The process behind an audience puts what it was sent last in force.
  void acknowledge(const std::string& audience) {
    const Generation& last = context_->published.at(audience);
    capability_->config_answered(audience, last.term, last.sequence, nullptr);
  }
  [[nodiscard]] std::vector<std::string> held_by(const std::string& audience) const {
    std::vector<std::string> names;
    const auto found = context_->published.find(audience);
    if (found == context_->published.end()) return names;
    for (const Component& one : found->second.components) names.push_back(one.name);
    return names;
  }
  [[nodiscard]] std::string listed() const {
    const auto text = read_file(list_.path("compartments.json"), 4096);
    return text ? *text : std::string();
  }

  testing::TemporaryFolder list_;
};

TEST_F(CompartmentsTest, TheSupervisorIsToldWhichAreInUse) {
  annotate("b");
  start_with_file();

  EXPECT_THAT(held_by("state/b"), ElementsAre("cart"));
  run_until(loop_, [&] { return !listed().empty(); });
  const auto compartments = parse_compartments(listed());
  ASSERT_TRUE(compartments);
  EXPECT_THAT(*compartments, ElementsAre(Compartment{"state", "b", {"state.redis"}, {"cart"}}));
}

TEST_F(CompartmentsTest, AnAnnotationThatIsAddedMovesTheComponentOnceTheNewProcessHoldsIt) {
  annotate("");
  start_with_file();
  annotate("b");
  run_until(loop_, [&] { return held_by("state/b").size() == 1; });

  EXPECT_THAT(held_by("state"), ElementsAre("cart", "other"));
  EXPECT_THAT(context_->published.at("state").elsewhere, IsEmpty());

  acknowledge("state/b");
  EXPECT_THAT(held_by("state"), ElementsAre("other"));
  EXPECT_THAT(context_->published.at("state").elsewhere, ElementsAre(Elsewhere{"cart", "b"}));
}

TEST_F(CompartmentsTest, AnAnnotationThatIsRemovedMovesItBackAndEmptiesTheCompartment) {
  annotate("b");
  start_with_file();
  annotate("");
  run_until(loop_, [&] { return held_by("state").size() == 2; });
  EXPECT_THAT(held_by("state/b"), ElementsAre("cart"));

  acknowledge("state");

  EXPECT_THAT(held_by("state/b"), IsEmpty());
  EXPECT_THAT(context_->published.at("state").elsewhere, IsEmpty());
  run_until(loop_, [&] { return listed() == "[]"; });
}

TEST_F(CompartmentsTest, AnAnswerToAnOlderGenerationOrARefusalMovesNothing) {
  annotate("");
  start_with_file();
  annotate("b");
  run_until(loop_, [&] { return held_by("state/b").size() == 1; });
  const Generation last = context_->published.at("state/b");

  capability_->config_answered("state/b", last.term, last.sequence - 1, nullptr);
  const Error refused{Errc::kInvalidArgument, "no"};
  capability_->config_answered("state/b", last.term, last.sequence, &refused);

  EXPECT_THAT(held_by("state"), ElementsAre("cart", "other"));
}

TEST_F(CompartmentsTest, AMoveThatARestartInterruptsGoesOn) {
  annotate("");
  start_with_file();
  annotate("b");
  run_until(loop_, [&] { return held_by("state/b").size() == 1 && !listed().empty(); });

  start_with_file();

  EXPECT_THAT(held_by("state"), ElementsAre("cart", "other"));
  acknowledge("state/b");
  EXPECT_THAT(held_by("state"), ElementsAre("other"));
}

TEST_F(CompartmentsTest, ACompartmentThatWentWhileConfigWasAwayIsToldSo) {
  annotate("b");
  start_with_file();
  run_until(loop_, [&] { return !listed().empty(); });
  capability_.reset();
  annotate("");

  start_with_file();
  acknowledge("state");

  ASSERT_TRUE(context_->published.contains("state/b"));
  EXPECT_THAT(held_by("state/b"), IsEmpty());
}

TEST_F(CompartmentsTest, AListThatSomebodySpoiltIsPutRightAtTheNextScan) {
  annotate("b");
  start_with_file();
  run_until(loop_, [&] { return !listed().empty(); });
  const std::string right = listed();
  list_.write("compartments.json", "{{{");

  clock_.advance(std::chrono::seconds(61));

  run_until(loop_, [&] { return listed() == right; });
}

}  // namespace
}  // namespace caisson::config

#include "capabilities/state/service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/testing/run.hpp"
#include "capabilities/state/memory_store.hpp"
#include "capabilities/state/wall_time.hpp"
#include "sdk/process.hpp"

namespace caisson::state {
namespace {

using ::testing::HasSubstr;

/// The service over one store in memory, without any API.
class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() {
    auto store = std::make_unique<MemoryStore>(loop_, [this] { return now_ms_; });
    selected_.component = std::make_shared<StateComponent>(std::move(store), sdk::KeyPrefix(), 60);
    selected_.store = "store";
    selected_.app = "shop";
  }

  static Change change_of(std::string key, std::string value) {
    Change change;
    change.key = std::move(key);
    change.value = std::move(value);
    return change;
  }
  Result<std::vector<WriteResult>> change(std::vector<Change> items, bool atomic) {
    Changes changes{{}, atomic, std::move(items)};
    return testing::run(loop_, service_.change(selected_, std::move(changes), Deadline::never()));
  }
  std::optional<Entry> get(std::string key) {
    auto found = testing::run(loop_, service_.get(selected_, Get{std::move(key), {}, {}}, Deadline::never()));
    return found ? *found : std::nullopt;
  }

  SystemClock clock_;
  EventLoop loop_{clock_};
  std::int64_t now_ms_ = 1'767'323'045'500;
  Selected selected_;
  sdk::Process process_{
      loop_, {"state", "state-1", {}, {}, {}}, [](sdk::Context&) { return std::make_unique<Nothing>(); }};
  sdk::ComponentSet components_{process_, {}, [](const sdk::ComponentSpec&, Deadline) { return make_nothing(); }};
  Service service_{loop_, components_};

  struct Nothing final : sdk::Capability {
    void define(sdk::Definition&) override {}
  };
  static Task<Result<std::shared_ptr<sdk::Component>>> make_nothing() { co_return Error{Errc::kInternal, "none"}; }
};

TEST_F(ServiceTest, KeysCarryTheAppsPrefix) {
  ASSERT_TRUE(change({change_of("k", "1")}, false));

  const auto stored = testing::run(loop_, selected_.component->store->get("shop||k", Deadline::never()));
  EXPECT_TRUE(stored && *stored);
}

TEST_F(ServiceTest, AnInvalidItemIsRefusedByItselfAndItsNeighboursAreWritten) {
  Change bad = change_of("bad", "1");
  bad.metadata["ttlInSeconds"] = "99999999999";

  const auto results = change({change_of("a", "1"), bad, change_of("c", "3")}, false);

  ASSERT_TRUE(results);
  EXPECT_EQ((*results)[0].code, Errc::kOk);
  EXPECT_EQ((*results)[1].code, Errc::kUnknown);
  EXPECT_EQ((*results)[2].code, Errc::kOk);
  EXPECT_TRUE(get("a") && get("c"));
  EXPECT_FALSE(get("bad"));
}

TEST_F(ServiceTest, AnInvalidItemOfAnAtomicRequestKeepsAllOfItFromTheStore) {
  Change bad = change_of("bad", "1");
  bad.concurrency = "odd";

  const auto results = change({change_of("a", "1"), bad}, true);

  ASSERT_TRUE(results);
  EXPECT_EQ((*results)[0].code, Errc::kCancelled);
  EXPECT_THAT((*results)[1].text, HasSubstr("unrecognized concurrency model odd"));
  EXPECT_FALSE(get("a"));
}

TEST_F(ServiceTest, TheComponentsTimeToLiveHoldsWhereTheItemSaysNothing) {
  Change own = change_of("own", "1");
  own.metadata["ttlInSeconds"] = "-1";
  ASSERT_TRUE(change({change_of("default", "1"), own}, false));

  now_ms_ += 61'000;

  EXPECT_FALSE(get("default"));
  EXPECT_TRUE(get("own"));
}

TEST_F(ServiceTest, ManyKeysAreReadInOrderWhileTheLoopTurns) {
  std::vector<std::string> keys;
  for (int i = 0; i < 200; ++i) keys.push_back("k" + std::to_string(i));
  ASSERT_TRUE(change({change_of("k150", "here")}, false));

  const auto found = testing::run(loop_, service_.get_many(selected_, keys, 1000, Deadline::never()));

  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 200U);
  for (std::size_t i = 0; i < 200; ++i) EXPECT_EQ(*(*found)[i] != std::nullopt, i == 150) << i;
}

TEST_F(ServiceTest, ManyKeysStopAtTheLimit) {
  ASSERT_TRUE(change({change_of("k", std::string(600, 'x'))}, false));

  const auto found = testing::run(loop_, service_.get_many(selected_, {"k", "k"}, 1000, Deadline::never()));

  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::kOutOfRange);
}

}  // namespace
}  // namespace caisson::state

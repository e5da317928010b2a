#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/testing/run.hpp"
#include "capabilities/config/items/testing/stores.hpp"

namespace caisson::items {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

MATCHER_P(HasValue, value, "") { return arg.value == value; }

/// What every backend owes its callers; each backend is one instantiation below.
class ItemStoreConformanceTest : public ::testing::TestWithParam<testing::MakeBackend> {
 protected:
  Result<Items> get(const std::vector<std::string>& keys = {}) {
    return caisson::testing::run(loop_, store_->get(keys, loop_.deadline_in(std::chrono::seconds(20))));
  }
  /// Waits until the store gives these, however late it learns of a change.
  void wait_until_it_has(const Items& items) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    Result<Items> has = get();
    while (!has || *has != items) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up);
      loop_.turn(std::chrono::milliseconds(5));
      has = get();
    }
  }
  std::unique_ptr<Watch> watch(const std::vector<std::string>& keys, std::vector<std::string>& hints) {
    return store_->watch(keys, [&hints](std::optional<std::string> key) { hints.push_back(key.value_or("(any)")); });
  }
  /// Waits for a hint of the key, or of any.
  void wait_for(std::vector<std::string>& hints, const std::string& key) {
    caisson::testing::run_until(loop_, [&] {
      return std::ranges::any_of(hints, [&](const std::string& hint) { return hint == key || hint == "(any)"; });
    });
  }
  /// Waits until the watch sees changes.
  void wait_until_watching(std::vector<std::string>& hints) {
    wait_for(hints, "(any)");
    hints.clear();
  }

  SystemClock clock_;
  EventLoop loop_{clock_};
  std::unique_ptr<testing::Backend> backend_ = GetParam()();
  std::shared_ptr<Store> store_ = backend_->open(loop_);
};

TEST_P(ItemStoreConformanceTest, NamedItemsAreGivenWithValueAndVersionAndMissingOnesLeftOut) {
  backend_->put("a", "1", "v1");
  backend_->put("b", "2", "");
  wait_until_it_has({{"a", {"1", "v1", {}}}, {"b", {"2", "", {}}}});

  EXPECT_EQ(*get({"a", "none", "b"}), (Items{{"a", {"1", "v1", {}}}, {"b", {"2", "", {}}}}));
  EXPECT_THAT(*get({"none"}), IsEmpty());
  EXPECT_THAT(*get({"b"}), ElementsAre(Pair("b", HasValue("2"))));
}

TEST_P(ItemStoreConformanceTest, AnEmptyStoreGivesNothing) { EXPECT_THAT(*get(), IsEmpty()); }

TEST_P(ItemStoreConformanceTest, AnItemWithAnEmptyValueIsNone) {
  backend_->put("a", "1", "");
  backend_->put("empty", "", "");
  wait_until_it_has({{"a", {"1", "", {}}}});

  EXPECT_THAT(*get({"empty"}), IsEmpty());
}

TEST_P(ItemStoreConformanceTest, KeysAndValuesAreBytesOfAnyKind) {
  const std::string key = "a b/c:d*[x]?\xC3\xA9\n\"";
  backend_->put(key, "caf\xC3\xA9 \"\\ \t", "v||w");
  backend_->put("plain", "1", "");

  wait_until_it_has({{key, {"caf\xC3\xA9 \"\\ \t", "v", {}}}, {"plain", {"1", "", {}}}});
  EXPECT_EQ(get({key})->size(), 1U);
}

TEST_P(ItemStoreConformanceTest, ThousandsOfItemsAreGivenAtOnce) {
  Items all;
  for (int i = 0; i < 3000; ++i) all["key" + std::to_string(i)] = {std::to_string(i), "", {}};
  backend_->put_all(all);

  wait_until_it_has(all);
}

TEST_P(ItemStoreConformanceTest, TooManyItemsAreRefused) {
  Items all;
  for (std::size_t i = 0; i <= kMaxItems; ++i) all["key" + std::to_string(i)] = {"1", "", {}};
  backend_->put("one", "1", "");
  wait_until_it_has({{"one", {"1", "", {}}}});
  if (!backend_->refuses_to_hold_too_much()) {
    backend_->put_all(all);
    const auto answer = get();

    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Errc::kResourceExhausted);
    EXPECT_THAT(answer.error().message, ::testing::HasSubstr("10000"));
    EXPECT_EQ(get({"key1", "key2"})->size(), 2U);
  }
}

TEST_P(ItemStoreConformanceTest, AWatcherHearsOfItsKeysWhenTheyChangeAppearAndGo) {
  backend_->put("a", "1", "");
  wait_until_it_has({{"a", {"1", "", {}}}});
  std::vector<std::string> hints;
  const auto watch = this->watch({"a", "b"}, hints);
  wait_until_watching(hints);

  backend_->put("a", "2", "");
  wait_for(hints, "a");
  hints.clear();
  backend_->put("b", "1", "");
  wait_for(hints, "b");
  hints.clear();
  backend_->erase("a");
  wait_for(hints, "a");
}

TEST_P(ItemStoreConformanceTest, AWatcherOfAllHearsOfAKeyItNeverHeardOf) {
  std::vector<std::string> hints;
  const auto watch = this->watch({}, hints);
  wait_until_watching(hints);

  backend_->put("new", "1", "");

  wait_for(hints, "new");
}

TEST_P(ItemStoreConformanceTest, WatchersComeAndGoIndependently) {
  std::vector<std::string> first_hints;
  std::vector<std::string> second_hints;
  auto first = watch({"a"}, first_hints);
  const auto second = watch({"a"}, second_hints);
  wait_until_watching(first_hints);
  wait_until_watching(second_hints);
  first.reset();

  backend_->put("a", "1", "");
  wait_for(second_hints, "a");

  EXPECT_THAT(first_hints, IsEmpty());
}

TEST_P(ItemStoreConformanceTest, AWatchMayBeEndedFromWithinItsHint) {
  std::unique_ptr<Watch> watch;
  int hints = 0;
  watch = store_->watch({"a"}, [&](std::optional<std::string>) {
    ++hints;
    watch.reset();
  });

  caisson::testing::run_until(loop_, [&] { return hints > 0; });
  EXPECT_EQ(hints, 1);
}

INSTANTIATE_TEST_SUITE_P(Backends, ItemStoreConformanceTest,
                         ::testing::Values(testing::make_local_file, testing::make_redis),
                         [](const auto& backend) { return backend.index == 0 ? "LocalFile" : "Redis"; });

}  // namespace
}  // namespace caisson::items

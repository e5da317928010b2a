#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "bus/testing/run.hpp"
#include "capabilities/state/memory_store.hpp"
#include "capabilities/state/redis_store.hpp"
#include "capabilities/state/sqlite_store.hpp"
#include "sdk/redis/testing/redis_server.hpp"

namespace caisson::state {
namespace {

using namespace std::chrono_literals;

/// An etag that each backend could have given, and has not.
const std::string kWrongEtag = "4711";

/// What a test may use to make a store.
struct Place {
  EventLoop& loop;
  std::string directory;
  WallClock now;
};

struct Backend {
  std::string name;
  std::unique_ptr<Store> (*open)(const Place& place);
  /// What was acknowledged is there after a reopening.
  bool durable;
  /// Before the first opening in a test.
  void (*begin)() = [] {};
  /// Called when the test's clock is advanced: for a store that has a clock of its own.
  void (*let_time_pass)(std::int64_t seconds) = [](std::int64_t) {};
  /// get() says when a value ends.
  bool tells_end = true;
};

std::unique_ptr<Store> open_memory(const Place& place) { return std::make_unique<MemoryStore>(place.loop, place.now); }

std::unique_ptr<Store> open_sqlite(const Place& place) {
  SqliteOptions options;
  options.path = place.directory + "/state.db";
  auto opened = testing::run(place.loop, SqliteStore::open(place.loop, options, place.now, {}, Deadline::never()));
  EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
  return opened ? *std::move(opened) : nullptr;
}

std::unique_ptr<Store> open_sqlite_without_wal(const Place& place) {
  SqliteOptions options;
  options.path = place.directory + "/state.db";
  options.wal = false;
  auto opened = testing::run(place.loop, SqliteStore::open(place.loop, options, place.now, {}, Deadline::never()));
  EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
  return opened ? *std::move(opened) : nullptr;
}

redis::testing::RedisServer& redis_server() {
  static redis::testing::RedisServer server({.append_only = true});
  return server;
}

std::unique_ptr<Store> open_redis(const Place& place) {
  auto opened =
      testing::run(place.loop, RedisStore::open(
                                   place.loop, redis_server().settings(), [] {}, place.loop.deadline_in(20s)));
  EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
  return opened ? *std::move(opened) : nullptr;
}

void empty_redis() { redis_server().command({"FLUSHALL"}); }

/// Redis has its own clock: what is left of each value's time is shortened instead.
void let_time_pass_in_redis(std::int64_t seconds) {
  for (const auto& key : redis_server().command({"KEYS", "*"}).items) {
    const std::int64_t left = redis_server().command({"PTTL", key.text}).integer;
    if (left >= 0) redis_server().command({"PEXPIRE", key.text, std::to_string(left - seconds * 1000)});
  }
}

/// What every backend owes its callers; each backend is one instantiation below.
class StoreConformanceTest : public ::testing::TestWithParam<Backend> {
 protected:
  StoreConformanceTest() {
    char name[] = "/tmp/caisson-state-test-XXXXXX";
    directory_ = ::mkdtemp(name);
    GetParam().begin();
    reopen();
  }
  ~StoreConformanceTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  void reopen() {
    store_.reset();
    store_ = GetParam().open({loop_, directory_, [this] { return now_ms_->load(); }});
  }
  void advance(std::int64_t seconds) {
    *now_ms_ += seconds * 1000;
    GetParam().let_time_pass(seconds);
  }

  static Write set_of(std::string key, std::string value, std::string if_match = {}) {
    Write write;
    write.key = std::move(key);
    write.value = std::move(value);
    write.if_match = std::move(if_match);
    return write;
  }
  static Write first_write_of(std::string key, std::string value) {
    Write write = set_of(std::move(key), std::move(value));
    write.first_write = true;
    return write;
  }
  static Write delete_of(std::string key, std::string if_match = {}) {
    Write write = set_of(std::move(key), {}, std::move(if_match));
    write.kind = ChangeKind::kDelete;
    return write;
  }

  Result<std::vector<WriteResult>> execute(std::vector<Write> writes, bool atomic = false, RequestId request = {}) {
    Batch batch{request, atomic, std::move(writes)};
    return testing::run(loop_, store_->write(std::move(batch), Deadline::never()));
  }
  /// One write and its result; a failure of the whole batch is a failed test.
  WriteResult execute_one(Write write, RequestId request = {}) {
    auto results = execute({std::move(write)}, false, request);
    EXPECT_TRUE(results) << (results ? "" : results.error().message);
    return results && results->size() == 1 ? results->front() : WriteResult{Errc::kInternal, {}};
  }
  std::optional<Entry> get(const std::string& key) {
    auto entry = testing::run(loop_, store_->get(key, Deadline::never()));
    EXPECT_TRUE(entry) << (entry ? "" : entry.error().message);
    return entry ? *std::move(entry) : std::nullopt;
  }
  std::string value_of(const std::string& key) {
    const auto entry = get(key);
    return entry ? entry->value : "(missing)";
  }

  SystemClock clock_;
  EventLoop loop_{clock_};
  std::string directory_;
  std::unique_ptr<std::atomic<std::int64_t>> now_ms_ = std::make_unique<std::atomic<std::int64_t>>(1'767'323'045'500);
  std::unique_ptr<Store> store_;
};

TEST_P(StoreConformanceTest, AMissingKeyIsAnAnswerAndNotAnError) { EXPECT_FALSE(get("nothing")); }

TEST_P(StoreConformanceTest, ASetValueIsReadBackUnderItsEtag) {
  const WriteResult written = execute_one(set_of("cart", R"({"n":1})"));

  const auto entry = get("cart");

  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->value, R"({"n":1})");
  EXPECT_EQ(entry->etag, written.text);
  EXPECT_FALSE(entry->etag.empty());
  EXPECT_TRUE(entry->expires.empty());
}

TEST_P(StoreConformanceTest, EveryWriteGivesANewEtag) {
  std::set<std::string> etags;
  for (int i = 0; i < 50; ++i) etags.insert(execute_one(set_of("cart", "1")).text);

  EXPECT_EQ(etags.size(), 50U);
}

TEST_P(StoreConformanceTest, BinaryValuesKeepEveryByte) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  Write write = set_of("bytes", bytes);
  write.form = ValueForm::kBytes;

  execute_one(std::move(write));

  EXPECT_EQ(value_of("bytes"), bytes);
}

TEST_P(StoreConformanceTest, AnEmptyValueIsThere) {
  for (const ValueForm form : {ValueForm::kBytes, ValueForm::kJson}) {
    Write write = set_of("empty", "");
    write.form = form;

    execute_one(std::move(write));

    EXPECT_EQ(value_of("empty"), "");
  }
}

TEST_P(StoreConformanceTest, AValueOfFourMebibytesIsReadBackWhole) {
  std::string value = "\"" + std::string(4U << 20, 'x') + "\"";

  execute_one(set_of("large", value));

  EXPECT_EQ(value_of("large"), value);
}

TEST_P(StoreConformanceTest, KeysMayHoldAnyText) {
  const std::vector<std::string> keys = {"shop||ключ",           "shop||鍵/🔑", "shop||a b'\"%_",
                                         std::string("a\0b", 3), "A",          "a"};

  for (const std::string& key : keys) execute_one(set_of(key, "\"" + std::to_string(key.size()) + key.front() + "\""));

  for (const std::string& key : keys) EXPECT_EQ(value_of(key), "\"" + std::to_string(key.size()) + key.front() + "\"");
}

TEST_P(StoreConformanceTest, SetWithAStaleEtagIsAbortedAndKeepsTheValue) {
  const WriteResult stale = execute_one(set_of("cart", "1"));
  execute_one(set_of("cart", "2"));

  const WriteResult refused = execute_one(set_of("cart", "3", stale.text));

  EXPECT_EQ(refused.code, Errc::kAborted);
  EXPECT_EQ(value_of("cart"), "2");
}

TEST_P(StoreConformanceTest, SetWithTheStoredEtagWritesOnce) {
  const std::string etag = execute_one(set_of("cart", "1")).text;

  EXPECT_EQ(execute_one(set_of("cart", "2", etag)).code, Errc::kOk);
  EXPECT_EQ(execute_one(set_of("cart", "3", etag)).code, Errc::kAborted);

  EXPECT_EQ(value_of("cart"), "2");
}

TEST_P(StoreConformanceTest, AnEtagForAMissingKeyIsAborted) {
  EXPECT_EQ(execute_one(set_of("nothing", "1", kWrongEtag)).code, Errc::kAborted);
  EXPECT_EQ(execute_one(delete_of("nothing", kWrongEtag)).code, Errc::kAborted);

  EXPECT_FALSE(get("nothing"));
}

TEST_P(StoreConformanceTest, FirstWriteCreatesAndDoesNotOverwrite) {
  EXPECT_EQ(execute_one(first_write_of("lock", "1")).code, Errc::kOk);
  EXPECT_EQ(execute_one(first_write_of("lock", "2")).code, Errc::kAborted);

  EXPECT_EQ(value_of("lock"), "1");
}

TEST_P(StoreConformanceTest, FirstWriteWithTheStoredEtagOverwrites) {
  const std::string etag = execute_one(first_write_of("lock", "1")).text;
  Write second = first_write_of("lock", "2");
  second.if_match = etag;

  EXPECT_EQ(execute_one(std::move(second)).code, Errc::kOk);

  EXPECT_EQ(value_of("lock"), "2");
}

TEST_P(StoreConformanceTest, OfAHundredConcurrentFirstWritersExactlyOneWins) {
  struct Outcome {
    int winners = 0;
    int losers = 0;
    std::string winner;
  } outcome;
  TaskScope scope(loop_);
  struct Creator {
    static Task<void> create(Store& store, int number, Outcome& outcome) {
      Batch batch;
      batch.writes.push_back(first_write_of("leader", std::to_string(number)));
      auto task = store.write(std::move(batch), Deadline::never());
      const auto results = co_await std::move(task);
      const bool won = results && results->front().code == Errc::kOk;
      if (won) outcome.winner = std::to_string(number);
      ++(won ? outcome.winners : outcome.losers);
    }
  };

  for (int i = 0; i < 100; ++i) scope.spawn(Creator::create(*store_, i, outcome));
  testing::run_until(loop_, [&] { return scope.empty(); });

  EXPECT_EQ(outcome.winners, 1);
  EXPECT_EQ(outcome.losers, 99);
  EXPECT_EQ(value_of("leader"), outcome.winner);
}

TEST_P(StoreConformanceTest, ADeletedKeyIsMissingAndMayBeDeletedAgain) {
  execute_one(set_of("cart", "1"));

  EXPECT_EQ(execute_one(delete_of("cart")).code, Errc::kOk);
  EXPECT_EQ(execute_one(delete_of("cart")).code, Errc::kOk);

  EXPECT_FALSE(get("cart"));
}

TEST_P(StoreConformanceTest, DeleteComparesTheEtag) {
  const std::string stale = execute_one(set_of("cart", "1")).text;
  const std::string current = execute_one(set_of("cart", "2")).text;

  EXPECT_EQ(execute_one(delete_of("cart", stale)).code, Errc::kAborted);
  EXPECT_EQ(value_of("cart"), "2");
  EXPECT_EQ(execute_one(delete_of("cart", current)).code, Errc::kOk);

  EXPECT_FALSE(get("cart"));
}

TEST_P(StoreConformanceTest, AValueEndsWithItsTimeToLive) {
  Write write = set_of("session", "1");
  write.ttl_seconds = 10;
  execute_one(std::move(write));

  advance(9);
  const auto before = get("session");
  advance(2);

  ASSERT_TRUE(before);
  EXPECT_EQ(before->expires, GetParam().tells_end ? "2026-01-02T03:04:15Z" : "");
  EXPECT_FALSE(get("session"));
}

TEST_P(StoreConformanceTest, AnEndedValueCountsAsMissingForEveryCondition) {
  Write write = set_of("session", "1");
  write.ttl_seconds = 10;
  const std::string etag = execute_one(std::move(write)).text;
  advance(11);

  EXPECT_EQ(execute_one(set_of("session", "2", etag)).code, Errc::kAborted);
  EXPECT_EQ(execute_one(delete_of("session", etag)).code, Errc::kAborted);
  EXPECT_EQ(execute_one(first_write_of("session", "3")).code, Errc::kOk);

  EXPECT_EQ(value_of("session"), "3");
}

TEST_P(StoreConformanceTest, AWriteWithoutATimeToLiveTakesItAway) {
  Write write = set_of("session", "1");
  write.ttl_seconds = 10;
  execute_one(std::move(write));
  execute_one(set_of("session", "2"));

  advance(11);

  EXPECT_EQ(value_of("session"), "2");
}

TEST_P(StoreConformanceTest, ARefusedItemOfABulkSetLeavesItsNeighbours) {
  execute_one(set_of("b", "old"));

  const auto results = execute({set_of("a", "1"), set_of("b", "2", kWrongEtag), set_of("c", "3")});

  ASSERT_TRUE(results);
  ASSERT_EQ(results->size(), 3U);
  EXPECT_EQ((*results)[0].code, Errc::kOk);
  EXPECT_EQ((*results)[1].code, Errc::kAborted);
  EXPECT_EQ((*results)[2].code, Errc::kOk);
  EXPECT_EQ(value_of("a"), "1");
  EXPECT_EQ(value_of("b"), "old");
  EXPECT_EQ(value_of("c"), "3");
}

TEST_P(StoreConformanceTest, ATransactionWritesAllItsOperations) {
  execute_one(set_of("old", "1"));

  const auto results = execute({set_of("a", "1"), set_of("b", "2"), delete_of("old")}, /*atomic=*/true);

  ASSERT_TRUE(results);
  for (const WriteResult& result : *results) EXPECT_EQ(result.code, Errc::kOk);
  EXPECT_EQ(value_of("a"), "1");
  EXPECT_EQ(value_of("b"), "2");
  EXPECT_FALSE(get("old"));
}

TEST_P(StoreConformanceTest, ATransactionWithOneWrongEtagWritesNothing) {
  execute_one(set_of("old", "kept"));

  const auto results =
      execute({set_of("a", "1"), delete_of("old"), set_of("b", "2", kWrongEtag), set_of("c", "3")}, /*atomic=*/true);

  ASSERT_TRUE(results);
  ASSERT_EQ(results->size(), 4U);
  EXPECT_EQ((*results)[0].code, Errc::kCancelled);
  EXPECT_EQ((*results)[2].code, Errc::kAborted);
  EXPECT_EQ((*results)[3].code, Errc::kCancelled);
  EXPECT_FALSE(get("a"));
  EXPECT_FALSE(get("c"));
  EXPECT_EQ(value_of("old"), "kept");
}

TEST_P(StoreConformanceTest, ARepeatedRequestIsAnsweredFromTheLedgerAndNotExecuted) {
  const RequestId request{7, 40, 3};
  const std::string etag = execute_one(set_of("cart", "1")).text;
  const WriteResult first = execute_one(set_of("cart", "2", etag), request);
  execute_one(set_of("cart", "3"));

  const WriteResult again = execute_one(set_of("cart", "2", etag), request);

  EXPECT_EQ(first.code, Errc::kOk);
  EXPECT_EQ(again, first);
  EXPECT_EQ(value_of("cart"), "3");
}

TEST_P(StoreConformanceTest, TheLedgerRemembersARefusalToo) {
  const RequestId request{7, 40, 3};
  const WriteResult first = execute_one(set_of("cart", "1", kWrongEtag), request);

  EXPECT_EQ(first.code, Errc::kAborted);
  EXPECT_EQ(execute_one(set_of("cart", "1"), request), first);

  EXPECT_FALSE(get("cart"));
}

TEST_P(StoreConformanceTest, TheLedgerRemembersARefusedTransaction) {
  const RequestId request{7, 40, 3};
  const auto first = execute({set_of("a", "1"), set_of("b", "2", kWrongEtag)}, /*atomic=*/true, request);

  const auto again = execute({set_of("a", "1"), set_of("b", "2")}, /*atomic=*/true, request);

  ASSERT_TRUE(first && again);
  EXPECT_EQ(*first, *again);
  EXPECT_FALSE(get("a"));
}

TEST_P(StoreConformanceTest, ALateRequestOfAReusedSlotIsRefused) {
  execute_one(set_of("cart", "new"), {7, 41, 3});

  const auto late = execute({set_of("cart", "late")}, false, {7, 40, 3});

  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kFailedPrecondition);
  EXPECT_EQ(value_of("cart"), "new");
}

TEST_P(StoreConformanceTest, GenerationsAndIncarnationsMayUseTheWholeRange) {
  execute_one(set_of("cart", "1"), {~0ULL, 1ULL << 63, ~0U});

  EXPECT_FALSE(execute({set_of("cart", "late")}, false, {~0ULL, 5, ~0U}));
  EXPECT_EQ(execute_one(set_of("cart", "2"), {~0ULL, ~0ULL, ~0U}).code, Errc::kOk);

  EXPECT_EQ(value_of("cart"), "2");
}

TEST_P(StoreConformanceTest, SlotsAndGatewaysHaveLedgersOfTheirOwn) {
  execute_one(set_of("a", "1"), {7, 40, 3});

  EXPECT_EQ(execute_one(set_of("b", "1"), {7, 1, 4}).code, Errc::kOk);
  EXPECT_EQ(execute_one(set_of("c", "1"), {8, 1, 3}).code, Errc::kOk);

  EXPECT_EQ(value_of("b") + value_of("c"), "11");
}

TEST_P(StoreConformanceTest, RequestsWithoutAnIdentityAreAlwaysExecuted) {
  execute_one(set_of("cart", "1"));
  execute_one(set_of("cart", "2"));

  EXPECT_EQ(value_of("cart"), "2");
}

TEST_P(StoreConformanceTest, AWriteWhoseWaiterHasGoneHarmsNobody) {
  {
    TaskScope scope(loop_);
    struct Abandoned {
      static Task<void> write(Store& store) {
        Batch batch;
        batch.writes.push_back(set_of("cart", "1"));
        auto task = store.write(std::move(batch), Deadline::never());
        [[maybe_unused]] const auto results = co_await std::move(task);
      }
    };
    scope.spawn(Abandoned::write(*store_));
  }

  execute_one(set_of("other", "2"));

  EXPECT_EQ(value_of("other"), "2");
}

TEST_P(StoreConformanceTest, EverythingAcknowledgedIsThereAfterReopening) {
  if (!GetParam().durable) return;
  const std::string etag = execute_one(set_of("a", "1"), {7, 40, 3}).text;
  execute_one(set_of("b", "2"));
  execute_one(delete_of("b"));

  reopen();

  const auto entry = get("a");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->value, "1");
  EXPECT_EQ(entry->etag, etag);
  EXPECT_FALSE(get("b"));
  EXPECT_EQ(execute_one(set_of("a", "again"), {7, 40, 3}).text, etag) << "the ledger is durable too";
  EXPECT_EQ(value_of("a"), "1");
}

INSTANTIATE_TEST_SUITE_P(Backends, StoreConformanceTest,
                         ::testing::Values(Backend{"memory", open_memory, false}, Backend{"sqlite", open_sqlite, true},
                                           Backend{"sqlite_without_wal", open_sqlite_without_wal, true},
                                           Backend{"redis", open_redis, true, empty_redis, let_time_pass_in_redis,
                                                   /*tells_end=*/false}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace caisson::state

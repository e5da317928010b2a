#include "capabilities/state/sqlite_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "bus/testing/run.hpp"
#include "capabilities/state/wall_time.hpp"

namespace caisson::state {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// What only this backend promises; the rest is in store_conformance_test.cpp.
class SqliteStoreTest : public ::testing::Test {
 protected:
  SqliteStoreTest() {
    char name[] = "/tmp/caisson-sqlite-test-XXXXXX";
    directory_ = ::mkdtemp(name);
    options_.path = directory_ + "/state.db";
  }
  ~SqliteStoreTest() override { std::filesystem::remove_all(directory_); }

  Result<std::unique_ptr<Store>> open(EventLoop& loop) {
    return testing::run(loop, SqliteStore::open(loop, options_, system_wall_clock(), {}, Deadline::never()));
  }
  std::unique_ptr<SqliteDatabase> open_database(WallClock now = system_wall_clock()) {
    auto opened = SqliteDatabase::open(options_, std::move(now), std::make_shared<std::atomic<bool>>(false));
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    return opened ? *std::move(opened) : nullptr;
  }

  static Batch batch_of(std::string key, std::string value, std::string if_match = {}) {
    Batch batch;
    Write& write = batch.writes.emplace_back();
    write.key = std::move(key);
    write.value = std::move(value);
    write.if_match = std::move(if_match);
    return batch;
  }
  static Result<std::vector<WriteResult>> set(EventLoop& loop, Store& store, std::string key, std::string value) {
    return testing::run(loop, store.write(batch_of(std::move(key), std::move(value)), Deadline::never()));
  }
  static std::string value_of(EventLoop& loop, Store& store, const std::string& key) {
    const auto entry = testing::run(loop, store.get(key, Deadline::never()));
    if (!entry) return "error: " + entry.error().message;
    return *entry ? (*entry)->value : "(missing)";
  }
  static std::string value_of(SqliteDatabase& database, const std::string& key) {
    const auto entry = database.read(key);
    database.end_reads();
    if (!entry) return "error: " + entry.error().message;
    return *entry ? (*entry)->value : "(missing)";
  }
  /// As another program would: with SQLite alone.
  std::string sql(const std::string& statement) {
    auto connection = SqliteConnection::open(options_.path, SqliteConnection::Access::kReadWrite, 1s);
    if (!connection) return "error: " + connection.error().message;
    const auto answer = connection->query(statement);
    return answer ? *answer : "error: " + answer.error().message;
  }
  std::vector<std::string> damaged_files() {
    std::vector<std::string> names;
    for (const auto& file : std::filesystem::directory_iterator(directory_)) {
      const std::string name = file.path().filename();
      if (name.find(".damaged-") != std::string::npos) names.push_back(file.path());
    }
    return names;
  }

  SystemClock clock_;
  std::string directory_;
  SqliteOptions options_;
};

TEST_F(SqliteStoreTest, ARefusedRequestNeverRollsBackItsNeighboursInTheTransaction) {
  const auto database = open_database();
  Batch refused = batch_of("b", "2");
  refused.atomic = true;
  refused.writes.push_back(batch_of("c", "3", "wrong").writes.front());
  std::vector<Batch> group;
  group.push_back(batch_of("a", "1"));
  group.push_back(std::move(refused));
  group.push_back(batch_of("d", "4"));

  const auto answers = database->commit(group);

  ASSERT_EQ(answers.size(), 3U);
  ASSERT_TRUE(answers[0] && answers[1] && answers[2]);
  EXPECT_EQ(answers[1]->back().code, Errc::kAborted);
  EXPECT_EQ(value_of(*database, "a"), "1");
  EXPECT_EQ(value_of(*database, "b"), "(missing)");
  EXPECT_EQ(value_of(*database, "d"), "4");
}

TEST_F(SqliteStoreTest, ARequestThatIsTooBigForTheDiskFailsAlone) {
  options_.pragmas = {{"max_page_count", "64"}};
  const auto database = open_database();
  std::vector<Batch> group;
  group.push_back(batch_of("a", "1"));
  group.push_back(batch_of("big", std::string(1 << 20, 'x')));
  group.push_back(batch_of("c", "3"));

  const auto answers = database->commit(group);

  EXPECT_TRUE(answers[0]);
  ASSERT_FALSE(answers[1]);
  EXPECT_EQ(answers[1].error().code, Errc::kResourceExhausted);
  EXPECT_TRUE(answers[2]);
  EXPECT_EQ(value_of(*database, "a") + value_of(*database, "c"), "13");
  EXPECT_EQ(value_of(*database, "big"), "(missing)");
}

TEST_F(SqliteStoreTest, AFullDiskIsAClearErrorLosesNothingAndHealsWhenThereIsRoom) {
  options_.pragmas = {{"max_page_count", "64"}};
  EventLoop loop(clock_);
  auto store = *open(loop);
  int acknowledged = 0;
  Result<std::vector<WriteResult>> last = std::vector<WriteResult>();
  while ((last = set(loop, *store, "key" + std::to_string(acknowledged), std::string(2000, 'x')))) ++acknowledged;

  EXPECT_EQ(last.error().code, Errc::kResourceExhausted);
  EXPECT_THAT(last.error().message, HasSubstr("full"));
  ASSERT_TRUE(store->down_reason());
  EXPECT_THAT(*store->down_reason(), HasSubstr("full"));
  ASSERT_GT(acknowledged, 10);
  for (int i = 0; i < acknowledged; ++i) {
    EXPECT_EQ(value_of(loop, *store, "key" + std::to_string(i)).size(), 2000U);
  }

  Batch room = batch_of("key0", "");
  room.writes.front().kind = ChangeKind::kDelete;
  EXPECT_TRUE(testing::run(loop, store->write(std::move(room), Deadline::never())));

  EXPECT_FALSE(store->down_reason());
  EXPECT_TRUE(set(loop, *store, "key0", "small"));
}

TEST_F(SqliteStoreTest, AFailedCommitLosesNothingThatWasAcknowledged) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // A file size limit is a disk that is full: here it is COMMIT that fails, when it writes the log.
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{600'000, 600'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    EventLoop loop(clock_);
    auto store = open(loop);
    std::uint8_t acknowledged = 0;
    while (store && acknowledged < 255 &&
           set(loop, **store, "key" + std::to_string(acknowledged), std::string(3000, 'x'))) {
      ++acknowledged;
    }
    const bool down = store && (*store)->down_reason().has_value();
    const std::uint8_t report[2] = {acknowledged, down ? std::uint8_t{1} : std::uint8_t{0}};
    [[maybe_unused]] const auto written = ::write(pipe_ends[1], report, sizeof(report));
    ::_exit(0);
  }
  std::uint8_t report[2] = {0, 0};
  ASSERT_EQ(::read(pipe_ends[0], report, sizeof(report)), 2);
  ::waitpid(child, nullptr, 0);
  ::close(pipe_ends[0]), ::close(pipe_ends[1]);

  EXPECT_GT(report[0], 20);
  EXPECT_LT(report[0], 255) << "the limit was never reached";
  EXPECT_EQ(report[1], 1) << "the component did not say that it is down";
  const auto database = open_database();
  for (int i = 0; i < report[0]; ++i) EXPECT_EQ(value_of(*database, "key" + std::to_string(i)).size(), 3000U) << i;
  EXPECT_TRUE(database->note().empty());
}

TEST_F(SqliteStoreTest, EveryAcknowledgedWriteSurvivesSigkill) {
  for (int round = 0; round < 5; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      EventLoop loop(clock_);
      auto store = open(loop);
      for (std::uint32_t i = 0; store; ++i) {
        if (!set(loop, **store, "round" + std::to_string(round), std::to_string(i))) ::_exit(1);
        if (::write(pipe_ends[1], &i, sizeof(i)) != sizeof(i)) ::_exit(1);
      }
      ::_exit(1);
    }
    ::close(pipe_ends[1]);
    std::uint32_t acknowledged = 0;
    for (int i = 0; i < 20 + 7 * round; ++i) {
      ASSERT_EQ(::read(pipe_ends[0], &acknowledged, sizeof(acknowledged)), static_cast<ssize_t>(sizeof(acknowledged)));
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(pipe_ends[0], &acknowledged, sizeof(acknowledged)) == sizeof(acknowledged)) {
    }
    ::close(pipe_ends[0]);

    const auto database = open_database();
    ASSERT_NE(database, nullptr);
    EXPECT_GE(std::stoul(value_of(*database, "round" + std::to_string(round))), acknowledged);
    for (int earlier = 0; earlier < round; ++earlier) {
      EXPECT_NE(value_of(*database, "round" + std::to_string(earlier)), "(missing)");
    }
    EXPECT_TRUE(database->note().empty());
  }
}

TEST_F(SqliteStoreTest, AFileThatIsNoDatabaseIsMovedAsideAndSaidAloud) {
  std::ofstream(options_.path) << std::string(8192, 'g');
  EventLoop loop(clock_);

  auto store = open(loop);

  ASSERT_TRUE(store) << store.error().message;
  EXPECT_THAT((*store)->note(), HasSubstr("damaged"));
  EXPECT_TRUE(set(loop, **store, "a", "1"));
  EXPECT_EQ(value_of(loop, **store, "a"), "1");
  const auto kept = damaged_files();
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_THAT((*store)->note(), HasSubstr(kept.front()));
  std::ifstream file(kept.front());
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), std::string(8192, 'g'));
}

TEST_F(SqliteStoreTest, ADamagedPageIsFoundAndTheFileMovedAside) {
  {
    const auto database = open_database();
    std::vector<Batch> group;
    for (int i = 0; i < 500; ++i) group.push_back(batch_of("key" + std::to_string(i), std::string(300, 'v')));
    database->commit(group);
  }
  {
    std::fstream file(options_.path, std::ios::in | std::ios::out | std::ios::binary);
    for (int page = 6; page < 12; ++page) {
      file.seekp(page * 4096);
      file << std::string(4096, '\xA5');
    }
  }

  const auto database = open_database();

  ASSERT_NE(database, nullptr);
  EXPECT_THAT(database->note(), HasSubstr("began anew"));
  EXPECT_EQ(damaged_files().size(), 1U);
  EXPECT_EQ(value_of(*database, "key1"), "(missing)");
}

TEST_F(SqliteStoreTest, ASecondDamagedFileDoesNotReplaceTheFirst) {
  const WallClock frozen = [] { return std::int64_t{1'767'323'045'500}; };
  for (int i = 0; i < 2; ++i) {
    std::ofstream(options_.path) << std::string(8192, 'g');
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(options_.path + suffix);
    open_database(frozen);
  }

  EXPECT_EQ(damaged_files().size(), 2U);
}

TEST_F(SqliteStoreTest, AFileIsOpenInOneStoreAtATime) {
  EventLoop loop(clock_);
  auto first = open(loop);

  const auto second = open(loop);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kAlreadyExists);
  EXPECT_THAT(second.error().message, HasSubstr("another component or process"));

  first->reset();
  EXPECT_TRUE(open(loop));
}

TEST_F(SqliteStoreTest, ADirectoryThatDoesNotExistIsAnErrorThatNamesIt) {
  options_.path = directory_ + "/missing/state.db";
  EventLoop loop(clock_);

  const auto store = open(loop);

  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, HasSubstr(options_.path));
}

TEST_F(SqliteStoreTest, AFileOfDaprIsReadAndWrittenOn) {
  sql("CREATE TABLE metadata (key text NOT NULL PRIMARY KEY, value text NOT NULL)");
  sql("REPLACE INTO metadata (key, value) VALUES ('migrations', '1')");
  sql("CREATE TABLE state (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, is_binary BOOLEAN NOT NULL, "
      "etag TEXT NOT NULL, expiration_time TIMESTAMP DEFAULT NULL, "
      "update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)");
  const std::string insert =
      "INSERT OR REPLACE INTO state (key, value, is_binary, etag, update_time, expiration_time) VALUES ";
  sql(insert + R"(('shop||json', '{"a":1}', 0, '1c1c-1', CURRENT_TIMESTAMP, NULL))");
  sql(insert + "('shop||bytes', 'AAH/', 1, '1c1c-2', CURRENT_TIMESTAMP, NULL)");
  sql(insert + "('shop||over', '1', 0, '1c1c-3', CURRENT_TIMESTAMP, DATETIME(CURRENT_TIMESTAMP, '-5 seconds'))");
  sql(insert + "('shop||later', '1', 0, '1c1c-4', CURRENT_TIMESTAMP, DATETIME(CURRENT_TIMESTAMP, '+500 seconds'))");

  const auto database = open_database();

  const auto json = database->read("shop||json");
  ASSERT_TRUE(json && *json);
  EXPECT_EQ((*json)->value, R"({"a":1})");
  EXPECT_EQ((*json)->etag, "1c1c-1");
  EXPECT_EQ(value_of(*database, "shop||bytes"), std::string("\x00\x01\xFF", 3));
  EXPECT_EQ(value_of(*database, "shop||over"), "(missing)");
  const auto later = database->read("shop||later");
  ASSERT_TRUE(later && *later);
  EXPECT_FALSE((*later)->expires.empty());
  const auto answers = database->commit({batch_of("shop||json", "2", "1c1c-1")});
  EXPECT_EQ(answers.front()->front().code, Errc::kOk);
}

TEST_F(SqliteStoreTest, DaprsStatementsFindWhatWasWritten) {
  std::string etag;
  {
    const auto database = open_database();
    Batch batch = batch_of("shop||json", R"({"a":1})");
    Write& bytes = batch.writes.emplace_back();
    bytes.key = "shop||bytes";
    bytes.value = std::string("\x00\x01\xFF", 3);
    bytes.form = ValueForm::kBytes;
    bytes.ttl_seconds = 500;
    etag = database->commit({batch}).front()->front().text;
  }
  const std::string select =
      " FROM state WHERE key = 'shop||json' AND (expiration_time IS NULL OR expiration_time > CURRENT_TIMESTAMP)";

  EXPECT_EQ(sql("SELECT value" + select), R"({"a":1})");
  EXPECT_EQ(sql("SELECT is_binary" + select), "0");
  EXPECT_EQ(sql("SELECT etag" + select), etag);
  EXPECT_EQ(sql("SELECT typeof(value)" + select), "text");
  EXPECT_EQ(
      sql("SELECT value FROM state WHERE key = 'shop||bytes' AND is_binary AND expiration_time > CURRENT_TIMESTAMP "
          "AND expiration_time <= DATETIME(CURRENT_TIMESTAMP, '+500 seconds')"),
      "AAH/");
  EXPECT_EQ(sql("SELECT value FROM metadata WHERE key = 'migrations'"), "1");
  EXPECT_EQ(
      sql("UPDATE state SET value = '3', etag = 'x' WHERE key = 'shop||json' AND etag = '" + etag + "' RETURNING 1"),
      "1");
}

TEST_F(SqliteStoreTest, RowsWhoseTimeIsOverAreRemovedInPieces) {
  std::atomic<std::int64_t> now{1'767'323'045'500};
  const auto database = open_database([&now] { return now.load(); });
  std::vector<Batch> group;
  for (int i = 0; i < 10; ++i) {
    group.push_back(batch_of("key" + std::to_string(i), "1"));
    if (i % 2 == 0) group.back().writes.front().ttl_seconds = 10;
  }
  database->commit(group);
  now += 11'000;

  EXPECT_EQ(*database->remove_expired(3), 3);
  EXPECT_EQ(*database->remove_expired(3), 2);
  EXPECT_EQ(*database->remove_expired(3), 0);

  EXPECT_EQ(sql("SELECT count(*) FROM state"), "5");
}

TEST_F(SqliteStoreTest, TheCleanupRunsByItself) {
  std::atomic<std::int64_t> now{1'767'323'045'500};
  options_.cleanup_interval = 5ms;
  EventLoop loop(clock_);
  auto store = testing::run(loop, SqliteStore::open(
                                      loop, options_, [&now] { return now.load(); }, {}, Deadline::never()));
  Batch batch = batch_of("key", "1");
  batch.writes.front().ttl_seconds = 10;
  EXPECT_TRUE(testing::run(loop, (*store)->write(std::move(batch), Deadline::never())));
  now += 11'000;

  testing::run_until(loop, [&] { return sql("SELECT count(*) FROM state") == "0"; });
}

TEST_F(SqliteStoreTest, ALockOfAnotherProgramStopsWritesButNoReads) {
  options_.busy_timeout = 1ms;
  EventLoop loop(clock_);
  auto store = *open(loop);
  EXPECT_TRUE(set(loop, *store, "a", "1"));
  auto other = *SqliteConnection::open(options_.path, SqliteConnection::Access::kReadWrite, 1s);
  ASSERT_TRUE(other.execute("BEGIN IMMEDIATE"));

  const auto refused = set(loop, *store, "a", "2");

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnavailable);
  EXPECT_TRUE(store->down_reason());
  EXPECT_EQ(value_of(loop, *store, "a"), "1");

  ASSERT_TRUE(other.execute("ROLLBACK"));
  testing::run_until(loop, [&] { return !store->down_reason(); });
  EXPECT_TRUE(set(loop, *store, "a", "3"));
}

TEST_F(SqliteStoreTest, AWriteIsReadInTheNextTurnThoughOthersReadInEach) {
  EventLoop loop(clock_);
  auto store = *open(loop);
  struct Reader {
    static Task<void> read_on(EventLoop& loop, Store& store) {
      while (true) {
        auto reading = store.get("a", Deadline::never());
        [[maybe_unused]] const auto entry = co_await std::move(reading);
        co_await loop.sleep_until(Deadline::at(loop.now()));
      }
    }
  };
  TaskScope readers(loop);
  readers.spawn(Reader::read_on(loop, *store));

  for (const std::string value : {"1", "2", "3"}) {
    ASSERT_TRUE(set(loop, *store, "a", value));
    EXPECT_EQ(value_of(loop, *store, "a"), value);
  }
  EXPECT_EQ(sql("UPDATE state SET value = 'theirs'"), "");
  loop.turn(Nanos::zero());
  EXPECT_EQ(value_of(loop, *store, "a"), "theirs");
}

TEST_F(SqliteStoreTest, AWriteThatIsNotCommittedInTimeIsAnsweredAtItsDeadline) {
  options_.busy_timeout = 200ms;
  EventLoop loop(clock_);
  auto store = *open(loop);
  auto other = *SqliteConnection::open(options_.path, SqliteConnection::Access::kReadWrite, 1s);
  ASSERT_TRUE(other.execute("BEGIN IMMEDIATE"));

  const auto late = testing::run(loop, store->write(batch_of("a", "1"), loop.deadline_in(1ms)));

  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kDeadlineExceeded);
}

TEST_F(SqliteStoreTest, AMemoryDatabaseWorksWithoutAFile) {
  options_.path = ":memory:";
  options_.wal = false;
  EventLoop loop(clock_);
  auto store = *open(loop);

  EXPECT_TRUE(set(loop, *store, "a", "1"));

  EXPECT_EQ(value_of(loop, *store, "a"), "1");
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(SqliteStoreTest, AReadOnlyFileIsReadAndRefusesWrites) {
  open_database()->commit({batch_of("a", "1")});
  options_.read_only = true;
  options_.wal = false;
  EventLoop loop(clock_);
  auto store = *open(loop);

  EXPECT_EQ(value_of(loop, *store, "a"), "1");
  EXPECT_FALSE(set(loop, *store, "a", "2"));
}

SqliteOptions parsed(std::vector<std::pair<std::string, std::string>> items) {
  auto options = parse_sqlite_options(sdk::Metadata(std::move(items)), "/data/store.db");
  EXPECT_TRUE(options) << (options ? "" : options.error().message);
  return options ? *options : SqliteOptions{};
}

TEST(SqliteOptionsTest, ConnectionStringsAreThoseOfDapr) {
  EXPECT_EQ(parsed({}).path, "/data/store.db");
  EXPECT_EQ(parsed({{"connectionString", "data.db"}}).path, "data.db");
  EXPECT_EQ(parsed({{"ConnectionString", "file:/a%20b/data.db?cache=shared"}}).path, "/a b/data.db");
  EXPECT_EQ(parsed({{"url", "file:///var/data.db"}}).path, "/var/data.db");
  EXPECT_TRUE(parsed({{"connectionString", ":memory:"}}).in_memory());
  EXPECT_TRUE(parsed({{"connectionString", "file::memory:?cache=shared"}}).in_memory());
  EXPECT_FALSE(parsed({{"connectionString", ":memory:"}}).wal);
  EXPECT_TRUE(parsed({{"connectionString", "file:data.db?mode=ro"}}).read_only);
  EXPECT_EQ(parsed({{"connectionString", "data.db?_pragma=cache_size(-2000)"}}).pragmas.front().second, "-2000");
}

TEST(SqliteOptionsTest, DurationsMayBeBareSeconds) {
  EXPECT_EQ(parsed({{"cleanupInterval", "90"}}).cleanup_interval, 90s);
  EXPECT_EQ(parsed({{"cleanupIntervalInSeconds", "1200"}}).cleanup_interval, 1200s);
  EXPECT_EQ(parsed({{"cleanupInterval", "1m30s"}}).cleanup_interval, 90s);
  EXPECT_EQ(parsed({{"cleanupInterval", "-1"}}).cleanup_interval, 0s);
  EXPECT_EQ(parsed({{"busyTimeout", "500ms"}}).busy_timeout, 500ms);
  EXPECT_FALSE(parsed({{"disableWAL", "true"}}).wal);
}

TEST(SqliteOptionsTest, WrongValuesAreRefusedByName) {
  const std::pair<const char*, const char*> wrong[] = {
      {"tableName", "state; DROP TABLE x"},
      {"metadataTableName", ""},
      {"timeout", "1ms"},
      {"cleanupInterval", "soon"},
      {"busyTimeout", "x"},
      {"connectionString", "file:?mode=ro"},
      {"connectionString", "a.db?_pragma=journal_mode(OFF)"},
      {"connectionString", "a.db?_pragma=x(1);y"},
  };
  for (const auto& [name, value] : wrong) {
    const auto options = parse_sqlite_options(sdk::Metadata(sdk::Metadata::Items{{name, value}}), "x.db");
    ASSERT_FALSE(options) << name;
    EXPECT_THAT(options.error().message, HasSubstr(name));
  }
}

}  // namespace
}  // namespace caisson::state

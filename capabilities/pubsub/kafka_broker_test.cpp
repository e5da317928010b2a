#include "capabilities/pubsub/kafka_broker.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "bus/testing/run.hpp"
#include "capabilities/pubsub/testing/kafka_server.hpp"

namespace caisson::pubsub {
namespace {

using caisson::testing::run;
using caisson::testing::run_until;
using testing::create_topic;
using testing::kafka_options;
using testing::KafkaServer;
using namespace std::chrono_literals;
using Items = std::vector<std::pair<std::string, std::string>>;

/// What one subscriber of one process got, and what it answers.
struct Inbox {
  std::vector<Delivery> got;
  std::function<Verdict(const Delivery&)> decide = [](const Delivery&) { return Verdict::kAcknowledge; };
  std::set<std::string> hold;  // data of messages to wait with
  std::size_t acknowledged = 0;
  WaitQueue released;

  void release() {
    hold.clear();
    released.wake_all();
  }
  [[nodiscard]] std::vector<std::string> data() const {
    std::vector<std::string> all;
    for (const Delivery& one : got) all.push_back(one.message.data);
    return all;
  }
  Task<Verdict> take(EventLoop& loop, Delivery delivery) {
    got.push_back(delivery);
    while (hold.contains(delivery.message.data)) co_await released.wait(loop, Deadline::never());
    const Verdict verdict = decide(delivery);
    if (verdict == Verdict::kAcknowledge) ++acknowledged;
    co_return verdict;
  }
};

/// Stands for one process with the component. Ends like one that leaves in good order; what it has in hand
/// is not acknowledged.
struct Node {
  Node(EventLoop& loop, KafkaThreads& threads, Items items) {
    auto opened = KafkaBroker::open(loop, threads, kafka_options(std::move(items)), {});
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    broker = *opened;
  }
  ~Node() { subscription.reset(); }

  void subscribe(EventLoop& loop, const std::string& topic) {
    Handler handler = [this, &loop](Delivery delivery) { return inbox.take(loop, std::move(delivery)); };
    auto made = run(loop, broker->subscribe(SubscribeOptions{topic, "shop", {}}, handler, Deadline::never()));
    ASSERT_TRUE(made);
    subscription = *std::move(made);
  }

  Inbox inbox;
  std::shared_ptr<KafkaBroker> broker;
  std::unique_ptr<Subscription> subscription;
};

class KafkaBrokerTest : public ::testing::Test {
 protected:
  KafkaBrokerTest() : loop_(clock_) {
    static int number = 0;
    topic_ = fmt::format("{}-{}", ::getpid(), ++number);
  }

  /// A group of this test alone, short times.
  Items items(Items more = {}) const {
    Items all{{"consumerGroup", "group-" + topic_},
              {"initialOffset", "oldest"},
              {"heartbeatInterval", "300ms"},
              {"sessionTimeout", "3s"},
              {"backOffDuration", "100ms"}};
    for (auto& [name, value] : more) {
      std::erase_if(all, [&name = name](const auto& item) { return item.first == name; });
      all.emplace_back(name, value);
    }
    return all;
  }
  std::unique_ptr<Node> node(Items more = {}) {
    return std::make_unique<Node>(loop_, threads_, items(std::move(more)));
  }

  Result<void> publish(Node& from, const std::string& data, MessageMetadata metadata = {}) {
    return run(loop_, from.broker->publish(topic_, Message{data, std::move(metadata)}, loop_.deadline_in(60s)));
  }
  /// All at once, so that they share batches; spread over the partitions by key.
  void publish_many(Node& from, int begin, int end) {
    until([&] { return !from.broker->down_reason(); });  // a first connection may take longer than it is waited for
    TaskScope scope(loop_);
    int good = 0;
    struct Publish {
      static Task<void> one(KafkaBroker& broker, std::string topic, std::string data, Deadline deadline, int& good) {
        const std::string key = data;
        Message message{std::move(data), {{"partitionKey", key}}};
        auto publishing = broker.publish(std::move(topic), std::move(message), deadline);
        const auto published = co_await std::move(publishing);
        if (published) {
          ++good;
        } else {
          ADD_FAILURE() << published.error().message;
        }
      }
    };
    for (int i = begin; i < end; ++i) {
      scope.spawn(Publish::one(*from.broker, topic_, std::to_string(i), loop_.deadline_in(60s), good));
    }
    run_until(
        loop_, [&] { return scope.empty(); }, 60s);
    ASSERT_EQ(good, end - begin);
  }
  void until(const std::function<bool()>& done) { run_until(loop_, done, 60s); }
  void pass(Nanos span) {
    const Deadline end = loop_.deadline_in(span);
    run_until(
        loop_, [&] { return end.passed(clock_.now()); }, 60s);
  }

  SystemClock clock_;
  EventLoop loop_;
  KafkaThreads threads_;
  std::string topic_;
};

/// Sarama's NewHashPartitioner: FNV-1a 32, as a signed number, the remainder made positive.
std::int32_t sarama_partition(std::string_view key, std::int32_t count) {
  std::uint32_t hash = 2166136261U;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  const std::int32_t partition = static_cast<std::int32_t>(hash) % count;
  return partition < 0 ? -partition : partition;
}

/// One record as it lies at the broker.
struct Raw {
  bool tombstone = false;
  std::string value;
  std::optional<std::string> key;
  std::map<std::string, std::string> headers;
};

Raw read_raw(const std::string& topic, std::int32_t partition, std::int64_t offset) {
  rd_kafka_conf_t* const conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", KafkaServer::shared().address().c_str(), nullptr, 0);
  rd_kafka_conf_set(conf, "group.id", "raw", nullptr, 0);
  rd_kafka_t* const client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, nullptr, 0);
  rd_kafka_topic_partition_list_t* const list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, topic.c_str(), partition)->offset = offset;
  rd_kafka_assign(client, list);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_message_t* const record = rd_kafka_consumer_poll(client, 30'000);
  Raw raw;
  EXPECT_NE(record, nullptr);
  if (record != nullptr) {
    EXPECT_EQ(record->err, RD_KAFKA_RESP_ERR_NO_ERROR);
    raw.tombstone = record->payload == nullptr;
    if (!raw.tombstone) raw.value.assign(static_cast<const char*>(record->payload), record->len);
    if (record->key != nullptr) raw.key = std::string(static_cast<const char*>(record->key), record->key_len);
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(record, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      const char* name = nullptr;
      const void* value = nullptr;
      std::size_t size = 0;
      for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
           ++i) {
        raw.headers[name] = std::string(static_cast<const char*>(value), size);
      }
    }
    rd_kafka_message_destroy(record);
  }
  rd_kafka_consumer_close(client);
  rd_kafka_destroy(client);
  return raw;
}

TEST_F(KafkaBrokerTest, KeyPartitionAndHeadersLieAsDaprLaysThem) {
  create_topic(topic_, 8);
  const auto shop = node();
  shop->subscribe(loop_, topic_);
  const std::vector<std::string> keys{"a", "order-17", "kafka", "giberish123456789", "1234"};
  for (const std::string& key : keys)
    ASSERT_TRUE(publish(*shop, "of " + key, {{"partitionKey", key}, {"h", "\xC3\xA4"}}));
  ASSERT_TRUE(publish(*shop, "pinned", {{"partitionNumber", "5"}, {"__key", "k"}}));

  until([&] { return shop->inbox.got.size() >= keys.size() + 1; });

  for (const Delivery& one : shop->inbox.got) {
    const MessageMetadata& seen = one.message.metadata;
    const std::string key = seen.at("__key");
    const int expected = one.message.data == "pinned" ? 5 : sarama_partition(key, 8);
    EXPECT_EQ(seen.at("__partition"), std::to_string(expected)) << key;
    EXPECT_EQ(seen.at("__topic"), topic_);
    EXPECT_TRUE(seen.contains("__offset") && seen.contains("__timestamp"));
  }
  const Raw raw = read_raw(topic_, sarama_partition("a", 8), 0);
  EXPECT_EQ(raw.key, "a");
  EXPECT_EQ(raw.value, "of a");
  EXPECT_EQ(raw.headers, (std::map<std::string, std::string>{{"partitionKey", "a"}, {"h", "\xC3\xA4"}}));
  const auto refused = publish(*shop, "x", {{"partitionNumber", "8"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kInvalidArgument);
}

TEST_F(KafkaBrokerTest, TheLiteralNullIsATombstoneAndNothingIsAnEmptyValue) {
  const auto shop = node();

  ASSERT_TRUE(publish(*shop, "null", {{"partitionKey", "a"}}));
  ASSERT_TRUE(publish(*shop, ""));

  EXPECT_TRUE(read_raw(topic_, 0, 0).tombstone);
  EXPECT_FALSE(read_raw(topic_, 0, 1).tombstone);
}

TEST_F(KafkaBrokerTest, AFailedMessageHoldsUpItsPartitionAndKeepsTheOrder) {
  const auto shop = node();
  shop->inbox.decide = [](const Delivery& one) {
    return one.message.data == "1" && one.attempt < 4 ? Verdict::kRetry : Verdict::kAcknowledge;
  };
  shop->subscribe(loop_, topic_);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(publish(*shop, std::to_string(i)));

  until([&] { return shop->inbox.acknowledged == 4; });

  EXPECT_EQ(shop->inbox.data(), (std::vector<std::string>{"0", "1", "1", "1", "1", "2", "3"}));
}

TEST_F(KafkaBrokerTest, NothingBehindAMessageInHandIsCommitted) {
  auto first = node({{"concurrency", "4"}});
  first->inbox.hold = {"1"};
  first->subscribe(loop_, topic_);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(publish(*first, std::to_string(i)));
  until([&] { return first->inbox.acknowledged == 9; });

  first.reset();
  const auto second = node();
  second->subscribe(loop_, topic_);

  until([&] { return second->inbox.got.size() >= 9; });
  EXPECT_EQ(second->inbox.data(), (std::vector<std::string>{"1", "2", "3", "4", "5", "6", "7", "8", "9"}));
}

TEST_F(KafkaBrokerTest, AfterDrainingNothingThatWasAcknowledgedComesAgain) {
  auto first = node();
  first->subscribe(loop_, topic_);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(publish(*first, std::to_string(i)));
  until([&] { return first->inbox.acknowledged == 20; });
  run(loop_, first->subscription->drain(loop_.deadline_in(10s)));

  first.reset();
  const auto second = node();
  second->subscribe(loop_, topic_);
  ASSERT_TRUE(publish(*second, "next"));

  until([&] { return !second->inbox.got.empty(); });
  EXPECT_EQ(second->inbox.data(), std::vector<std::string>{"next"});
}

TEST_F(KafkaBrokerTest, ANewGroupThatBeginsAtTheNewestStillLosesNothingItHadInHand) {
  auto first = node({{"initialOffset", "newest"}});
  ASSERT_TRUE(publish(*first, "old"));
  first->inbox.decide = [](const Delivery&) { return Verdict::kRetry; };
  first->subscribe(loop_, topic_);
  // When the group has its position is not to be seen from outside: publish until something comes.
  int number = 0;
  while (first->inbox.got.empty()) {
    ASSERT_TRUE(publish(*first, std::to_string(number++)));
    pass(20ms);
  }
  const std::string in_hand = first->inbox.got.front().message.data;
  EXPECT_NE(in_hand, "old");

  first.reset();
  const auto second = node({{"initialOffset", "newest"}});
  second->subscribe(loop_, topic_);

  until([&] { return !second->inbox.got.empty(); });
  EXPECT_EQ(second->inbox.got.front().message.data, in_hand);
}

TEST_F(KafkaBrokerTest, AHandlerThatTakesLongerThanTheSessionKeepsItsMessage) {
  create_topic(topic_, 2);
  const auto slow = node({{"sessionTimeout", "1s"}});
  slow->inbox.hold = {"slow"};
  slow->subscribe(loop_, topic_);
  ASSERT_TRUE(publish(*slow, "slow", {{"partitionNumber", "0"}}));
  until([&] { return slow->inbox.got.size() == 1; });

  pass(3s);
  ASSERT_TRUE(publish(*slow, "beside", {{"partitionNumber", "1"}}));
  until([&] { return slow->inbox.got.size() == 2; });
  slow->inbox.release();
  ASSERT_TRUE(publish(*slow, "after", {{"partitionNumber", "0"}}));

  until([&] { return slow->inbox.got.size() == 3; });
  EXPECT_EQ(slow->inbox.data(), (std::vector<std::string>{"slow", "beside", "after"}));
}

TEST_F(KafkaBrokerTest, ARebalanceWaitsForTheMessageInHand) {
  create_topic(topic_, 1);
  const auto first = node();
  first->inbox.hold = {"in hand"};
  first->subscribe(loop_, topic_);
  ASSERT_TRUE(publish(*first, "in hand"));
  until([&] { return first->inbox.got.size() == 1; });
  const auto second = node();
  second->subscribe(loop_, topic_);
  pass(1s);  // the group is sharing out by now

  first->inbox.release();
  ASSERT_TRUE(publish(*first, "next"));

  until([&] { return first->inbox.acknowledged + second->inbox.acknowledged == 2; });
  EXPECT_EQ(first->inbox.got.size() + second->inbox.got.size(), 2U);
}

TEST_F(KafkaBrokerTest, InAStormOfRebalancesEveryMessageIsProcessed) {
  for (const char* const strategy : {"range", "roundrobin", "sticky"}) {
    const Items of{{"consumerGroupRebalanceStrategy", strategy}, {"consumerGroup", "storm-" + topic_ + strategy}};
    topic_ += strategy;
    create_topic(topic_, 6);
    std::set<std::string> processed;
    std::size_t deliveries = 0;
    const auto joined = [&] {
      auto one = node(of);
      one->inbox.decide = [&](const Delivery& delivery) {
        processed.insert(delivery.message.data);
        ++deliveries;
        return Verdict::kAcknowledge;
      };
      one->subscribe(loop_, topic_);
      return one;
    };
    const auto first = joined();
    const auto second = joined();
    int published = 0;
    for (int round = 0; round < 4; ++round) {
      const auto third = joined();
      while (third->inbox.acknowledged == 0) {
        pass(50ms);
        publish_many(*first, published, published + 50);
        published += 50;
      }
    }
    const auto all = static_cast<std::size_t>(published);
    const Deadline end = loop_.deadline_in(30s);
    until([&] { return processed.size() == all || end.passed(clock_.now()); });
    EXPECT_EQ(processed.size(), all) << first->inbox.got.size() << " " << second->inbox.got.size();
    std::printf("%s: %zu messages, %zu of them delivered again\n", strategy, all, deliveries - processed.size());
    EXPECT_LT(deliveries, all * 2);
  }
}

TEST_F(KafkaBrokerTest, APoisonMessageDoesNotStopTheGroup) {
  create_topic(topic_, 4);
  const auto poisoned = [](const Delivery& one) {
    return one.message.data == "poison" ? Verdict::kRetry : Verdict::kAcknowledge;
  };
  const auto first = node();
  const auto second = node();
  for (Node* const one : {first.get(), second.get()}) {
    one->inbox.decide = poisoned;
    one->subscribe(loop_, topic_);
  }
  ASSERT_TRUE(publish(*first, "poison", {{"partitionNumber", "0"}}));
  until([&] { return first->inbox.got.size() + second->inbox.got.size() >= 2; });

  // A member comes while the message is being retried, and goes.
  {
    const auto third = node();
    third->inbox.decide = poisoned;
    third->subscribe(loop_, topic_);
    for (int i = 0; i < 60; ++i) {
      ASSERT_TRUE(publish(*first, std::to_string(i), {{"partitionNumber", std::to_string(1 + i % 3)}}));
    }
    until([&] { return first->inbox.acknowledged + second->inbox.acknowledged + third->inbox.acknowledged >= 60; });
  }

  // It is with somebody, for ever, and ends once its handler takes it.
  for (Node* const one : {first.get(), second.get()}) {
    one->inbox.decide = [](const Delivery&) { return Verdict::kAcknowledge; };
  }
  const auto poison_ended = [&](const Node& one) {
    const auto seen = one.inbox.data();
    return std::ranges::count(seen, "poison");
  };
  const auto before = poison_ended(*first) + poison_ended(*second);
  until([&] { return poison_ended(*first) + poison_ended(*second) > before; });
}

TEST_F(KafkaBrokerTest, ABacklogOfTenThousandIsWorkedOffInOrder) {
  const auto shop = node();
  for (int begin = 0; begin < 10'000; begin += 2000) publish_many(*shop, begin, begin + 2000);

  const auto started = clock_.now();
  shop->subscribe(loop_, topic_);

  until([&] { return shop->inbox.acknowledged == 10'000; });
  const std::chrono::duration<double> took = clock_.now() - started;
  std::printf("10 000 messages in %.2f s\n", took.count());
  std::vector<std::string> expected;
  for (int i = 0; i < 10'000; ++i) expected.push_back(std::to_string(i));
  EXPECT_EQ(shop->inbox.data(), expected);
}

TEST_F(KafkaBrokerTest, ASlowAppIsNotFloodedAndGetsAll) {
  const auto shop = node({{"channelBufferSize", "10"}});
  shop->inbox.hold = {"0"};
  publish_many(*shop, 0, 1000);
  shop->subscribe(loop_, topic_);
  until([&] { return shop->inbox.got.size() == 1; });
  pass(1s);

  shop->inbox.release();

  until([&] { return shop->inbox.acknowledged >= 1000; });
  std::vector<std::string> expected;
  for (int i = 0; i < 1000; ++i) expected.push_back(std::to_string(i));
  EXPECT_EQ(shop->inbox.data(), expected);
}

TEST_F(KafkaBrokerTest, WithoutAServerItSaysSoAndRefusesInTime) {
  const auto lost = node({{"brokers", "127.0.0.1:1"}});
  until([&] { return lost->broker->down_reason().value_or("").find("refused") != std::string::npos; });

  const auto late = run(loop_, lost->broker->publish(topic_, Message{"x", {}}, loop_.deadline_in(200ms)));
  pass(KafkaBroker::kPatience);
  const auto refused = run(loop_, lost->broker->publish(topic_, Message{"x", {}}, loop_.deadline_in(60s)));

  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kDeadlineExceeded);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnavailable);
}

/// Messages published before, while and after the server is away: each that was acknowledged arrives.
class KafkaBrokerOutageTest : public KafkaBrokerTest {
 protected:
  void outage(const std::function<void()>& away, const std::function<void()>& back, Nanos meanwhile) {
    const auto shop = node({{"readTimeout", "2s"}, {"delivery.timeout", "5m"}});
    shop->subscribe(loop_, topic_);
    ASSERT_TRUE(publish(*shop, "before"));
    until([&] { return shop->inbox.acknowledged == 1; });

    away();
    until([&] { return shop->broker->down_reason().has_value(); });
    TaskScope scope(loop_);
    int good = 0;
    struct Publish {
      static Task<void> one(KafkaBroker& broker, std::string topic, Deadline deadline, int& good) {
        Message message{"meanwhile", {}};
        auto publishing = broker.publish(std::move(topic), std::move(message), deadline);
        const auto published = co_await std::move(publishing);
        if (published) {
          ++good;
        } else {
          ADD_FAILURE() << published.error().message;
        }
      }
    };
    scope.spawn(Publish::one(*shop->broker, topic_, loop_.deadline_in(300s), good));
    pass(meanwhile);
    back();

    until([&] { return !shop->broker->down_reason() && scope.empty(); });
    EXPECT_EQ(good, 1);
    ASSERT_TRUE(publish(*shop, "after"));
    until([&] { return shop->inbox.data().back() == "after"; });
    EXPECT_EQ(shop->inbox.data(), (std::vector<std::string>{"before", "meanwhile", "after"}));
  }
};

TEST_F(KafkaBrokerOutageTest, AServerThatIsKilledAndStartedAgain) {
  outage([] { KafkaServer::shared().kill(); }, [] { KafkaServer::shared().start(); }, 1s);
}

TEST_F(KafkaBrokerOutageTest, AServerThatStopsAnsweringWithItsConnectionsOpen) {
  outage([] { KafkaServer::shared().freeze(); }, [] { KafkaServer::shared().thaw(); }, 3s);
}

}  // namespace
}  // namespace caisson::pubsub

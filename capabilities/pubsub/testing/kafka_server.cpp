#include "capabilities/pubsub/testing/kafka_server.hpp"

#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace caisson::pubsub::testing {

namespace {

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "the Kafka broker of the tests: %s\n", why.c_str());
  std::abort();
}

}  // namespace

KafkaServer::KafkaServer() {
  int down[2];
  int up[2];
  if (::pipe2(down, O_CLOEXEC) != 0 || ::pipe2(up, O_CLOEXEC) != 0) give_up("no pipe");
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(down[0], 0);
    ::dup2(up[1], 1);
    ::execlp("python3", "python3", "-B", CAISSON_KAFKA_SERVER, static_cast<char*>(nullptr));
    ::_exit(127);
  }
  ::close(down[0]);
  ::close(up[1]);
  to_ = down[1];
  from_ = up[0];
  start();
}

KafkaServer::~KafkaServer() {
  ::close(to_);  // it ends by itself, and the broker with it
  ::waitpid(pid_, nullptr, 0);
  ::close(from_);
}

void KafkaServer::start() {
  const std::string answer = tell("start");
  if (std::sscanf(answer.c_str(), "ready %d", &port_) != 1) give_up("it answers: " + answer);
}

std::string KafkaServer::tell(const std::string& word) {
  const std::string line = word + "\n";
  if (::write(to_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) give_up("it has ended");
  std::string answer;
  char c = 0;
  while (::read(from_, &c, 1) == 1 && c != '\n') answer += c;
  if (c != '\n') give_up("it has ended");
  return answer;
}

KafkaServer& KafkaServer::shared() {
  static KafkaServer server;
  return server;
}

KafkaOptions kafka_options(std::vector<std::pair<std::string, std::string>> items) {
  const auto given = [&items](const char* name) {
    return std::ranges::any_of(items, [name](const auto& item) { return item.first == name; });
  };
  if (!given("brokers")) items.emplace_back("brokers", KafkaServer::shared().address());
  if (!given("authType")) items.emplace_back("authType", "none");
  sdk::ComponentSpec spec;
  spec.name = "pubsub";
  spec.type = "pubsub.kafka";
  spec.metadata = sdk::Metadata(std::move(items));
  auto options = KafkaOptions::parse(spec);
  if (!options) give_up(options.error().message);
  return *std::move(options);
}

void create_topic(const std::string& name, int partitions) {
  rd_kafka_conf_t* const conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", KafkaServer::shared().address().c_str(), nullptr, 0);
  rd_kafka_t* const client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
  if (client == nullptr) give_up("no client");
  rd_kafka_NewTopic_t* topic = rd_kafka_NewTopic_new(name.c_str(), partitions, 1, nullptr, 0);
  rd_kafka_queue_t* const queue = rd_kafka_queue_new(client);
  rd_kafka_CreateTopics(client, &topic, 1, nullptr, queue);
  rd_kafka_event_t* const event = rd_kafka_queue_poll(queue, 30'000);
  if (event == nullptr || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) give_up("no topic " + name);
  rd_kafka_event_destroy(event);
  rd_kafka_queue_destroy(queue);
  rd_kafka_NewTopic_destroy(topic);
  rd_kafka_destroy(client);
}

}  // namespace caisson::pubsub::testing

#pragma once

#include <string>
#include <utility>
#include <vector>

#include "capabilities/pubsub/kafka_options.hpp"

namespace caisson::pubsub::testing {

/// A real Kafka broker on a free port (tests/kafka/kafka_server.py). It goes with the object. A failure to
/// start ends the test program.
class KafkaServer {
 public:
  KafkaServer();
  ~KafkaServer();
  KafkaServer(const KafkaServer&) = delete;
  KafkaServer& operator=(const KafkaServer&) = delete;

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] int port() const { return port_; }

  void kill() { tell("kill"); }
  /// Again, with its data, on the same port.
  void start();
  void freeze() { tell("stop"); }
  void thaw() { tell("cont"); }

  /// The one of this test program; started at the first call.
  static KafkaServer& shared();

 private:
  std::string tell(const std::string& word);

  int to_ = -1;
  int from_ = -1;
  int pid_ = -1;
  int port_ = 0;
};

/// Options for the shared server; later items count over the defaults.
KafkaOptions kafka_options(std::vector<std::pair<std::string, std::string>> items = {});

/// Makes a topic with that many partitions at the shared server.
void create_topic(const std::string& name, int partitions);

}  // namespace caisson::pubsub::testing

#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "bus/result.hpp"
#include "capabilities/pubsub/kafka_options.hpp"

/// What Kafka producers and consumers have in common: a thread that serves librdkafka's callbacks, its way
/// to the event loop, its log, and whether a broker can be reached.
namespace caisson::pubsub {

/// Runs the threads of Kafka clients. To end a client may take a while (it leaves its group, sends what
/// waits), and nothing waits for that but the end of the process.
class KafkaThreads {
 public:
  KafkaThreads();
  /// Waits for the threads, at most kPatience of real time.
  ~KafkaThreads();
  KafkaThreads(const KafkaThreads&) = delete;
  KafkaThreads& operator=(const KafkaThreads&) = delete;

  static constexpr Nanos kPatience = std::chrono::seconds(4);

  /// The body owns all that it uses. It must end soon once it has been told to.
  void start(std::function<void()> body);

 private:
  struct Running;
  std::shared_ptr<Running> running_;
};

/// The way of a client's thread to the event loop, until the loop's side closes it: nothing is run
/// afterwards. post() on any thread, close() on the loop's.
class LoopGate {
 public:
  explicit LoopGate(EventLoop& loop) : loop_(&loop) {}
  void post(std::function<void()> function);
  void close();

 private:
  std::mutex mutex_;
  EventLoop* loop_;
  std::shared_ptr<bool> open_ = std::make_shared<bool>(true);  // read and written on the loop's thread
};

/// The thread of one client. The derived class serves its queue; this one knows how the client is.
class KafkaClient {
 public:
  KafkaClient(std::string name, std::shared_ptr<LoopGate> gate);
  virtual ~KafkaClient();
  KafkaClient(const KafkaClient&) = delete;
  KafkaClient& operator=(const KafkaClient&) = delete;

  /// Called on the loop when what hinders the client changed; nothing: it works. Set before the thread
  /// starts.
  std::function<void(std::optional<std::string>)> health_changed;

 protected:
  using Conf = std::unique_ptr<rd_kafka_conf_t, decltype(&rd_kafka_conf_destroy)>;

  /// A configuration with the callbacks that all clients have. The client is its opaque.
  Result<Conf> make_conf(std::initializer_list<const KafkaOptions::Settings*> settings);
  /// Makes the client; on failure says why, without a secret.
  Result<void> open(rd_kafka_type_t type, Conf conf);

  /// While no broker is known to be reachable: asks for one, at most once a second. May take a second.
  void check_health();
  [[nodiscard]] bool is_down() const { return trouble_.has_value(); }
  /// Something hinders the client although brokers can be reached, or nothing any more.
  void set_trouble(std::optional<std::string> trouble);
  [[nodiscard]] bool has_failed() const { return failed_; }
  void log_limited(LogLevel level, const std::string& text);

  const std::string name_;  // for messages: "component 'orders'", with the group
  const std::shared_ptr<LoopGate> gate_;
  rd_kafka_t* handle_ = nullptr;

 private:
  static void on_error(rd_kafka_t* handle, int code, const char* reason, void* self);
  static void on_log(const rd_kafka_t* handle, int level, const char* facility, const char* text);

  std::optional<std::string> trouble_;
  std::string last_reason_;
  std::chrono::steady_clock::time_point next_check_{};
  bool failed_ = false;  // it can only be made anew
  LogLimit health_log_{std::chrono::seconds(1)};
  LogLimit library_log_{std::chrono::seconds(10)};
};

}  // namespace caisson::pubsub

#include "capabilities/pubsub/kafka_producer.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "capabilities/pubsub/kafka_record.hpp"

namespace caisson::pubsub {

namespace {

constexpr int kPollMs = 1000;
/// What a producer that is closed may still send.
constexpr int kFlushMs = 2000;

/// Whether it was written decides what the caller may be told.
Result<void> result_of(const rd_kafka_message_t& report) {
  if (report.err == RD_KAFKA_RESP_ERR_NO_ERROR) return ok();
  const std::string why = fmt::format("{}: {}", rd_kafka_err2name(report.err), rd_kafka_err2str(report.err));
  switch (report.err) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
      return Error{Errc::kInvalidArgument, why};
    default:
      break;
  }
  if (rd_kafka_message_status(&report) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED) return Error{Errc::kUnavailable, why};
  return Error{Errc::kUnknown, why + "; the message may have been written"};
}

}  // namespace

/// A publish that waits for its report. Touched on the loop's thread only.
struct KafkaProducer::Publication {
  bool done = false;
  Result<void> result;
  WaitQueue changed;
};

/// Serves what librdkafka has to say.
class KafkaProducer::Thread final : public KafkaClient {
 public:
  using KafkaClient::KafkaClient;
  ~Thread() override {
    if (main_queue_ != nullptr) rd_kafka_queue_destroy(main_queue_);
  }

  std::function<void()> failed;  // called on the loop; set before the thread starts

  Result<void> make(const KafkaOptions& options) {
    ASSIGN(Conf conf, make_conf({&options.client, &options.producer}));
    rd_kafka_conf_set_dr_msg_cb(conf.get(), on_report);
    TRY(open(RD_KAFKA_PRODUCER, std::move(conf)));
    main_queue_ = rd_kafka_queue_get_main(handle_);
    return ok();
  }

  [[nodiscard]] rd_kafka_t* handle() const { return handle_; }

  void run() {
    bool said = false;
    while (!stopping_) {
      check_health();
      rd_kafka_poll(handle_, is_down() ? kPollMs / 10 : kPollMs);
      hand_over();
      if (has_failed() && !std::exchange(said, true)) gate_->post(failed);
    }
    rd_kafka_flush(handle_, kFlushMs);
    hand_over();
  }

  void stop() {
    stopping_ = true;
    rd_kafka_queue_yield(main_queue_);
  }

 private:
  struct Report {
    std::shared_ptr<Publication> publication;
    Result<void> result;
  };

  static void on_report(rd_kafka_t*, const rd_kafka_message_t* report, void* self) {
    const std::unique_ptr<std::shared_ptr<Publication>> publication(
        static_cast<std::shared_ptr<Publication>*>(report->_private));
    static_cast<Thread*>(static_cast<KafkaClient*>(self))->reports_.push_back({*publication, result_of(*report)});
  }

  /// All that came with one poll, at once.
  void hand_over() {
    if (reports_.empty()) return;
    const auto reports = std::make_shared<std::vector<Report>>(std::exchange(reports_, {}));
    gate_->post([reports] {
      for (Report& report : *reports) {
        report.publication->result = std::move(report.result);
        report.publication->done = true;
        report.publication->changed.wake_all();
      }
    });
  }

  std::atomic<bool> stopping_{false};
  rd_kafka_queue_t* main_queue_ = nullptr;
  std::vector<Report> reports_;
};

Result<std::unique_ptr<KafkaProducer>> KafkaProducer::open(EventLoop& loop, KafkaThreads& threads,
                                                           const KafkaOptions& options, Events events) {
  std::unique_ptr<KafkaProducer> producer(new KafkaProducer(loop, options));
  producer->gate_ = std::make_shared<LoopGate>(loop);
  const std::string name = fmt::format("component '{}', publishing", options.component);
  auto thread = std::make_shared<Thread>(name, producer->gate_);
  thread->health_changed = std::move(events.health_changed);
  thread->failed = std::move(events.failed);
  TRY(thread->make(options));
  producer->thread_ = thread;
  threads.start([thread] { thread->run(); });
  return producer;
}

KafkaProducer::~KafkaProducer() {
  gate_->close();
  if (thread_ != nullptr) thread_->stop();
}

Task<Result<void>> KafkaProducer::publish(std::string topic, Message message, Deadline deadline) {
  const auto publication = std::make_shared<Publication>();
  CO_TRY(produce(topic, message, publication));
  message = Message();  // librdkafka has a copy
  EventLoop& loop = loop_;
  while (!publication->done) {
    const Wake wake = co_await publication->changed.wait(loop, deadline);
    if (wake == Wake::kDeadline && !publication->done) {
      co_return Error{Errc::kDeadlineExceeded, "the broker did not acknowledge the message in time"};
    }
  }
  co_return publication->result;
}

Result<void> KafkaProducer::produce(const std::string& topic, const Message& message,
                                    const std::shared_ptr<Publication>& publication) {
  ASSIGN(const KafkaKey key, key_of(message.metadata));
  KafkaHeaders headers = headers_of(message.metadata, options_);
  auto opaque = std::make_unique<std::shared_ptr<Publication>>(publication);
  const bool tombstone = message.data == "null";

  rd_kafka_vu_t values[7] = {};
  std::size_t count = 0;
  const auto add = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
    values[count].vtype = type;
    return values[count++];
  };
  add(RD_KAFKA_VTYPE_TOPIC).u.cstr = topic.c_str();
  add(RD_KAFKA_VTYPE_PARTITION).u.i32 = key.partition;
  if (!tombstone) {
    rd_kafka_vu_t& value = add(RD_KAFKA_VTYPE_VALUE);
    value.u.mem.ptr = const_cast<char*>(message.data.data());
    value.u.mem.size = message.data.size();
  }
  if (key.key) {
    rd_kafka_vu_t& value = add(RD_KAFKA_VTYPE_KEY);
    value.u.mem.ptr = const_cast<char*>(key.key->data());
    value.u.mem.size = key.key->size();
  }
  add(RD_KAFKA_VTYPE_HEADERS).u.headers = headers.get();
  add(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
  add(RD_KAFKA_VTYPE_OPAQUE).u.ptr = opaque.get();

  rd_kafka_error_t* const refused = rd_kafka_produceva(thread_->handle(), values, count);
  if (refused == nullptr) {  // both belong to the message now
    static_cast<void>(headers.release());
    static_cast<void>(opaque.release());
    return ok();
  }
  const auto code = rd_kafka_error_code(refused);
  const std::string why = rd_kafka_error_string(refused);
  rd_kafka_error_destroy(refused);
  if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
    return Error{Errc::kResourceExhausted, "too many messages wait for the broker"};
  }
  if (code == RD_KAFKA_RESP_ERR__FATAL) return Error{Errc::kUnavailable, why};
  return Error{Errc::kInvalidArgument, why};
}

}  // namespace caisson::pubsub

#include "capabilities/pubsub/kafka_client.hpp"

#include <fmt/format.h>
#include <syslog.h>

#include <condition_variable>
#include <thread>

namespace caisson::pubsub {

namespace {

constexpr auto kCheckInterval = std::chrono::seconds(1);
constexpr int kCheckTimeoutMs = 1000;

}  // namespace

// --- threads ---

struct KafkaThreads::Running {
  std::mutex mutex;
  std::condition_variable ended;
  int count = 0;
};

KafkaThreads::KafkaThreads() : running_(std::make_shared<Running>()) {}

KafkaThreads::~KafkaThreads() {
  std::unique_lock lock(running_->mutex);
  const bool all = running_->ended.wait_for(lock, kPatience, [this] { return running_->count == 0; });
  if (!all) log(LogLevel::kWarning, fmt::format("{} Kafka clients are left behind as they are", running_->count));
}

void KafkaThreads::start(std::function<void()> body) {
  {
    const std::lock_guard lock(running_->mutex);
    ++running_->count;
  }
  std::thread([running = running_, body = std::move(body)]() mutable {
    body();
    body = nullptr;  // and with it the client
    const std::lock_guard lock(running->mutex);
    --running->count;
    running->ended.notify_all();
  }).detach();
}

// --- the way to the loop ---

void LoopGate::post(std::function<void()> function) {
  const std::lock_guard lock(mutex_);
  if (loop_ == nullptr) return;
  loop_->post_from_any_thread([open = open_, function = std::move(function)] {
    if (*open) function();
  });
}

void LoopGate::close() {
  const std::lock_guard lock(mutex_);
  *open_ = false;
  loop_ = nullptr;
}

// --- a client ---

KafkaClient::KafkaClient(std::string name, std::shared_ptr<LoopGate> gate)
    : name_(std::move(name)), gate_(std::move(gate)), trouble_("connecting") {}

KafkaClient::~KafkaClient() {
  if (handle_ != nullptr) rd_kafka_destroy_flags(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

Result<KafkaClient::Conf> KafkaClient::make_conf(std::initializer_list<const KafkaOptions::Settings*> settings) {
  Conf conf(rd_kafka_conf_new(), rd_kafka_conf_destroy);
  char text[256];
  for (const auto* const list : settings) {
    for (const auto& [name, value, origin] : *list) {
      if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text, sizeof text) == RD_KAFKA_CONF_OK) continue;
      // The library's own words may repeat the value.
      return Error{Errc::kInvalidArgument,
                   fmt::format("metadata '{}' is not accepted by librdkafka as {}", origin, name)};
    }
  }
  rd_kafka_conf_set(conf.get(), "log.queue", "true", text, sizeof text);
  rd_kafka_conf_set_opaque(conf.get(), this);
  rd_kafka_conf_set_error_cb(conf.get(), on_error);
  rd_kafka_conf_set_log_cb(conf.get(), on_log);
  return conf;
}

Result<void> KafkaClient::open(rd_kafka_type_t type, Conf conf) {
  char text[512];
  handle_ = rd_kafka_new(type, conf.get(), text, sizeof text);
  if (handle_ == nullptr) return Error{Errc::kInvalidArgument, fmt::format("librdkafka: {}", text)};
  static_cast<void>(conf.release());  // the client owns it now
  rd_kafka_set_log_queue(handle_, nullptr);
  return ok();
}

void KafkaClient::log_limited(LogLevel level, const std::string& text) {
  health_log_.log(level, fmt::format("{}: {}", name_, text));
}

void KafkaClient::set_trouble(std::optional<std::string> trouble) {
  if (trouble == trouble_) return;
  if (trouble) {
    log_limited(LogLevel::kWarning, *trouble);
  } else {
    log_limited(LogLevel::kInfo, "connected");
  }
  trouble_ = trouble;
  if (!health_changed) return;
  gate_->post([changed = health_changed, trouble = std::move(trouble)] { changed(trouble); });
}

void KafkaClient::check_health() {
  const auto now = std::chrono::steady_clock::now();
  if (!is_down() || now < next_check_) return;
  next_check_ = now + kCheckInterval;
  const struct rd_kafka_metadata* metadata = nullptr;
  if (rd_kafka_metadata(handle_, 0, nullptr, &metadata, kCheckTimeoutMs) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  rd_kafka_metadata_destroy(metadata);
  set_trouble(std::nullopt);
}

void KafkaClient::on_error(rd_kafka_t* handle, int code, const char* reason, void* self) {
  auto& client = *static_cast<KafkaClient*>(self);
  switch (code) {
    case RD_KAFKA_RESP_ERR__FATAL: {
      char text[512];
      const auto cause = rd_kafka_fatal_error(handle, text, sizeof text);
      client.failed_ = true;
      client.set_trouble(fmt::format("{}: {}", rd_kafka_err2name(cause), text));
      return;
    }
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
      client.set_trouble(client.last_reason_.empty()
                             ? std::string("no broker can be reached")
                             : fmt::format("no broker can be reached: {}", client.last_reason_));
      return;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
      client.last_reason_ = reason;
      client.set_trouble(reason);
      return;
    default:
      // One broker of several; with the last of them comes ALL_BROKERS_DOWN.
      client.last_reason_ = reason;
      client.log_limited(LogLevel::kWarning, reason);
  }
}

void KafkaClient::on_log(const rd_kafka_t* handle, int level, const char* facility, const char* text) {
  auto& client = *static_cast<KafkaClient*>(rd_kafka_opaque(handle));
  // What goes wrong comes as an error, too, and is said there.
  const LogLevel as = level <= LOG_WARNING ? LogLevel::kInfo : LogLevel::kDebug;
  if (log_enabled(as)) client.library_log_.log(as, fmt::format("{}: librdkafka: {} {}", client.name_, facility, text));
}

}  // namespace caisson::pubsub

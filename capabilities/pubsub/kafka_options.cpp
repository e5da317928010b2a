#include "capabilities/pubsub/kafka_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

namespace caisson::pubsub {

namespace {

using Settings = KafkaOptions::Settings;
using sdk::Metadata;

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

Error invalid(std::string_view key, std::string_view why) {
  return Error{Errc::kInvalidArgument, fmt::format("metadata '{}' {}", key, why)};
}

/// Dapr's key -> librdkafka's, with the bounds that librdkafka sets.
struct Number {
  std::string_view key;
  std::string_view name;
  std::int64_t otherwise;  // negative: librdkafka's own default
  std::int64_t least;
  std::int64_t most;
};

Result<void> add_number(const Metadata& metadata, const Number& number, Settings& to) {
  ASSIGN(const std::int64_t value, metadata.get_int(number.key, number.otherwise));
  if (value < 0 && value == number.otherwise) return ok();
  if (value < number.least || value > number.most) {
    return invalid(number.key, fmt::format("must lie between {} and {}", number.least, number.most));
  }
  to.push_back({std::string(number.name), std::to_string(value), std::string(number.key)});
  return ok();
}

/// The same for a span of time, in milliseconds.
Result<void> add_span(const Metadata& metadata, const Number& number, Settings& to) {
  ASSIGN(const Nanos span, metadata.get_duration(number.key, std::chrono::milliseconds(number.otherwise)));
  const std::int64_t value = std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
  if (value < number.least || value > number.most) {
    return invalid(number.key, fmt::format("must lie between {} ms and {} ms", number.least, number.most));
  }
  to.push_back({std::string(number.name), std::to_string(value), std::string(number.key)});
  return ok();
}

Result<Nanos> positive_span(const Metadata& metadata, std::string_view key, Nanos otherwise) {
  ASSIGN(const Nanos span, metadata.get_duration(key, otherwise));
  if (span <= Nanos::zero()) return invalid(key, "must be more than zero");
  return span;
}

Result<std::size_t> count(const Metadata& metadata, std::string_view key, std::int64_t otherwise, std::int64_t most) {
  ASSIGN(const std::int64_t number, metadata.get_int(key, otherwise));
  if (number < 1 || number > most) return invalid(key, fmt::format("must lie between 1 and {}", most));
  return static_cast<std::size_t>(number);
}

bool is_pem(std::string_view text) { return text.find("-----BEGIN ") != std::string_view::npos; }

Result<void> add_pem(const Metadata& metadata, std::string_view key, std::string_view name, Settings& to) {
  std::string value = metadata.get(key);
  if (value.empty()) return ok();
  if (!is_pem(value)) return invalid(key, "is not in PEM format");
  to.push_back({std::string(name), std::move(value), std::string(key)});
  return ok();
}

// --- who we are to the broker ---

Result<std::string> read_auth_type(const Metadata& metadata) {
  std::string type = lower(metadata.get("authType"));
  if (!type.empty()) return type;
  if (!metadata.find("authRequired")) return Error{Errc::kInvalidArgument, "metadata 'authType' is missing"};
  ASSIGN(const bool required, metadata.get_bool("authRequired", false));
  if (!required) return std::string("none");
  return std::string(metadata.get("saslPassword").empty() ? "mtls" : "password");
}

Result<std::string> read_mechanism(const Metadata& metadata) {
  std::string given = lower(metadata.get("saslMechanism"));
  std::erase_if(given, [](char c) { return c == '-' || c == '_'; });
  if (given.empty() || given == "plain" || given == "plaintext") return std::string("PLAIN");
  if (given == "sha256" || given == "scramsha256") return std::string("SCRAM-SHA-256");
  if (given == "sha512" || given == "scramsha512") return std::string("SCRAM-SHA-512");
  return invalid("saslMechanism", "must be PLAIN, SHA-256 or SHA-512");
}

Result<void> add_password(const Metadata& metadata, Settings& to) {
  ASSIGN(std::string mechanism, read_mechanism(metadata));
  to.push_back({"sasl.mechanisms", std::move(mechanism), "saslMechanism"});
  for (const auto& [key, name] :
       {std::pair{"saslUsername", "sasl.username"}, std::pair{"saslPassword", "sasl.password"}}) {
    std::string value = metadata.get(key);
    if (value.empty()) return invalid(key, "is missing; authType 'password' needs it");
    to.push_back({name, std::move(value), key});
  }
  return ok();
}

Result<void> add_tls(const Metadata& metadata, std::string_view auth, Settings& to) {
  ASSIGN(const bool unverified, metadata.get_bool("skipVerify", false));
  if (unverified) {
    to.push_back({"enable.ssl.certificate.verification", "false", "skipVerify"});
    to.push_back({"ssl.endpoint.identification.algorithm", "none", "skipVerify"});
  } else {
    to.push_back({"ssl.endpoint.identification.algorithm", "https", "skipVerify"});
  }
  TRY(add_pem(metadata, "caCert", "ssl.ca.pem", to));
  if (auth == "certificate" && metadata.get("caCert").empty()) {
    return invalid("caCert", "is missing; authType 'certificate' needs it");
  }
  if (metadata.get("clientCert").empty() != metadata.get("clientKey").empty()) {
    const bool no_key = metadata.get("clientKey").empty();
    return invalid(no_key ? "clientKey" : "clientCert", "is missing; the other of the two is there");
  }
  TRY(add_pem(metadata, "clientCert", "ssl.certificate.pem", to));
  return add_pem(metadata, "clientKey", "ssl.key.pem", to);
}

Result<void> add_security(const Metadata& metadata, Settings& to) {
  ASSIGN(const std::string auth, read_auth_type(metadata));
  if (auth == "oidc" || auth == "oidc_private_key_jwt" || auth == "awsiam") {
    // Debian's librdkafka is built without the HTTP client that its OIDC needs.
    return Error{Errc::kUnimplemented, fmt::format("metadata 'authType': '{}' is not served", auth)};
  }
  if (auth != "none" && auth != "password" && auth != "mtls" && auth != "certificate") {
    return invalid("authType", "must be none, password, mtls or certificate");
  }
  ASSIGN(const bool disabled, metadata.get_bool("disableTls", false));
  const bool tls = !disabled && auth != "none";
  const bool password = auth == "password";
  if (password) TRY(add_password(metadata, to));
  if (tls) TRY(add_tls(metadata, auth, to));
  const char* const protocol = password ? (tls ? "sasl_ssl" : "sasl_plaintext") : (tls ? "ssl" : "plaintext");
  to.push_back({"security.protocol", protocol, "authType"});
  return ok();
}

// --- the rest ---

Result<void> add_client(const Metadata& metadata, Settings& to) {
  std::string brokers = metadata.get("brokers");
  if (brokers.empty()) return invalid("brokers", "is missing");
  to.push_back({"bootstrap.servers", std::move(brokers), "brokers"});
  to.push_back({"client.id", metadata.get("clientId", "caisson"), "clientId"});
  to.push_back({"socket.keepalive.enable", "true", ""});
  to.push_back({"reconnect.backoff.max.ms", "2000", ""});
  TRY(add_span(metadata, {"consumeRetryInterval", "reconnect.backoff.ms", 100, 0, 2000}, to));
  TRY(add_span(metadata, {"dialTimeout", "socket.connection.setup.timeout.ms", 30'000, 1000, 2'147'483'647}, to));
  // A broker that stopped answering is noticed after this long; Sarama's 30 s are long to wait for.
  TRY(add_span(metadata, {"readTimeout", "socket.timeout.ms", 10'000, 1000, 300'000}, to));
  TRY(add_span(
      metadata,
      {"clientConnectionTopicMetadataRefreshInterval", "topic.metadata.refresh.interval.ms", 60'000, 1000, 3'600'000},
      to));
  return add_security(metadata, to);
}

Result<void> add_producer(const Metadata& metadata, KafkaOptions& options) {
  Settings& to = options.producer;
  to.push_back({"enable.idempotence", "true", ""});  // implies acks=all and order over retries
  to.push_back({"partitioner", "fnv1a_random", ""});
  to.push_back({"linger.ms", "0", ""});
  to.push_back({"queue.buffering.max.messages", "10000", ""});
  to.push_back({"queue.buffering.max.kbytes", "65536", ""});
  ASSIGN(options.publish_timeout, positive_span(metadata, "delivery.timeout", options.publish_timeout));
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(options.publish_timeout).count();
  to.push_back({"message.timeout.ms", std::to_string(milliseconds), "delivery.timeout"});
  TRY(add_number(metadata, {"maxMessageBytes", "message.max.bytes", -1, 1000, 1'000'000'000}, to));
  const std::string compression = lower(metadata.get("compression", "none"));
  constexpr std::string_view kKnown[] = {"none", "gzip", "snappy", "lz4", "zstd"};
  if (std::ranges::find(kKnown, compression) == std::end(kKnown)) {
    return invalid("compression", "must be none, gzip, snappy, lz4 or zstd");
  }
  to.push_back({"compression.codec", compression, "compression"});
  return ok();
}

Result<void> add_group(const Metadata& metadata, Settings& to) {
  TRY(add_span(metadata, {"sessionTimeout", "session.timeout.ms", 10'000, 1000, 300'000}, to));
  TRY(add_span(metadata, {"heartbeatInterval", "heartbeat.interval.ms", 3000, 1, 100'000}, to));
  ASSIGN(const Nanos session, metadata.get_duration("sessionTimeout", std::chrono::seconds(10)));
  ASSIGN(const Nanos heartbeat, metadata.get_duration("heartbeatInterval", std::chrono::seconds(3)));
  if (heartbeat >= session) return invalid("heartbeatInterval", "must be less than sessionTimeout");
  const std::string strategy = lower(metadata.get("consumerGroupRebalanceStrategy", "range"));
  if (strategy != "range" && strategy != "roundrobin" && strategy != "sticky") {
    return invalid("consumerGroupRebalanceStrategy", "must be range, roundrobin or sticky");
  }
  to.push_back({"partition.assignment.strategy", strategy == "sticky" ? "cooperative-sticky" : strategy,
                "consumerGroupRebalanceStrategy"});
  return ok();
}

Result<void> add_consumer(const Metadata& metadata, KafkaOptions& options) {
  Settings& to = options.consumer;
  ASSIGN(options.window, count(metadata, "channelBufferSize", 2000, 100'000));
  to.push_back({"enable.auto.commit", "false", ""});
  to.push_back({"enable.auto.offset.store", "false", ""});
  // Of a position that retention has removed, what is left counts. A new group's first position is ours
  // to set.
  to.push_back({"auto.offset.reset", "earliest", ""});
  to.push_back({"isolation.level", "read_uncommitted", ""});  // as Sarama does
  to.push_back({"enable.partition.eof", "true", ""});         // the watch needs to know the end
  to.push_back({"allow.auto.create.topics", "true", ""});
  // What librdkafka fetches ahead, beside the window: enough for the next turn, not its 64 MiB.
  to.push_back({"queued.min.messages", std::to_string(options.window), "channelBufferSize"});
  to.push_back({"queued.max.messages.kbytes", "1024", ""});
  TRY(add_number(metadata, {"consumerFetchMin", "fetch.min.bytes", 1, 1, 100'000'000}, to));
  TRY(add_number(metadata, {"consumerFetchDefault", "fetch.message.max.bytes", 1024 * 1024, 1, 1'000'000'000}, to));
  return add_group(metadata, to);
}

Result<KafkaBackoff> read_backoff(const Metadata& metadata) {
  KafkaBackoff backoff;
  const std::string policy = lower(metadata.get("backOffPolicy", "constant"));
  if (policy != "constant" && policy != "exponential") {
    return invalid("backOffPolicy", "must be constant or exponential");
  }
  backoff.exponential = policy == "exponential";
  ASSIGN(backoff.constant, positive_span(metadata, "backOffDuration", backoff.constant));
  ASSIGN(backoff.first, positive_span(metadata, "backOffInitialInterval", backoff.first));
  ASSIGN(backoff.longest, positive_span(metadata, "backOffMaxInterval", backoff.longest));
  const std::string factor = metadata.get("backOffMultiplier");
  if (!factor.empty()) {
    const auto [end, problem] = std::from_chars(factor.data(), factor.data() + factor.size(), backoff.factor);
    const bool whole = problem == std::errc() && end == factor.data() + factor.size();
    if (!whole || !(backoff.factor >= 1) || backoff.factor > 100) {
      return invalid("backOffMultiplier", "must be a number from 1 to 100");
    }
  }
  return backoff;
}

Result<void> read_own(const Metadata& metadata, KafkaOptions& options) {
  options.group = metadata.get("consumerGroup");
  const std::string begin = lower(metadata.get("initialOffset", "newest"));
  if (begin != "newest" && begin != "oldest") return invalid("initialOffset", "must be newest or oldest");
  options.from_oldest = begin == "oldest";
  ASSIGN(options.escape_headers, metadata.get_bool("escapeHeaders", false));
  const std::string excluded = metadata.get("excludeHeaderMetaRegex");
  if (!excluded.empty()) {
    auto regex = sdk::Regex::parse(excluded);
    if (!regex) return invalid("excludeHeaderMetaRegex", regex.error().message);
    options.excluded_headers = *std::move(regex);
  }
  ASSIGN(options.concurrency, count(metadata, "concurrency", 1, 1000));
  ASSIGN(const bool waits_for_retries, metadata.get_bool("consumeRetryEnabled", true));
  options.in_order = waits_for_retries && options.concurrency == 1;
  ASSIGN(options.backoff, read_backoff(metadata));
  return ok();
}

/// Known to Dapr, without a counterpart here.
constexpr std::string_view kWithoutEffect[] = {"version",
                                               "producerRequiredAcks",
                                               "producerRetryMax",
                                               "backOffMaxRetries",
                                               "backOffMaxElapsedTime",
                                               "backOffRandomizationFactor",
                                               "writeTimeout",
                                               "metadataTimeout",
                                               "clientConnectionKeepAliveInterval",
                                               "schemaCachingEnabled",
                                               "schemaLatestVersionCacheTTL",
                                               "useAvroJSON"};

}  // namespace

Nanos KafkaBackoff::pause_after(std::uint32_t attempt) const {
  if (!exponential) return constant;
  const double factors = std::pow(factor, std::min(attempt, 1000U) - (attempt == 0 ? 0 : 1));
  const double pause = static_cast<double>(first.count()) * factors;
  return pause < static_cast<double>(longest.count()) ? Nanos(static_cast<std::int64_t>(pause)) : longest;
}

Result<KafkaOptions> KafkaOptions::parse(const sdk::ComponentSpec& spec) {
  const Metadata& metadata = spec.metadata;
  for (const std::string_view key : {"schemaRegistryURL", "schemaRegistryAPIKey", "schemaRegistryAPISecret"}) {
    if (!metadata.get(key).empty()) {
      return Error{Errc::kUnimplemented, fmt::format("metadata '{}': a schema registry is not served", key)};
    }
  }
  KafkaOptions options;
  options.component = spec.name;
  TRY(add_client(metadata, options.client));
  TRY(add_producer(metadata, options));
  TRY(add_consumer(metadata, options));
  TRY(read_own(metadata, options));
  for (const std::string_view key : kWithoutEffect) {
    if (metadata.find(key)) options.without_effect.emplace_back(key);
  }
  return options;
}

}  // namespace caisson::pubsub

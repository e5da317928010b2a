#include "capabilities/config/items/delivery.hpp"

#include <fmt/format.h>

#include <functional>

#include "capabilities/config/items/items_json.hpp"

namespace caisson::items {

namespace {

/// The longest that an app may take over one update.
constexpr Nanos kAnswerTimeout = std::chrono::seconds(60);
constexpr std::size_t kAnswerLimit = 64 * 1024;

sdk::Outcome outcome_of(const Result<std::uint16_t>& status) {
  if (!status) return sdk::outcome_of(status.error());
  sdk::Outcome outcome;
  outcome.failed = *status != 200;
  if (outcome.failed) outcome.code = *status;
  return outcome;
}

void append_encoded(std::string& path, std::string_view text) {
  constexpr std::string_view kPlain = "-._~!$&'()*+,;=:@/";
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       kPlain.find(c) != std::string_view::npos;
    if (plain) {
      path += c;
    } else {
      path += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

}  // namespace

std::string update_path(std::string_view store, std::string_view key) {
  std::string path = "/configuration/";
  append_encoded(path, store);
  path += '/';
  append_encoded(path, key);
  return path;
}

Task<Result<void>> Deliverer::deliver(Subscription subscription, std::string type, std::string key, Item item) {
  const std::string path = update_path(subscription.store, key);
  const std::string body = update_json(subscription.id, key, item);
  const sdk::Policy policy = resiliency_.component_inbound(subscription.app, subscription.store, type);
  std::function<Task<Result<std::uint16_t>>(Deadline)> attempt =
      [this, &subscription, &path, &body](Deadline deadline) { return post(subscription, path, body, deadline); };
  std::function<sdk::Outcome(const Result<std::uint16_t>&)> classify = outcome_of;
  auto task = policy.run<std::uint16_t>(std::move(attempt), std::move(classify), Deadline::never());
  CO_ASSIGN(const std::uint16_t status, co_await std::move(task));
  if (status != 200) co_return Error{Errc::kUnknown, fmt::format("the app answered {} to {}", status, path)};
  co_return ok();
}

Task<Result<std::uint16_t>> Deliverer::post(const Subscription& subscription, const std::string& path,
                                            const std::string& body, Deadline deadline) {
  const Field headers[] = {{"content-type", "application/json"}};
  Envelope call;
  call.target = "app";
  call.app = subscription.app;
  call.method = "POST";
  call.path = path;
  call.headers = headers;
  const Deadline until = deadline.earlier(context_.loop().deadline_in(kAnswerTimeout));
  auto asked = context_.call(call, Buffer::copy_of(body), until);
  CO_ASSIGN(Reply reply, co_await std::move(asked));
  if (reply.head.streamed()) {
    // Read so that the app's connection can be used again; what it says does not matter.
    auto rest = reply.rest.all(kAnswerLimit, until);
    [[maybe_unused]] const auto ignored = co_await std::move(rest);
  }
  co_return reply.head->status();
}

}  // namespace caisson::items

#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "capabilities/invoke/capability.hpp"
#include "sdk/testing/fake_gateway.hpp"

namespace caisson::invoke {

using namespace std::chrono_literals;

/// One call as it arrived at the gateway for an app.
struct Seen {
  std::string app;
  std::string method;
  std::string path;
  std::string query;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::uint8_t hops = 0;
  std::string traceparent;

  [[nodiscard]] std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (equal_ignoring_case(key, name)) return value;
    }
    return {};
  }
};

/// The capability between a gateway and apps that the test plays.
class InvokeRig : public ::testing::Test {
 protected:
  using Answer = caisson::testing::Answer;
  using Ask = caisson::testing::Ask;

  InvokeRig() {
    gateway_.set_app("shop");
    gateway_.set_app("cart");
    gateway_.set_app("calc", true, 1, "grpc");
    gateway_.on_call([this](Incoming call) { return serve_app(std::move(call)); });
  }

  /// Notes the call, and answers with the next of the script (its last for ever).
  Task<void> serve_app(Incoming call) {
    const Frame& head = call.head();
    Seen seen{std::string(text(head->app())),
              std::string(text(head->method())),
              std::string(text(head->path())),
              std::string(text(head->query())),
              {},
              std::string(head.payload()),
              head->hops(),
              std::string(text(head->traceparent()))};
    for (const Field field : head.headers()) seen.headers.emplace_back(field.name, field.value);
    BodyReader body = call.rest();
    auto reading = body.all(std::size_t{64} << 20, call.deadline());
    auto rest = co_await std::move(reading);
    if (rest) seen.body += *rest;
    seen_.push_back(std::move(seen));
    if (!rest) {  // as the gateway does: whoever sent the body says why it ended
      Error error = rest.error();
      [[maybe_unused]] const auto told = co_await call.reply_error(std::move(error));
      co_return;
    }
    const Answer answer = script_[std::min(seen_.size(), script_.size()) - 1];
    if (answer.error.code != Errc::kOk) {
      Error error = answer.error;
      [[maybe_unused]] const auto told = co_await call.reply_error(std::move(error));
      co_return;
    }
    auto answering = reply_with(std::move(call), answer);
    co_await std::move(answering);
  }

  /// In the form that the call has: a gRPC stream's status stands at its end.
  static Task<void> reply_with(Incoming call, Answer answer) {
    const std::vector<Field> headers(answer.headers.begin(), answer.headers.end());
    const std::vector<Field> trailers(answer.trailers.begin(), answer.trailers.end());
    const bool stream = call.head().streamed() && call.head().headers().get("content-type") == "application/grpc";
    Envelope reply;
    reply.headers = headers;
    if (!stream) {
      reply.status = answer.status;
      reply.message = answer.message;
      reply.trailers = trailers;
      auto replying = call.reply(reply, Buffer(std::move(answer.body)));
      [[maybe_unused]] const auto sent = co_await std::move(replying);
      co_return;
    }
    auto beginning = call.reply_streamed(reply, Buffer());
    auto writer = co_await std::move(beginning);
    if (!writer) co_return;
    if (!answer.body.empty()) {
      auto writing = writer->write(Buffer(std::move(answer.body)), call.deadline());
      [[maybe_unused]] const auto written = co_await std::move(writing);
    }
    BodyEnd end;
    end.status = answer.status;
    end.message = std::move(answer.message);
    end.trailers = std::move(answer.trailers);
    auto ending = writer->finish(call.deadline(), std::move(end));
    [[maybe_unused]] const auto ended = co_await std::move(ending);
  }

  static Answer status(std::uint16_t status, std::string body = {}) {
    Answer answer;
    answer.status = status;
    answer.body = std::move(body);
    return answer;
  }
  static Answer error(Errc code, std::string message) {
    Answer answer;
    answer.error = {code, std::move(message)};
    return answer;
  }
  static Ask post(std::string path, std::string body = {}) {
    Ask ask;
    ask.method = "POST";
    ask.path = std::move(path);
    ask.body = std::move(body);
    return ask;
  }

  /// Asks while time passes in steps of 100 ms, for calls that wait between attempts.
  Answer ask_over_time(const Ask& ask) {
    std::optional<Answer> answer;
    TaskScope scope(loop_);
    scope.spawn(keep(gateway_.send(ask), answer));
    for (int i = 0; !answer && i < 10'000; ++i) {
      while (loop_.turn(0ns)) {
      }
      if (!answer) clock_.advance(100ms);
    }
    EXPECT_TRUE(answer);
    return answer.value_or(Answer{});
  }
  static Task<void> keep(Task<Result<Reply>> task, std::optional<Answer>& answer) {
    Result<Reply> reply = co_await std::move(task);
    Answer got;
    if (reply) {
      got.status = reply->head->status();
      got.body = reply->head.payload();
      got.message = text(reply->head->message());
      auto reading = reply->rest.all(std::size_t{64} << 20, Deadline::never());
      const auto rest = co_await std::move(reading);
      if (rest) got.body += *rest;
      if (!rest) got.error = rest.error();
      const BodyEnd& end = reply->rest.end();
      if (!end.empty()) {
        got.status = end.status;
        got.message = end.message;
        got.trailers = end.trailers;
      }
    } else {
      got.error = reply.error();
    }
    answer.emplace(std::move(got));
  }

  /// Takes a call and never answers it.
  static Task<void> hold(Incoming call, std::vector<Incoming>& held) {
    held.push_back(std::move(call));
    co_return;
  }
  static Task<void> begin_stream(Incoming call, std::optional<BodyWriter>& body) {
    const Field headers[] = {{"content-type", "text/event-stream"}};
    Envelope reply;
    reply.status = 200;
    reply.headers = headers;
    auto writer = co_await call.reply_streamed(reply, Buffer());
    if (writer) body.emplace(*std::move(writer));
  }

  /// A policy of retries for calls of `app`.
  void configure_retry(std::int64_t retries, const std::string& codes = {}, const std::string& app = "cart") {
    config::Generation generation;
    config::Resiliency& policies = generation.resiliencies.emplace_back();
    policies.retries["again"].duration = 1s;
    policies.retries["again"].max_retries = retries;
    policies.retries["again"].http_codes = codes;
    policies.apps[app].retry = "again";
    ASSERT_EQ(gateway_.configure(generation), "");
  }

  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  std::vector<Answer> script_{status(200, "done")};
  std::vector<Seen> seen_;
  caisson::testing::FakeGateway gateway_{loop_, "invoke", make_capability};
};

}  // namespace caisson::invoke

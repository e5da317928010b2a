#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/rpc_message.hpp"
#include "gateway/testing/http2_server.hpp"

namespace caisson::gateway::testing {

/// A call as it arrived at an app that speaks gRPC.
struct SeenCall {
  std::map<std::string, std::string> head;
  std::string message;  // without its prefix

  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = head.find(name);
    return found == head.end() ? std::string() : found->second;
  }
};

struct RpcAnswer {
  int status = 0;
  std::string text;      // grpc-message, encoded
  std::string messages;  // with their prefixes
  std::vector<std::pair<std::string, std::string>> metadata = {};
  std::vector<std::pair<std::string, std::string>> trailers = {};
};

/// One message in the form of gRPC.
inline std::string framed(std::string_view message) { return rpc_prefix(message.size()).append(message); }

inline RpcAnswer rpc_answer(std::string_view message) { return {0, {}, framed(message)}; }

inline SeenCall seen_head(const Http2Stream& stream) {
  SeenCall seen;
  for (std::size_t i = 0; i < stream.head().size(); ++i) {
    seen.head.emplace(stream.head()[i].name, stream.head()[i].value);
  }
  return seen;
}

inline void send_rpc_head(Http2Stream& stream, const RpcAnswer& answer) {
  std::vector<Field> head = {{":status", "200"}, {"content-type", "application/grpc"}};
  head.insert(head.end(), answer.metadata.begin(), answer.metadata.end());
  stream.send_head(head, false);
}

inline void send_rpc_end(Http2Stream& stream, const RpcAnswer& answer) {
  const std::string status = std::to_string(answer.status);
  std::vector<Field> trailers = {{"grpc-status", status}};
  if (!answer.text.empty()) trailers.push_back({"grpc-message", answer.text});
  trailers.insert(trailers.end(), answer.trailers.begin(), answer.trailers.end());
  stream.finish(trailers);
}

/// An app that speaks gRPC and answers every call once it is complete.
class RpcApp {
 public:
  using Answer = std::function<RpcAnswer(const SeenCall&)>;

  RpcApp(EventLoop& loop, Answer answer)
      : answer_(std::move(answer)),
        server(loop, [this](std::shared_ptr<Http2Stream> stream) { return serve(std::move(stream)); }) {}

  [[nodiscard]] std::uint16_t port() const { return server.port(); }

 private:
  Task<void> serve(std::shared_ptr<Http2Stream> stream) {
    SeenCall seen = seen_head(*stream);
    while (!stream->ended()) {
      auto waiting = stream->more(Deadline::never());
      const auto more = co_await std::move(waiting);
      if (!more) co_return;
      seen.message += stream->take();
    }
    seen.message += stream->take();
    seen.message.erase(0, kRpcPrefix);
    calls.push_back(seen);
    const RpcAnswer answer = answer_(seen);
    send_rpc_head(*stream, answer);
    stream->send(Buffer::copy_of(answer.messages));
    send_rpc_end(*stream, answer);
  }

  Answer answer_;

 public:
  std::vector<SeenCall> calls;
  Http2Server server;
};

}  // namespace caisson::gateway::testing

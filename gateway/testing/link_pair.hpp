#pragma once

#include <functional>
#include <string>
#include <utility>

#include "bus/inproc_lane.hpp"
#include "bus/link.hpp"
#include "bus/testing/run.hpp"

namespace caisson::gateway::testing {

/// A gateway's and a capability's end of one link, in the test's own loop.
class LinkPair {
 public:
  using Serve = std::function<Task<void>(Incoming)>;

  LinkPair(EventLoop& loop, Serve gateway_serves, Serve capability_serves = refuse)
      : LinkPair(loop, make_inproc_lanes(loop), std::move(gateway_serves), std::move(capability_serves)) {}

  static Task<void> refuse(Incoming incoming) {
    Error error{Errc::kUnimplemented, "nothing is served here"};
    [[maybe_unused]] const auto told = co_await incoming.reply_error(std::move(error));
  }

 private:
  using Lanes = std::pair<std::unique_ptr<Lane>, std::unique_ptr<Lane>>;
  LinkPair(EventLoop& loop, Lanes lanes, Serve gateway_serves, Serve capability_serves)
      : gateway(loop, std::move(lanes.first), Side::kGateway, {}, handlers(std::move(gateway_serves))),
        capability(loop, std::move(lanes.second), Side::kCapability, {}, handlers(std::move(capability_serves))) {
    gateway.start("gateway", "{}");
    capability.start("capability", "{}");
    caisson::testing::run_until(loop, [this] { return gateway.ready() && capability.ready(); });
  }

  static Link::Handlers handlers(Serve serve) {
    Link::Handlers all;
    all.serve = std::move(serve);
    return all;
  }

 public:
  Link gateway;
  Link capability;
};

/// An answer, its body put together.
struct WholeReply {
  std::uint16_t status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

inline Task<Result<WholeReply>> whole(Task<Result<Reply>> task, Deadline deadline) {
  CO_ASSIGN(Reply reply, co_await std::move(task));
  WholeReply all;
  all.status = reply.head->status();
  for (const Field field : reply.head.headers()) all.headers.emplace_back(field.name, field.value);
  all.body = reply.head.payload();
  if (reply.head.streamed()) {
    CO_ASSIGN(std::string rest, co_await reply.rest.all(64 * 1024 * 1024, deadline));
    all.body += rest;
  }
  co_return all;
}

}  // namespace caisson::gateway::testing

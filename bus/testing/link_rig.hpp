#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/link.hpp"
#include "bus/testing/run.hpp"

namespace caisson::testing {

/// One end of a link and what its handlers were told.
class LinkEnd {
 public:
  using Serve = std::function<Task<void>(Incoming)>;

  LinkEnd(EventLoop& loop, std::unique_ptr<Lane> lane, Side side, Link::Options options, Serve serve) {
    Link::Handlers handlers;
    handlers.serve = std::move(serve);
    handlers.control = [this](Frame frame) {
      controls.push_back(std::string(wire::EnumNameKind(frame->kind())) + ":" + std::string(frame.payload()));
    };
    handlers.down = [this](Error reason) {
      ++downs;
      reason_of_down = std::move(reason);
      if (on_down) on_down();
    };
    link = std::make_unique<Link>(loop, std::move(lane), side, options, std::move(handlers));
    link->start("test", "hello");
  }

  std::vector<std::string> controls;
  int downs = 0;
  std::optional<Error> reason_of_down;
  std::function<void()> on_down;
  std::unique_ptr<Link> link;
};

inline Task<void> answer(Incoming request, std::string body) {
  Envelope head;
  head.status = 200;
  Buffer bytes(std::move(body));
  [[maybe_unused]] const auto sent = co_await request.reply(head, std::move(bytes));
}

/// Serves by answering with the request's own body.
inline Task<void> echo(Incoming request) {
  std::string body(request.head().payload());
  co_await answer(std::move(request), std::move(body));
}

/// A call that was begun and will be looked at later.
struct Asked {
  std::optional<Result<std::string>> answer;

  static Task<void> ask(Link& link, std::string body, Deadline deadline, std::shared_ptr<Asked> asked) {
    Buffer bytes(std::move(body));
    const Envelope head;
    Result<Reply> reply = co_await link.call(head, bytes, deadline);
    if (reply)
      asked->answer = std::string(reply->head.payload());
    else
      asked->answer = reply.error();
  }
  /// Begins a call on `scope` and returns at once.
  static std::shared_ptr<Asked> begin(TaskScope& scope, Link& link, std::string body,
                                      Deadline deadline = Deadline::never()) {
    auto asked = std::make_shared<Asked>();
    scope.spawn(ask(link, std::move(body), deadline, asked));
    return asked;
  }
  [[nodiscard]] bool done() const { return answer.has_value(); }
};

/// The same, to the end.
inline Result<std::string> ask(EventLoop& loop, Link& link, std::string body, Deadline deadline = Deadline::never()) {
  TaskScope scope(loop);
  const auto asked = Asked::begin(scope, link, std::move(body), deadline);
  run_until(loop, [&] { return asked->done(); });
  return *asked->answer;
}

}  // namespace caisson::testing

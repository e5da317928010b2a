#include "gateway/dispatch.hpp"

#include <fmt/format.h>

namespace caisson::gateway {

namespace {

Refusal outcome_unknown() {
  return {
      {503, "ERR_OUTCOME_UNKNOWN", "the instance that had the request is gone; whether it was executed is not known"},
      Errc::kUnknown};
}

}  // namespace

Task<Answer> Dispatch::call(RoutedRequest request, Buffer body) {
  const Deadline deadline = request.deadline.value_or(loop_.deadline_in(options_.deadline));
  Deadline queued_until = Deadline::never();
  const bool repeatable = request.route->safe;
  std::string again;  // what was handed over cannot be sent a second time
  if (repeatable) again = body.view();
  bool sent_before = false;

  Answer answer;
  answer.slot = window_.acquire();
  request.envelope.request = answer.slot.id();
  while (true) {
    Instance* instance = queued_until.is_never() ? straight_ahead(request, body.view()) : nullptr;
    if (instance == nullptr) {
      auto finding = find_room(request, body.view(), deadline, queued_until);
      const Result<Instance*> room = co_await std::move(finding);
      if (!room) {
        answer.error = refused(*request.route, room.error());
        co_return answer;
      }
      instance = *room;
    }
    answer.place = Instance::Place(*instance);
    auto asked = instance->link().ask(request.envelope, body, deadline);
    if (!asked) {
      if (asked.error().code == Errc::kResourceExhausted) {
        instance->lane_is_full();
        answer.place.release();
        continue;
      }
      answer.place.release();
      if (asked.error().code == Errc::kUnavailable) {
        co_await loop_.sleep_until(Deadline::at(loop_.now()));  // its end is told in the next turn
        continue;
      }
      answer.error = failed(asked.error());
      co_return answer;
    }

    auto replying = asked->reply(deadline);
    auto reply = co_await std::move(replying);
    if (reply) {
      if (!reply->head.streamed()) {
        answer.place.release();
        answer.slot = {};
      }
      answer.reply.emplace(*std::move(reply));
      co_return answer;
    }
    const bool is_down = instance->link().down();
    answer.place.release();
    if (!is_down) {
      answer.error = failed(reply.error());
      co_return answer;
    }
    // It was taken when its instance went away.
    if (!repeatable || sent_before) {
      ++counters_.requests_unknown_outcome;
      answer.error = outcome_unknown();
      co_return answer;
    }
    sent_before = true;
    ++counters_.requests_resent;
    body = Buffer(again);
  }
}

Task<Opened> Dispatch::open(RoutedRequest request, Buffer first) {
  const Deadline deadline = request.deadline.value_or(loop_.deadline_in(options_.stream_deadline));
  const Deadline wait_until = loop_.deadline_in(options_.deadline).earlier(deadline);
  Deadline queued_until = Deadline::never();
  Opened opened;
  opened.slot = window_.acquire();
  request.envelope.request = opened.slot.id();
  while (true) {
    auto finding = find_room(request, first.view(), wait_until, queued_until);
    const Result<Instance*> room = co_await std::move(finding);
    if (!room) {
      opened.error = refused(*request.route, room.error());
      co_return opened;
    }
    opened.instance = (*room)->shared_from_this();
    opened.place = Instance::Place(**room);
    auto call = opened.instance->link().open(request.envelope, first, deadline);
    if (call) {
      opened.call.emplace(*std::move(call));
      co_return opened;
    }
    opened.place.release();
    if (call.error().code == Errc::kResourceExhausted) {
      opened.instance->lane_is_full();
      continue;
    }
    if (call.error().code == Errc::kUnavailable) {
      co_await loop_.sleep_until(Deadline::at(loop_.now()));
      continue;
    }
    opened.error = failed(call.error());
    co_return opened;
  }
}

Task<Answer> Dispatch::reply(Opened& opened, const Route& route) {
  Answer answer;
  auto reply = co_await opened.call->reply(Deadline::never());  // open() set the call's own
  if (reply) {
    answer.place = std::move(opened.place);
    answer.slot = std::move(opened.slot);
    answer.reply.emplace(*std::move(reply));
    co_return answer;
  }
  if (opened.instance->link().down() && !route.safe && !route.resumable) {
    ++counters_.requests_unknown_outcome;
    answer.error = outcome_unknown();
  } else if (opened.instance->link().down()) {
    answer.error = refused(route, reply.error());  // its body is gone, so the client must repeat it
  } else {
    answer.error = failed(reply.error());
  }
  co_return answer;
}

Instance* Dispatch::straight_ahead(const RoutedRequest& request, std::string_view body) const {
  const RequestKey key(*request.route, request.key, body);
  Instance* const instance = links_.pick(request.manifest->capability, request.component, key);
  return instance != nullptr && instance->has_room() && instance->queue().idle() ? instance : nullptr;
}

Task<Result<Instance*>> Dispatch::find_room(const RoutedRequest& request, std::string_view body, Deadline deadline,
                                            Deadline& queued_until) {
  const RequestKey key(*request.route, request.key, body);
  const std::string& capability = request.manifest->capability;
  const Deadline parked_until = loop_.deadline_in(options_.parking_time).earlier(deadline);
  bool had_turn = !queued_until.is_never();
  while (true) {
    Instance* const instance = links_.pick(capability, request.component, key);
    const std::string process = links_.process_for(capability, request.component);
    if (instance == nullptr) {
      ++counters_.requests_parked;
      CO_TRY(co_await parking_.wait(process, body.size(), parked_until));
      continue;
    }
    if (instance->has_room() && (had_turn || instance->queue().idle())) co_return instance;
    if (queued_until.is_never()) queued_until = loop_.deadline_in(options_.queue_time).earlier(deadline);
    const std::shared_ptr<Instance> kept = instance->shared_from_this();
    const auto end = had_turn ? FairQueue::End::kFront : FairQueue::End::kBack;
    const Result<void> turn = co_await instance->queue().wait(request.envelope.app, body.size(), queued_until, end);
    if (turn && links_.process_for(capability, request.component) != process) {
      instance->admit();  // the component has moved meanwhile: the turn is somebody else's
      queued_until = Deadline::never();
      had_turn = false;
    } else if (turn) {
      if (instance->has_room()) co_return instance;
      had_turn = true;
    } else if (turn.error().code == Errc::kUnavailable) {
      queued_until = Deadline::never();  // it was never sent: the next instance takes it
      had_turn = false;
    } else {
      co_return Error{Errc::kResourceExhausted, turn.error().message};
    }
  }
}

/// Nothing was sent.
Refusal Dispatch::refused(const Route& route, const Error& error) {
  if (error.code == Errc::kResourceExhausted) {
    ++counters_.requests_overloaded;
    return {{503, "ERR_TOO_MANY_REQUESTS", error.message}, Errc::kUnavailable};
  }
  if (route.unavailable.status != 0) return {route.unavailable, Errc::kUnavailable};
  return {{503, "ERR_CAPABILITY_UNAVAILABLE", error.message}, Errc::kUnavailable};
}

/// The capability answered with an error of the exchange itself, or not in time.
Refusal Dispatch::failed(const Error& error) {
  const auto refusal = [&](std::uint16_t status, const char* code) -> Refusal {
    return {{status, code, error.message}, error.code};
  };
  switch (error.code) {
    case Errc::kDeadlineExceeded:
      ++counters_.requests_too_late;
      return refusal(504, "ERR_DEADLINE_EXCEEDED");
    case Errc::kUnavailable:
      return refusal(503, "ERR_CAPABILITY_UNAVAILABLE");
    case Errc::kResourceExhausted:
      return refusal(503, "ERR_TOO_MANY_REQUESTS");
    case Errc::kUnimplemented:
      return refusal(501, "ERR_UNIMPLEMENTED");
    case Errc::kPermissionDenied:
      return refusal(403, "ERR_PERMISSION");
    default:
      return refusal(500, "ERR_INTERNAL");
  }
}

}  // namespace caisson::gateway

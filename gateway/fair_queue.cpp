#include "gateway/fair_queue.hpp"

namespace caisson::gateway {

/// One waiting request, on its coroutine's frame: leaves the queue however that ends.
struct FairQueue::Entry : ListNode {
  Entry(FairQueue& owner, App& of, std::size_t size);
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  ~Entry();

  void leave();

  FairQueue& queue;
  App* app;
  std::size_t bytes;
  bool granted = false;
  bool taken = false;
  WaitQueue woken;
};

/// One app's waiters.
struct FairQueue::App : ListNode {
  std::string_view name;  // the map's key
  IntrusiveList<Entry> entries;
  std::size_t count = 0;
  std::size_t bytes = 0;
};

FairQueue::Entry::Entry(FairQueue& owner, App& of, std::size_t size) : queue(owner), app(&of), bytes(size) {
  ++queue.waiting_;
  ++app->count;
  app->bytes += bytes;
  if (!app->linked()) queue.turns_.push_back(*app);
}

FairQueue::Entry::~Entry() {
  if (app != nullptr) leave();
  if (granted) --queue.granted_;
  // Woken and dropped before it ran: the place goes to the next one.
  if (granted && !taken) queue.offer(queue.granted_ + 1);
}

void FairQueue::Entry::leave() {
  unlink();
  --queue.waiting_;
  --app->count;
  app->bytes -= bytes;
  if (app->count == 0) queue.apps_.erase(queue.apps_.find(app->name));
  app = nullptr;
}

FairQueue::FairQueue(EventLoop& loop, Limits limits) : loop_(loop), limits_(limits) {}
FairQueue::~FairQueue() = default;

Task<Result<void>> FairQueue::wait(std::string_view app, std::size_t bytes, Deadline until, End end) {
  if (closed_) co_return Error{Errc::kUnavailable, "the instance is gone"};
  auto found = apps_.find(app);
  if (found == apps_.end()) {
    found = apps_.try_emplace(std::string(app)).first;
    found->second.name = found->first;
  } else if (end == End::kBack &&
             (found->second.count >= limits_.entries || found->second.bytes + bytes > limits_.bytes)) {
    co_return Error{Errc::kResourceExhausted, "too many requests are waiting"};
  }
  Entry entry(*this, found->second, bytes);
  if (end == End::kFront) {
    found->second.entries.push_front(entry);
  } else {
    found->second.entries.push_back(entry);
  }

  while (!entry.granted) {
    if (closed_) co_return Error{Errc::kUnavailable, "the instance is gone"};
    const Wake wake = co_await entry.woken.wait(loop_, until);
    if (wake == Wake::kDeadline && !entry.granted) {
      co_return Error{Errc::kDeadlineExceeded, "no room came free in time"};
    }
  }
  entry.taken = true;
  co_return ok();
}

void FairQueue::offer(std::size_t places) {
  while (granted_ < places && !turns_.empty()) {
    App& app = turns_.pop_front();
    Entry& entry = app.entries.front();
    const bool more = app.count > 1;
    entry.leave();  // ends the app where it was its last
    if (more) turns_.push_back(app);
    entry.granted = true;
    ++granted_;
    entry.woken.wake_all();
  }
}

void FairQueue::close() {
  closed_ = true;
  for (auto& [name, app] : apps_) {
    IntrusiveList<Entry> all;
    all.take_all(app.entries);
    while (!all.empty()) {
      Entry& entry = all.pop_front();
      app.entries.push_back(entry);
      entry.woken.wake_all();
    }
  }
}

}  // namespace caisson::gateway

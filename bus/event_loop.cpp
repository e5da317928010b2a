#include "bus/event_loop.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace caisson {

namespace {

constexpr std::size_t kEventsPerTurn = 256;

}  // namespace

// --- Alarm, Timer ---

void Alarm::start(Deadline deadline) {
  cancel();
  if (deadline.is_never()) return;
  loop_.due_.push_back({deadline.moment(), this});
  loop_.heap_up(loop_.due_.size() - 1);
}

void Alarm::leave() { loop_.heap_remove(*this); }

void Timer::start_after(Nanos span) { start(Deadline::after(loop().clock(), span)); }

// --- FdWatch ---

Result<void> FdWatch::start(int fd, std::uint32_t events) {
  stop();
  epoll_event event{};
  event.events = events | EPOLLET;
  event.data.ptr = this;
  if (::epoll_ctl(loop_.epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    const Errc code = errno == ENOSPC || errno == ENOMEM ? Errc::kResourceExhausted : Errc::kInternal;
    return Error{code, std::string("cannot watch descriptor: ") + std::strerror(errno)};
  }
  fd_ = fd;
  return ok();
}

void FdWatch::stop() {
  if (fd_ < 0) return;
  ::epoll_ctl(loop_.epoll_fd_, EPOLL_CTL_DEL, fd_, nullptr);
  fd_ = -1;
  // An event for this watch may wait in the batch that is being handed out.
  for (int i = 0; i < loop_.event_count_; ++i) {
    if (loop_.events_[i].data.ptr == this) loop_.events_[i].data.ptr = nullptr;
  }
}

// --- WaitQueue ---

void WaitQueue::wake_one() {
  if (waiters_.empty()) return;
  Waiter& waiter = waiters_.front();
  waiter.loop().make_ready(waiter);
}

void WaitQueue::wake_all() {
  while (!waiters_.empty()) wake_one();
}

// --- EventLoop ---

EventLoop::EventLoop(const Clock& clock) : clock_(clock), now_(clock.now()), events_(kEventsPerTurn) {
  epoll_fd_ = ::epoll_create1(EPOLL_CLOEXEC);
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = this;  // the loop's own address marks its wake-up descriptor
  if (epoll_fd_ < 0 || wake_fd_ < 0 || ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) != 0) {
    std::perror("cannot create an event loop");
    std::abort();  // no descriptors at start: nothing can be served
  }
}

EventLoop::~EventLoop() {
  for (const Due& due : due_) due.alarm->index_ = Alarm::kIdle;
  ::close(wake_fd_);
  ::close(epoll_fd_);
}

void EventLoop::run() {
  while (!stopped_.load(std::memory_order_relaxed)) turn(Nanos::max());
}

void EventLoop::stop() {
  stopped_.store(true, std::memory_order_relaxed);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

bool EventLoop::turn(Nanos max_wait) {
  bool worked = poll_sources();
  worked |= run_posted();
  worked |= run_ready();
  run_hooks();
  worked |= poll_descriptors(max_wait);
  worked |= run_timers();
  return worked;
}

void EventLoop::post(std::function<void()> function) { posted_.push_back(std::move(function)); }

void EventLoop::post_from_any_thread(std::function<void()> function) {
  {
    const std::lock_guard lock(foreign_mutex_);
    foreign_posted_.push_back(std::move(function));
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

std::uint64_t EventLoop::at_turn_end(std::function<void()> hook) {
  hooks_.push_back({next_hook_id_, std::move(hook)});
  return next_hook_id_++;
}

void EventLoop::remove_turn_end(std::uint64_t id) {
  // The entry is emptied, not erased: a hook may remove itself or another while hooks run.
  for (Hook& hook : hooks_) {
    if (hook.id == id) hook.id = 0;
  }
}

void EventLoop::make_ready(WaitQueue::Waiter& waiter) {
  waiter.cancel();
  ready_.push_back(waiter);  // leaves the queue it waited in
}

bool EventLoop::run_ready() {
  if (ready_.empty()) return false;
  // Only those that are ready now: what they wake runs in the next turn, so descriptors never starve.
  IntrusiveList<WaitQueue::Waiter> batch;
  batch.take_all(ready_);
  while (!batch.empty()) batch.pop_front().handle_.resume();
  return true;
}

bool EventLoop::run_posted() {
  if (posted_.empty()) return false;
  std::vector<std::function<void()>> batch = std::exchange(posted_, std::exchange(spare_, {}));
  for (auto& function : batch) function();
  batch.clear();
  spare_ = std::move(batch);
  return true;
}

bool EventLoop::poll_sources() {
  if (sources_.empty()) return false;
  // Taken out and put back one by one: a source may destroy itself, another, or add new ones.
  IntrusiveList<PolledSource> batch;
  batch.take_all(sources_);
  bool worked = false;
  while (!batch.empty()) {
    PolledSource& source = batch.pop_front();
    sources_.push_back(source);
    worked |= source.poll();
  }
  return worked;
}

bool EventLoop::settle_sources() {
  bool settled = true;
  for (PolledSource& source : sources_) settled &= !source.about_to_sleep();
  sources_settled_ = true;
  return settled;
}

void EventLoop::wake_sources() {
  if (!std::exchange(sources_settled_, false)) return;
  for (PolledSource& source : sources_) source.awake();
}

void EventLoop::run_hooks() {
  for (std::size_t i = 0; i < hooks_.size(); ++i) {
    if (hooks_[i].id != 0) hooks_[i].call();
  }
  std::erase_if(hooks_, [](const Hook& hook) { return hook.id == 0; });
}

Nanos EventLoop::wait_time(Nanos max_wait) const {
  if (!ready_.empty() || !posted_.empty() || stopped_.load(std::memory_order_relaxed)) return Nanos::zero();
  if (due_.empty()) return max_wait;
  return std::clamp(due_.front().at - clock_.now(), Nanos::zero(), max_wait);
}

bool EventLoop::poll_descriptors(Nanos max_wait) {
  Nanos wait = wait_time(max_wait);
  if (wait > Nanos::zero() && !settle_sources()) wait = Nanos::zero();
  busy_since_.store(0, std::memory_order_relaxed);
  timespec timeout{};
  timeout.tv_sec = wait.count() / 1'000'000'000;
  timeout.tv_nsec = wait.count() % 1'000'000'000;
  event_count_ = ::epoll_pwait2(epoll_fd_, events_.data(), static_cast<int>(events_.size()),
                                wait == Nanos::max() ? nullptr : &timeout, nullptr);
  now_ = clock_.now();
  busy_since_.store(now_.count(), std::memory_order_relaxed);
  wake_sources();
  if (event_count_ < 0) event_count_ = 0;  // EINTR: the next turn looks again
  const bool worked = event_count_ > 0;
  for (int i = 0; i < event_count_; ++i) {
    void* const target = events_[i].data.ptr;
    if (target == nullptr) continue;
    if (target != this) {
      static_cast<FdWatch*>(target)->callback_(events_[i].events);
      continue;
    }
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wake_fd_, &count, sizeof count);
    std::vector<std::function<void()>> batch;
    {
      const std::lock_guard lock(foreign_mutex_);
      batch.swap(foreign_posted_);
    }
    for (auto& function : batch) function();
  }
  event_count_ = 0;
  return worked;
}

bool EventLoop::run_timers() {
  bool worked = false;
  // No more than there are now: one that starts itself again for this moment leaves the loop its turns.
  for (std::size_t left = due_.size(); left > 0 && !due_.empty() && due_.front().at <= now_; --left) {
    Alarm& alarm = *due_.front().alarm;
    heap_remove(alarm);
    alarm.expired();
    worked = true;
  }
  return worked;
}

// --- the alarms' binary heap ---

void EventLoop::heap_place(std::size_t index, const Due& due) {
  due_[index] = due;
  due.alarm->index_ = index;
}

void EventLoop::heap_up(std::size_t index) {
  const Due due = due_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (due_[parent].at <= due.at) break;
    heap_place(index, due_[parent]);
    index = parent;
  }
  heap_place(index, due);
}

void EventLoop::heap_down(std::size_t index) {
  const Due due = due_[index];
  const std::size_t count = due_.size();
  while (true) {
    std::size_t child = 2 * index + 1;
    if (child >= count) break;
    if (child + 1 < count && due_[child + 1].at < due_[child].at) ++child;
    if (due.at <= due_[child].at) break;
    heap_place(index, due_[child]);
    index = child;
  }
  heap_place(index, due);
}

void EventLoop::heap_remove(Alarm& alarm) {
  const std::size_t index = std::exchange(alarm.index_, Alarm::kIdle);
  const Due last = due_.back();
  due_.pop_back();
  if (last.alarm == &alarm) return;
  heap_place(index, last);
  heap_up(index);
  heap_down(last.alarm->index_);
}

}  // namespace caisson

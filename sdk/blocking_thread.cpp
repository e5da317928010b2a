#include "sdk/blocking_thread.hpp"

namespace caisson::sdk {

BlockingThread::BlockingThread(EventLoop& loop, std::size_t capacity)
    : loop_(loop), capacity_(capacity), thread_([this] { work(); }) {}

BlockingThread::~BlockingThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    jobs_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

Result<void> BlockingThread::submit(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() >= capacity_) {
      return Error{Errc::kResourceExhausted, "too many operations wait for the backend"};
    }
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
  return ok();
}

void BlockingThread::work() {
  while (true) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace caisson::sdk

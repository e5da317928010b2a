#include "bus/shm_bell.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace caisson::shm {

namespace {

/// Far below what a pipe holds, and above what would be noticed.
constexpr std::uint32_t kDrainEvery = 4096;
constexpr std::size_t kDrainBytes = std::size_t{1} << 20;
/// Rings for nothing in a second that pass; a well-behaved peer has almost none.
constexpr std::uint32_t kForNothing = 1000;
constexpr auto kMuted = std::chrono::seconds(1);
constexpr auto kLookEvery = std::chrono::milliseconds(5);
constexpr std::uint32_t kMutes = 3;

}  // namespace

Result<OutgoingBell> OutgoingBell::make() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    return Error{Errc::kResourceExhausted, std::string("cannot make a pipe: ") + std::strerror(errno)};
  }
  OutgoingBell bell;
  bell.read_end_ = FileDescriptor(ends[0]);
  bell.write_end_ = FileDescriptor(ends[1]);
  return bell;
}

void OutgoingBell::ring() {
  // Full: the peer has been rung thousands of times and does not listen.
  [[maybe_unused]] const auto written = ::write(write_end_.get(), "", 1);
}

IncomingBell::IncomingBell(EventLoop& loop, std::function<bool()> rung, std::function<void()> abused)
    : loop_(loop),
      rung_(std::move(rung)),
      abused_(std::move(abused)),
      watch_(loop, [this](std::uint32_t) { heard(); }),
      timer_(loop, [this] { look(); }) {}

Result<void> IncomingBell::watch(FileDescriptor fd) {
  fd_ = std::move(fd);
  return watch_.start(fd_.get(), EPOLLIN);
}

void IncomingBell::stop() {
  watch_.stop();
  timer_.cancel();
  fd_.reset();
}

void IncomingBell::heard() {
  if (++undrained_ >= kDrainEvery) drain();
  undrained_ %= kDrainEvery;
  if (rung_()) return;
  if (loop_.now() - second_began_ >= std::chrono::seconds(1)) {
    second_began_ = loop_.now();
    for_nothing_ = 0;
  }
  if (++for_nothing_ > kForNothing) mute();
}

void IncomingBell::drain() const {
  // The peer shares this open file and may have made it wait; a splice that may not wait never does. A read
  // that may not wait is refused by pipes before Linux 6.4.
  const FileDescriptor nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  [[maybe_unused]] const auto moved =
      ::splice(fd_.get(), nullptr, nowhere.get(), nullptr, kDrainBytes, SPLICE_F_NONBLOCK);
}

void IncomingBell::mute() {
  watch_.stop();
  for_nothing_ = 0;
  if (++mutes_ >= kMutes) return abused_();
  muted_until_ = loop_.now() + kMuted;
  timer_.start_after(kLookEvery);
}

/// Every turn of the loop looks into the ring; the timer only makes it turn.
void IncomingBell::look() {
  if (loop_.now() < muted_until_) return timer_.start_after(kLookEvery);
  drain();
  second_began_ = loop_.now();
  if (!watch_.start(fd_.get(), EPOLLIN)) timer_.start_after(kLookEvery);
}

}  // namespace caisson::shm

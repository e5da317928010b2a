// What two processes can do on this machine with nothing between them: the floor under every lane.
//   caisson_bench_raw WHAT [--cpus A,B] [--seconds S] [--size BYTES]
// Round trips: eventfd (epoll and read), eventfd-et (edge-triggered, never read), unix (stream socket,
// --size bytes), cache-line (both spin; across CPUs only). One way: ring (a single-producer ring of --size
// byte messages; both spin).

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bench/programs/measure.hpp"

namespace caisson::bench {
namespace {

void must(bool held, const char* what) {
  if (held) return;
  std::perror(what);
  std::exit(1);
}

/// Something to sleep on and to wake another process by.
class Bell {
 public:
  explicit Bell(bool read_it) : read_it_(read_it), fd_(::eventfd(0, EFD_NONBLOCK)), epoll_(::epoll_create1(0)) {
    epoll_event event{};
    event.events = read_it ? EPOLLIN : EPOLLIN | EPOLLET;
    must(fd_ >= 0 && epoll_ >= 0 && ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd_, &event) == 0, "eventfd");
  }
  void ring() {
    const std::uint64_t one = 1;
    must(::write(fd_, &one, sizeof one) == sizeof one, "write");
  }
  void wait() {
    epoll_event event{};
    while (::epoll_wait(epoll_, &event, 1, -1) != 1) {
    }
    std::uint64_t count = 0;
    if (read_it_) must(::read(fd_, &count, sizeof count) == sizeof count, "read");
  }

 private:
  bool read_it_;
  int fd_;
  int epoll_;
};

std::string eventfd_round_trips(const Options& options, bool read_it) {
  Bell there(read_it);
  Bell back(read_it);
  const int child = in_child(options.cpus[1], [&] {
    for (;;) {
      there.wait();
      back.ring();
    }
  });
  RoundTrips trips(options.seconds);
  while (trips.begin()) {
    there.ring();
    back.wait();
    trips.end();
  }
  end_and_reap(child);
  return trips.json();
}

void receive_all(int fd, char* data, std::size_t size) {
  for (std::size_t got = 0; got < size;) {
    const auto count = ::read(fd, data + got, size - got);
    must(count > 0, "read");
    got += static_cast<std::size_t>(count);
  }
}

std::string unix_round_trips(const Options& options) {
  int ends[2];
  must(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
  std::string data(options.size, 'x');
  const auto size = static_cast<ssize_t>(data.size());
  const int child = in_child(options.cpus[1], [&] {
    for (;;) {
      receive_all(ends[1], data.data(), data.size());
      must(::write(ends[1], data.data(), data.size()) == size, "write");
    }
  });
  RoundTrips trips(options.seconds);
  while (trips.begin()) {
    must(::write(ends[0], data.data(), data.size()) == size, "write");
    receive_all(ends[0], data.data(), data.size());
    trips.end();
  }
  end_and_reap(child);
  return trips.json();
}

struct alignas(64) Line {
  std::atomic<std::uint64_t> value;
};

std::string cache_line_round_trips(const Options& options) {
  auto* lines = static_cast<Line*>(shared_memory(2 * sizeof(Line)));
  const int child = in_child(options.cpus[1], [lines] {
    for (std::uint64_t next = 1;; ++next) {
      while (lines[0].value.load(std::memory_order_acquire) != next) {
      }
      lines[1].value.store(next, std::memory_order_release);
    }
  });
  // A clock read costs as much as half a round trip: a hundred of them are one span.
  constexpr int kPerSpan = 100;
  const std::int64_t until = now_ns() + static_cast<std::int64_t>(options.seconds * 1e9);
  const std::int64_t began = now_ns();
  std::uint64_t count = 0;
  while (now_ns() < until) {
    for (int i = 0; i < kPerSpan; ++i) {
      lines[0].value.store(++count, std::memory_order_release);
      while (lines[1].value.load(std::memory_order_acquire) != count) {
      }
    }
  }
  const auto spent = static_cast<double>(now_ns() - began);
  end_and_reap(child);
  return json_of({{"round_trips", static_cast<double>(count)}, {"mean_us", spent / static_cast<double>(count) / 1e3}});
}

constexpr std::size_t kSlots = 512;

struct Ring {
  Line tail;
  Line head;
  Line received;  // of the consumer, looked at when the time is over
  char slots[];
};

void consume(Ring& ring, std::size_t size) {
  std::string message(size, 0);
  std::uint64_t head = 0;
  for (;;) {
    const std::uint64_t tail = ring.tail.value.load(std::memory_order_acquire);
    for (; head != tail; ++head) std::memcpy(message.data(), ring.slots + (head % kSlots) * size, size);
    asm volatile("" : : "r"(message.data()) : "memory");  // or the copies would be left out
    ring.head.value.store(head, std::memory_order_release);
  }
}

std::string ring_one_way(const Options& options) {
  auto* ring = static_cast<Ring*>(shared_memory(sizeof(Ring) + kSlots * options.size));
  const int child = in_child(options.cpus[1], [&] { consume(*ring, options.size); });
  const std::string message(options.size, 'x');
  const std::int64_t began = now_ns();
  const std::int64_t until = began + static_cast<std::int64_t>(options.seconds * 1e9);
  std::uint64_t tail = 0;
  std::uint64_t head = 0;
  while (now_ns() < until) {
    for (int i = 0; i < 1024; ++i) {
      while (tail - head >= kSlots) head = ring->head.value.load(std::memory_order_acquire);
      std::memcpy(ring->slots + (tail % kSlots) * options.size, message.data(), options.size);
      ring->tail.value.store(++tail, std::memory_order_release);
    }
  }
  while (ring->head.value.load(std::memory_order_acquire) != tail) {
  }
  const auto spent = static_cast<double>(now_ns() - began);
  end_and_reap(child);
  return json_of({{"messages", static_cast<double>(tail)}, {"per_second", static_cast<double>(tail) / spent * 1e9}});
}

std::string measure(const Options& options) {
  const bool spins = options.what == "cache-line" || options.what == "ring";
  if (spins && options.cpus[0] == options.cpus[1] && options.cpus[0] >= 0) {
    std::fputs("both sides spin: they need a CPU each\n", stderr);
    std::exit(2);
  }
  pin(options.cpus[0]);
  if (options.what == "eventfd") return eventfd_round_trips(options, true);
  if (options.what == "eventfd-et") return eventfd_round_trips(options, false);
  if (options.what == "unix") return unix_round_trips(options);
  if (options.what == "cache-line") return cache_line_round_trips(options);
  return ring_one_way(options);
}

}  // namespace
}  // namespace caisson::bench

int main(int count, char** arguments) {
  using namespace caisson::bench;
  const Options options = parse(count, arguments, {"eventfd", "eventfd-et", "unix", "cache-line", "ring"}, false);
  std::puts(measure(options).c_str());
}

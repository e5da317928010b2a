#include "bench/programs/system_calls.hpp"

#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>

namespace caisson::bench {
namespace {

std::atomic<std::uint64_t> counted{0};

/// The C library's function of that name, after counting one call of it.
template <class Function>
Function next(std::atomic<Function>& known, const char* name) {
  counted.fetch_add(1, std::memory_order_relaxed);
  Function function = known.load(std::memory_order_relaxed);
  if (function == nullptr) {
    function = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
    known.store(function, std::memory_order_relaxed);
  }
  return function;
}

}  // namespace

std::uint64_t system_calls() { return counted.load(std::memory_order_relaxed); }

}  // namespace caisson::bench

// NOLINTBEGIN: the C library's names and types
#define COUNTED(result, name, parameters, arguments)                         \
  extern "C" __attribute__((visibility("default"))) result name parameters { \
    static std::atomic<result(*) parameters> known{nullptr};                 \
    return caisson::bench::next(known, #name) arguments;                     \
  }

COUNTED(ssize_t, read, (int fd, void* data, size_t size), (fd, data, size))
COUNTED(ssize_t, write, (int fd, const void* data, size_t size), (fd, data, size))
COUNTED(ssize_t, readv, (int fd, const iovec* parts, int count), (fd, parts, count))
COUNTED(ssize_t, writev, (int fd, const iovec* parts, int count), (fd, parts, count))
COUNTED(ssize_t, send, (int fd, const void* data, size_t size, int flags), (fd, data, size, flags))
COUNTED(ssize_t, sendmsg, (int fd, const msghdr* message, int flags), (fd, message, flags))
COUNTED(ssize_t, recv, (int fd, void* data, size_t size, int flags), (fd, data, size, flags))
COUNTED(ssize_t, recvmsg, (int fd, msghdr* message, int flags), (fd, message, flags))
COUNTED(int, poll, (pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))
COUNTED(int, epoll_wait, (int epoll, epoll_event* events, int most, int timeout), (epoll, events, most, timeout))
COUNTED(int, epoll_pwait2, (int epoll, epoll_event* events, int most, const timespec* timeout, const sigset_t* mask),
        (epoll, events, most, timeout, mask))
COUNTED(int, epoll_ctl, (int epoll, int operation, int fd, epoll_event* event), (epoll, operation, fd, event))
// NOLINTEND

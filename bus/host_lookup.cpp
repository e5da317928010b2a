#include "bus/host_lookup.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

namespace caisson {

namespace {

constexpr std::size_t kMostAddresses = 8;
/// Lookups cannot be cancelled: those that nobody waits for any more still hold a thread.
constexpr int kMostLookups = 16;
std::atomic<int> lookups{0};

using Addresses = Result<std::vector<std::string>>;

std::string text_of(const addrinfo& info) {
  char text[NI_MAXHOST] = {};  // with the scope of a link-local address
  const int failed = ::getnameinfo(info.ai_addr, info.ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  return failed == 0 ? std::string(text) : std::string();
}

/// What the looking thread and the waiting coroutine share.
struct Lookup {
  WaitQueue done;                   // the loop's thread
  std::optional<Addresses> result;  // the loop's thread
  std::mutex mutex;
  EventLoop* loop = nullptr;  // null: nobody waits any more
};

/// Keeps the thread from posting to a loop that may be gone.
class Waiting {
 public:
  explicit Waiting(std::shared_ptr<Lookup> lookup) : lookup_(std::move(lookup)) {}
  Waiting(const Waiting&) = delete;
  ~Waiting() {
    const std::lock_guard lock(lookup_->mutex);
    lookup_->loop = nullptr;
  }

 private:
  std::shared_ptr<Lookup> lookup_;
};

void look_up_for(const std::shared_ptr<Lookup>& lookup, const std::string& host) {
  auto found = std::make_shared<Addresses>(look_up_host(host));
  lookups.fetch_sub(1);
  const std::lock_guard lock(lookup->mutex);
  if (lookup->loop == nullptr) return;
  lookup->loop->post_from_any_thread([lookup, found] {
    lookup->result.emplace(std::move(*found));
    lookup->done.wake_all();
  });
}

}  // namespace

bool is_host_name(std::string_view host) {
  std::string name(host);
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  in6_addr bytes{};
  return name != "*" && ::inet_pton(AF_INET, name.c_str(), &bytes) != 1 &&
         ::inet_pton(AF_INET6, name.c_str(), &bytes) != 1;
}

Addresses look_up_host(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int failed = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); failed != 0) {
    return Error{Errc::kUnavailable, "host '" + host + "': " + ::gai_strerror(failed)};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  std::vector<std::string> addresses;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const addrinfo* info = list; info != nullptr; info = info->ai_next) {
      if (info->ai_family != family || addresses.size() == kMostAddresses) continue;
      if (std::string text = text_of(*info); !text.empty()) addresses.push_back(std::move(text));
    }
  }
  if (addresses.empty()) return Error{Errc::kUnavailable, "host '" + host + "' has no address"};
  return addresses;
}

Task<Addresses> look_up_host(EventLoop& loop, std::string host, Deadline deadline) {
  if (lookups.fetch_add(1) >= kMostLookups) {
    lookups.fetch_sub(1);
    co_return Error{Errc::kResourceExhausted, "host '" + host + "': too many lookups are under way"};
  }
  const auto lookup = std::make_shared<Lookup>();
  lookup->loop = &loop;
  const Waiting waiting(lookup);
  try {
    // Let go: getaddrinfo cannot be told to end, and nobody should wait for it in order to leave.
    std::thread([lookup, host] { look_up_for(lookup, host); }).detach();
  } catch (const std::system_error& error) {
    lookups.fetch_sub(1);
    co_return Error{Errc::kResourceExhausted, "host '" + host + "': " + error.what()};
  }
  while (!lookup->result) {
    const Wake wake = co_await lookup->done.wait(loop, deadline);
    if (wake == Wake::kDeadline && !lookup->result) {
      co_return Error{Errc::kDeadlineExceeded, "host '" + host + "': the resolver does not answer in time"};
    }
  }
  co_return std::move(*lookup->result);
}

}  // namespace caisson

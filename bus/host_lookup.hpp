#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bus/deadline.hpp"
#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"

namespace caisson {

/// True for a name that has to be looked up; false for an IPv4 or IPv6 address in numbers, with or
/// without brackets, and for `*`.
[[nodiscard]] bool is_host_name(std::string_view host);

/// The addresses of a host in numbers, without brackets, IPv4 first, at most eight; never empty.
/// Blocks as long as the system's resolver does: not for an event loop's thread.
/// kUnavailable: the name is not known (now), or the resolver does not answer.
Result<std::vector<std::string>> look_up_host(const std::string& host);

/// The same on a thread of its own, so that the loop goes on. kDeadlineExceeded when it takes
/// longer; kResourceExhausted while too many lookups of this process hang in the resolver.
Task<Result<std::vector<std::string>>> look_up_host(EventLoop& loop, std::string host, Deadline deadline);

}  // namespace caisson

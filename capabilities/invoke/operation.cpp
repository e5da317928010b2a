#include "capabilities/invoke/operation.hpp"

#include <fmt/format.h>

namespace caisson::invoke {

std::string_view Answer::header(std::string_view name) const {
  for (const Field field : headers) {
    if (equal_ignoring_case(field.name, name)) return field.value;
  }
  return {};
}

Task<Result<std::string>> whole_body(Answer& answer, std::size_t limit, Deadline deadline) {
  std::string body(answer.body.view());
  while (true) {
    if (body.size() > limit) {
      co_return Error{Errc::kResourceExhausted, fmt::format("the answer is longer than {} bytes", limit)};
    }
    if (!answer.next) co_return body;
    auto reading = answer.next(deadline);
    CO_ASSIGN(const std::optional<Buffer> piece, co_await std::move(reading));
    if (!piece) co_return body;
    body += piece->view();
  }
}

}  // namespace caisson::invoke

#include "bus/pump.hpp"

namespace caisson {

Task<void> pump(BodyReader from, BodyWriter to, Deadline deadline) {
  while (true) {
    Result<std::optional<Buffer>> piece = co_await from.next(deadline);
    if (!piece) {
      to.fail(std::move(piece).error());
      co_return;
    }
    if (!*piece) break;
    const Result<void> written = co_await to.write(std::move(**piece), deadline);
    if (!written) co_return;  // the reader has gone, or has answered without reading on
  }
  BodyEnd end = from.end();
  auto finishing = to.finish(deadline, std::move(end));
  [[maybe_unused]] const Result<void> ended = co_await std::move(finishing);
}

}  // namespace caisson

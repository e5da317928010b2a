#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capabilities/state/make_store.hpp"
#include "capabilities/state/operation.hpp"
#include "sdk/component_set.hpp"

namespace caisson::state {

/// A store as one app sees it. Keeps the component alive while a request uses it.
struct Selected {
  std::shared_ptr<StateComponent> component;
  std::string store;
  std::string app;
};

/// Values and what an API puts around them must fit into one frame.
inline constexpr std::size_t kMostValueBytes = kMaxPayload - 64 * 1024;

/// One key of a bulk get: absent, there, or not readable.
using Found = Result<std::optional<Entry>>;

/// What went wrong with the changes of a request, all of it in one text, under the code of an etag error
/// where there is one (kAborted, kInvalidArgument), else another. Nothing when nothing did.
std::optional<Error> joined_error(const Result<std::vector<WriteResult>>& results);

/// The state capability without any API: takes an operation, gives its result. One thread.
class Service {
 public:
  Service(EventLoop& loop, sdk::ComponentSet& components) : loop_(loop), components_(components) {}

  /// The store of that name that the app may use. kFailedPrecondition: the app has no state store at
  /// all; kNotFound: none of that name; kUnavailable: it is known and not ready, with the reason.
  [[nodiscard]] Result<Selected> find(std::string_view store, std::string_view app) const;
  /// The same, but one that is still being opened for the first time is waited for.
  Task<Result<Selected>> select(std::string store, std::string app, Deadline deadline);

  /// kInvalidArgument for a key that holds the separator, which none of the operations below takes.
  [[nodiscard]] static Result<void> check_key(std::string_view key) { return sdk::KeyPrefix::check(key); }

  // What is selected outlives the task.
  Task<Found> get(const Selected& selected, const Get& get, Deadline deadline);
  /// In the order of `keys`. kOutOfRange when all values together are more than `limit` bytes.
  Task<Result<std::vector<Found>>> get_many(const Selected& selected, std::vector<std::string> keys, std::size_t limit,
                                            Deadline deadline);
  /// One result per change, in order: what a store says of a write (store.hpp), or kUnknown for an
  /// option that does not exist. An error: the request failed as a whole.
  Task<Result<std::vector<WriteResult>>> change(const Selected& selected, Changes changes, Deadline deadline);

 private:
  EventLoop& loop_;
  sdk::ComponentSet& components_;
};

}  // namespace caisson::state

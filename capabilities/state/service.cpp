#include "capabilities/state/service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace caisson::state {

namespace {

/// Keys of a bulk get that are asked for together: between two such pieces others are served.
constexpr std::size_t kMostKeysTogether = 64;
/// Fewer at first: how large the values are is not known, and all of a piece are in memory at once.
constexpr std::size_t kFirstKeysTogether = 8;

Error bad(std::string message) { return {Errc::kUnknown, std::move(message)}; }

bool is_consistency(std::string_view word) { return word.empty() || word == "strong" || word == "eventual"; }

Error unknown_consistency(std::string_view word) { return bad(fmt::format("unrecognized consistency model {}", word)); }

Result<std::string> stored_key(const Selected& selected, std::string_view key) {
  return selected.component->prefix.stored_key(selected.app, selected.store, key);
}

Result<Selected> selected_of(sdk::ComponentSet::Found found, std::string_view store, std::string_view app) {
  if (found.component != nullptr) {
    return Selected{std::static_pointer_cast<StateComponent>(std::move(found.component)), std::string(store),
                    std::string(app)};
  }
  switch (found.absent) {
    case sdk::ComponentSet::Absent::kNoneConfigured:
      return Error{Errc::kFailedPrecondition, fmt::format("state store {} is not configured", store)};
    case sdk::ComponentSet::Absent::kUnknown:
      return Error{Errc::kNotFound, fmt::format("state store {} is not found", store)};
    case sdk::ComponentSet::Absent::kNotReady:
      break;
  }
  return Error{Errc::kUnavailable, fmt::format("state store {} is not ready: {}", store, found.reason)};
}

Task<Found> failed(Error error) { co_return error; }

Result<void> check_options(const Change& change) {
  if (!change.concurrency.empty() && change.concurrency != "first-write" && change.concurrency != "last-write") {
    return bad(fmt::format("unrecognized concurrency model {}", change.concurrency));
  }
  if (!is_consistency(change.consistency)) return unknown_consistency(change.consistency);
  return ok();
}

Result<std::int64_t> ttl_of(const Change& change, std::int64_t otherwise) {
  const auto item = change.metadata.find("ttlInSeconds");
  if (item == change.metadata.end() || item->second.empty()) return otherwise;
  const std::string& text = item->second;
  const char* const end = text.data() + text.size();
  const char* const begin = text.starts_with('+') ? text.data() + 1 : text.data();
  std::int64_t seconds = 0;
  const auto parsed = std::from_chars(begin, end, seconds);
  if (parsed.ec != std::errc() || parsed.ptr != end || seconds > INT32_MAX) {
    return bad(fmt::format("error parsing TTL: incorrect value for metadata 'ttlInSeconds': '{}'", text));
  }
  return std::max<std::int64_t>(seconds, 0);
}

Result<Write> write_of(const Selected& selected, Change change) {
  TRY(check_options(change));
  Write write;
  write.kind = change.kind;
  ASSIGN(write.key, stored_key(selected, change.key));
  if (change.kind == ChangeKind::kSet) {
    ASSIGN(write.ttl_seconds, ttl_of(change, selected.component->default_ttl_seconds));
  }
  write.value = std::move(change.value);
  write.form = change.form;
  write.if_match = std::move(change.etag);
  write.first_write = change.concurrency == "first-write";
  write.strong = change.consistency == "strong";
  return write;
}

bool is_etag_error(Errc code) { return code == Errc::kAborted || code == Errc::kInvalidArgument; }

}  // namespace

std::optional<Error> joined_error(const Result<std::vector<WriteResult>>& results) {
  if (!results) {
    // The store's own refusal is never an etag error, whatever its code.
    return Error{Errc::kUnknown, results.error().message};
  }
  std::optional<Error> joined;
  for (const WriteResult& result : *results) {
    if (result.code == Errc::kOk || result.code == Errc::kCancelled) continue;
    if (!joined) {
      joined.emplace(Error{result.code, result.text});
      continue;
    }
    joined->message += "\n" + result.text;
    if (!is_etag_error(joined->code)) joined->code = result.code;
  }
  return joined;
}

Result<Selected> Service::find(std::string_view store, std::string_view app) const {
  return selected_of(components_.find(store, app), store, app);
}

Task<Result<Selected>> Service::select(std::string store, std::string app, Deadline deadline) {
  auto task = components_.find_when_ready(store, app, deadline);
  sdk::ComponentSet::Found found = co_await std::move(task);
  co_return selected_of(std::move(found), store, app);
}

Task<Found> Service::get(const Selected& selected, const Get& get, Deadline deadline) {
  if (!is_consistency(get.consistency)) return failed(unknown_consistency(get.consistency));
  auto key = stored_key(selected, get.key);
  if (!key) return failed(std::move(key).error());
  return selected.component->store->get(*std::move(key), deadline);
}

Task<Result<std::vector<Found>>> Service::get_many(const Selected& selected, std::vector<std::string> keys,
                                                   std::size_t limit, Deadline deadline) {
  std::vector<Found> all;
  all.reserve(keys.size());
  std::size_t size = 0;
  std::size_t together = kFirstKeysTogether;
  while (all.size() < keys.size()) {
    std::vector<std::string> piece;
    for (std::size_t i = all.size(); i < keys.size() && piece.size() < together; ++i) {
      CO_ASSIGN(std::string key, stored_key(selected, keys[i]));
      piece.push_back(std::move(key));
    }
    auto task = selected.component->store->get_many(std::move(piece), deadline);
    std::vector<Found> found = co_await std::move(task);
    for (Found& one : found) {
      if (one && *one) size += (*one)->value.size();
      all.push_back(std::move(one));
    }
    if (size > limit) {
      co_return Error{Errc::kOutOfRange, fmt::format("the values are more than {} bytes together", limit)};
    }
    if (all.size() == keys.size()) break;
    if (deadline.passed(loop_.now())) co_return Error{Errc::kDeadlineExceeded, "not all keys were read in time"};
    // As many as will fit if the next are no larger than those so far.
    const std::size_t average = size / all.size() + 1;
    together = std::clamp<std::size_t>((limit - size) / average, 1, kMostKeysTogether);
    co_await loop_.sleep_until(Deadline::at(loop_.now()));
  }
  co_return all;
}

Task<Result<std::vector<WriteResult>>> Service::change(const Selected& selected, Changes changes, Deadline deadline) {
  // What is wrong by itself never reaches the store; of an atomic request, then nothing does.
  std::vector<WriteResult> results(changes.items.size());
  std::vector<std::size_t> sent;
  Batch batch{changes.request, changes.atomic, {}};
  bool refused = false;
  for (std::size_t i = 0; i < changes.items.size(); ++i) {
    auto write = write_of(selected, std::move(changes.items[i]));
    if (write) {
      batch.writes.push_back(*std::move(write));
      sent.push_back(i);
    } else {
      results[i] = {write.error().code, write.error().message};
      refused = true;
    }
  }
  if (changes.atomic && refused) {
    for (const std::size_t i : sent) results[i] = {Errc::kCancelled, std::string(kOtherRefused)};
    co_return results;
  }
  if (batch.writes.empty()) co_return results;

  auto task = selected.component->store->write(std::move(batch), deadline);
  CO_ASSIGN(std::vector<WriteResult> written, co_await std::move(task));
  // The ledger's answer to a resend is the first one's, so the numbers agree unless it is not one.
  if (written.size() != sent.size()) co_return Error{Errc::kInternal, "the store answered for another request"};
  for (std::size_t i = 0; i < sent.size(); ++i) results[sent[i]] = std::move(written[i]);
  co_return results;
}

}  // namespace caisson::state

#include "capabilities/state/ledger.hpp"

#include <charconv>

namespace caisson::state {

namespace {

/// Takes a number and the character that ends it off the front.
bool take_number(std::string_view& text, char end, std::size_t& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
  if (!text.starts_with(end)) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::string encode_results(const std::vector<WriteResult>& results) {
  std::string text;
  for (const WriteResult& result : results) {
    text += std::to_string(static_cast<unsigned>(result.code));
    text += ' ';
    text += std::to_string(result.text.size());
    text += ':';
    text += result.text;
  }
  return text;
}

Result<std::vector<WriteResult>> decode_results(std::string_view text) {
  std::vector<WriteResult> results;
  while (!text.empty()) {
    std::size_t code = 0;
    std::size_t length = 0;
    if (!take_number(text, ' ', code) || !take_number(text, ':', length) || code > 16 || length > text.size()) {
      return Error{Errc::kDataLoss, "the ledger holds a result that cannot be read"};
    }
    results.push_back({static_cast<Errc>(code), std::string(text.substr(0, length))});
    text.remove_prefix(length);
  }
  return results;
}

bool NewestGenerations::is_new(const RequestId& request) const {
  const auto known = generations_.find({request.incarnation, request.slot});
  return known != generations_.end() && known->second < request.generation;
}

void NewestGenerations::remember(const RequestId& request) {
  if (generations_.size() >= kMost) generations_.clear();
  generations_[{request.incarnation, request.slot}] = request.generation;
}

}  // namespace caisson::state

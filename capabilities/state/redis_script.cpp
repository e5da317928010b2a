#include "capabilities/state/redis_script.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "capabilities/state/ledger.hpp"

namespace caisson::state::redis_script {

namespace {

/// KEYS: one per write, then the ledger's hash if there is one.
/// ARGV: atomic (1, 0), slot (empty: no ledger), generation, refresh (1, 0); then per write: what (s set,
/// f set as a first-write, d delete, x an etag that can be none), the etag it must have (empty: any),
/// seconds to live (0: for ever), value.
/// Answers a word per write: the new version, d deleted, ! refused, - left out because another one was
/// refused, x; or only < for a request that is too old.
///
/// Whatever can fail does so before the first write: conditions of an atomic batch are looked at first,
/// and a server that is out of memory or read-only refuses the first write, never a later one; its error
/// is then the answer as it stands. pcall hides the errors it is used for and no others: a key must not
/// be deleted for want of memory.
constexpr std::string_view kScript = R"lua(
local count, slot, generation = #KEYS, ARGV[2], ARGV[3]
local ledger
if slot ~= '' then
  ledger, count = KEYS[count], count - 1
  local known = redis.call('HGET', ledger, slot)
  if known then
    local last = string.sub(known, 1, 20)
    if last == generation then return string.sub(known, 22) end
    if last > generation then return '<' end
  end
end

local function refusal(i)
  local what, etag = ARGV[4 * i + 1], ARGV[4 * i + 2]
  if what == 'x' then return 'x' end
  if etag == '' and what ~= 'f' then return nil end
  local version = redis.pcall('HGET', KEYS[i], 'version')
  if type(version) == 'table' then
    if not string.find(version.err, 'WRONGTYPE', 1, true) then error(version.err) end
    return '!'
  end
  if etag ~= '' then return version ~= etag and '!' or nil end
  return version and '!' or nil
end

local function next_version(key)
  local version = redis.pcall('HINCRBY', key, 'version', 1)
  if type(version) == 'table' then
    local why = version.err
    local foreign = string.find(why, 'WRONGTYPE', 1, true) or string.find(why, 'not an integer', 1, true) or
      string.find(why, 'overflow', 1, true)
    if not foreign then return nil, version end
    redis.call('DEL', key)
    version = redis.call('HINCRBY', key, 'version', 1)
  end
  return version
end

local function execute(i)
  local key, what, ttl, value = KEYS[i], ARGV[4 * i + 1], ARGV[4 * i + 3], ARGV[4 * i + 4]
  if what == 'd' then
    redis.call('DEL', key)
    return 'd'
  end
  local version, failure = next_version(key)
  if failure then return nil, failure end
  if what == 'f' then
    redis.call('HSET', key, 'data', value, 'first-write', 0)
  else
    redis.call('HSET', key, 'data', value)
  end
  if ttl ~= '0' then
    redis.call('EXPIRE', key, ttl)
  elseif version > 1 then
    redis.call('PERSIST', key)
  end
  return string.format('%.0f', version)
end

local words = {}
local refused, written
if ARGV[1] == '1' then
  for i = 1, count do
    words[i] = refused and '-' or refusal(i)
    if words[i] and not refused then
      for j = 1, i - 1 do words[j] = '-' end
      refused = true
    end
  end
end
if not refused then
  for i = 1, count do
    local word = ARGV[1] ~= '1' and refusal(i)
    if not word then
      local failure
      word, failure = execute(i)
      if failure and not written then return failure end
      if failure then error('executed in part: ' .. failure.err) end
      written = true
    end
    words[i] = word
  end
end

local answer = table.concat(words, ' ')
if ledger then
  local new = redis.call('HSET', ledger, slot, generation .. ' ' .. answer)
  if new == 1 or ARGV[4] == '1' then redis.call('EXPIRE', ledger, 86400) end
end
return answer
)lua";
static_assert(kLedgerKeptSeconds == 86400);

/// SHA-1 of the script, by which the server knows it; a test compares it with the server's own. A
/// constant, because the first use of OpenSSL's digests costs a third of a megabyte of memory.
constexpr std::string_view kScriptHash = "8aaeda7f16d56743aba2382204c71b9cc7434e5d";

/// Bytes of the command beside keys and values, for one write and for all of them; the text of the script apart.
constexpr std::size_t kAroundWrite = 64;
constexpr std::size_t kAroundWrites = 256;

/// As the server writes it: "7" for "007".
std::optional<std::string> version_of(std::string_view etag) {
  if (etag.starts_with('+')) etag.remove_prefix(1);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(etag.data(), etag.data() + etag.size(), number);
  if (error != std::errc() || end != etag.data() + etag.size()) return std::nullopt;
  return std::to_string(number);
}

/// A number with zeros before it.
std::string padded(std::uint64_t number, int base, std::size_t digits) {
  char text[20];  // of 2^64 in base 10
  const char* const end = std::to_chars(text, text + sizeof text, number, base).ptr;
  const auto length = static_cast<std::size_t>(end - text);
  return std::string(digits - std::min(digits, length), '0').append(text, length);
}

void add_write(redis::Command& command, const Write& write) {
  const auto version = write.if_match.empty() ? std::string() : version_of(write.if_match);
  if (!version) {
    command.add("x").add("").add("0").add("");
    return;
  }
  const bool is_delete = write.kind == ChangeKind::kDelete;
  command.add(is_delete ? "d" : write.first_write ? "f" : "s").add(*version).add(write.ttl_seconds);
  command.add(is_delete ? std::string_view() : std::string_view(write.value));
}

Result<WriteResult> result_of(std::string_view word) {
  if (word == "d") return WriteResult{};
  if (word == "!") return WriteResult{Errc::kAborted, std::string(kEtagMismatch)};
  if (word == "-") return WriteResult{Errc::kCancelled, std::string(kOtherRefused)};
  if (word == "x") return WriteResult{Errc::kInvalidArgument, "the etag is not a number"};
  if (can_be_etag(word)) return WriteResult{Errc::kOk, std::string(word)};
  return Error{Errc::kUnknown, "Redis gave an answer that is not of our script"};
}

}  // namespace

bool can_be_etag(std::string_view etag) { return version_of(etag).has_value(); }

redis::Command command_of(const Batch& batch, bool refresh_ledger, Form form) {
  const bool ledger = has_identity(batch.request);
  redis::Command command{form == Form::kHash ? "EVALSHA" : "EVAL"};
  std::size_t size = kAroundWrites;
  for (const Write& write : batch.writes) size += kAroundWrite + write.key.size() + write.value.size();
  command.reserve(size);
  command.add(form == Form::kHash ? kScriptHash : kScript);
  command.add(static_cast<std::int64_t>(batch.writes.size() + (ledger ? 1 : 0)));
  for (const Write& write : batch.writes) command.add(write.key);
  if (ledger) command.add("caisson:ledger:" + padded(batch.request.incarnation, 16, 16));

  command.add(batch.atomic ? "1" : "0");
  if (ledger) {
    command.add(std::int64_t{batch.request.slot}).add(padded(batch.request.generation, 10, 20));
  } else {
    command.add("").add("");
  }
  command.add(refresh_ledger ? "1" : "0");
  for (const Write& write : batch.writes) add_write(command, write);
  return command;
}

bool is_unknown_script(const redis::Reply& reply) { return reply.is_error() && reply.text.starts_with("NOSCRIPT"); }

Result<std::vector<WriteResult>> results_of(const redis::Reply& reply, const Batch& batch) {
  if (reply.is_error()) {
    const Errc code = reply.text.starts_with("NOPERM") ? Errc::kPermissionDenied : Errc::kUnknown;
    return Error{code, "Redis: " + reply.text};
  }
  if (reply.text == "<") return Error{Errc::kFailedPrecondition, std::string(kStaleRequest)};
  std::vector<WriteResult> results;
  std::string_view rest = reply.text;
  while (!rest.empty()) {
    const std::size_t blank = std::min(rest.find(' '), rest.size());
    ASSIGN(WriteResult result, result_of(rest.substr(0, blank)));
    results.push_back(std::move(result));
    rest.remove_prefix(std::min(blank + 1, rest.size()));
  }
  if (results.size() != batch.writes.size()) {
    return Error{Errc::kUnknown, "Redis gave an answer that is not for this request"};
  }
  return results;
}

}  // namespace caisson::state::redis_script

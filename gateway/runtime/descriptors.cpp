#include "gateway/runtime/descriptors.hpp"

#include <algorithm>
#include <cstdint>

namespace caisson::gateway {

namespace {

/// Field numbers of descriptor.proto.
constexpr int kSetFile = 1;
constexpr int kFileName = 1;
constexpr int kFilePackage = 2;
constexpr int kFileDependency = 3;
constexpr int kFileMessage = 4;
constexpr int kFileEnum = 5;
constexpr int kFileService = 6;
constexpr int kName = 1;  // of a message, an enumeration, a service, a method
constexpr int kMessageNested = 3;
constexpr int kMessageEnum = 4;
constexpr int kServiceMethod = 2;

/// Takes a varint off the front.
bool take_varint(std::string_view& bytes, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (bytes.empty()) return false;
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

bool take(std::string_view& bytes, std::uint64_t count, std::string_view& taken) {
  if (count > bytes.size()) return false;
  taken = bytes.substr(0, count);
  bytes.remove_prefix(count);
  return true;
}

Error no_message() { return {Errc::kInvalidArgument, "the bytes are no message"}; }

/// Of any of the messages that begin with their name.
Result<std::string_view> name_in(std::string_view message) {
  std::string_view name;
  TRY(each_bytes_field(message, [&](int number, std::string_view bytes) -> Result<void> {
    if (number == kName) name = bytes;
    return ok();
  }));
  return name;
}

std::string join(const std::string& scope, std::string_view name) {
  return scope.empty() ? std::string(name) : scope + "." + std::string(name);
}

}  // namespace

Result<void> each_bytes_field(std::string_view message,
                              const std::function<Result<void>(int, std::string_view)>& visit) {
  while (!message.empty()) {
    std::uint64_t tag = 0;
    std::uint64_t number = 0;
    std::string_view bytes;
    if (!take_varint(message, tag) || tag >> 3 == 0 || tag >> 3 > INT32_MAX) return no_message();
    switch (tag & 7) {
      case 0:
        if (!take_varint(message, number)) return no_message();
        break;
      case 1:
        if (!take(message, 8, bytes)) return no_message();
        break;
      case 2:
        if (!take_varint(message, number) || !take(message, number, bytes)) return no_message();
        TRY(visit(static_cast<int>(tag >> 3), bytes));
        break;
      case 5:
        if (!take(message, 4, bytes)) return no_message();
        break;
      default:  // groups are of another time
        return no_message();
    }
  }
  return ok();
}

Result<Descriptors> Descriptors::read(std::string_view set) {
  Descriptors all;
  TRY(each_bytes_field(set, [&](int number, std::string_view bytes) -> Result<void> {
    return number == kSetFile ? all.add_file(bytes) : ok();
  }));
  return all;
}

Result<void> Descriptors::add_file(std::string_view bytes) {
  std::string_view name;
  std::string package;
  File file{bytes, {}};
  TRY(each_bytes_field(bytes, [&](int number, std::string_view field) -> Result<void> {
    if (number == kFileName) name = field;
    if (number == kFilePackage) package = field;
    if (number == kFileDependency) file.imports.push_back(field);
    return ok();
  }));
  TRY(each_bytes_field(bytes, [&](int number, std::string_view field) -> Result<void> {
    if (number == kFileMessage) return add_message(field, package, name);
    if (number == kFileEnum) return add_enumeration(field, package, name);
    if (number == kFileService) return add_service(field, package, name);
    return ok();
  }));
  files_.emplace(name, std::move(file));
  return ok();
}

Result<void> Descriptors::add_message(std::string_view bytes, const std::string& scope, std::string_view file) {
  ASSIGN(const std::string_view name, name_in(bytes));
  const std::string full = join(scope, name);
  symbols_.emplace(full, file);
  if (std::ranges::count(full, '.') > 32) return Error{Errc::kInvalidArgument, "messages are nested too deeply"};
  return each_bytes_field(bytes, [&](int number, std::string_view field) -> Result<void> {
    if (number == kMessageNested) return add_message(field, full, file);
    if (number == kMessageEnum) return add_enumeration(field, full, file);
    return ok();
  });
}

Result<void> Descriptors::add_enumeration(std::string_view bytes, const std::string& scope, std::string_view file) {
  ASSIGN(const std::string_view name, name_in(bytes));
  symbols_.emplace(join(scope, name), file);
  return ok();
}

Result<void> Descriptors::add_service(std::string_view bytes, const std::string& scope, std::string_view file) {
  ASSIGN(const std::string_view name, name_in(bytes));
  const std::string full = join(scope, name);
  symbols_.emplace(full, file);
  return each_bytes_field(bytes, [&](int number, std::string_view field) -> Result<void> {
    if (number != kServiceMethod) return ok();
    ASSIGN(const std::string_view method, name_in(field));
    symbols_.emplace(join(full, method), file);
    return ok();
  });
}

std::string_view Descriptors::file_of(std::string_view symbol) const {
  while (!symbol.empty()) {
    const auto found = symbols_.find(symbol);
    if (found != symbols_.end()) return found->second;
    const std::size_t dot = symbol.rfind('.');
    symbol = symbol.substr(0, dot == symbol.npos ? 0 : dot);
  }
  return {};
}

std::vector<std::string_view> Descriptors::with_imports(std::string_view file) const {
  std::vector<std::string_view> names{file};
  std::vector<std::string_view> all;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto found = files_.find(names[i]);
    if (found == files_.end()) continue;
    all.push_back(found->second.bytes);
    for (const std::string_view import : found->second.imports) {
      if (std::ranges::find(names, import) == names.end()) names.push_back(import);
    }
  }
  return all;
}

}  // namespace caisson::gateway

#include "gateway/rpc_message.hpp"

#include <fmt/format.h>

#include <charconv>

#include "bus/gzip.hpp"

namespace caisson::gateway {

namespace {

Error too_large(std::size_t size, std::size_t limit) {
  return {Errc::kResourceExhausted, fmt::format("grpc: received message larger than max ({} vs. {})", size, limit)};
}

Result<std::string> unpack(std::string_view packed, std::string_view encoding, std::size_t limit) {
  if (encoding.empty() || encoding == "identity") {
    return Error{Errc::kInternal, "grpc: compressed flag set with identity or empty encoding"};
  }
  if (encoding != "gzip") {
    return Error{Errc::kUnimplemented,
                 fmt::format("grpc: Decompressor is not installed for grpc-encoding \"{}\"", encoding)};
  }
  auto unpacked = gunzip(packed, limit);
  if (!unpacked && unpacked.error().code == Errc::kInvalidArgument) {
    return Error{Errc::kInternal, "grpc: failed to decompress the received message: " + unpacked.error().message};
  }
  return unpacked;
}

/// A varint at the front of `bytes`, which it removes; nothing when it is broken.
std::optional<std::uint64_t> read_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size() && i < 10; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    value |= std::uint64_t{byte & 0x7Fu} << (7 * i);
    if ((byte & 0x80) == 0) {
      bytes.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> rpc_message_size(std::string_view bytes) {
  if (bytes.size() < kRpcPrefix) return std::nullopt;
  std::size_t size = 0;
  for (std::size_t i = 1; i < kRpcPrefix; ++i) size = (size << 8) | static_cast<unsigned char>(bytes[i]);
  return size;
}

Result<Buffer> take_rpc_message(std::string body, std::string_view encoding, std::size_t limit) {
  const auto size = rpc_message_size(body);
  if (!size) return Error{Errc::kInternal, "grpc: a unary call without its message"};
  if (*size > limit) return too_large(*size, limit);
  if (body.size() != kRpcPrefix + *size) {
    return Error{Errc::kInternal, body.size() < kRpcPrefix + *size ? "grpc: the message is cut short"
                                                                   : "grpc: a unary call with more than one message"};
  }
  if (static_cast<unsigned char>(body[0]) > 1) return Error{Errc::kInternal, "grpc: invalid compressed flag"};
  if (body[0] == 1) {
    ASSIGN(std::string unpacked, unpack(std::string_view(body).substr(kRpcPrefix), encoding, limit));
    return Buffer(std::move(unpacked));
  }
  Buffer whole(std::move(body));
  const std::string_view message = whole.view().substr(kRpcPrefix);
  return Buffer(whole.take_owner(), message);
}

Result<std::string> peek_rpc_message(std::string_view bytes, std::string_view encoding, std::size_t limit) {
  const std::string_view message = bytes.substr(kRpcPrefix, rpc_message_size(bytes).value_or(0));
  if (bytes[0] == 0) return std::string(message);
  return unpack(message, encoding, limit);
}

std::string rpc_prefix(std::size_t size) {
  std::string prefix(kRpcPrefix, '\0');
  for (std::size_t i = 0; i < 4; ++i) prefix[1 + i] = static_cast<char>((size >> (24 - 8 * i)) & 0xFF);
  return prefix;
}

std::optional<Nanos> parse_rpc_timeout(std::string_view text) {
  constexpr std::size_t kMostDigits = 8;
  if (text.size() < 2 || text.size() > kMostDigits + 1) return std::nullopt;
  std::int64_t number = 0;
  const char* const end = text.data() + text.size() - 1;
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || number < 0) return std::nullopt;
  switch (text.back()) {
    case 'H':
      return std::chrono::hours(std::min<std::int64_t>(number, 24 * 365));
    case 'M':
      return std::chrono::minutes(number);
    case 'S':
      return std::chrono::seconds(number);
    case 'm':
      return std::chrono::milliseconds(number);
    case 'u':
      return std::chrono::microseconds(number);
    case 'n':
      return std::chrono::nanoseconds(number);
    default:
      return std::nullopt;
  }
}

std::string format_rpc_timeout(Nanos span) {
  constexpr std::int64_t kMost = 99'999'999;
  const std::int64_t milliseconds = std::chrono::floor<std::chrono::milliseconds>(span).count();
  if (milliseconds <= kMost) return fmt::format("{}m", std::max<std::int64_t>(milliseconds, 0));
  return fmt::format("{}S", std::min(milliseconds / 1000, kMost));
}

std::string encode_rpc_text(std::string_view text) {
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      encoded += c;
    } else {
      fmt::format_to(std::back_inserter(encoded), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

std::string decode_rpc_text(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const char* const end = text.data() + std::min(i + 3, text.size());
    const bool encoded =
        text[i] == '%' && i + 2 < text.size() && std::from_chars(text.data() + i + 1, end, byte, 16).ptr == end;
    decoded += encoded ? static_cast<char>(byte) : text[i];
    if (encoded) i += 2;
  }
  return decoded;
}

std::string_view protobuf_string(std::string_view message, std::uint32_t number) {
  enum Wire : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  std::string_view found;
  while (!message.empty()) {
    const auto tag = read_varint(message);
    if (!tag) return {};
    std::size_t skip = 0;
    switch (*tag & 7) {
      case kVarint:
        if (!read_varint(message)) return {};
        break;
      case kFixed64:
        skip = 8;
        break;
      case kFixed32:
        skip = 4;
        break;
      case kBytes: {
        const auto size = read_varint(message);
        if (!size || *size > message.size()) return {};
        skip = *size;
        if ((*tag >> 3) == number) found = message.substr(0, skip);
        break;
      }
      default:
        return {};
    }
    if (skip > message.size()) return {};
    message.remove_prefix(skip);
  }
  return found;
}

std::string_view protobuf_string_at(std::string_view message, std::string_view path) {
  while (!path.empty()) {
    std::uint32_t number = 0;
    const std::size_t dot = path.find('.');
    const char* const end = path.data() + std::min(dot, path.size());
    if (std::from_chars(path.data(), end, number).ptr != end || number == 0) return {};
    message = protobuf_string(message, number);
    if (dot == std::string_view::npos) return message;
    path.remove_prefix(dot + 1);
  }
  return {};
}

}  // namespace caisson::gateway

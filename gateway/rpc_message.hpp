#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bus/buffer.hpp"
#include "bus/clock.hpp"
#include "bus/result.hpp"

/// The pieces of gRPC over HTTP/2 that are text and bytes
/// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). No I/O.
namespace caisson::gateway {

/// One byte whether it is packed, four bytes how long it is.
inline constexpr std::size_t kRpcPrefix = 5;

/// The length that a message's prefix tells; nothing while the prefix is not all there.
std::optional<std::size_t> rpc_message_size(std::string_view bytes);

/// Takes the only message out of the whole body of a unary call. `encoding` is the header
/// grpc-encoding. kResourceExhausted: over `limit` bytes, packed or not; kInternal: not exactly one
/// message; kUnimplemented: packed in another way than gzip.
Result<Buffer> take_rpc_message(std::string body, std::string_view encoding, std::size_t limit);

/// The same of the first message of a stream, of which `bytes` holds all: unpacked, for a look.
Result<std::string> peek_rpc_message(std::string_view bytes, std::string_view encoding, std::size_t limit);

/// The prefix of an unpacked message.
std::string rpc_prefix(std::size_t size);

/// "100m", "5S": a header grpc-timeout. Nothing where it is none.
std::optional<Nanos> parse_rpc_timeout(std::string_view text);
/// The same, written: at most eight digits, rounded down.
std::string format_rpc_timeout(Nanos span);

/// The text of grpc-message: printable ASCII as it is, all else as %XX.
std::string encode_rpc_text(std::string_view text);
/// And back; what is not encoded stays as it is.
std::string decode_rpc_text(std::string_view text);

/// The value of the last top-level field `number` of a protobuf message, where that is of the kind
/// "length-delimited" (a string); empty when there is none, or the message is broken before it ends.
/// Reads lengths only: the one look that the gateway takes into a body.
std::string_view protobuf_string(std::string_view message, std::uint32_t number);
/// The same for a path of numbers: "1.2" is field 2 of the message in field 1. Empty for an empty path.
std::string_view protobuf_string_at(std::string_view message, std::string_view path);

}  // namespace caisson::gateway

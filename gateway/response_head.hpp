#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bus/wire.hpp"

namespace caisson::gateway {

/// Appends "HTTP/1.1 204 No Content\r\n".
void append_status_line(std::string& out, std::uint16_t status);
/// Appends "Date: …\r\n"; the text is made once per second.
void append_date(std::string& out);
/// Appends "Content-Length: 12\r\n".
void append_length(std::string& out, std::uint64_t size);
void append_header(std::string& out, std::string_view name, std::string_view value);
/// Appends the headers of a capability's answer, without those that the gateway writes itself and
/// without what is no header.
void append_reply_headers(std::string& out, Fields headers);

/// Whether a header of a capability's answer goes to the client.
bool is_reply_header(const Field& field);
/// Reads header lines of our own, each with its CRLF, into fields that point into them.
void append_lines(std::vector<Field>& fields, std::string_view lines);
/// The status itself, 500 where it is none; it came from another process.
std::uint16_t valid_status(std::uint16_t status);

/// An answer with this status has no body and says no length.
bool is_bodiless(std::uint16_t status);

}  // namespace caisson::gateway

#include "gateway/response_head.hpp"

#include <array>
#include <charconv>
#include <ctime>

#include "net/http_headers.hpp"

namespace caisson::gateway {

namespace {

std::string_view reason(std::uint16_t status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Payload Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

}  // namespace

void append_status_line(std::string& out, std::uint16_t status) {
  const std::uint16_t code = valid_status(status);
  out += "HTTP/1.1 ";
  append_number(out, code);
  out += ' ';
  out += reason(code);
  out += "\r\n";
}

void append_date(std::string& out) {
  thread_local std::time_t made_at = 0;
  thread_local char text[64];
  thread_local std::size_t size = 0;
  const std::time_t now = ::time(nullptr);
  if (now != made_at) {
    made_at = now;
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    size = std::strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
  }
  out.append(text, size);
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

void append_length(std::string& out, std::uint64_t size) {
  out += "Content-Length: ";
  append_number(out, size);
  out += "\r\n";
}

bool is_reply_header(const Field& field) {
  return net::is_token(field.name) && net::is_header_value(field.value) && !net::is_connection_header(field.name) &&
         !equal_ignoring_case(field.name, "content-length") && !equal_ignoring_case(field.name, "date");
}

void append_reply_headers(std::string& out, Fields headers) {
  for (const Field field : headers) {
    if (is_reply_header(field)) append_header(out, field.name, field.value);
  }
}

void append_lines(std::vector<Field>& fields, std::string_view lines) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    const auto colon = line.find(": ");
    fields.push_back({line.substr(0, colon), line.substr(colon + 2)});
    lines.remove_prefix(line.size() + 2);
  }
}

// Outside of three digits it would be no HTTP.
std::uint16_t valid_status(std::uint16_t status) { return status >= 200 && status <= 999 ? status : 500; }

bool is_bodiless(std::uint16_t status) { return status == 204 || status == 304; }

}  // namespace caisson::gateway

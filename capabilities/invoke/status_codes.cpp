#include "capabilities/invoke/status_codes.hpp"

#include <algorithm>

namespace caisson::invoke {

namespace {

struct Name {
  std::uint16_t status;
  std::string_view text;
};
constexpr Name kNames[] = {{100, "Continue"},
                           {101, "Switching Protocols"},
                           {102, "Processing"},
                           {103, "Early Hints"},
                           {200, "OK"},
                           {201, "Created"},
                           {202, "Accepted"},
                           {203, "Non-Authoritative Information"},
                           {204, "No Content"},
                           {205, "Reset Content"},
                           {206, "Partial Content"},
                           {207, "Multi-Status"},
                           {208, "Already Reported"},
                           {226, "IM Used"},
                           {300, "Multiple Choices"},
                           {301, "Moved Permanently"},
                           {302, "Found"},
                           {303, "See Other"},
                           {304, "Not Modified"},
                           {305, "Use Proxy"},
                           {307, "Temporary Redirect"},
                           {308, "Permanent Redirect"},
                           {400, "Bad Request"},
                           {401, "Unauthorized"},
                           {402, "Payment Required"},
                           {403, "Forbidden"},
                           {404, "Not Found"},
                           {405, "Method Not Allowed"},
                           {406, "Not Acceptable"},
                           {407, "Proxy Authentication Required"},
                           {408, "Request Timeout"},
                           {409, "Conflict"},
                           {410, "Gone"},
                           {411, "Length Required"},
                           {412, "Precondition Failed"},
                           {413, "Request Entity Too Large"},
                           {414, "Request URI Too Long"},
                           {415, "Unsupported Media Type"},
                           {416, "Requested Range Not Satisfiable"},
                           {417, "Expectation Failed"},
                           {418, "I'm a teapot"},
                           {421, "Misdirected Request"},
                           {422, "Unprocessable Entity"},
                           {423, "Locked"},
                           {424, "Failed Dependency"},
                           {425, "Too Early"},
                           {426, "Upgrade Required"},
                           {428, "Precondition Required"},
                           {429, "Too Many Requests"},
                           {431, "Request Header Fields Too Large"},
                           {451, "Unavailable For Legal Reasons"},
                           {500, "Internal Server Error"},
                           {501, "Not Implemented"},
                           {502, "Bad Gateway"},
                           {503, "Service Unavailable"},
                           {504, "Gateway Timeout"},
                           {505, "HTTP Version Not Supported"},
                           {506, "Variant Also Negotiates"},
                           {507, "Insufficient Storage"},
                           {508, "Loop Detected"},
                           {510, "Not Extended"},
                           {511, "Network Authentication Required"}};

}  // namespace

Errc rpc_code_of(std::uint16_t http_status) {
  if (http_status >= 200 && http_status < 300) return Errc::kOk;
  switch (http_status) {
    case 400:
      return Errc::kInternal;
    case 401:
      return Errc::kUnauthenticated;
    case 403:
      return Errc::kPermissionDenied;
    case 404:
      return Errc::kNotFound;
    case 408:
      return Errc::kCancelled;
    case 409:
      return Errc::kAlreadyExists;
    case 429:
      return Errc::kResourceExhausted;
    case 501:
      return Errc::kUnimplemented;
    case 503:
      return Errc::kUnavailable;
    case 504:
      return Errc::kDeadlineExceeded;
    default:
      return Errc::kUnknown;
  }
}

std::uint16_t http_status_of(Errc code) {
  switch (code) {
    case Errc::kOk:
      return 200;
    case Errc::kInvalidArgument:
    case Errc::kFailedPrecondition:
    case Errc::kOutOfRange:
      return 400;
    case Errc::kUnauthenticated:
      return 401;
    case Errc::kPermissionDenied:
      return 403;
    case Errc::kNotFound:
      return 404;
    case Errc::kCancelled:
      return 408;
    case Errc::kAlreadyExists:
    case Errc::kAborted:
      return 409;
    case Errc::kResourceExhausted:
      return 429;
    case Errc::kUnimplemented:
      return 501;
    case Errc::kUnavailable:
      return 503;
    case Errc::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

std::string_view status_text(std::uint16_t http_status) {
  const auto* const found = std::ranges::find(kNames, http_status, &Name::status);
  return found == std::end(kNames) ? std::string_view() : found->text;
}

}  // namespace caisson::invoke

#include "net/http_headers.hpp"

#include <gtest/gtest.h>

#include <string>

namespace caisson::net {
namespace {

TEST(HttpHeadersTest, AValueMayHoldEverythingButTheEndOfALine) {
  std::string all;
  for (int c = 1; c < 256; ++c) {
    if (c != '\r' && c != '\n') all += static_cast<char>(c);
  }
  EXPECT_TRUE(is_header_value(all));
  EXPECT_TRUE(is_header_value(""));
  for (std::size_t size = 1; size < 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (const char bad : {'\r', '\n', '\0'}) {
        for (const char other : {'x', '\t', '\xFF'}) {
          std::string value(size, other);
          value[at] = bad;
          EXPECT_FALSE(is_header_value(value)) << size << " bytes, " << static_cast<int>(bad) << " at " << at;
        }
      }
    }
  }
}

TEST(HttpHeadersTest, ANameIsAToken) {
  const std::string marks = "!#$%&'*+-.^_`|~";
  EXPECT_TRUE(is_token("azAZ09" + marks));
  EXPECT_FALSE(is_token(""));
  for (int c = 0; c < 256; ++c) {
    const char text = static_cast<char>(c);
    const bool allowed = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c != 0 && marks.find(text) != std::string::npos);
    EXPECT_EQ(is_token(std::string("x") + text), allowed) << c;
  }
}

TEST(HttpHeadersTest, ConnectionHeadersAreKnownInAnyCase) {
  for (const char* name : {"connection", "Keep-Alive", "proxy-connection", "Proxy-Authenticate", "proxy-authorization",
                           "TE", "trailer", "Transfer-Encoding", "upgrade"}) {
    EXPECT_TRUE(is_connection_header(name)) << name;
  }
  for (const char* name :
       {"", "host", "user-agent", "connections", "content-type", "tx", "trailes", "x-forwarded-for"}) {
    EXPECT_FALSE(is_connection_header(name)) << name;
  }
}

}  // namespace
}  // namespace caisson::net

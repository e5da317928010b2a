#include "capabilities/invoke/url.hpp"

#include <gtest/gtest.h>

namespace caisson::invoke {
namespace {

TEST(UrlTest, PartsAreFound) {
  const struct {
    const char* text;
    Url url;
  } rows[] = {
      {"http://host", {false, "host", 80, "host", ""}},
      {"https://host/", {true, "host", 443, "host", ""}},
      {"HTTPS://Host:8443/api/v1/", {true, "Host", 8443, "Host:8443", "/api/v1"}},
      {"http://127.0.0.1:8080/a%20b", {false, "127.0.0.1", 8080, "127.0.0.1:8080", "/a%20b"}},
      {"http://[::1]:81", {false, "::1", 81, "[::1]:81", ""}},
      {"http:/host:81", {false, "host", 81, "host:81", ""}},  // a proxy cleaned the path it stood in
  };
  for (const auto& row : rows) {
    const auto url = parse_url(row.text);
    ASSERT_TRUE(url) << row.text << ": " << url.error().message;
    EXPECT_EQ(*url, row.url) << row.text;
  }
}

TEST(UrlTest, WhatIsNoneIsRefused) {
  for (const char* text :
       {"", "host", "ftp://host", "http://", "http:///path", "http://host:0", "http://host:65536", "http://host:x",
        "http://host:", "http://user:word@host", "http://host?a=1", "http://host#part", "http://ho st", "http://[::1",
        "http://[zz]", "http://[::1]x", "http://host\r\nX: 1", "http://host/\\evil", "http://h\xC3\xB6st"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, Errc::kInvalidArgument);
  }
  EXPECT_FALSE(parse_url("http://host/" + std::string(3000, 'x')));
}

TEST(UrlTest, OnlySchemesMakeAnAppIdAUrl) {
  EXPECT_TRUE(is_url("http://host"));
  EXPECT_TRUE(is_url("https:/host"));
  EXPECT_FALSE(is_url("http"));
  EXPECT_FALSE(is_url("https:"));
  EXPECT_FALSE(is_url("cart"));
}

}  // namespace
}  // namespace caisson::invoke

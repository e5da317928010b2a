#include "sdk/base64.hpp"

#include <gtest/gtest.h>

namespace caisson::sdk {

TEST(Base64Test, EncodesAndDecodesEveryLength) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("f"), "Zg==");
  EXPECT_EQ(base64_encode("fo"), "Zm8=");
  EXPECT_EQ(base64_encode("foobar"), "Zm9vYmFy");
  for (const std::string text : {"", "f", "fo", "foo", "foob"}) EXPECT_EQ(base64_decode(base64_encode(text)), text);
  EXPECT_EQ(base64_decode("Zm9v\nYmFy\r\n"), "foobar");
  for (const char* broken : {"Z", "Zg=", "Z===", "Zg=a", "Z*==", "Zg==Zg=="})
    EXPECT_EQ(base64_decode(broken), std::nullopt) << broken;
}

}  // namespace caisson::sdk

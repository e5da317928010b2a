#include "sdk/key_prefix.hpp"

#include <gtest/gtest.h>

namespace caisson::sdk {
namespace {

KeyPrefix prefix_of(std::string text, std::optional<std::string> app_namespace = "") {
  auto prefix = KeyPrefix::parse(Metadata(Metadata::Items{{"KeyPrefix", std::move(text)}}), std::move(app_namespace));
  EXPECT_TRUE(prefix);
  return prefix ? *prefix : KeyPrefix();
}

TEST(KeyPrefixTest, EveryStrategyGivesDaprsKeys) {
  EXPECT_EQ(*KeyPrefix().stored_key("shop", "store", "k"), "shop||k");
  EXPECT_EQ(*prefix_of("appid").stored_key("shop", "store", "k"), "shop||k");
  EXPECT_EQ(*prefix_of("NAME").stored_key("shop", "store", "k"), "store||k");
  EXPECT_EQ(*prefix_of("none").stored_key("shop", "store", "k"), "k");
  EXPECT_EQ(*prefix_of("namespace", "prod").stored_key("shop", "store", "k"), "prod.shop||k");
  EXPECT_EQ(*prefix_of("namespace").stored_key("shop", "store", "k"), "shop||k");
  EXPECT_EQ(*prefix_of("namespace", std::nullopt).stored_key("shop", "store", "k"), "namespace||k");
  EXPECT_EQ(*prefix_of("MyText").stored_key("shop", "store", "k"), "mytext||k") << "lower-cased, as Dapr does";
}

TEST(KeyPrefixTest, TheSeparatorIsRefusedInKeysAndInPrefixes) {
  for (const KeyPrefix& prefix : {KeyPrefix(), prefix_of("none")}) {
    const auto key = prefix.stored_key("shop", "store", "a||b");
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().message, "input key/keyPrefix 'a||b' can't contain '||'");
  }
  EXPECT_FALSE(KeyPrefix::parse(Metadata(Metadata::Items{{"keyPrefix", "a||b"}}), {}));
}

}  // namespace
}  // namespace caisson::sdk

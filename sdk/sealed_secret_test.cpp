#include "sdk/sealed_secret.hpp"

#include <gtest/gtest.h>

namespace caisson::sdk {
namespace {

TEST(SealedSecretTest, OnlyTheReceiverOpensIt) {
  const SecretReceiver receiver;
  const SecretReceiver other;

  const auto sealed = seal_secret(receiver.public_key(), "correct horse");

  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->find("correct horse"), std::string::npos);
  EXPECT_EQ(*receiver.open(*sealed), "correct horse");
  EXPECT_EQ(other.open(*sealed).error().code, Errc::kDataLoss);
}

TEST(SealedSecretTest, AChangedOrTruncatedOneIsRefused) {
  const SecretReceiver receiver;
  std::string sealed = *seal_secret(receiver.public_key(), "correct horse");

  EXPECT_FALSE(receiver.open(sealed.substr(0, 20)));
  sealed.back() = static_cast<char>(sealed.back() ^ 1);

  EXPECT_FALSE(receiver.open(sealed));
}

TEST(SealedSecretTest, AnEmptySecretIsASecret) {
  const SecretReceiver receiver;

  EXPECT_EQ(*receiver.open(*seal_secret(receiver.public_key(), "")), "");
}

TEST(SealedSecretTest, WhatIsNoKeyIsRefused) {
  for (const char* key : {"", "12", "zz", "0000000000000000000000000000000000000000000000000000000000000000ff"}) {
    EXPECT_EQ(seal_secret(key, "s").error().code, Errc::kInvalidArgument) << key;
  }
}

}  // namespace
}  // namespace caisson::sdk

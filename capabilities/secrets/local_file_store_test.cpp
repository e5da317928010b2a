#include "capabilities/secrets/local_file_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"

namespace caisson::secrets {
namespace {

using ::testing::HasSubstr;

Secrets parsed(std::string_view json, bool multi_valued = false) {
  auto secrets = parse_secrets(json, ":", multi_valued);
  EXPECT_TRUE(secrets);
  return *secrets;
}

TEST(ParseSecretsTest, NestedObjectsAndArraysBecomeNames) {
  const Secrets secrets = parsed(R"({"db":{"user":"u","hosts":["a","b"],"deep":{"er":"x"}}})");

  EXPECT_EQ(secrets, (Secrets{{"db:user", {{"db:user", "u"}}},
                              {"db:hosts:0", {{"db:hosts:0", "a"}}},
                              {"db:hosts:1", {{"db:hosts:1", "b"}}},
                              {"db:deep:er", {{"db:deep:er", "x"}}}}));
}

TEST(ParseSecretsTest, MultiValuedSecretsKeepTheirKeysTogether) {
  const Secrets secrets = parsed(R"({"db":{"user":"u","deep":{"er":"x"}},"plain":"p"})", true);

  EXPECT_EQ(secrets, (Secrets{{"db", {{"user", "u"}, {"deep:er", "x"}}}, {"plain", {{"plain", "p"}}}}));
}

TEST(ParseSecretsTest, OfTwoWithOneNameTheLaterStands) {
  EXPECT_EQ(parsed(R"({"a":"1","a":"2"})"), (Secrets{{"a", {{"a", "2"}}}}));
  EXPECT_EQ(parsed(R"({"a":{"b":"1"},"a:b":"2"})"), (Secrets{{"a:b", {{"a:b", "2"}}}}));
}

TEST(ParseSecretsTest, OddValuesAreTheirJsonText) {
  EXPECT_EQ(parsed(R"({"n":12,"t":true,"z":null})"),
            (Secrets{{"n", {{"n", "12"}}}, {"t", {{"t", "true"}}}, {"z", {{"z", ""}}}}));
}

TEST(ParseSecretsTest, WhatIsNoJsonObjectIsRefused) {
  for (const char* json : {"", "{", "[]", "\"a\"", "{\"a\":}", "{\"a\":\"\xFF\"}"}) {
    EXPECT_FALSE(parse_secrets(json, ":", false)) << json;
  }
  EXPECT_FALSE(parse_secrets(std::string(100'000, '['), ":", false));
}

class LocalFileStoreTest : public ::testing::Test {
 protected:
  void write(const std::string& text) {
    // As an editor does it: a new file in place of the old.
    const auto draft = directory_.path() / "draft";
    std::ofstream(draft) << text;
    std::filesystem::rename(draft, file_);
  }
  Result<std::shared_ptr<LocalFileStore>> open() { return LocalFileStore::open({file_.string(), ":", false}); }
  Result<Secret> get(LocalFileStore& store, const std::string& name) {
    return testing::run(loop_, store.get(name, Deadline::never()));
  }

  testing::TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_.path() / "secrets.json";
  SystemClock clock_;
  EventLoop loop_{clock_};
};

TEST_F(LocalFileStoreTest, AMissingOrBrokenFileIsAnErrorThatNamesIt) {
  const auto missing = open();
  write("{broken");
  const auto broken = open();

  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kUnavailable);
  EXPECT_THAT(missing.error().message, HasSubstr("secrets.json"));
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, Errc::kInvalidArgument);
  EXPECT_THAT(broken.error().message, HasSubstr("secrets.json"));
}

TEST_F(LocalFileStoreTest, AChangedFileIsReadAgain) {
  write(R"({"a":"1"})");
  const auto store = *open();
  EXPECT_EQ(get(*store, "a")->at("a"), "1");

  write(R"({"a":"2"})");

  EXPECT_EQ(get(*store, "a")->at("a"), "2");
}

TEST_F(LocalFileStoreTest, AFileWrittenInPlaceWithTheSameLengthIsReadAgain) {
  std::ofstream(file_) << R"({"a":"1"})";
  const auto store = *open();

  std::ofstream(file_) << R"({"a":"2"})";

  EXPECT_EQ(get(*store, "a")->at("a"), "2");
}

TEST_F(LocalFileStoreTest, AFileThatBreaksLeavesTheSecretsInForceAndHealsByItself) {
  write(R"({"a":"1"})");
  const auto store = *open();

  write("{broken");
  EXPECT_EQ(get(*store, "a")->at("a"), "1");
  EXPECT_THAT(store->down_reason().value_or(""), HasSubstr("secrets.json"));
  std::filesystem::remove(file_);
  EXPECT_EQ(get(*store, "a")->at("a"), "1");
  EXPECT_NE(store->down_reason(), std::nullopt);
  write(R"({"a":"3"})");

  EXPECT_EQ(get(*store, "a")->at("a"), "3");
  EXPECT_EQ(store->down_reason(), std::nullopt);
}

TEST_F(LocalFileStoreTest, AFileOverTheLimitIsRefused) {
  write("{\"a\":\"" + std::string(LocalFileStore::kMaxFile, 'x') + "\"}");

  const auto store = open();

  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, HasSubstr("over"));
}

TEST_F(LocalFileStoreTest, ADirectoryInPlaceOfTheFileIsAnError) {
  std::filesystem::create_directory(file_);

  EXPECT_FALSE(open());
}

}  // namespace
}  // namespace caisson::secrets

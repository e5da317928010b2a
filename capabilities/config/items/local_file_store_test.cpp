#include "capabilities/config/items/local_file_store.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "bus/testing/temporary_directory.hpp"
#include "capabilities/config/items/items_file.hpp"

namespace caisson::items {
namespace {

using ::testing::HasSubstr;

class LocalFileStoreTest : public ::testing::Test {
 protected:
  void write(const std::string& text) const { std::ofstream(file_, std::ios::trunc | std::ios::binary) << text; }
  Result<std::shared_ptr<LocalFileStore>> open() {
    return LocalFileStore::open(loop_, {file_.string(), (directory_.path() / "last").string()});
  }
  std::string value(LocalFileStore& store, const std::string& key) {
    const auto items = caisson::testing::run(loop_, store.get({key}, Deadline::never()));
    return items->empty() ? "" : items->begin()->second.value;
  }
  void wait_until(const std::function<bool()>& done) {
    caisson::testing::run_until(loop_, [&] {
      clock_.advance(std::chrono::milliseconds(50));
      return done();
    });
  }

  caisson::testing::TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_.path() / "flags.json";
  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
};

TEST_F(LocalFileStoreTest, ABrokenFileKeepsWhatWasReadAndSaysWhereItIsBroken) {
  write(R"({"a":"1"})");
  const auto store = *open();

  write("{\n\"a\": \"2\",\n\"b\": 7\n}");
  wait_until([&] { return !store->note().empty(); });
  EXPECT_EQ(store->note(), file_.string() +
                               ":3: 'b' must be a text in quotes, or an object with value, version and "
                               "metadata; the items read before stay in force");
  EXPECT_EQ(value(*store, "a"), "1");
  EXPECT_EQ(store->down_reason(), std::nullopt);
  write(R"({"a":"3"})");
  wait_until([&] { return value(*store, "a") == "3"; });

  EXPECT_EQ(store->note(), "");
}

TEST_F(LocalFileStoreTest, AFileThatIsBrokenForAMomentIsNotReported) {
  write(R"({"a":"1"})");
  const auto store = *open();
  int notes = 0;
  store->noted = [&notes] { ++notes; };

  std::ofstream in_place(file_, std::ios::trunc);
  in_place << R"({"a":)" << std::flush;
  for (int i = 0; i < 5; ++i) loop_.turn(std::chrono::milliseconds(5));  // time stands still
  in_place << R"("2"})";
  in_place.close();
  wait_until([&] { return value(*store, "a") == "2"; });

  EXPECT_EQ(notes, 0);
}

TEST_F(LocalFileStoreTest, WhatWasReadLastIsThereAfterARestartWithABrokenOrMissingFile) {
  write(R"({"a":"1"})");
  (*open()).reset();  // the copy is on disk then
  for (const bool missing : {false, true}) {
    write("{");
    if (missing) std::filesystem::remove(file_);

    const auto store = open();

    ASSERT_TRUE(store) << store.error().message;
    EXPECT_EQ(value(**store, "a"), "1");
    EXPECT_THAT((*store)->note(), HasSubstr(missing ? "does not exist" : "flags.json:1: "));
    write(R"({"a":"1"})");
    wait_until([&] { return (*store)->note().empty(); });
  }
}

TEST_F(LocalFileStoreTest, TheCopyIsReadableByItsOwnerAlone) {
  write(R"({"a":"1"})");
  (*open()).reset();

  struct stat about {};
  ASSERT_EQ(::stat((directory_.path() / "last").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600U);
}

TEST_F(LocalFileStoreTest, AFirstFileThatIsBrokenOrMissingIsAnErrorThatNamesIt) {
  const auto missing = open();
  write("{\"a\"\n:}");
  const auto broken = open();

  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, file_.string() + " does not exist");
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, HasSubstr("flags.json:2: "));
}

TEST_F(LocalFileStoreTest, AFolderThatComesLaterAndALinkThatIsSwappedAreSeen) {
  const auto folder = directory_.path() / "mount";
  std::filesystem::create_directory(folder);
  std::filesystem::create_directory(folder / "v1");
  std::filesystem::create_directory(folder / "v2");
  std::ofstream(folder / "v1" / "flags.json") << R"({"a":"1"})";
  std::ofstream(folder / "v2" / "flags.json") << R"({"a":"2"})";
  std::filesystem::create_symlink("v1", folder / "..data");
  std::filesystem::create_symlink("..data/flags.json", folder / "flags.json");
  file_ = folder / "flags.json";
  const auto store = *open();
  EXPECT_EQ(value(*store, "a"), "1");

  std::filesystem::create_symlink("v2", folder / "..next");
  std::filesystem::rename(folder / "..next", folder / "..data");

  caisson::testing::run_until(loop_, [&] { return value(*store, "a") == "2"; });  // time stands still
}

TEST(ItemsFileTest, ValuesAreTextsOrObjects) {
  const auto items = parse_items(R"({"a":"1","b":{"value":"2","version":"v","metadata":{"x":"y"}},"c":{}})");

  ASSERT_TRUE(items) << items.error().message;
  EXPECT_EQ(*items, (Items{{"a", {"1", "", {}}}, {"b", {"2", "v", {{"x", "y"}}}}}));
}

TEST(ItemsFileTest, WhatIsWrongIsSaidWithItsLine) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "1: the file must hold one JSON object"},
      {"[]", "1: the file must hold one JSON object"},
      {"{\n\"a\":\"1\"\n} x", "3: "},
      {"{\"a\":\"1\",\n\"a\":\"2\"}", "2: 'a' is there twice"},
      {"{\"\":\"1\"}", "1: a key must have 1 to 1024 bytes"},
      {"{\"" + std::string(1025, 'k') + "\":\"1\"}", "1: a key must have 1 to 1024 bytes"},
      {"{\"a\":null}", "1: 'a' must be a text in quotes, or an object"},
      {"{\"a\":{\"value\":1}}", "1: 'a.value' must be a text in quotes"},
      {"{\"a\":{\n\"version\":[]}}", "2: 'a.version' must be a text in quotes"},
      {"{\"a\":{\"metadata\":\"x\"}}", "1: 'a.metadata' must be an object"},
      {"{\"a\":{\"metadata\":{\"x\":1}}}", "1: 'a.metadata.x' must be a text in quotes"},
      {"{\"a\":{\"vale\":\"1\"}}", "1: 'a.vale' is unknown; an item has value, version and metadata"},
      {"{\"a\":\"1\"", "1: "},
  };
  for (const auto& [json, message] : cases) {
    const auto items = parse_items(json);
    ASSERT_FALSE(items) << json;
    EXPECT_THAT(items.error().message, ::testing::StartsWith(message)) << json;
  }
}

TEST(ItemsFileTest, TooManyItemsAreRefused) {
  std::string json = "{";
  for (std::size_t i = 0; i <= kMaxItems; ++i) json += fmt::format("{}\"k{}\":\"1\"", i == 0 ? "" : ",", i);
  const auto items = parse_items(json + "}");

  ASSERT_FALSE(items);
  EXPECT_EQ(items.error().code, Errc::kResourceExhausted);
  EXPECT_EQ(items.error().message, "1: there are more than 10000 items");
}

}  // namespace
}  // namespace caisson::items

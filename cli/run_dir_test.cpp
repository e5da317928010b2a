#include "cli/run_dir.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/testing/test_dir.hpp"

namespace caisson::cli {
namespace {

using testing::HasSubstr;

TEST(RunDirTest, AFolderIsMadeWithItsParentsForThisUserOnly) {
  const TestDir dir;

  const auto made = make_private_dir(dir / "a/b/c");

  ASSERT_TRUE(made) << made.error().message;
  struct stat found {};
  ASSERT_EQ(::stat((dir / "a/b/c").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700U);
  EXPECT_TRUE(make_private_dir(dir / "a/b/c"));
}

TEST(RunDirTest, AFileWhereTheFolderShouldBeIsAClearError) {
  const TestDir dir;
  std::ofstream(dir / "file") << "x";

  const auto made = make_private_dir(dir / "file");

  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message, (dir / "file") + " is not a folder");
}

TEST(RunDirTest, AFileIsReplacedAsAWholeAndIsPrivate) {
  const TestDir dir;
  ASSERT_TRUE(write_file(dir / "f", "first, and longer"));

  ASSERT_TRUE(write_file(dir / "f", "second"));

  EXPECT_EQ(*read_file(dir / "f"), "second");
  struct stat found {};
  ASSERT_EQ(::stat((dir / "f").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U);
  EXPECT_FALSE(std::filesystem::exists(dir / "f.new"));
}

TEST(RunDirTest, AFileOverTheLimitIsRefused) {
  const TestDir dir;
  ASSERT_TRUE(write_file(dir / "f", std::string(100, 'x')));

  EXPECT_FALSE(read_file(dir / "f", 99));
  EXPECT_TRUE(read_file(dir / "f", 100));
}

TEST(RunDirTest, AMissingFileIsNotFound) {
  const TestDir dir;

  EXPECT_EQ(read_file(dir / "none").error().code, Errc::kNotFound);
}

TEST(RunDirTest, ASecondHolderOfAFolderIsToldThePidOfTheFirst) {
  const TestDir dir;
  const auto first = DirLock::take(dir.path());
  ASSERT_TRUE(first);

  const auto second = DirLock::take(dir.path());

  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("is in use by another caisson (pid " + std::to_string(::getpid())));
}

TEST(RunDirTest, AFolderIsFreeAgainWhenItsHolderIsGone) {
  const TestDir dir;
  { const auto first = DirLock::take(dir.path()); }

  EXPECT_TRUE(DirLock::take(dir.path()));
}

TEST(RunDirTest, APidFileThatHoldsNoPidIsNoPid) {
  const TestDir dir;
  for (const char* text : {"", "x", "-5", "0", "1", "99999999999999"}) {
    ASSERT_TRUE(write_file(pid_file(dir.path(), "state"), text));
    EXPECT_FALSE(read_pid(dir.path(), "state")) << text;
  }
  ASSERT_TRUE(write_file(pid_file(dir.path(), "state"), "4711\n"));
  EXPECT_EQ(read_pid(dir.path(), "state"), 4711);
}

}  // namespace
}  // namespace caisson::cli

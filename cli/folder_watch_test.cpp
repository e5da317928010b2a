#include "cli/folder_watch.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "bus/testing/run.hpp"
#include "cli/run_dir.hpp"
#include "cli/testing/test_dir.hpp"

namespace caisson::cli {
namespace {

using caisson::testing::run_until;

TEST(FolderWatchTest, AFileThatIsPutThereReplacedOrRemovedIsSeen) {
  const SystemClock clock;
  EventLoop loop(clock);
  const TestDir dir;
  int seen = 0;
  FolderWatch watch(loop, [&] { ++seen; });
  ASSERT_TRUE(watch.start({dir.path()}));

  ASSERT_TRUE(write_file(dir / "a.yaml", "1"));
  run_until(loop, [&] { return seen == 1; });
  ASSERT_TRUE(write_file(dir / "a.yaml", "2"));
  run_until(loop, [&] { return seen == 2; });
  std::filesystem::remove(dir / "a.yaml");
  run_until(loop, [&] { return seen == 3; });
}

TEST(FolderWatchTest, AFolderThatIsNotThereIsNamed) {
  const SystemClock clock;
  EventLoop loop(clock);
  FolderWatch watch(loop, [] {});

  const auto started = watch.start({"/no/such/folder"});

  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().message, "cannot watch /no/such/folder: No such file or directory");
}

}  // namespace
}  // namespace caisson::cli

#include "cli/folder_watch.hpp"

#include <filesystem>

#include <gtest/gtest.h>

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

TEST(SecretStoreScanTest, ASecretStoreIsFoundInYamlAndJsonSpelling) {
  for (const char* text : {"spec:\n  type: secretstores.local.env\n", "spec:\n  type: \"SecretStores.local.file\"\n",
                           R"({"spec":{"type":"secretstores.local.env"}})", "type:   'secretstores.x'"}) {
    const TestDir dir;
    ASSERT_TRUE(write_file(dir / "s.YAML", text));
    EXPECT_TRUE(names_a_secret_store({dir.path()})) << text;
  }
}

TEST(SecretStoreScanTest, OtherTypesAndOtherFilesAreNotTakenForOne) {
  const TestDir dir;
  ASSERT_TRUE(write_file(dir / "a.yaml", "type: state.sqlite\n# secretstores. are elsewhere\n"));
  ASSERT_TRUE(write_file(dir / "b.txt", "type: secretstores.local.env\n"));
  ASSERT_TRUE(write_file(dir / "c.yaml", "name: secretstores.local.env\n"));

  EXPECT_FALSE(names_a_secret_store({dir.path(), "/no/such/folder"}));
}

}  // namespace
}  // namespace caisson::cli

#include "capabilities/config/resources_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "capabilities/config/testing/temporary_folder.hpp"

namespace caisson::config {
namespace {

using testing::component_yaml;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::TemporaryFolder;

constexpr std::string_view kBroken = "kind: Component\nspec: [\n";

class ResourcesFolderTest : public ::testing::Test {
 protected:
  ResourcesFolder open() { return ResourcesFolder({{folder_.path()}, {}, ""}); }

  static std::vector<std::string> names(const ResourcesFolder& resources) {
    std::vector<std::string> out;
    for (const Component& component : resources.documents().components) out.push_back(component.name);
    return out;
  }
  static std::string value(const ResourcesFolder& resources, std::size_t index = 0) {
    return resources.documents().components.at(index).metadata.at(0).value;
  }
  /// The scan that sees a deletion and, later, the one that believes it.
  void scan_twice(ResourcesFolder& resources) {
    resources.scan(now_);
    now_ += kDeletionPatience;
    resources.scan(now_);
  }

  TemporaryFolder folder_;
  Nanos now_ = std::chrono::hours(1);
};

TEST_F(ResourcesFolderTest, YamlFilesAreReadInTheOrderOfTheirNamesAndNothingElse) {
  folder_.write("b.yml", component_yaml("b", "state.x"));
  folder_.write("a.YAML", component_yaml("a", "state.x"));
  folder_.write("notes.txt", "not yaml: [");
  std::filesystem::create_directories(folder_.path("deeper.yaml"));
  folder_.write("deeper.yaml/c.yaml", component_yaml("c", "state.x"));
  ResourcesFolder resources = open();

  resources.scan(now_);

  EXPECT_THAT(names(resources), ElementsAre("a", "b"));
  EXPECT_THAT(resources.problems(), IsEmpty());
}

TEST_F(ResourcesFolderTest, AChangedFileIsInForceAtTheNextScan) {
  folder_.write("a.yaml", component_yaml("a", "state.x", "old"));
  ResourcesFolder resources = open();
  resources.scan(now_);

  folder_.write("a.yaml", component_yaml("a", "state.x", "new"));
  resources.scan(now_);

  EXPECT_EQ(value(resources), "new");
}

TEST_F(ResourcesFolderTest, ADocumentThatStopsParsingKeepsItsLastVersionAndIsReported) {
  folder_.write("a.yaml", component_yaml("a", "state.x", "good"));
  ResourcesFolder resources = open();
  resources.scan(now_);

  const std::string file = folder_.write("a.yaml", kBroken);
  scan_twice(resources);

  EXPECT_THAT(names(resources), ElementsAre("a"));
  EXPECT_EQ(value(resources), "good");
  ASSERT_THAT(resources.problems(), SizeIs(1));
  EXPECT_EQ(resources.problems()[0].origin.file, file);
  EXPECT_GE(resources.problems()[0].origin.line, 2U);
}

TEST_F(ResourcesFolderTest, ABrokenDocumentDoesNotKeepItsNeighboursFromChanging) {
  folder_.write("a.yaml", component_yaml("a", "state.x", "1") + "---\n" + component_yaml("b", "state.x", "1"));
  ResourcesFolder resources = open();
  resources.scan(now_);

  folder_.write("a.yaml", std::string(kBroken) + "---\n" + component_yaml("b", "state.x", "2"));
  scan_twice(resources);

  ASSERT_THAT(names(resources), ElementsAre("b", "a"));
  EXPECT_EQ(value(resources, 0), "2");
  EXPECT_EQ(value(resources, 1), "1");
}

TEST_F(ResourcesFolderTest, ADeletionIsBelievedAtTheSecondScanOnly) {
  folder_.write("a.yaml", component_yaml("a", "state.x"));
  folder_.write("b.yaml", component_yaml("b", "state.x"));
  ResourcesFolder resources = open();
  resources.scan(now_);
  folder_.remove("a.yaml");

  const auto first = resources.scan(now_);
  EXPECT_THAT(names(resources), ElementsAre("b", "a"));
  now_ += kDeletionPatience;
  const auto second = resources.scan(now_);

  EXPECT_TRUE(first.deletion_pending);
  EXPECT_FALSE(second.deletion_pending);
  EXPECT_THAT(names(resources), ElementsAre("b"));
}

TEST_F(ResourcesFolderTest, TwoScansInOneMomentDoNotMakeADeletion) {
  folder_.write("a.yaml", component_yaml("a", "state.x"));
  folder_.write("b.yaml", component_yaml("b", "state.x"));
  ResourcesFolder resources = open();
  resources.scan(now_);
  folder_.write("a.yaml", "");

  resources.scan(now_);
  const auto scan = resources.scan(now_ + std::chrono::milliseconds(1));

  EXPECT_TRUE(scan.deletion_pending);
  EXPECT_THAT(names(resources), SizeIs(2));
}

TEST_F(ResourcesFolderTest, AFileThatIsEmptyForAMomentLosesNothing) {
  folder_.write("a.yaml", component_yaml("a", "state.x", "old"));
  ResourcesFolder resources = open();
  resources.scan(now_);
  folder_.write("a.yaml", "");
  resources.scan(now_);

  folder_.write("a.yaml", component_yaml("a", "state.x", "new"));
  now_ += kDeletionPatience;
  resources.scan(now_);

  EXPECT_THAT(names(resources), ElementsAre("a"));
  EXPECT_EQ(value(resources), "new");
}

TEST_F(ResourcesFolderTest, ADocumentTakenOutOfAFileIsADeletionToo) {
  folder_.write("a.yaml", component_yaml("a", "state.x") + "---\n" + component_yaml("b", "state.x"));
  ResourcesFolder resources = open();
  resources.scan(now_);

  folder_.write("a.yaml", component_yaml("a", "state.x"));
  scan_twice(resources);

  EXPECT_THAT(names(resources), ElementsAre("a"));
}

TEST_F(ResourcesFolderTest, AnEmptySetAfterANonEmptyOneIsHeldUntilItIsConfirmed) {
  folder_.write("a.yaml", component_yaml("a", "state.x"));
  ResourcesFolder resources = open();
  resources.scan(now_);
  folder_.remove("a.yaml");

  scan_twice(resources);
  scan_twice(resources);
  EXPECT_THAT(names(resources), ElementsAre("a"));
  ASSERT_THAT(resources.problems(), SizeIs(1));
  EXPECT_THAT(resources.problems()[0].message, HasSubstr(".empty"));

  folder_.write(".empty", "");
  resources.scan(now_);
  EXPECT_THAT(names(resources), IsEmpty());
  EXPECT_THAT(resources.problems(), IsEmpty());
}

TEST_F(ResourcesFolderTest, AHeldSetEndsWhenTheFolderSaysSomethingElse) {
  folder_.write("a.yaml", component_yaml("a", "state.x"));
  ResourcesFolder resources = open();
  resources.scan(now_);
  folder_.remove("a.yaml");
  scan_twice(resources);

  folder_.write("b.yaml", component_yaml("b", "state.x"));
  resources.scan(now_);

  EXPECT_THAT(names(resources), ElementsAre("b"));
}

TEST_F(ResourcesFolderTest, AFolderThatVanishesHoldsWhatItSaid) {
  folder_.write("sub/../a.yaml", component_yaml("a", "state.x"));
  std::filesystem::create_directory(folder_.path("r"));
  folder_.write("r/a.yaml", component_yaml("a", "state.x"));
  ResourcesFolder resources({{folder_.path("r")}, {}, ""});
  resources.scan(now_);
  std::filesystem::rename(folder_.path("r"), folder_.path("away"));

  const auto scan = resources.scan(now_);
  scan_twice(resources);

  EXPECT_TRUE(scan.unreadable);
  EXPECT_THAT(names(resources), ElementsAre("a"));
  EXPECT_THAT(resources.problems(), SizeIs(1));
  std::filesystem::rename(folder_.path("away"), folder_.path("r"));
  resources.scan(now_);
  EXPECT_THAT(resources.problems(), IsEmpty());
}

TEST_F(ResourcesFolderTest, AFileThatCannotBeReadHoldsWhatItSaid) {
  folder_.write("a.yaml", component_yaml("a", "state.x"));
  folder_.write("b.yaml", component_yaml("b", "state.x"));
  ResourcesFolder resources = open();
  resources.scan(now_);
  folder_.remove("a.yaml");
  std::filesystem::create_symlink("a.yaml", folder_.path("a.yaml"));  // a link to itself cannot be opened

  scan_twice(resources);

  EXPECT_THAT(names(resources), ElementsAre("a", "b"));
  EXPECT_THAT(resources.problems(), SizeIs(1));
}

TEST_F(ResourcesFolderTest, AFileThatMovesKeepsItsComponentWithoutAComplaint) {
  folder_.write("a.yaml", component_yaml("a", "state.x"));
  ResourcesFolder resources = open();
  resources.scan(now_);
  std::filesystem::rename(folder_.path("a.yaml"), folder_.path("z.yaml"));

  resources.scan(now_);

  EXPECT_THAT(names(resources), ElementsAre("a"));
  EXPECT_EQ(resources.documents().components[0].origin.file, folder_.path("z.yaml"));
  EXPECT_THAT(resources.problems(), IsEmpty());
}

TEST_F(ResourcesFolderTest, TheSecondComponentOfANameIsReportedWithBothFiles) {
  folder_.write("a.yaml", component_yaml("cart", "state.x", "first"));
  folder_.write("b.yaml", component_yaml("cart", "state.x", "second"));
  ResourcesFolder resources = open();

  resources.scan(now_);

  EXPECT_THAT(names(resources), SizeIs(1));
  EXPECT_EQ(value(resources), "first");
  ASSERT_THAT(resources.problems(), SizeIs(1));
  EXPECT_EQ(resources.problems()[0].origin.file, folder_.path("b.yaml"));
  EXPECT_THAT(resources.problems()[0].message, HasSubstr(folder_.path("a.yaml")));
}

TEST_F(ResourcesFolderTest, AKubernetesStyleSwapOfTheDataLinkIsAChange) {
  const auto write_version = [this](const std::string& version) {
    std::filesystem::create_directory(folder_.path(version));
    folder_.write(version + "/a.yaml", component_yaml("a", "state.x", version));
    std::filesystem::create_symlink(version, folder_.path("..new"));
    std::filesystem::rename(folder_.path("..new"), folder_.path("..data"));
  };
  write_version("..1");
  std::filesystem::create_symlink("..data/a.yaml", folder_.path("a.yaml"));
  ResourcesFolder resources = open();
  resources.scan(now_);

  write_version("..2");
  folder_.remove("..1");
  resources.scan(now_);

  EXPECT_EQ(value(resources), "..2");
}

TEST_F(ResourcesFolderTest, ResourcesOfAnotherNamespaceArePassedOver) {
  const auto in = [](const std::string& name_space) {
    return "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: " + name_space +
           "x, namespace: " + name_space + "}\nspec: {type: state.x}\n";
  };
  folder_.write("a.yaml", in("shop") + "---\n" + in("bank") + "---\n" + component_yaml("any", "state.x"));
  ResourcesFolder all = open();
  ResourcesFolder shop({{folder_.path()}, {}, "shop"});

  all.scan(now_);
  shop.scan(now_);

  EXPECT_THAT(names(all), ElementsAre("shopx", "bankx", "any"));
  EXPECT_THAT(names(shop), ElementsAre("shopx", "any"));
}

TEST_F(ResourcesFolderTest, ANextProcessKnowsWhatWasInForce) {
  folder_.write("a.yaml", component_yaml("a", "state.x"));
  folder_.write("b.yaml", component_yaml("b", "state.x"));
  ResourcesFolder before = open();
  before.scan(now_);
  folder_.write("a.yaml", kBroken);
  folder_.remove("b.yaml");

  ResourcesFolder next = open();
  next.restore(before.documents());
  next.scan(now_);
  EXPECT_THAT(names(next), ElementsAre("a", "b"));
  now_ += kDeletionPatience;
  next.scan(now_);

  EXPECT_THAT(names(next), ElementsAre("a"));
}

TEST_F(ResourcesFolderTest, ANextProcessWithAnotherFolderForgetsTheFirst) {
  folder_.write("a.yaml", component_yaml("a", "state.x"));
  ResourcesFolder before = open();
  before.scan(now_);
  TemporaryFolder other;

  ResourcesFolder next({{other.path()}, {}, ""});
  next.restore(before.documents());
  next.scan(now_);

  EXPECT_THAT(names(next), IsEmpty());
}

TEST_F(ResourcesFolderTest, AConfigurationFileThatIsMissingFromTheStartHoldsEverythingBack) {
  ResourcesFolder resources({{folder_.path()}, {folder_.path("c.yaml")}, ""});

  resources.scan(now_);
  EXPECT_FALSE(resources.complete());
  folder_.write("c.yaml", "kind: Configuration\nspec: {api: {denied: [{name: invoke}]}}\n");
  resources.scan(now_);

  EXPECT_TRUE(resources.complete());
  EXPECT_THAT(resources.documents().configuration.api_denied, SizeIs(1));
}

TEST_F(ResourcesFolderTest, AConfigurationFileThatBreaksKeepsItsLastVersion) {
  const std::string file = folder_.write("c.yaml", "kind: Configuration\nspec: {api: {denied: [{name: invoke}]}}\n");
  ResourcesFolder resources({{}, {file}, ""});
  resources.scan(now_);

  folder_.write("c.yaml", "kind: Configuration\nspec: {api: {denied: [{nam: invoke}]}}\n");
  resources.scan(now_);

  EXPECT_TRUE(resources.complete());
  EXPECT_THAT(resources.documents().configuration.api_denied, SizeIs(1));
  EXPECT_THAT(resources.problems(), SizeIs(1));
}

TEST_F(ResourcesFolderTest, ABrokenConfigurationFileAtTheStartIsTheOneOfLastTime) {
  const std::string file = folder_.write("c.yaml", "kind: Configuration\nspec: {api: {denied: [{name: invoke}]}}\n");
  ResourcesFolder before({{}, {file}, ""});
  before.scan(now_);
  folder_.write("c.yaml", "[");

  ResourcesFolder next({{}, {file}, ""});
  next.restore(before.documents());
  next.scan(now_);

  EXPECT_TRUE(next.complete());
  EXPECT_THAT(next.documents().configuration.api_denied, SizeIs(1));
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

/// Resident memory in KiB.
std::size_t resident() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0;
  std::size_t pages = 0;
  statm >> total >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

TEST_F(ResourcesFolderTest, AThousandReloadsDoNotGrow) {
  ResourcesFolder resources = open();
  const auto reload = [&](int i) {
    folder_.write("a.yaml", component_yaml("a", "state.x", std::string(4096, static_cast<char>('a' + i % 26))));
    folder_.write("b" + std::to_string(i % 2) + ".yaml", component_yaml("b" + std::to_string(i), "state.x"));
    folder_.remove("b" + std::to_string((i + 1) % 2) + ".yaml");
    scan_twice(resources);
  };
  for (int i = 0; i < 100; ++i) reload(i);
  const std::size_t before = resident();

  for (int i = 0; i < 1000; ++i) reload(i);

  EXPECT_THAT(names(resources), SizeIs(2));
  // 4 KiB kept per reload would be 4 MiB. A sanitizer's quarantine grows by itself.
  EXPECT_TRUE(kSanitized || resident() < before + 2048) << before << " KiB before";
}

}  // namespace
}  // namespace caisson::config

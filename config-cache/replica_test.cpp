#include "config-cache/replica.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "config-cache/durable_file.hpp"
#include "config-cache/generation.hpp"
#include "config-cache/testing/sample.hpp"

namespace caisson::config {
namespace {

using testing::sample_generation;

/// A folder of its own, gone after the test.
class ReplicaTest : public ::testing::Test {
 protected:
  ReplicaTest() {
    char name[] = "/tmp/replica-test-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ + "/generation.snapshot";
  }
  ~ReplicaTest() override { std::filesystem::remove_all(folder_); }

  /// A replica that has accepted a generation and is gone, with its write to disk done.
  void leave_on_disk(std::uint64_t term, std::uint64_t sequence) {
    Replica replica(path_);
    ASSERT_TRUE(replica.accept(encode(sample_generation(term, sequence))));
  }
  static std::uint64_t sequence_of(const Replica& replica) {
    const auto current = replica.current();
    return current ? current->sequence : 0;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(ReplicaTest, ANewReplicaHasNoGeneration) {
  Replica replica(path_);

  EXPECT_FALSE(replica.load());
  EXPECT_EQ(replica.current(), nullptr);
}

TEST_F(ReplicaTest, AHigherSequenceOrTermIsTakenAndNothingOlder) {
  Replica replica{std::string()};
  ASSERT_TRUE(replica.accept(encode(sample_generation(2, 5))));

  const auto older_sequence = replica.accept(encode(sample_generation(2, 4)));
  const auto older_term = replica.accept(encode(sample_generation(1, 9)));
  const auto newer = replica.accept(encode(sample_generation(2, 6)));
  const auto newer_term = replica.accept(encode(sample_generation(3, 1)));

  EXPECT_EQ(older_sequence.error().code, Errc::kFailedPrecondition);
  EXPECT_EQ(older_term.error().code, Errc::kFailedPrecondition);
  EXPECT_TRUE(newer && *newer);
  EXPECT_TRUE(newer_term && *newer_term);
  EXPECT_EQ(replica.current()->term, 3U);
}

TEST_F(ReplicaTest, TheSameGenerationAgainIsFineAndChangesNothing) {
  Replica replica{std::string()};
  ASSERT_TRUE(replica.accept(encode(sample_generation(2, 5))));
  const auto before = replica.current();

  const auto again = replica.accept(encode(sample_generation(2, 5)));

  ASSERT_TRUE(again);
  EXPECT_FALSE(*again);
  EXPECT_EQ(replica.current(), before);
}

TEST_F(ReplicaTest, ADamagedSnapshotLeavesTheOneInForce) {
  Replica replica{std::string()};
  ASSERT_TRUE(replica.accept(encode(sample_generation(1, 1))));
  std::string damaged = encode(sample_generation(1, 2));
  damaged[damaged.size() / 2] ^= 1;

  EXPECT_FALSE(replica.accept(damaged));

  EXPECT_EQ(sequence_of(replica), 1U);
}

TEST_F(ReplicaTest, ANewProcessStartsWithTheLastGeneration) {
  leave_on_disk(4, 8);

  Replica next(path_);

  ASSERT_TRUE(next.load());
  EXPECT_EQ(encode(*next.current()), encode(sample_generation(4, 8)));
}

TEST_F(ReplicaTest, AfterAStartItStillRefusesWhatIsOlder) {
  leave_on_disk(4, 8);
  Replica next(path_);
  ASSERT_TRUE(next.load());

  EXPECT_FALSE(next.accept(encode(sample_generation(4, 7))));
}

TEST_F(ReplicaTest, OfManyGenerationsInARowTheLastIsOnDisk) {
  {
    Replica replica(path_);
    for (std::uint64_t sequence = 1; sequence <= 100; ++sequence) {
      ASSERT_TRUE(replica.accept(encode(sample_generation(1, sequence))));
    }
  }

  Replica next(path_);
  ASSERT_TRUE(next.load());
  EXPECT_EQ(sequence_of(next), 100U);
}

TEST_F(ReplicaTest, TheFileIsForItsOwnerOnly) {
  leave_on_disk(1, 1);

  struct stat about {};
  ASSERT_EQ(::stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
}

TEST_F(ReplicaTest, ADamagedFileIsMovedAsideAndNotBelieved) {
  leave_on_disk(1, 1);
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 7);

  Replica next(path_);

  EXPECT_FALSE(next.load());
  EXPECT_EQ(next.current(), nullptr);
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_TRUE(std::filesystem::exists(path_ + ".damaged"));
}

TEST_F(ReplicaTest, AWriteThatWasTornOffLeavesTheOldGeneration) {
  leave_on_disk(1, 1);
  std::ofstream(path_ + ".new") << encode(sample_generation(1, 2)).substr(0, 40);

  Replica next(path_);

  ASSERT_TRUE(next.load());
  EXPECT_EQ(sequence_of(next), 1U);
  EXPECT_TRUE(next.accept(encode(sample_generation(1, 3))));
}

TEST_F(ReplicaTest, AFolderThatCannotBeWrittenDoesNotKeepAGenerationOutOfForce) {
  Replica replica(folder_ + "/missing/generation.snapshot");

  ASSERT_TRUE(replica.accept(encode(sample_generation(1, 1))));

  EXPECT_EQ(sequence_of(replica), 1U);
}

TEST_F(ReplicaTest, OtherThreadsReadWholeGenerationsWhileTheyChange) {
  Replica replica{std::string()};
  ASSERT_TRUE(replica.accept(encode(sample_generation(1, 1))));
  std::atomic<bool> stop{false};
  std::atomic<bool> wrong{false};
  std::thread reader([&] {
    std::uint64_t last = 0;
    while (!stop) {
      const auto seen = replica.current();
      if (seen->sequence < last || seen->components.at(0).name != "cart") wrong = true;
      last = seen->sequence;
    }
  });

  for (std::uint64_t sequence = 2; sequence < 500; ++sequence) {
    ASSERT_TRUE(replica.accept(encode(sample_generation(1, sequence))));
  }
  stop = true;
  reader.join();

  EXPECT_FALSE(wrong);
}

TEST_F(ReplicaTest, AFileIsReplacedWholeAndNeverThroughALink) {
  const std::string target = folder_ + "/target";
  std::ofstream(target) << "theirs";
  std::filesystem::create_symlink(target, path_ + ".new");

  ASSERT_TRUE(write_file_durably(path_, "ours"));

  EXPECT_EQ(*read_file(path_, 100), "ours");
  EXPECT_EQ(*read_file(target, 100), "theirs");
  EXPECT_EQ(read_file(path_, 3).error().code, Errc::kOutOfRange);
  EXPECT_EQ(read_file(folder_ + "/none", 3).error().code, Errc::kNotFound);
}

}  // namespace
}  // namespace caisson::config

#include "capabilities/pubsub/kafka_record.hpp"

#include <gtest/gtest.h>

namespace caisson::pubsub {
namespace {

TEST(KafkaRecordTest, ThePartitionKeyComesBeforeTheKeyOfAReadRecord) {
  const auto both = key_of({{"__key", "old"}, {"partitionKey", "new"}});
  const auto read = key_of({{"__key", "old"}});
  const auto none = key_of({{"other", "x"}});

  ASSERT_TRUE(both && read && none);
  EXPECT_EQ(both->key, "new");
  EXPECT_EQ(read->key, "old");
  EXPECT_EQ(none->key, std::nullopt);
  EXPECT_EQ(none->partition, RD_KAFKA_PARTITION_UA);
}

TEST(KafkaRecordTest, APartitionNumberIsANumber) {
  const auto seven = key_of({{"partitionNumber", "7"}});
  ASSERT_TRUE(seven);
  EXPECT_EQ(seven->partition, 7);
  for (const char* const wrong : {"", "-1", "x", "1x", "99999999999"}) {
    const auto refused = key_of({{"partitionNumber", wrong}});
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code, Errc::kInvalidArgument);
    EXPECT_NE(refused.error().message.find("partitionNumber"), std::string::npos);
  }
}

TEST(KafkaRecordTest, HeadersAreAllMetadataButTheExcluded) {
  KafkaOptions options;
  auto regex = sdk::Regex::parse("^secret-");
  ASSERT_TRUE(regex);
  options.excluded_headers = *std::move(regex);

  const KafkaHeaders headers = headers_of({{"a", "1"}, {"secret-x", "2"}, {"partitionKey", "k"}}, options);

  EXPECT_EQ(rd_kafka_header_cnt(headers.get()), 2U);
}

TEST(KafkaRecordTest, EscapingIsGos) { EXPECT_EQ(query_escape("a b/c~\xC3\xA4"), "a+b%2Fc~%C3%A4"); }

}  // namespace
}  // namespace caisson::pubsub

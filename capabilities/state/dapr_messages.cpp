#include "capabilities/state/dapr_messages.hpp"

#include <utility>

#include "capabilities/state/value_encoding.hpp"

namespace caisson::state {

namespace {

namespace common = ::dapr::proto::common::v1;

/// The service's words; a number that is none of Dapr's means nothing, as there.
std::string word_of(common::StateOptions::StateConsistency consistency) {
  if (consistency == common::StateOptions::CONSISTENCY_EVENTUAL) return "eventual";
  if (consistency == common::StateOptions::CONSISTENCY_STRONG) return "strong";
  return {};
}

std::string word_of(common::StateOptions::StateConcurrency concurrency) {
  if (concurrency == common::StateOptions::CONCURRENCY_FIRST_WRITE) return "first-write";
  if (concurrency == common::StateOptions::CONCURRENCY_LAST_WRITE) return "last-write";
  return {};
}

Metadata metadata_of(const google::protobuf::Map<std::string, std::string>& map) { return {map.begin(), map.end()}; }

void set_options(const common::StateOptions& options, Change& change) {
  change.concurrency = word_of(options.concurrency());
  change.consistency = word_of(options.consistency());
}

constexpr const char* kExpiry = "ttlExpireTime";

}  // namespace

Get get_of(rpc::GetStateRequest message) {
  Get get;
  get.key = std::move(*message.mutable_key());
  get.consistency = word_of(message.consistency());
  get.metadata = metadata_of(message.metadata());
  return get;
}

Result<Change> change_of(ChangeKind kind, common::StateItem item, JsonValues json) {
  Change change;
  change.kind = kind;
  change.key = std::move(*item.mutable_key());
  change.etag = item.etag().value();
  change.metadata = metadata_of(item.metadata());
  set_options(item.options(), change);
  if (kind == ChangeKind::kDelete) return change;
  change.value = std::move(*item.mutable_value());
  change.form = ValueForm::kBytes;
  const auto type = change.metadata.find("contentType");
  if (json == JsonValues::kDecoded && type != change.metadata.end() && type->second == "application/json") {
    auto text = go_json(std::move(change.value));
    if (!text) return Error{Errc::kUnknown, text.error().message};
    change.value = *std::move(text);
    change.form = ValueForm::kJson;
  }
  return change;
}

Change change_of(rpc::DeleteStateRequest message) {
  Change change;
  change.kind = ChangeKind::kDelete;
  change.key = std::move(*message.mutable_key());
  change.etag = message.etag().value();
  change.metadata = metadata_of(message.metadata());
  set_options(message.options(), change);
  return change;
}

rpc::GetStateResponse message_of(Entry entry) {
  rpc::GetStateResponse message;
  message.set_data(std::move(entry.value));
  message.set_etag(std::move(entry.etag));
  if (!entry.expires.empty()) (*message.mutable_metadata())[kExpiry] = std::move(entry.expires);
  return message;
}

rpc::GetBulkStateResponse message_of(const std::vector<std::string>& keys, std::vector<Found> found) {
  rpc::GetBulkStateResponse message;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    rpc::BulkStateItem* const item = message.add_items();
    item->set_key(keys[i]);
    if (!found[i]) {
      item->set_error(found[i].error().message);
      continue;
    }
    std::optional<Entry>& entry = *found[i];
    if (!entry) continue;
    item->set_data(std::move(entry->value));
    item->set_etag(std::move(entry->etag));
    if (!entry->expires.empty()) (*item->mutable_metadata())[kExpiry] = std::move(entry->expires);
  }
  return message;
}

}  // namespace caisson::state

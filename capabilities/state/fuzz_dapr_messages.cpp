#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "capabilities/state/dapr_messages.hpp"
#include "sdk/rpc.hpp"

namespace {

using namespace caisson;

/// A message that was read has changes, and a JSON value that was taken is taken again as it is.
void check(const dapr::proto::common::v1::StateItem& item) {
  for (const auto json : {state::JsonValues::kDecoded, state::JsonValues::kAsBytes}) {
    const auto change = state::change_of(state::ChangeKind::kSet, item, json);
    if (!change) continue;
    dapr::proto::common::v1::StateItem again = item;
    again.set_value(change->value);
    const auto same = state::change_of(state::ChangeKind::kSet, again, json);
    if (!same || same->value != change->value || same->form != change->form) std::abort();
  }
}

}  // namespace

/// Bodies of every method, told apart by the first byte.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  state::rpc::GetStateRequest get;
  state::rpc::GetBulkStateRequest get_many;
  state::rpc::SaveStateRequest save;
  state::rpc::DeleteStateRequest remove;
  state::rpc::DeleteBulkStateRequest remove_many;
  state::rpc::ExecuteStateTransactionRequest transaction;
  switch (data[0] % 6) {
    case 0:
      if (sdk::parse_message(body, get)) (void)state::get_of(get);
      break;
    case 1:
      if (sdk::parse_message(body, get_many)) {
        const std::vector<std::string> keys(get_many.keys().begin(), get_many.keys().end());
        std::vector<state::Found> found(keys.size(), state::Found(std::optional<state::Entry>()));
        if (state::message_of(keys, std::move(found)).items_size() != get_many.keys_size()) std::abort();
      }
      break;
    case 2:
      if (sdk::parse_message(body, save)) {
        for (const auto& item : save.states()) check(item);
      }
      break;
    case 3:
      if (sdk::parse_message(body, remove)) (void)state::change_of(remove);
      break;
    case 4:
      if (sdk::parse_message(body, remove_many)) {
        for (const auto& item : remove_many.states()) check(item);
      }
      break;
    default:
      if (sdk::parse_message(body, transaction)) {
        for (const auto& operation : transaction.operations()) check(operation.request());
      }
  }
  return 0;
}

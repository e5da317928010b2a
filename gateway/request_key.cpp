#include "gateway/request_key.hpp"

#include "gateway/rpc_message.hpp"

namespace caisson::gateway {

std::string_view RequestKey::text() const {
  if (route_ == nullptr || route_->key.empty()) return {};
  return route_->rpc == Rpc::kNone ? parameter_ : protobuf_string_at(message_, route_->key);
}

}  // namespace caisson::gateway

#pragma once

#include <string_view>
#include <vector>

#include "bus/wire.hpp"
#include "gateway/app_config.hpp"
#include "gateway/http1_parser.hpp"

/// What every request has to pass at an app's door, whatever its protocol.
namespace caisson::gateway {

/// It carries the app's token, or the app asks for none.
bool is_authenticated(const AppConfig& app, const RequestHead& head);

/// Makes `headers`, whose memory is used again, those that go on to the capability. Those that concern
/// this connection end here, and those that an envelope has a field for; of a body that comes whole, its
/// length too. They point into `head`.
void take_crossing_headers(const RequestHead& head, bool streamed, std::vector<Field>& headers);

}  // namespace caisson::gateway

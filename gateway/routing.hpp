#pragma once

#include <memory>

#include "gateway/route_table.hpp"
#include "gateway/trace_context.hpp"

namespace caisson::gateway {

/// What the doors of all apps share.
struct Routing {
  std::shared_ptr<const RouteTable> table;
  Tracer tracer;
};

}  // namespace caisson::gateway

#pragma once

#include "capabilities/config/yaml_fields.hpp"

namespace caisson::config {

/// A Resiliency document; problems are in `read`. Actors are passed over: there are none here yet.
Resiliency read_resiliency(FieldReader& read, const YamlNode& root);

}  // namespace caisson::config

#pragma once

#include <map>
#include <string>
#include <string_view>

#include "bus/compartments.hpp"
#include "bus/result.hpp"

namespace caisson::cli {

/// How many processes serve a capability, by its name; 1 where it is not named.
using Instances = std::map<std::string, unsigned, std::less<>>;

/// Reads "state=2". kInvalidArgument: not of that form, not 1 to kMostInstances, or more than one of a capability of
/// which there is one only.
Result<void> add_instances(Instances& instances, std::string_view text);

/// As a process: "state" is the first, then "state-2".
std::string instance_name(const std::string& capability, unsigned number);
/// "state" of "state-2"; the name itself where it has no number.
std::string_view without_number(std::string_view process);

}  // namespace caisson::cli

#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace caisson::cli {

using Environment = std::map<std::string, std::string>;

/// This process's variables.
Environment current_environment();

/// Names that a Configuration text refers to as $NAME or ${NAME}.
std::set<std::string> referenced_variables(std::string_view text);

/// The environment that `process` is given; the table is in cli/README.md.
///
/// Everybody: what a process needs to run at all (PATH, HOME, TZ, locale, temporary folder),
/// NAMESPACE, POD_NAME and the sanitizers' options. gateway: the two API tokens. config: what the
/// Configuration files name. Processes that open components (state, pubsub, secrets and any that is
/// not known here): everything a component may refer to, that is all but the tokens and DAPR_*.
Environment environment_for(std::string_view process, const Environment& all,
                            const std::set<std::string>& named_in_configuration);

}  // namespace caisson::cli

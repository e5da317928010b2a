#pragma once

#include <map>
#include <string>
#include <vector>

#include "capabilities/config/yaml_documents.hpp"
#include "config-cache/documents.hpp"

namespace caisson::config {

struct Compiled {
  /// What each audience gets and nothing more; term and sequence are not set.
  std::map<std::string, Generation> audiences;
  /// Components that no capability here serves.
  std::vector<Problem> problems;
};

/// Divides the documents among their audiences:
///
///   state, pubsub, secrets, lock, bindings   the components of their category
///   config                                   configuration stores
///   pubsub                                   subscriptions
///   secrets                                  secret scopes
///   invoke                                   apps' resiliency, HTTP endpoints, access control
///   gateway                                  API lists, sampling rate, features
///
/// and to each the resiliency of its own targets. Component metadata goes to its owner alone.
/// Denied component types go to nobody.
Compiled compile(const Generation& documents);

}  // namespace caisson::config

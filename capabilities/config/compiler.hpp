#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bus/compartments.hpp"
#include "capabilities/config/yaml_documents.hpp"
#include "config-cache/documents.hpp"

namespace caisson::config {

/// Audience of each component, by the component's name.
using Placement = std::map<std::string, std::string, std::less<>>;

struct Compiled {
  /// What each audience gets and nothing more; term and sequence are not set.
  std::map<std::string, Generation> audiences;
  /// The compartments among them.
  std::vector<Compartment> compartments;
  /// Where each component is to be in the end, and where its requests go meanwhile.
  Placement wanted;
  Placement serving;
  /// What cannot be done as it is asked.
  std::vector<Problem> problems;
  /// Components that no capability here serves; among the problems too.
  std::vector<Component> unserved;
};

/// Whether components get the compartments they ask for.
enum class Division { kAsAsked, kNone };

/// Divides the documents among their audiences:
///
///   state, pubsub, secrets, lock             the components of their category
///   config                                   configuration stores
///   pubsub                                   subscriptions
///   secrets                                  secret scopes
///   invoke                                   apps' resiliency, HTTP endpoints, access control
///   gateway                                  API lists, sampling rate, features
///
/// and to each the resiliency of its own targets. Component metadata goes to its owner alone.
/// Denied component types go to nobody.
///
/// A component with a compartment, its own or its type's, goes to the audience CAPABILITY/COMPARTMENT
/// of state and pubsub, and with it the subscriptions to it. `serving` says where components have been
/// until now: one that moves within its capability stays there as well, and its requests go on
/// going there, until the caller finds the new place ready and says so in the next `serving`.
///
/// With Division::kNone a component that asks for a compartment by its annotation is served without it,
/// and that is among the problems; a type that has one by default goes without a word.
Compiled compile(const Generation& documents, const Placement& serving = {}, Division division = Division::kAsAsked);

}  // namespace caisson::config

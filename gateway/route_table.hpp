#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bus/manifest.hpp"
#include "bus/result.hpp"
#include "bus/wire.hpp"

namespace caisson::gateway {

/// Which groups of routes may be served; from the configuration.
struct RouteRule {
  std::string group;
  std::string version;  // empty: all
};

struct RouteRules {
  /// Not empty: only these.
  std::vector<RouteRule> allowed;
  std::vector<RouteRule> denied;

  [[nodiscard]] bool permit(const Route& route) const;
};

/// A route with the manifest it stands in.
struct RouteEntry {
  std::shared_ptr<const Manifest> manifest;
  const Route* route = nullptr;
  std::vector<std::string> parameter_names;
  std::ptrdiff_t key = -1;  // which of them is the route's key
};

/// What a request's path matched. Kept by a connection and reused, so that its memory is too; the
/// views live until the next find() into it, and as long as path and table.
class RouteMatch {
 public:
  /// Null: not even a fallback.
  [[nodiscard]] const RouteEntry* entry() const { return entry_; }
  [[nodiscard]] const std::vector<Field>& parameters() const { return parameters_; }
  /// The parameter that names the component; empty where the route names none.
  [[nodiscard]] std::string_view selector() const { return selector_; }
  /// The parameter that is the route's key; empty where it has none.
  [[nodiscard]] std::string_view key() const {
    return entry_ == nullptr || entry_->key < 0 ? std::string_view()
                                                : parameters_[static_cast<std::size_t>(entry_->key)].value;
  }

 private:
  friend class RouteTable;
  const RouteEntry* entry_ = nullptr;
  std::vector<Field> parameters_;
  std::string_view selector_;
  std::vector<std::string_view> segments_;
  std::vector<std::string_view> captured_;
  std::string decoded_;
  std::string tail_;
};

/// All routes of all manifests. Immutable.
class RouteTable {
 public:
  /// `rules` are for HTTP, `rpc_rules` for gRPC. kAlreadyExists names both manifests of an overlap;
  /// kInvalidArgument a path that is none.
  static Result<std::shared_ptr<const RouteTable>> make(const std::vector<std::shared_ptr<const Manifest>>& manifests,
                                                        const RouteRules& rules, const RouteRules& rpc_rules = {});
  ~RouteTable();

  /// Finds the most specific route for method and raw path: a literal before a parameter before a
  /// tail. Where the path or the method fits none, the fallback. kInvalidArgument: a broken percent
  /// escape in a parameter.
  Result<void> find(std::string_view method, std::string_view path, RouteMatch& match) const;
  /// The same for a gRPC method, "/package.Service/Method", taken as it is. The selector is a field of
  /// the message, which is for the caller to look up. A method that the rules forbid is not found, and
  /// does not go to the fallback, for which there are no rules.
  void find_rpc(std::string_view path, RouteMatch& match) const;

 private:
  struct Node;
  RouteTable();
  Result<void> add(const std::shared_ptr<const Manifest>& manifest, const Route& route);
  Result<void> add_rpc(const std::shared_ptr<const Manifest>& manifest, const Route& route);
  void forbid_rpc(const std::shared_ptr<const Manifest>& manifest, const Route& route);
  const RouteEntry* walk(const Node& node, std::string_view method, std::size_t depth, bool slash,
                         RouteMatch& match) const;
  static Result<void> fill(RouteMatch& match);

  std::unique_ptr<Node> root_;
  std::unique_ptr<RouteEntry> fallback_;
  /// So that a path is looked up as it is.
  struct TextHash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, RouteEntry, TextHash, std::equal_to<>>
      rpcs_;  // without a route where it is forbidden
  std::unique_ptr<RouteEntry> rpc_fallback_;
};

/// Appends `text` percent-decoded to `out`, '+' becoming a space; false when an escape is broken.
bool append_percent_decoded(std::string& out, std::string_view text);

}  // namespace caisson::gateway

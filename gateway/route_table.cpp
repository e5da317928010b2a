#include "gateway/route_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace caisson::gateway {

namespace {

constexpr std::size_t kMostSegments = 64;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// True when `methods` ("GET,PUT" or "*") names `method`.
bool names_method(std::string_view methods, std::string_view method) {
  if (methods == "*") return true;
  while (!methods.empty()) {
    const auto comma = methods.find(',');
    if (methods.substr(0, comma) == method) return true;
    if (comma == methods.npos) return false;
    methods.remove_prefix(comma + 1);
  }
  return false;
}

bool share_a_method(std::string_view a, std::string_view b) {
  if (a == "*" || b == "*") return true;
  while (!a.empty()) {
    const auto comma = a.find(',');
    if (names_method(b, a.substr(0, comma))) return true;
    if (comma == a.npos) return false;
    a.remove_prefix(comma + 1);
  }
  return false;
}

bool matches(const std::vector<RouteRule>& rules, const Route& route) {
  return std::ranges::any_of(rules, [&](const RouteRule& rule) {
    return rule.group == route.group && (rule.version.empty() || rule.version == route.version);
  });
}

std::string describe(const Manifest& manifest, const Route& route) {
  return fmt::format("'{}' ({} {})", manifest.capability, route.method, route.fallback ? "fallback" : route.path);
}

Error overlap(const RouteEntry& one, const Manifest& manifest, const Route& route) {
  return {Errc::kAlreadyExists,
          fmt::format("routes overlap: {} and {}", describe(*one.manifest, *one.route), describe(manifest, route))};
}

/// Splits a raw path and cleans it on the way: empty segments and "." vanish, ".." takes its parent.
void split(std::string_view path, std::vector<std::string_view>& segments) {
  segments.clear();
  while (!path.empty()) {
    const auto slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    if (segment == "..") {
      if (!segments.empty()) segments.pop_back();
    } else if (!segment.empty() && segment != ".") {
      segments.push_back(segment);
    }
    if (slash == path.npos) return;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

bool append_percent_decoded(std::string& out, std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return false;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return true;
}

bool RouteRules::permit(const Route& route) const {
  if (route.open) return true;
  if (!allowed.empty() && !matches(allowed, route)) return false;
  return !matches(denied, route);
}

struct RouteTable::Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::unique_ptr<Node> parameter;
  std::vector<RouteEntry> here;   // a path that ends here, by method
  std::vector<RouteEntry> tails;  // everything below, by method
};

RouteTable::RouteTable() : root_(std::make_unique<Node>()) {}
RouteTable::~RouteTable() = default;

Result<std::shared_ptr<const RouteTable>> RouteTable::make(
    const std::vector<std::shared_ptr<const Manifest>>& manifests, const RouteRules& rules,
    const RouteRules& rpc_rules) {
  std::shared_ptr<RouteTable> table(new RouteTable());
  // A forbidden route is still checked for overlaps, so that a changed rule cannot break the table.
  RouteTable all;
  for (const auto& manifest : manifests) {
    for (const Route& route : manifest->routes) {
      TRY(all.add(manifest, route));
      const bool is_rpc = route.rpc != Rpc::kNone;
      if (is_rpc ? route.fallback || rpc_rules.permit(route) : rules.permit(route)) {
        TRY(table->add(manifest, route));
      } else if (is_rpc) {
        table->forbid_rpc(manifest, route);
      }
    }
  }
  return std::shared_ptr<const RouteTable>(std::move(table));
}

Result<void> RouteTable::add_rpc(const std::shared_ptr<const Manifest>& manifest, const Route& route) {
  RouteEntry entry{manifest, &route, {}, -1};
  if (route.fallback) {
    if (rpc_fallback_ != nullptr) return overlap(*rpc_fallback_, *manifest, route);
    rpc_fallback_ = std::make_unique<RouteEntry>(std::move(entry));
    return ok();
  }
  const auto [place, fresh] = rpcs_.emplace(route.path, std::move(entry));
  if (!fresh) return overlap(place->second, *manifest, route);
  return ok();
}

void RouteTable::forbid_rpc(const std::shared_ptr<const Manifest>& manifest, const Route& route) {
  rpcs_.emplace(route.path, RouteEntry{manifest, nullptr, {}, -1});
}

void RouteTable::find_rpc(std::string_view path, RouteMatch& match) const {
  match.parameters_.clear();
  match.selector_ = {};
  const auto found = rpcs_.find(path);
  match.entry_ = found == rpcs_.end() ? rpc_fallback_.get() : found->second.route == nullptr ? nullptr : &found->second;
}

Result<void> RouteTable::add(const std::shared_ptr<const Manifest>& manifest, const Route& route) {
  if (route.rpc != Rpc::kNone) return add_rpc(manifest, route);
  RouteEntry entry{manifest, &route, {}, -1};
  if (route.fallback) {
    if (fallback_ != nullptr) return overlap(*fallback_, *manifest, route);
    fallback_ = std::make_unique<RouteEntry>(std::move(entry));
    return ok();
  }
  const auto invalid = [&](std::string_view why) {
    return Error{Errc::kInvalidArgument, fmt::format("route {}: {}", describe(*manifest, route), why)};
  };
  if (!route.path.starts_with('/')) return invalid("the path does not begin with '/'");

  std::vector<std::string_view> segments;
  split(route.path, segments);
  if (segments.size() > kMostSegments) return invalid("the path is too deep");
  Node* node = root_.get();
  bool tail = false;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    std::string_view segment = segments[i];
    if (!segment.starts_with('{')) {
      auto& next = node->literals[std::string(segment)];
      if (next == nullptr) next = std::make_unique<Node>();
      node = next.get();
      continue;
    }
    if (!segment.ends_with('}')) return invalid("a parameter without '}'");
    segment = segment.substr(1, segment.size() - 2);
    if (segment.ends_with("...")) {
      if (i + 1 != segments.size()) return invalid("a tail that is not last");
      segment.remove_suffix(3);
      tail = true;
    } else {
      if (node->parameter == nullptr) node->parameter = std::make_unique<Node>();
      node = node->parameter.get();
    }
    if (segment.empty()) return invalid("a parameter without a name");
    entry.parameter_names.emplace_back(segment);
  }
  if (!route.selector.empty() &&
      std::ranges::find(entry.parameter_names, route.selector) == entry.parameter_names.end()) {
    return invalid("the selector is none of the path's parameters");
  }
  if (!route.key.empty()) {
    const auto key = std::ranges::find(entry.parameter_names, route.key);
    if (key == entry.parameter_names.end()) return invalid("the key is none of the path's parameters");
    entry.key = key - entry.parameter_names.begin();
  }
  auto& entries = tail ? node->tails : node->here;
  for (const RouteEntry& other : entries) {
    if (share_a_method(other.route->method, route.method)) return overlap(other, *manifest, route);
  }
  entries.push_back(std::move(entry));
  return ok();
}

Result<void> RouteTable::find(std::string_view method, std::string_view path, RouteMatch& match) const {
  match.entry_ = nullptr;
  match.parameters_.clear();
  match.captured_.clear();
  match.selector_ = {};
  split(path, match.segments_);
  if (match.segments_.size() <= kMostSegments) {
    const bool slash = path.size() > 1 && path.ends_with('/');
    match.entry_ = walk(*root_, method, 0, slash, match);
  }
  if (match.entry_ == nullptr) {
    match.entry_ = fallback_.get();
    return ok();
  }
  return fill(match);
}

/// The entry below `node` for the segments from `depth` on; the values of parameters pile up in
/// match.captured_. Each level tries the literal, then the parameter, then the tail.
const RouteEntry* RouteTable::walk(const Node& node, std::string_view method, std::size_t depth, bool slash,
                                   RouteMatch& match) const {
  const auto of_method = [&](const std::vector<RouteEntry>& entries) -> const RouteEntry* {
    for (const RouteEntry& entry : entries) {
      if (names_method(entry.route->method, method)) return &entry;
    }
    return nullptr;
  };

  if (depth == match.segments_.size()) {
    if (slash) {
      if (const RouteEntry* entry = of_method(node.tails)) {
        match.captured_.emplace_back();
        return entry;
      }
    }
    return of_method(node.here);
  }
  const std::string_view segment = match.segments_[depth];
  if (const auto literal = node.literals.find(segment); literal != node.literals.end()) {
    if (const auto* entry = walk(*literal->second, method, depth + 1, slash, match)) return entry;
  }
  if (node.parameter != nullptr) {
    match.captured_.push_back(segment);
    if (const auto* entry = walk(*node.parameter, method, depth + 1, slash, match)) return entry;
    match.captured_.pop_back();
  }
  const RouteEntry* const entry = of_method(node.tails);
  if (entry == nullptr) return nullptr;
  match.tail_.clear();
  for (std::size_t i = depth; i < match.segments_.size(); ++i) {
    if (i != depth) match.tail_ += '/';
    match.tail_ += match.segments_[i];
  }
  if (slash) match.tail_ += '/';
  match.captured_.push_back(match.tail_);
  return entry;
}

/// Decodes what was captured. All decoded text lies in one string, reserved first so that it stays.
Result<void> RouteTable::fill(RouteMatch& match) {
  std::size_t size = 0;
  for (const auto& value : match.captured_) size += value.size();
  match.decoded_.clear();
  match.decoded_.reserve(size);
  for (std::size_t i = 0; i < match.captured_.size(); ++i) {
    const std::string_view raw = match.captured_[i];
    std::string_view value = raw;
    if (raw.find_first_of("%+") != raw.npos) {
      const std::size_t begin = match.decoded_.size();
      if (!append_percent_decoded(match.decoded_, raw)) {
        return Error{Errc::kInvalidArgument, fmt::format("invalid URL escape in '{}'", raw)};
      }
      value = std::string_view(match.decoded_).substr(begin);
    }
    const std::string& name = match.entry_->parameter_names[i];
    match.parameters_.push_back({name, value});
    if (name == match.entry_->route->selector) match.selector_ = value;
  }
  return ok();
}

}  // namespace caisson::gateway

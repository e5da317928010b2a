#include "capabilities/config/yaml_tree.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <iterator>
#include <streambuf>
#include <unordered_map>

#include "bus/wire.hpp"
#include "capabilities/config/yaml_scalar.hpp"

namespace caisson::config {

namespace {

constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxNodes = 50'000;
constexpr std::size_t kMaxBytes = 4 * 1024 * 1024;

/// Thrown inside yaml-cpp's callbacks, the only way out of them; caught in parse_yaml().
struct TooMuch {
  YamlError error;
};

std::uint32_t line_of(const YAML::Mark& mark, std::uint32_t first_line) {
  return mark.line < 0 ? first_line : first_line + static_cast<std::uint32_t>(mark.line);
}

/// Builds the tree from yaml-cpp's events, which come before anything is expanded: so limits hold
/// before memory is used.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::uint32_t first_line) : first_line_(first_line) {}
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(node(mark), anchor); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode scalar = node(mark);
    scalar.kind = YamlNode::Kind::kScalar;
    scalar.plain = tag == "?" || tag.empty();
    scalar.text = value;
    if (scalar.plain && is_yaml_null(value)) scalar.kind = YamlNode::Kind::kNull;
    count(1, value.size(), scalar.line);
    add(std::move(scalar), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    const std::uint32_t line = line_of(mark, first_line_);
    if (found == anchors_.end()) throw TooMuch{{line, "an alias inside its own anchor"}};
    count_all(found->second, line);
    YamlNode copy = found->second;
    add(std::move(copy), YAML::NullAnchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, YamlNode::Kind::kList, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, YamlNode::Kind::kMap, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  /// A list or map whose end has not come yet.
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor;
    bool has_key = false;
    YamlNode key;
  };

  YamlNode node(const YAML::Mark& mark) const {
    YamlNode made;
    made.line = line_of(mark, first_line_);
    return made;
  }

  void open(const YAML::Mark& mark, YamlNode::Kind kind, YAML::anchor_t anchor) {
    YamlNode made = node(mark);
    made.kind = kind;
    count(1, 0, made.line);
    if (open_.size() >= kMaxDepth) throw TooMuch{{made.line, fmt::format("nested deeper than {}", kMaxDepth)}};
    open_.push_back({std::move(made), anchor, false, {}});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done.node), done.anchor);
  }

  void add(YamlNode value, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) {
      count_all(value, value.line);
      anchors_[anchor] = value;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.is_list()) {
      parent.node.elements.push_back(std::move(value));
    } else if (!parent.has_key) {
      parent.key = std::move(value);
      parent.has_key = true;
    } else {
      parent.has_key = false;
      add_member(parent.node, std::move(parent.key), std::move(value));
    }
  }

  /// `<<: *defaults` brings the names of a map, or of a list of maps, that are not there already.
  void add_member(YamlNode& map, YamlNode key, YamlNode value) {
    if (!(key.plain && key.text == "<<")) {
      map.members.push_back({std::move(key), std::move(value)});
      return;
    }
    std::vector<YamlNode> sources;
    if (value.is_map())
      sources.push_back(std::move(value));
    else
      sources = std::move(value.elements);
    // In front: what the map itself says comes later and wins.
    std::vector<YamlMember> merged;
    for (auto source = sources.rbegin(); source != sources.rend(); ++source) {
      for (YamlMember& member : source->members) merged.push_back(std::move(member));
    }
    map.members.insert(map.members.begin(), std::make_move_iterator(merged.begin()),
                       std::make_move_iterator(merged.end()));
  }

  void count_all(const YamlNode& tree, std::uint32_t line) {
    count(1, tree.text.size(), line);
    for (const YamlNode& element : tree.elements) count_all(element, line);
    for (const auto& [key, value] : tree.members) {
      count_all(key, line);
      count_all(value, line);
    }
  }

  void count(std::size_t nodes, std::size_t bytes, std::uint32_t line) {
    nodes_ += nodes;
    bytes_ += bytes;
    if (nodes_ > kMaxNodes || bytes_ > kMaxBytes) {
      throw TooMuch{
          {line, fmt::format("more than {} values or {} bytes, aliases counted in full", kMaxNodes, kMaxBytes)}};
    }
  }

  std::uint32_t first_line_;
  YamlNode root_;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, YamlNode> anchors_;
  std::size_t nodes_ = 0;
  std::size_t bytes_ = 0;
};

/// A stream over memory, without a copy.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* const begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

}  // namespace

YamlOutcome parse_yaml(std::string_view text, std::uint32_t first_line) {
  YamlOutcome outcome;
  const auto fail = [&outcome](std::uint32_t line, std::string message) {
    outcome.failed = true;
    outcome.error = {line, std::move(message)};
  };
  ViewBuffer buffer(text);
  std::istream stream(&buffer);
  try {
    TreeBuilder builder(first_line);
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    outcome.root = builder.take();
  } catch (const YAML::Exception& error) {
    fail(line_of(error.mark, first_line), error.msg);
  } catch (const TooMuch& limit) {
    fail(limit.error.line, limit.error.message);
  } catch (const std::exception& error) {
    fail(first_line, error.what());
  }
  return outcome;
}

const YamlNode& YamlNode::operator[](std::string_view name) const {
  static const YamlNode kAbsent;
  const YamlNode* found = &kAbsent;
  bool exact = false;
  for (const auto& [key, value] : members) {
    if (key.text == name) {
      found = &value;
      exact = true;
    } else if (!exact && equal_ignoring_case(key.text, name)) {
      found = &value;
    }
  }
  return *found;
}

}  // namespace caisson::config

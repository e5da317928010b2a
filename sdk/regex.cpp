#include "sdk/regex.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

namespace caisson::sdk {

namespace {

using Set = std::bitset<256>;

constexpr std::size_t kMaxGroups = 32;    // nested in each other
constexpr std::size_t kMaxRepeat = 1000;  // {m,n}, as RE2

struct Step {
  enum class Kind : std::uint8_t { kSet, kSplit, kJump, kBegin, kEnd, kBoundary, kNoBoundary, kMatch };
  Kind kind = Kind::kMatch;
  std::uint32_t set = 0;    // kSet: its index
  std::int32_t first = 0;   // kSplit, kJump: where to, relative to this step
  std::int32_t second = 0;  // kSplit
};

bool is_word(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

}  // namespace

struct Regex::Program {
  std::vector<Step> steps;
  std::vector<Set> sets;
};

namespace {

using Fragment = std::vector<Step>;

/// Recursive descent over the pattern; each function gives the steps of its part, with relative
/// jumps, so that a repeated part is a copy.
class Parser {
 public:
  explicit Parser(std::string_view pattern) : text_(pattern) {}

  Result<std::shared_ptr<const Regex::Program>> parse() {
    if (text_.starts_with("(?i)")) {
      any_case_ = true;
      at_ = 4;
    }
    ASSIGN(Fragment whole, alternatives());
    if (at_ < text_.size()) return wrong("')' without '('");
    whole.push_back({Step::Kind::kMatch, 0, 0, 0});
    program_->steps = std::move(whole);
    return std::shared_ptr<const Regex::Program>(program_);
  }

 private:
  Result<Fragment> alternatives() {
    ASSIGN(Fragment left, sequence());
    while (take('|')) {
      ASSIGN(const Fragment right, sequence());
      left = either(left, right);
      TRY(check_size(left));
    }
    return left;
  }

  Result<Fragment> sequence() {
    Fragment all;
    while (at_ < text_.size() && text_[at_] != '|' && text_[at_] != ')') {
      ASSIGN(Fragment item, atom());
      ASSIGN(item, repeated(std::move(item)));
      all.insert(all.end(), item.begin(), item.end());
      TRY(check_size(all));
    }
    return all;
  }

  Result<Fragment> repeated(Fragment item) {
    bool any = false;
    while (at_ < text_.size()) {
      std::size_t least = 0;
      std::optional<std::size_t> most;
      const std::size_t before = at_;
      if (take('+')) {
        least = 1;
      } else if (take('?')) {
        most = 1;
      } else if (!take('*')) {
        if (text_[at_] != '{' || !counts(least, most)) {
          at_ = before;
          return item;
        }
        if (least > kMaxRepeat || most.value_or(0) > kMaxRepeat || (most && *most < least)) {
          return wrong("a repetition out of range");
        }
      }
      if (any) return wrong("a repetition of a repetition");
      any = true;
      take('?');  // lazy: which match is found makes no difference here
      ASSIGN(item, repeat(item, least, most));
    }
    return item;
  }

  /// "{m}", "{m,}" or "{m,n}"; anything else is literal text.
  bool counts(std::size_t& least, std::optional<std::size_t>& most) {
    ++at_;
    const auto number = [this](std::size_t& out) {
      const auto parsed = std::from_chars(text_.data() + at_, text_.data() + text_.size(), out);
      if (parsed.ec != std::errc()) return false;
      at_ = static_cast<std::size_t>(parsed.ptr - text_.data());
      return true;
    };
    if (!number(least)) return false;
    if (take('}')) {
      most = least;
      return true;
    }
    if (!take(',')) return false;
    if (take('}')) return true;
    std::size_t last = 0;
    if (!number(last)) return false;
    most = last;
    return take('}');
  }

  Result<Fragment> repeat(const Fragment& item, std::size_t least, std::optional<std::size_t> most) {
    const auto size = static_cast<std::int32_t>(item.size());
    Fragment all;
    for (std::size_t i = 0; i < least; ++i) {
      all.insert(all.end(), item.begin(), item.end());
      TRY(check_size(all));
    }
    if (!most) {  // L: split next, end; item; jump L
      all.push_back({Step::Kind::kSplit, 0, 1, size + 2});
      all.insert(all.end(), item.begin(), item.end());
      all.push_back({Step::Kind::kJump, 0, -(size + 1), 0});
    } else {  // each optional one: split next, behind it
      for (std::size_t i = least; i < *most; ++i) {
        all.push_back({Step::Kind::kSplit, 0, 1, size + 1});
        all.insert(all.end(), item.begin(), item.end());
        TRY(check_size(all));
      }
    }
    TRY(check_size(all));
    return all;
  }

  static Fragment either(const Fragment& left, const Fragment& right) {
    Fragment both;
    both.push_back({Step::Kind::kSplit, 0, 1, static_cast<std::int32_t>(left.size()) + 2});
    both.insert(both.end(), left.begin(), left.end());
    both.push_back({Step::Kind::kJump, 0, static_cast<std::int32_t>(right.size()) + 1, 0});
    both.insert(both.end(), right.begin(), right.end());
    return both;
  }

  Result<Fragment> atom() {
    const char c = text_[at_++];
    switch (c) {
      case '(':
        return group();
      case '[':
        return bracket();
      case '.': {
        Set line_end;
        line_end.set('\n');
        return none_of(line_end);
      }
      case '^':
        return Fragment{{Step::Kind::kBegin, 0, 0, 0}};
      case '$':
        return Fragment{{Step::Kind::kEnd, 0, 0, 0}};
      case '\\':
        return escape();
      case '*':
      case '+':
      case '?':
        return wrong("a repetition of nothing");
      default:
        return one_character(at_ - 1);
    }
  }

  Result<Fragment> group() {
    if (++groups_ > kMaxGroups) return wrong("too many groups in each other");
    if (text_.substr(at_).starts_with("?:")) {
      at_ += 2;
    } else if (text_.substr(at_).starts_with("?P<")) {
      at_ = std::min(text_.find('>', at_), text_.size() - 1) + 1;
    } else if (text_.substr(at_).starts_with("?")) {
      return wrong("a kind of group that is not supported");
    }
    ASSIGN(Fragment inside, alternatives());
    if (!take(')')) return wrong("a '(' without ')'");
    --groups_;
    return inside;
  }

  Result<Fragment> escape() {
    if (at_ >= text_.size()) return wrong("a '\\' at the end");
    const char c = text_[at_++];
    switch (c) {
      case 'A':
        return Fragment{{Step::Kind::kBegin, 0, 0, 0}};
      case 'z':
        return Fragment{{Step::Kind::kEnd, 0, 0, 0}};
      case 'b':
        return Fragment{{Step::Kind::kBoundary, 0, 0, 0}};
      case 'B':
        return Fragment{{Step::Kind::kNoBoundary, 0, 0, 0}};
      default:
        break;
    }
    Set set;
    bool negated = false;
    if (class_escape(c, set, negated)) return negated ? none_of(set) : one_of(set);
    ASSIGN(const unsigned char byte, byte_escape(c));
    set.set(byte);
    return one_of(set);
  }

  static bool class_escape(char c, Set& set, bool& negated) {
    negated = c == 'D' || c == 'W' || c == 'S';
    switch (c) {
      case 'd':
      case 'D':
        for (int b = '0'; b <= '9'; ++b) set.set(static_cast<std::size_t>(b));
        return true;
      case 'w':
      case 'W':
        for (int b = 0; b < 128; ++b) set[static_cast<std::size_t>(b)] = is_word(static_cast<unsigned char>(b));
        return true;
      case 's':
      case 'S':
        for (const char b : {' ', '\t', '\n', '\r', '\f'}) set.set(static_cast<unsigned char>(b));
        return true;
      default:
        return false;
    }
  }

  Result<unsigned char> byte_escape(char c) {
    constexpr std::string_view kNames = "tnrfva";
    constexpr std::string_view kBytes = "\t\n\r\f\v\a";
    if (const std::size_t known = kNames.find(c); known != std::string_view::npos) {
      return static_cast<unsigned char>(kBytes[known]);
    }
    if (c == 'x') {
      unsigned byte = 0;
      const char* const first = text_.data() + at_;
      const std::size_t left = std::min<std::size_t>(2, text_.size() - at_);
      const auto parsed = std::from_chars(first, first + left, byte, 16);
      if (left < 2 || parsed.ptr != first + 2 || byte > 127) return wrong("\\x takes two hex digits up to 7f");
      at_ += 2;
      return static_cast<unsigned char>(byte);
    }
    if (is_word(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 128) {
      return wrong(fmt::format("the escape \\{} is not supported", c));
    }
    return static_cast<unsigned char>(c);
  }

  /// "[…]" behind its '['.
  Result<Fragment> bracket() {
    Set set;
    std::vector<Fragment> wide;  // members of more than one byte
    const bool negated = take('^');
    bool first = true;
    while (first || !take(']')) {
      if (at_ >= text_.size()) return wrong("a '[' without ']'");
      first = false;
      if (static_cast<unsigned char>(text_[at_]) >= 128) {
        wide.push_back(one_character(at_++));
        if (at_ < text_.size() && text_[at_] == '-') return wrong("a range beyond ASCII is not supported");
        continue;
      }
      if (text_.substr(at_).starts_with("[:")) return wrong("[: :] is not supported");
      ASSIGN(const std::optional<unsigned char> low, member(set));
      if (!low) continue;
      unsigned char high = *low;
      if (text_.substr(at_).starts_with("-") && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        ASSIGN(const std::optional<unsigned char> end, member(set));
        if (!end || *end < *low || *end >= 128) return wrong("a bad range");
        high = *end;
      }
      for (unsigned b = *low; b <= high; ++b) set.set(b);
    }
    if (negated && !wide.empty()) return wrong("[^…] beyond ASCII is not supported");
    if (negated) return none_of(set);
    Fragment all = one_of(set);
    for (const Fragment& character : wide) all = either(all, character);
    return all;
  }

  /// One member of a class: its byte, or nothing when it was a class of its own (\d).
  Result<std::optional<unsigned char>> member(Set& set) {
    const char c = text_[at_++];
    if (c != '\\') return std::optional<unsigned char>(static_cast<unsigned char>(c));
    if (at_ >= text_.size()) return wrong("a '\\' at the end");
    const char escaped = text_[at_++];
    Set known;
    bool negated = false;
    if (class_escape(escaped, known, negated)) {
      if (negated) {
        known.flip();
        for (std::size_t b = 128; b < 256; ++b) known.reset(b);
      }
      set |= known;
      return std::optional<unsigned char>();
    }
    ASSIGN(const unsigned char byte, byte_escape(escaped));
    return std::optional<unsigned char>(byte);
  }

  /// The character that begins at `first`, of one byte or of several; moves behind it.
  Fragment one_character(std::size_t first) {
    at_ = first;
    Fragment all;
    do {
      Set set;
      set.set(static_cast<unsigned char>(text_[at_++]));
      const Fragment byte = one_of(set);
      all.insert(all.end(), byte.begin(), byte.end());
    } while (at_ < text_.size() && (static_cast<unsigned char>(text_[at_]) & 0xC0) == 0x80);
    return all;
  }

  Fragment one_of(Set set) {
    if (any_case_) {
      for (std::size_t c = 'a'; c <= 'z'; ++c) {
        const bool both = set[c] || set[c - 32];
        set[c] = set[c - 32] = both;
      }
    }
    auto& sets = program_->sets;
    const auto known = std::ranges::find(sets, set);
    const auto index = static_cast<std::uint32_t>(known - sets.begin());
    if (known == sets.end()) sets.push_back(set);
    return {{Step::Kind::kSet, index, 0, 0}};
  }

  /// One whole character that is not in the (ASCII) set: its first byte, then what continues it.
  Fragment none_of(Set set) {
    if (any_case_) {
      for (std::size_t c = 'a'; c <= 'z'; ++c) set[c] = set[c - 32] = set[c] || set[c - 32];
    }
    Set head = ~set;
    Set tail;
    for (std::size_t b = 128; b < 192; ++b) {
      head.reset(b);
      tail.set(b);
    }
    const bool keep_case = std::exchange(any_case_, false);
    Fragment all = one_of(head);
    all.push_back({Step::Kind::kSplit, 0, 1, 3});
    const Fragment continuation = one_of(tail);
    all.insert(all.end(), continuation.begin(), continuation.end());
    all.push_back({Step::Kind::kJump, 0, -2, 0});
    any_case_ = keep_case;
    return all;
  }

  Result<void> check_size(const Fragment& fragment) const {
    if (fragment.size() < Regex::kMaxStates) return ok();
    return wrong("the pattern is too large");
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  static Error wrong(std::string_view what) { return {Errc::kInvalidArgument, fmt::format("pattern: {}", what)}; }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t groups_ = 0;
  bool any_case_ = false;
  std::shared_ptr<Regex::Program> program_ = std::make_shared<Regex::Program>();
};

/// The steps at which the automaton stands, each at most once.
class Run {
 public:
  Run(const Regex::Program& program, std::string_view text)
      : program_(program), text_(text), marks_(program.steps.size(), 0) {}

  bool found() {
    std::vector<std::uint32_t> standing;
    std::vector<std::uint32_t> next;
    for (std::size_t at = 0;; ++at) {
      ++mark_;
      now_ = &next;
      next.clear();
      for (const std::uint32_t step : standing) {
        if (program_.sets[program_.steps[step].set][static_cast<unsigned char>(text_[at - 1])]) enter(step + 1, at);
      }
      enter(0, at);  // a match may begin anywhere
      if (matched_) return true;
      if (at == text_.size()) return false;
      standing.swap(next);
    }
  }

 private:
  /// Follows everything that takes no byte.
  void enter(std::uint32_t start, std::size_t at) {
    pending_.assign(1, start);
    while (!pending_.empty()) {
      const std::uint32_t index = pending_.back();
      pending_.pop_back();
      if (marks_[index] == mark_) continue;
      marks_[index] = mark_;
      const Step& step = program_.steps[index];
      const auto go = [&](std::int32_t relative) {
        pending_.push_back(static_cast<std::uint32_t>(static_cast<std::int32_t>(index) + relative));
      };
      switch (step.kind) {
        case Step::Kind::kSet:
          now_->push_back(index);
          break;
        case Step::Kind::kSplit:
          go(step.second);
          go(step.first);
          break;
        case Step::Kind::kJump:
          go(step.first);
          break;
        case Step::Kind::kBegin:
          if (at == 0) go(1);
          break;
        case Step::Kind::kEnd:
          if (at == text_.size()) go(1);
          break;
        case Step::Kind::kBoundary:
          if (boundary(at)) go(1);
          break;
        case Step::Kind::kNoBoundary:
          if (!boundary(at)) go(1);
          break;
        case Step::Kind::kMatch:
          matched_ = true;
      }
    }
  }

  [[nodiscard]] bool boundary(std::size_t at) const {
    const bool before = at > 0 && is_word(static_cast<unsigned char>(text_[at - 1]));
    const bool behind = at < text_.size() && is_word(static_cast<unsigned char>(text_[at]));
    return before != behind;
  }

  const Regex::Program& program_;
  std::string_view text_;
  std::vector<std::uint64_t> marks_;
  std::uint64_t mark_ = 0;
  std::vector<std::uint32_t>* now_ = nullptr;
  std::vector<std::uint32_t> pending_;
  bool matched_ = false;
};

}  // namespace

Result<Regex> Regex::parse(std::string_view pattern) {
  if (pattern.size() > kMaxPattern) {
    return Error{Errc::kInvalidArgument, fmt::format("pattern: over {} characters", kMaxPattern)};
  }
  ASSIGN(auto program, Parser(pattern).parse());
  return Regex(std::move(program));
}

bool Regex::found_in(std::string_view text) const { return Run(*program_, text).found(); }

std::size_t Regex::states() const { return program_->steps.size(); }

}  // namespace caisson::sdk

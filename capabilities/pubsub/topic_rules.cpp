#include "capabilities/pubsub/topic_rules.hpp"

#include <algorithm>
#include <cstdlib>

namespace caisson::pubsub {

namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

/// The trimmed parts between separators, empty ones left out.
std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    const std::string_view part = trim(text.substr(0, end));
    if (!part.empty()) parts.emplace_back(part);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return parts;
}

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::ranges::find(list, item) != list.end();
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
}

}  // namespace

TopicRules::TopicRules(const sdk::Metadata& metadata)
    : allowed_(split(metadata.get("allowedTopics"), ',')),
      protected_(split(metadata.get("protectedTopics"), ',')),
      publishing_(parse_scopes(metadata.get("publishingScopes"))),
      subscription_(parse_scopes(metadata.get("subscriptionScopes"))),
      consumer_id_(metadata.get("consumerID")) {
  const char* const name = std::getenv("NAMESPACE");
  namespace_ = name == nullptr ? "" : name;
  for (const std::string_view key :
       {"allowedTopics", "protectedTopics", "publishingScopes", "subscriptionScopes", "consumerID"}) {
    namespaced_ = namespaced_ || metadata.get(key).find("{namespace}") != std::string::npos;
  }
}

/// "app1=t1,t2;app2=": an app that is listed with nothing has no topic.
TopicRules::Scopes TopicRules::parse_scopes(std::string_view text) {
  Scopes scopes;
  for (const std::string& part : split(text, ';')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos) continue;
    scopes[std::string(trim(std::string_view(part).substr(0, equals)))] =
        split(std::string_view(part).substr(equals + 1), ',');
  }
  return scopes;
}

bool TopicRules::allows(const Scopes& scopes, std::string_view app, std::string_view topic) const {
  if (!allowed_.empty() && !contains(allowed_, topic)) return false;
  const auto scope = scopes.find(app);
  if (scope == scopes.end()) return !contains(protected_, topic);
  return contains(scope->second, topic);
}

bool TopicRules::may_publish(std::string_view app, std::string_view topic) const {
  return allows(publishing_, app, topic);
}

bool TopicRules::may_subscribe(std::string_view app, std::string_view topic) const {
  return allows(subscription_, app, topic);
}

std::string TopicRules::broker_topic(std::string_view topic) const {
  return namespaced_ ? namespace_ + std::string(topic) : std::string(topic);
}

std::string TopicRules::group_of(std::string_view app) const {
  if (consumer_id_.empty()) return std::string(app);
  std::string group = consumer_id_;
  replace_all(group, "{appID}", app);
  replace_all(group, "{namespace}", namespace_);
  return group;
}

}  // namespace caisson::pubsub

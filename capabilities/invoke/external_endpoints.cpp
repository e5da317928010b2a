#include "capabilities/invoke/external_endpoints.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bus/log.hpp"

namespace caisson::invoke {

namespace {

bool same_items(const std::vector<config::MetadataItem>& one, const std::vector<config::MetadataItem>& other) {
  return std::ranges::equal(one, other, [](const config::MetadataItem& a, const config::MetadataItem& b) {
    return a.name == b.name && a.value == b.value && a.secret_name == b.secret_name && a.secret_key == b.secret_key &&
           a.env == b.env;
  });
}

/// But for scopes and origin, which no connection depends on.
bool same_endpoint(const config::HttpEndpoint& one, const config::HttpEndpoint& other) {
  return one.base_url == other.base_url && one.secret_store == other.secret_store &&
         same_items(one.headers, other.headers) && same_items(one.client_tls, other.client_tls);
}

}  // namespace

void ExternalEndpoints::configure(const config::Generation& generation) {
  std::map<std::string, Named, std::less<>> before = std::exchange(named_, {});
  for (const config::HttpEndpoint& document : generation.http_endpoints) {
    const auto known = before.find(document.name);
    if (known != before.end() && same_endpoint(known->second.document, document)) {
      named_[document.name] = {document, known->second.endpoint};
      continue;
    }
    Result<Url> url = parse_url(document.base_url);
    if (!url) {
      log(LogLevel::kError, fmt::format("{}:{}: HTTPEndpoint '{}': spec.baseUrl: {}", document.origin.file,
                                        document.origin.line, document.name, url.error().message));
      continue;
    }
    named_[document.name] = {document, std::make_shared<ExternalEndpoint>(context_, *std::move(url), document)};
  }
}

Result<std::shared_ptr<ExternalEndpoint>> ExternalEndpoints::find(std::string_view id, std::string_view caller) {
  if (const auto named = named_.find(id); named != named_.end()) {
    const std::vector<std::string>& scopes = named->second.document.scopes;
    if (scopes.empty() || std::ranges::find(scopes, caller) != scopes.end()) return named->second.endpoint;
  }
  if (!is_url(id)) return Error{Errc::kNotFound, fmt::format("couldn't find app id {}", id)};
  const auto known = std::ranges::find(urls_, id, &ByUrl::url);
  if (known != urls_.end()) {
    urls_.splice(urls_.begin(), urls_, known);
    return urls_.front().endpoint;
  }
  ASSIGN(Url url, parse_url(id));
  urls_.push_front(
      {std::string(id), std::make_shared<ExternalEndpoint>(context_, std::move(url), config::HttpEndpoint())});
  if (urls_.size() > kMostUrls) urls_.pop_back();
  return urls_.front().endpoint;
}

}  // namespace caisson::invoke

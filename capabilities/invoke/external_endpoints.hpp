#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "capabilities/invoke/external_endpoint.hpp"

namespace caisson::invoke {

/// The servers outside this runtime that can be invoked: the HTTPEndpoint documents in force, and URLs that
/// callers name themselves. One thread.
class ExternalEndpoints {
 public:
  /// Of URLs that stand in no document, the most recently used are kept.
  static constexpr std::size_t kMostUrls = 100;

  explicit ExternalEndpoints(sdk::Context& context) : context_(context) {}

  /// A document that has stayed the same keeps its connections; one with an unusable URL is logged and left
  /// out.
  void configure(const config::Generation& generation);

  /// By a document's name, where its scopes let `caller` see it, or by URL. kNotFound: it is neither;
  /// kInvalidArgument: a URL that cannot be called.
  Result<std::shared_ptr<ExternalEndpoint>> find(std::string_view id, std::string_view caller);

 private:
  struct Named {
    config::HttpEndpoint document;
    std::shared_ptr<ExternalEndpoint> endpoint;
  };
  struct ByUrl {
    std::string url;
    std::shared_ptr<ExternalEndpoint> endpoint;
  };

  sdk::Context& context_;
  std::map<std::string, Named, std::less<>> named_;
  std::list<ByUrl> urls_;  // the most recently used first
};

}  // namespace caisson::invoke

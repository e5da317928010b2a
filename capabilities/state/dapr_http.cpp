#include "capabilities/state/dapr_http.hpp"

#include <fmt/format.h>

#include "capabilities/state/dapr_errors.hpp"
#include "capabilities/state/dapr_json.hpp"
#include "sdk/http_reply.hpp"

namespace caisson::state {

namespace {

using sdk::ApiError;
using sdk::Request;
using sdk::Response;

ApiError api_error(std::uint16_t status, std::string code, std::string message) {
  ApiError error;
  error.status = status;
  error.code = std::move(code);
  error.message = std::move(message);
  return error;
}

Response malformed(std::string_view what) {
  return sdk::error_response(
      api_error(400, "ERR_MALFORMED_REQUEST", fmt::format("failed deserializing HTTP body: {}", what)));
}

/// Metadata of the query overrides that of the item, key by key.
void add_query_metadata(const Request& request, std::vector<Change>& changes) {
  if (request.query().empty()) return;
  const auto from_query = sdk::query_metadata(request.query());
  for (Change& change : changes) {
    for (const auto& [key, value] : from_query) change.metadata[key] = value;
  }
}

std::string query_value(const Request& request, std::string_view name) {
  for (auto& [key, value] : sdk::parse_query(request.query())) {
    if (key == name) return value;
  }
  return {};
}

/// The answer to keys that no store is asked for.
std::optional<Response> check_keys(const Selected& selected, const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    if (change.key.empty()) {
      return sdk::error_response(api_error(400, "ERR_MALFORMED_REQUEST", "\"key\" is a required field"));
    }
    if (const auto checked = Service::check_key(change.key); !checked) {
      return sdk::error_response(dapr_errors::illegal_key(selected, change.key, checked.error()));
    }
  }
  return std::nullopt;
}

Response value_response(const Request& request, const Selected& selected, Entry entry) {
  if (entry.value.size() > kMostValueBytes) {
    return sdk::error_response(dapr_errors::not_read(selected, request.parameter("key"),
                                                     fmt::format("the value is {} bytes long", entry.value.size())));
  }
  Response response = sdk::json_response(std::move(entry.value));
  response.headers.emplace_back("etag", std::move(entry.etag));
  if (!entry.expires.empty()) response.headers.emplace_back("metadata.ttlExpireTime", std::move(entry.expires));
  return response;
}

Route route_of(std::string method, std::string path) {
  Route route;
  route.method = std::move(method);
  route.path = std::move(path);
  route.selector = "store";
  route.group = "state";
  route.version = "v1.0";
  route.too_large = {400, "ERR_MALFORMED_REQUEST", "failed deserializing HTTP body: the body is too large"};
  return route;
}

}  // namespace

void DaprHttp::define(sdk::Definition& definition) {
  definition.manifest().calls = {"secrets.resolve"};  // for secretKeyRef
  Route get_one = route_of("GET", "/v1.0/state/{store}/{key}");
  get_one.safe = true;
  get_one.key = "key";
  route(definition, get_one, "get", &DaprHttp::get);

  Route set_some = route_of("POST,PUT", "/v1.0/state/{store}");
  set_some.ledgered = true;
  route(definition, set_some, "set", &DaprHttp::set);

  Route remove_one = route_of("DELETE", "/v1.0/state/{store}/{key}");
  remove_one.ledgered = true;
  remove_one.key = "key";
  route(definition, remove_one, "delete", &DaprHttp::remove);

  Route get_some = route_of("POST,PUT", "/v1.0/state/{store}/bulk");
  get_some.safe = true;
  route(definition, get_some, "bulk_get", &DaprHttp::get_many);

  Route transaction = route_of("POST,PUT", "/v1.0/state/{store}/transaction");
  transaction.ledgered = true;
  route(definition, transaction, "transaction", &DaprHttp::transact);

  Route search = route_of("POST,PUT", "/v1.0-alpha1/state/{store}/query");
  search.safe = true;
  search.version = "v1.0-alpha1";
  route(definition, search, "query", &DaprHttp::query);
}

void DaprHttp::route(sdk::Definition& definition, Route route, std::string name, Operation operation) {
  OperationCounter& counter = operations_.emplace_back(counters_, std::move(name));
  definition.route(std::move(route),
                   [this, &counter, operation](Request& request) { return serve(request, counter, operation); });
}

/// What all operations have in common: the store is looked up before, and the end is counted after.
Task<Response> DaprHttp::serve(const Request& request, OperationCounter& counter, Operation operation) {
  Result<Selected> selected = service_.find(request.parameter("store"), request.app());
  if (!selected && selected.error().code == Errc::kUnavailable) {
    auto selecting =
        service_.select(std::string(request.parameter("store")), std::string(request.app()), request.deadline());
    selected = co_await std::move(selecting);
  }
  Response response;
  if (selected) {
    auto serving = (this->*operation)(request, *selected);
    response = co_await std::move(serving);
  } else {
    response = sdk::error_response(dapr_errors::no_store(selected.error(), request.app()));
  }
  using End = OperationCounter::End;
  counter.add(response.status < 400 ? End::kOk : response.status < 500 ? End::kRefused : End::kFailed);
  co_return response;
}

Task<Response> DaprHttp::get(const Request& request, const Selected& selected) {
  const Get get{std::string(request.parameter("key")), query_value(request, "consistency"),
                sdk::query_metadata(request.query())};
  if (const auto checked = Service::check_key(get.key); !checked)
    co_return sdk::error_response(dapr_errors::illegal_key(selected, get.key, checked.error()));

  auto getting = service_.get(selected, get, request.deadline());
  Found found = co_await std::move(getting);
  if (!found) co_return sdk::error_response(dapr_errors::not_read(selected, get.key, found.error().message));
  if (!*found) co_return sdk::no_content();
  co_return value_response(request, selected, **std::move(found));
}

Task<Response> DaprHttp::set(const Request& request, const Selected& selected) {
  auto items = parse_set(std::string(request.body()));
  if (!items) co_return malformed(items.error().message);
  if (auto refused = check_keys(selected, *items)) co_return *std::move(refused);
  if (items->empty()) co_return sdk::no_content();
  add_query_metadata(request, *items);

  Changes changes{request.id(), false, *std::move(items)};
  auto changing = service_.change(selected, std::move(changes), request.deadline());
  const auto results = co_await std::move(changing);
  const auto error = joined_error(results);
  if (!error) co_return sdk::no_content();
  co_return sdk::error_response(dapr_errors::not_saved(selected, *error));
}

Task<Response> DaprHttp::remove(const Request& request, const Selected& selected) {
  std::vector<Change> items(1);
  Change& change = items.front();
  change.kind = ChangeKind::kDelete;
  change.key = request.parameter("key");
  change.etag = request.header("if-match");
  change.concurrency = query_value(request, "concurrency");
  change.consistency = query_value(request, "consistency");
  const std::string key = change.key;
  if (auto refused = check_keys(selected, items)) co_return *std::move(refused);
  add_query_metadata(request, items);

  Changes changes{request.id(), false, std::move(items)};
  auto changing = service_.change(selected, std::move(changes), request.deadline());
  const auto results = co_await std::move(changing);
  const auto error = joined_error(results);
  if (!error) co_return sdk::no_content();
  co_return sdk::error_response(dapr_errors::not_deleted(key, *error));
}

Task<Response> DaprHttp::get_many(const Request& request, const Selected& selected) {
  const auto keys = parse_get_many(std::string(request.body()));
  if (!keys) co_return malformed(keys.error().message);
  for (const std::string& key : *keys) {
    if (const auto checked = Service::check_key(key); !checked)
      co_return sdk::error_response(dapr_errors::illegal_key(selected, key, checked.error()));
  }
  auto getting = service_.get_many(selected, *keys, kMostValueBytes, request.deadline());
  const auto found = co_await std::move(getting);
  std::string body;
  std::string failure;
  if (found) {
    body = format_get_many(*keys, *found);
    if (body.size() > kMaxPayload) failure = "the answer is larger than a reply may be";
  } else {
    failure = found.error().message;
  }
  if (!failure.empty()) {
    co_return sdk::error_response(api_error(
        500, "ERR_STATE_BULK_GET", fmt::format("failed bulk get from state store {}: {}", selected.store, failure)));
  }
  co_return sdk::json_response(std::move(body));
}

Task<Response> DaprHttp::transact(const Request& request, const Selected& selected) {
  auto parsed = parse_transaction(std::string(request.body()));
  if (!parsed) co_return malformed(parsed.error().message);
  // In the order of the operations: what comes before an unknown one is looked at first.
  if (auto refused = check_keys(selected, parsed->changes)) co_return *std::move(refused);
  if (parsed->has_unknown_operation)
    co_return sdk::error_response(dapr_errors::unknown_operation(parsed->unknown_operation));
  if (parsed->changes.empty()) co_return sdk::no_content();
  add_query_metadata(request, parsed->changes);

  Changes changes{request.id(), true, std::move(parsed->changes)};
  auto changing = service_.change(selected, std::move(changes), request.deadline());
  const auto results = co_await std::move(changing);
  const auto error = joined_error(results);
  if (!error) co_return sdk::no_content();
  co_return sdk::error_response(dapr_errors::not_transacted(*error));
}

Task<Response> DaprHttp::query(const Request&, const Selected& selected) {
  co_return sdk::error_response(dapr_errors::no_queries(selected));
}

}  // namespace caisson::state

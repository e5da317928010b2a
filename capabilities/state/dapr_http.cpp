#include "capabilities/state/dapr_http.hpp"

#include <fmt/format.h>

#include "capabilities/state/dapr_json.hpp"
#include "sdk/http_reply.hpp"

namespace caisson::state {

namespace {

using sdk::ApiError;
using sdk::Request;
using sdk::Response;

/// Values and the JSON around them must fit into one frame.
constexpr std::size_t kMostValueBytes = kMaxPayload - 64 * 1024;

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

/// The store could not be selected.
Response no_store(const Error& error, const Request& request) {
  ApiError answer = api_error(500, "ERR_STATE_STORE_NOT_CONFIGURED", error.message);
  answer.reason = "DAPR_STATE_NOT_CONFIGURED";
  if (error.code == Errc::kNotFound) {
    answer.status = 400;
    answer.code = "ERR_STATE_STORE_NOT_FOUND";
    answer.reason = "DAPR_STATE_NOT_FOUND";
  }
  answer.info = {{"appID", std::string(request.app())}};
  return sdk::error_response(answer);
}

Response illegal_key(const Selected& selected, std::string_view key, const Error& error) {
  ApiError answer = api_error(400, "ERR_MALFORMED_REQUEST", error.message);
  answer.reason = "DAPR_STATE_ILLEGAL_KEY";
  answer.resource_type = "state";
  answer.resource_name = selected.store;
  answer.violation_field = key;
  answer.violation = error.message;
  return sdk::error_response(answer);
}

std::uint16_t status_of(Errc code) { return code == Errc::kAborted ? 409 : code == Errc::kInvalidArgument ? 400 : 500; }

/// What went wrong with the changes of a request, all of it in one text: an etag error decides the
/// code. Nothing when nothing did.
std::optional<Error> joined_error(const Result<std::vector<WriteResult>>& results) {
  if (!results) {
    // The store's own refusal is never an etag error, whatever its code.
    return Error{Errc::kUnknown, results.error().message};
  }
  std::optional<Error> joined;
  for (const WriteResult& result : *results) {
    if (result.code == Errc::kOk || result.code == Errc::kCancelled) continue;
    if (!joined) {
      joined.emplace(Error{result.code, result.text});
      continue;
    }
    joined->message += "\n" + result.text;
    if (status_of(joined->code) == 500) joined->code = result.code;
  }
  return joined;
}

/// Metadata of the query overrides that of the item, key by key.
void add_query_metadata(const Request& request, std::vector<Change>& changes) {
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
    if (const auto key = Service::stored_key(selected, change.key); !key) {
      return illegal_key(selected, change.key, key.error());
    }
  }
  return std::nullopt;
}

Response value_response(const Request& request, const Selected& selected, Entry entry) {
  if (entry.value.size() > kMostValueBytes) {
    return sdk::error_response(api_error(500, "ERR_STATE_GET",
                                         fmt::format("fail to get {} from state store {}: the value is {} bytes long",
                                                     request.parameter("key"), selected.store, entry.value.size())));
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
  route(definition, get_one, "get", &DaprHttp::get);

  Route set_some = route_of("POST,PUT", "/v1.0/state/{store}");
  set_some.ledgered = true;
  route(definition, set_some, "set", &DaprHttp::set);

  Route remove_one = route_of("DELETE", "/v1.0/state/{store}/{key}");
  remove_one.ledgered = true;
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

void DaprHttp::route(sdk::Definition& definition, Route route, std::string operation, Serve serve) {
  definition.route(std::move(route), [this, operation = std::move(operation), serve](Request& request) {
    return counted(request, operation, serve);
  });
}

Task<Response> DaprHttp::counted(Request& request, const std::string& operation, Serve serve) {
  auto task = (this->*serve)(request);
  Response response = co_await std::move(task);
  const std::string_view result = response.status < 400 ? "ok" : response.status < 500 ? "refused" : "failed";
  counters_.counter("state_requests_total", fmt::format("operation=\"{}\",result=\"{}\"", operation, result)).add();
  co_return response;
}

Task<Response> DaprHttp::get(Request& request) {
  auto selecting =
      service_.select(std::string(request.parameter("store")), std::string(request.app()), request.deadline());
  const auto selected = co_await std::move(selecting);
  if (!selected) co_return no_store(selected.error(), request);

  Get get{std::string(request.parameter("key")), query_value(request, "consistency"),
          sdk::query_metadata(request.query())};
  const std::string key = get.key;
  if (const auto stored = Service::stored_key(*selected, key); !stored)
    co_return illegal_key(*selected, key, stored.error());

  auto getting = service_.get(*selected, std::move(get), request.deadline());
  Found found = co_await std::move(getting);
  if (!found) {
    co_return sdk::error_response(
        api_error(500, "ERR_STATE_GET",
                  fmt::format("fail to get {} from state store {}: {}", key, selected->store, found.error().message)));
  }
  if (!*found) co_return sdk::no_content();
  co_return value_response(request, *selected, **std::move(found));
}

Task<Response> DaprHttp::set(Request& request) {
  auto selecting =
      service_.select(std::string(request.parameter("store")), std::string(request.app()), request.deadline());
  const auto selected = co_await std::move(selecting);
  if (!selected) co_return no_store(selected.error(), request);

  auto items = parse_set(std::string(request.body()));
  if (!items) co_return malformed(items.error().message);
  if (auto refused = check_keys(*selected, *items)) co_return *std::move(refused);
  if (items->empty()) co_return sdk::no_content();
  add_query_metadata(request, *items);

  Changes changes{request.id(), false, *std::move(items)};
  auto changing = service_.change(*selected, std::move(changes), request.deadline());
  const auto results = co_await std::move(changing);
  const auto error = joined_error(results);
  if (!error) co_return sdk::no_content();
  co_return sdk::error_response(
      api_error(status_of(error->code), "ERR_STATE_SAVE",
                fmt::format("failed saving state in state store {}: {}", selected->store, error->message)));
}

Task<Response> DaprHttp::remove(Request& request) {
  auto selecting =
      service_.select(std::string(request.parameter("store")), std::string(request.app()), request.deadline());
  const auto selected = co_await std::move(selecting);
  if (!selected) co_return no_store(selected.error(), request);

  std::vector<Change> items(1);
  Change& change = items.front();
  change.kind = ChangeKind::kDelete;
  change.key = request.parameter("key");
  change.etag = request.header("if-match");
  change.concurrency = query_value(request, "concurrency");
  change.consistency = query_value(request, "consistency");
  const std::string key = change.key;
  if (auto refused = check_keys(*selected, items)) co_return *std::move(refused);
  add_query_metadata(request, items);

  Changes changes{request.id(), false, std::move(items)};
  auto changing = service_.change(*selected, std::move(changes), request.deadline());
  const auto results = co_await std::move(changing);
  const auto error = joined_error(results);
  if (!error) co_return sdk::no_content();
  co_return sdk::error_response(api_error(status_of(error->code), "ERR_STATE_DELETE",
                                          fmt::format("failed deleting state with key {}: {}", key, error->message)));
}

Task<Response> DaprHttp::get_many(Request& request) {
  auto selecting =
      service_.select(std::string(request.parameter("store")), std::string(request.app()), request.deadline());
  const auto selected = co_await std::move(selecting);
  if (!selected) co_return no_store(selected.error(), request);

  const auto keys = parse_get_many(std::string(request.body()));
  if (!keys) co_return malformed(keys.error().message);
  for (const std::string& key : *keys) {
    if (const auto stored = Service::stored_key(*selected, key); !stored)
      co_return illegal_key(*selected, key, stored.error());
  }
  auto getting = service_.get_many(*selected, *keys, kMostValueBytes, request.deadline());
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
        500, "ERR_STATE_BULK_GET", fmt::format("failed bulk get from state store {}: {}", selected->store, failure)));
  }
  co_return sdk::json_response(std::move(body));
}

Task<Response> DaprHttp::transact(Request& request) {
  auto selecting =
      service_.select(std::string(request.parameter("store")), std::string(request.app()), request.deadline());
  const auto selected = co_await std::move(selecting);
  if (!selected) co_return no_store(selected.error(), request);

  auto parsed = parse_transaction(std::string(request.body()));
  if (!parsed) co_return malformed(parsed.error().message);
  // In the order of the operations: what comes before an unknown one is looked at first.
  if (auto refused = check_keys(*selected, parsed->changes)) co_return *std::move(refused);
  if (parsed->has_unknown_operation) {
    co_return sdk::error_response(api_error(400, "ERR_NOT_SUPPORTED_STATE_OPERATION",
                                            fmt::format("operation type {} not supported", parsed->unknown_operation)));
  }
  if (parsed->changes.empty()) co_return sdk::no_content();
  add_query_metadata(request, parsed->changes);

  Changes changes{request.id(), true, std::move(parsed->changes)};
  auto changing = service_.change(*selected, std::move(changes), request.deadline());
  const auto results = co_await std::move(changing);
  const auto error = joined_error(results);
  if (!error) co_return sdk::no_content();
  co_return sdk::error_response(api_error(500, "ERR_STATE_TRANSACTION",
                                          fmt::format("error while executing state transaction: {}", error->message)));
}

Task<Response> DaprHttp::query(Request& request) {
  auto selecting =
      service_.select(std::string(request.parameter("store")), std::string(request.app()), request.deadline());
  const auto selected = co_await std::move(selecting);
  if (!selected) co_return no_store(selected.error(), request);

  ApiError answer = api_error(500, "ERR_STATE_STORE_NOT_SUPPORTED", "state store does not support querying");
  answer.reason = "DAPR_STATE_QUERYING_NOT_SUPPORTED";
  answer.resource_type = "state";
  answer.resource_name = selected->store;
  co_return sdk::error_response(answer);
}

}  // namespace caisson::state

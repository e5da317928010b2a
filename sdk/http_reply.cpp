#include "sdk/http_reply.hpp"

#include "bus/json_writer.hpp"

namespace caisson::sdk {

namespace {

constexpr std::string_view kType = "type.googleapis.com/google.rpc.";

void write_type(JsonWriter& json, std::string_view name) {
  json.key("@type").value(std::string(kType) + std::string(name));
}

void write_details(JsonWriter& json, const ApiError& error) {
  json.key("details").begin_array();
  if (!error.violation_field.empty()) {
    json.begin_object();
    write_type(json, "BadRequest");
    json.key("field_violations").begin_array().begin_object();
    json.key("field").value(error.violation_field).key("description").value(error.violation);
    json.end_object().end_array().end_object();
  }
  if (!error.resource_type.empty()) {
    json.begin_object();
    write_type(json, "ResourceInfo");
    json.key("resource_type").value(error.resource_type);
    json.key("resource_name").value(error.resource_name);
    json.key("owner").value("").key("description").value("").end_object();
  }
  json.begin_object();
  write_type(json, "ErrorInfo");
  json.key("reason").value(error.reason).key("domain").value("dapr.io").key("metadata");
  if (error.info.empty()) {
    json.null();
  } else {
    json.begin_object();
    for (const auto& [name, value] : error.info) json.key(name).value(value);
    json.end_object();
  }
  json.end_object();
  if (!error.help_url.empty()) {
    json.begin_object();
    write_type(json, "Help");
    json.key("links").begin_array().begin_object();
    json.key("description").value("").key("url").value(error.help_url);
    json.end_object().end_array().end_object();
  }
  json.end_array();
}

}  // namespace

Response error_response(const ApiError& error) {
  JsonWriter json;
  json.begin_object();
  json.key("errorCode").value(error.code).key("message").value(error.message);
  if (!error.reason.empty()) write_details(json, error);
  json.end_object();
  Response response = json_response(json.take());
  response.status = error.status;
  return response;
}

Response json_response(std::string json) {
  Response response;
  response.headers.reserve(3);  // most add an etag
  response.headers.emplace_back("content-type", "application/json");
  response.body = Buffer(std::move(json));
  return response;
}

Response no_content() {
  Response response;
  response.status = 204;
  return response;
}

}  // namespace caisson::sdk

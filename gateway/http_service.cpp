#include "gateway/http_service.hpp"

#include "bus/json_writer.hpp"

namespace caisson::gateway {

HttpAnswer HttpAnswer::text(std::uint16_t status, std::string_view message) {
  HttpAnswer answer;
  answer.status = status;
  answer.headers = "Content-Type: text/plain; charset=utf-8\r\n";
  answer.body = message;
  return answer;
}

HttpAnswer HttpAnswer::json(std::uint16_t status, std::string body) {
  HttpAnswer answer;
  answer.status = status;
  answer.headers = "Content-Type: application/json\r\n";
  answer.body = std::move(body);
  return answer;
}

HttpAnswer HttpAnswer::error(ErrorShape shape, const GatewayError& error) {
  const std::uint16_t status = error.status == 0 ? 500 : error.status;
  if (shape != ErrorShape::kDaprJson) return text(status, error.message);
  JsonWriter json;
  json.begin_object().key("errorCode").value(error.code).key("message").value(error.message).end_object();
  return HttpAnswer::json(status, json.take());
}

}  // namespace caisson::gateway

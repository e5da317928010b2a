#pragma once

#include <functional>
#include <string>

#include "gateway/http_service.hpp"

namespace caisson::gateway {

/// The admin port: /metrics and /status. One thread.
class AdminService final : public HttpService {
 public:
  struct Pages {
    std::function<std::string()> metrics;
    std::function<std::string()> status;
  };
  explicit AdminService(Pages pages) : pages_(std::move(pages)) {}

  Admission admit(HttpRequest& request) override {
    Admission admission;
    admission.refusal = page(*request.head);
    return admission;
  }
  // Every request has been answered by then.
  Task<HttpAnswer> serve(HttpRequest& request, Buffer) override { co_return page(*request.head); }
  Task<Opened> open(HttpRequest&, Buffer) override { co_return Opened(); }
  Task<HttpAnswer> reply(HttpRequest& request, Opened&) override { co_return page(*request.head); }

 private:
  [[nodiscard]] HttpAnswer page(const RequestHead& head) const {
    if (head.method != "GET" && head.method != "HEAD") return HttpAnswer::text(405, "only GET is answered here");
    if (head.path == "/metrics" || head.path == "/") {
      HttpAnswer answer;
      answer.headers = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
      answer.body = pages_.metrics();
      return answer;
    }
    if (head.path == "/status") return HttpAnswer::json(200, pages_.status());
    return HttpAnswer::text(404, "there is /metrics and /status");
  }

  Pages pages_;
};

}  // namespace caisson::gateway

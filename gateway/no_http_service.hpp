#pragma once

#include "gateway/http_service.hpp"

namespace caisson::gateway {

/// Plain HTTP where only gRPC is served: every request is refused. One thread.
class NoHttpService final : public HttpService {
 public:
  Admission admit(HttpRequest&) override {
    Admission admission;
    admission.refusal = refusal();
    return admission;
  }
  // Every request has been answered by then.
  Task<HttpAnswer> serve(HttpRequest&, Buffer) override { co_return refusal(); }
  Task<Opened> open(HttpRequest&, Buffer) override { co_return Opened(); }
  Task<HttpAnswer> reply(HttpRequest&, Opened&) override { co_return refusal(); }

 private:
  static HttpAnswer refusal() {
    return HttpAnswer::text(415, "this port serves gRPC: POST with content-type application/grpc over HTTP/2");
  }
};

}  // namespace caisson::gateway

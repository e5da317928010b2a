// Any bytes, in pieces whose sizes the first byte chooses: the parser never crashes, never consumes
// more than it was given, and always makes progress or asks for more.
#include <cstdlib>

#include "gateway/http1_parser.hpp"
#include "gateway/route_table.hpp"
#include "gateway/trace_context.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson;
  using namespace caisson::gateway;
  static const auto table = [] {
    auto manifest = std::make_shared<Manifest>();
    manifest->capability = "fuzzed";
    manifest->routes = {{.number = 1, .method = "GET", .path = "/a/{b}/{c...}"},
                        {.number = 2, .method = "*", .path = "/a/{b}"}};
    return *RouteTable::make({manifest}, {});
  }();
  if (size == 0) return 0;
  const std::size_t piece = data[0] == 0 ? size : data[0];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);

  Http1Parser parser(1024);
  RouteMatch match;
  std::string input;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    input += bytes.substr(at, piece);
    while (!input.empty()) {
      if (parser.begun() && parser.done()) parser.next_request();
      const auto step = parser.feed(input);
      if (!step) return 0;
      if (step->consumed > input.size()) std::abort();
      if (step->progress == Http1Parser::Progress::kHead) {
        [[maybe_unused]] const auto found = table->find(parser.head().method, parser.head().path, match);
        [[maybe_unused]] const bool valid = is_baggage(parser.head().header("baggage"));
        [[maybe_unused]] const bool parent = is_traceparent(parser.head().header("traceparent"));
      }
      input.erase(0, step->consumed);
      if (step->consumed == 0 && !parser.done()) break;
    }
  }
  return 0;
}

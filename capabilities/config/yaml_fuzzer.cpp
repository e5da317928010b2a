// A resources file as anybody could write it. Whatever it says: no crash, and nothing that comes
// out of it may fail to become a snapshot.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "capabilities/config/yaml_documents.hpp"
#include "config-cache/generation.hpp"

namespace {

using namespace caisson::config;

// Pieces that a random input does not hit upon by itself; the input chooses among them.
constexpr std::string_view kPieces[] = {"apiVersion: dapr.io/v1alpha1\n",
                                        "apiVersion: dapr.io/v2alpha1\n",
                                        "kind: Component\n",
                                        "kind: Subscription\n",
                                        "kind: Resiliency\n",
                                        "kind: HTTPEndpoint\n",
                                        "kind: Configuration\n",
                                        "metadata:\n",
                                        "spec:\n",
                                        "  name: a\n",
                                        "  type: state.x\n",
                                        "  metadata:\n",
                                        "  - name: b\n",
                                        "    value: ",
                                        "    secretKeyRef: {name: c, key: d}\n",
                                        "  policies:\n",
                                        "    retries:\n",
                                        "      r: {duration: 5s, maxRetries: 3}\n",
                                        "  targets:\n",
                                        "\n---\n",
                                        "&a ",
                                        "*a ",
                                        "<<: ",
                                        "{",
                                        "}",
                                        "[",
                                        "]",
                                        "- ",
                                        ": ",
                                        "? ",
                                        "| \n",
                                        "> \n",
                                        "!!str ",
                                        "\"",
                                        "'",
                                        "#",
                                        "  ",
                                        "\n",
                                        "~",
                                        "1e999",
                                        "0x",
                                        "\xEF\xBB\xBF",
                                        "%YAML 1.1\n",
                                        "...\n"};

std::string assemble(std::string_view input) {
  std::string text;
  for (const char c : input) {
    const auto number = static_cast<unsigned char>(c);
    if (number >= 128)
      text += kPieces[(number - 128) % std::size(kPieces)];
    else
      text += c;
  }
  return text;
}

void read(std::string_view text) {
  Generation all;
  for (const Document& document : parse_resources(text, "f.yaml").documents) {
    if (const auto* one = std::get_if<Component>(&document.content)) all.components.push_back(*one);
    if (const auto* one = std::get_if<Subscription>(&document.content)) all.subscriptions.push_back(*one);
    if (const auto* one = std::get_if<Resiliency>(&document.content)) all.resiliencies.push_back(*one);
    if (const auto* one = std::get_if<HttpEndpoint>(&document.content)) all.http_endpoints.push_back(*one);
  }
  if (const auto problems = parse_configuration(text, "c.yaml", all.configuration); !problems.empty()) {
    all.configuration = {};
  }
  if (!decode(encode(all))) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  read(input);
  read(assemble(input));
  return 0;
}

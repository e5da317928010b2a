#include <cstddef>
#include <cstdint>

#include "sdk/expression.hpp"

/// An expression comes from configuration, what it is applied to from an event: the first line is
/// parsed, the rest is the event's text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson::sdk;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(all.find('\n'), all.size());
  const auto expression = Expression::parse(all.substr(0, line));
  if (!expression) return 0;
  std::map<std::string, Value, std::less<>> variables{
      {"a", Value(all.substr(std::min(line + 1, all.size())))},
      {"n", Value(static_cast<std::int64_t>(size))},
      {"l", Value(Value::List{Value(1), Value("x")})},
      {"m", Value(std::shared_ptr<const Record>(
                std::make_shared<MapRecord>(std::map<std::string, Value, std::less<>>{{"k", Value(2.5)}})))}};
  [[maybe_unused]] const auto value = expression->evaluate(MapRecord(std::move(variables)));
  return 0;
}

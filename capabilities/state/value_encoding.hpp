#pragma once

#include <string>
#include <string_view>

#include "bus/result.hpp"
#include "sdk/json_reader.hpp"

namespace caisson::state {

/// Reads the next value and appends it as Go's encoding/json writes a decoded value, which is what
/// Dapr stores: no white space, numbers as float64 in their shortest form, object keys sorted and
/// unique (the last one wins), `<`, `>`, `&`, U+2028 and U+2029 escaped.
Result<void> append_go_json(sdk::JsonReader& json, std::string& out);

/// The same for a whole text. kInvalidArgument says what is wrong with it.
Result<std::string> go_json(std::string text);

/// A JSON text as part of a larger answer, as Go's json.RawMessage: white space is removed and the
/// characters named above are escaped; all else stays. kInvalidArgument when it is no JSON.
Result<std::string> compact_json(std::string text);

/// A float64 as encoding/json writes it: 1, 0.5, 1e-7, 1e+21.
void append_go_number(std::string& out, double number);

}  // namespace caisson::state

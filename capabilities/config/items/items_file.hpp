#pragma once

#include <string>

#include "capabilities/config/items/store.hpp"

namespace caisson::items {

/// Files beyond this are refused.
inline constexpr std::size_t kMaxItemsFile = std::size_t{4} << 20;

/// The items of a JSON text:
///
///   {"KEY": "value", "KEY": {"value": "…", "version": "…", "metadata": {"NAME": "…"}}, …}
///
/// An empty value is no item. kInvalidArgument says "LINE: what is wrong there"; kResourceExhausted when
/// there are too many.
Result<Items> parse_items(std::string json);

}  // namespace caisson::items

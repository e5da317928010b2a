#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bus/result.hpp"

namespace caisson::gateway {

/// Visits the fields of a protobuf message that are bytes (texts, messages); others are passed over.
/// kInvalidArgument: it is no message. The views are into `message`.
Result<void> each_bytes_field(std::string_view message,
                              const std::function<Result<void>(int number, std::string_view bytes)>& visit);

/// The files of a FileDescriptorSet (google/protobuf/descriptor.proto), found by name and by what they define.
/// Views are into the set, which must outlive this.
class Descriptors {
 public:
  /// kInvalidArgument: it is no such set.
  static Result<Descriptors> read(std::string_view set);

  /// The name of the file that defines a message, an enumeration, a service or a method, or what holds the
  /// thing of that name (a field, say); empty: none.
  [[nodiscard]] std::string_view file_of(std::string_view symbol) const;
  /// The FileDescriptorProto of that name before all it imports, each once; empty: there is no such file.
  [[nodiscard]] std::vector<std::string_view> with_imports(std::string_view file) const;

 private:
  struct File {
    std::string_view bytes;
    std::vector<std::string_view> imports;
  };
  Result<void> add_file(std::string_view bytes);
  Result<void> add_message(std::string_view bytes, const std::string& scope, std::string_view file);
  Result<void> add_enumeration(std::string_view bytes, const std::string& scope, std::string_view file);
  Result<void> add_service(std::string_view bytes, const std::string& scope, std::string_view file);

  std::map<std::string_view, File> files_;
  std::map<std::string, std::string_view, std::less<>> symbols_;  // full name to file
};

}  // namespace caisson::gateway

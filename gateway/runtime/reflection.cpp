#include "gateway/runtime/reflection.hpp"

#include <fmt/format.h>

#include <set>

#include "gateway/runtime/descriptors.hpp"
#include "grpc/reflection/v1/reflection.pb.h"
#include "proto/caisson_descriptors.hpp"
#include "sdk/rpc.hpp"

namespace caisson::gateway {

namespace {

namespace rpc = ::grpc::reflection::v1;

/// What is served on the gRPC port. The descriptors tell of more: services that an app serves.
constexpr std::string_view kServices[] = {"dapr.proto.runtime.v1.Dapr", "grpc.reflection.v1.ServerReflection",
                                          "grpc.reflection.v1alpha.ServerReflection"};
/// Questions are names.
constexpr std::size_t kQuestionLimit = 64 * 1024;

/// Answers the questions of one stream.
class Answers {
 public:
  explicit Answers(const Descriptors& descriptors) : descriptors_(descriptors) {}

  rpc::ServerReflectionResponse answer(const rpc::ServerReflectionRequest& question) {
    rpc::ServerReflectionResponse answer;
    answer.set_valid_host(question.host());
    *answer.mutable_original_request() = question;
    switch (question.message_request_case()) {
      case rpc::ServerReflectionRequest::kListServices:
        for (const std::string_view name : kServices) {
          answer.mutable_list_services_response()->add_service()->set_name(std::string(name));
        }
        break;
      case rpc::ServerReflectionRequest::kFileByFilename:
        add_file(question.file_by_filename(), question.file_by_filename(), answer);
        break;
      case rpc::ServerReflectionRequest::kFileContainingSymbol: {
        const std::string& symbol = question.file_containing_symbol();
        add_file(descriptors_.file_of(symbol), symbol, answer);
        break;
      }
      case rpc::ServerReflectionRequest::kFileContainingExtension:
        not_found(fmt::format("extension {} of {}", question.file_containing_extension().extension_number(),
                              question.file_containing_extension().containing_type()),
                  answer);
        break;
      case rpc::ServerReflectionRequest::kAllExtensionNumbersOfType:
        // None of the messages here has any.
        if (descriptors_.file_of(question.all_extension_numbers_of_type()).empty()) {
          not_found(question.all_extension_numbers_of_type(), answer);
        } else {
          answer.mutable_all_extension_numbers_response()->set_base_type_name(question.all_extension_numbers_of_type());
        }
        break;
      case rpc::ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
        answer.mutable_error_response()->set_error_code(static_cast<int>(Errc::kInvalidArgument));
        answer.mutable_error_response()->set_error_message("the request asks nothing");
        break;
    }
    return answer;
  }

 private:
  /// The file and what it imports; of the latter, what this stream has not been given yet.
  void add_file(std::string_view file, const std::string& asked, rpc::ServerReflectionResponse& answer) {
    const std::vector<std::string_view> files = descriptors_.with_imports(file);
    if (files.empty()) return not_found(asked, answer);
    for (const std::string_view bytes : files) {
      const bool fresh = given_.insert(bytes.data()).second;
      if (!fresh && bytes.data() != files.front().data()) continue;
      answer.mutable_file_descriptor_response()->add_file_descriptor_proto(std::string(bytes));
    }
  }

  static void not_found(const std::string& what, rpc::ServerReflectionResponse& answer) {
    answer.mutable_error_response()->set_error_code(static_cast<int>(Errc::kNotFound));
    answer.mutable_error_response()->set_error_message(what + " is not known");
  }

  const Descriptors& descriptors_;
  std::set<const char*> given_;
};

Task<Result<void>> answer_all(sdk::Request& request, BodyWriter& body) {
  // Read for each stream: few ask, and what nobody asks for takes no memory.
  CO_ASSIGN(const Descriptors descriptors, Descriptors::read(caisson_descriptors()));
  Answers answers(descriptors);
  sdk::RpcReader questions(request, kQuestionLimit);
  while (true) {
    auto reading = questions.next(request.deadline());
    CO_ASSIGN(const std::optional<std::string> bytes, co_await std::move(reading));
    if (!bytes) co_return ok();
    rpc::ServerReflectionRequest question;
    CO_TRY(sdk::parse_message(*bytes, question));
    Buffer answer(sdk::rpc_frame(answers.answer(question).SerializeAsString()));
    auto writing = body.write(std::move(answer), request.deadline());
    CO_TRY(co_await std::move(writing));
  }
}

Task<void> serve(sdk::Request request) {
  Envelope head;
  auto answering = request.incoming().reply_streamed(head, Buffer());
  auto body = co_await std::move(answering);
  if (!body) co_return;  // nobody waits for it any more
  auto task = answer_all(request, *body);
  const Result<void> answered = co_await std::move(task);
  BodyEnd end;
  if (!answered) end = sdk::rpc_end({answered.error().code, answered.error().message, {}});
  auto ending = body->finish(request.deadline(), std::move(end));
  [[maybe_unused]] const auto ended = co_await std::move(ending);
}

}  // namespace

void define_reflection(sdk::Definition& definition) {
  for (const std::string_view version : {"v1", "v1alpha"}) {
    Route route;
    route.rpc = Rpc::kStream;
    route.method = "POST";
    route.path = fmt::format("/grpc.reflection.{}.ServerReflection/ServerReflectionInfo", version);
    route.streaming = true;
    route.safe = true;
    route.group = "reflection";
    route.version = version;
    route.errors = ErrorShape::kGrpc;
    definition.stream_route(std::move(route), serve);
  }
}

}  // namespace caisson::gateway

#include "gateway/runtime/missing_blocks.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "gateway/runtime/descriptors.hpp"
#include "sdk/http_reply.hpp"
#include "sdk/rpc.hpp"

namespace caisson::gateway {

namespace {

/// What is said of a call. In `message`, {} is the component's name.
struct Missing {
  std::string_view code;
  std::string_view message;
  Errc rpc = Errc::kInternal;
  std::uint16_t http = 500;
  bool has_reason = false;  // over gRPC there is an ErrorInfo with the code
};

constexpr std::string_view kNoActors =
    "the state store is not configured to use the actor runtime. Have you set the - name: actorStateStore value: "
    "\"true\" in your state store component file?";
constexpr std::string_view kNoScheduler = "jobs are not available: there is no scheduler";

constexpr Missing kBinding{.code = "ERR_INVOKE_OUTPUT_BINDING",
                           .message = "error invoking output binding {0}: couldn't find output binding {0}",
                           .has_reason = true};
constexpr Missing kActor{.code = "ERR_ACTOR_RUNTIME_NOT_FOUND", .message = kNoActors};
constexpr Missing kStartWorkflow{.code = "ERR_START_WORKFLOW", .message = kNoActors};
constexpr Missing kGetWorkflow{.code = "ERR_GET_WORKFLOW", .message = kNoActors};
constexpr Missing kPurgeWorkflow{.code = "ERR_PURGE_WORKFLOW", .message = kNoActors};
constexpr Missing kTerminateWorkflow{.code = "ERR_TERMINATE_WORKFLOW", .message = kNoActors};
constexpr Missing kPauseWorkflow{.code = "ERR_PAUSE_WORKFLOW", .message = kNoActors};
constexpr Missing kResumeWorkflow{.code = "ERR_RESUME_WORKFLOW", .message = kNoActors};
constexpr Missing kRaiseEvent{.code = "ERR_RAISE_EVENT_WORKFLOW", .message = kNoActors};
constexpr Missing kScheduleJob{.code = "DAPR_SCHEDULER_SCHEDULE_JOB", .message = kNoScheduler, .has_reason = true};
constexpr Missing kGetJob{.code = "DAPR_SCHEDULER_GET_JOB", .message = kNoScheduler, .has_reason = true};
constexpr Missing kDeleteJob{.code = "DAPR_SCHEDULER_DELETE_JOB", .message = kNoScheduler, .has_reason = true};
constexpr Missing kListJobs{.code = "DAPR_SCHEDULER_LIST_JOBS", .message = kNoScheduler, .has_reason = true};
constexpr Missing kCrypto{.code = "ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED", .message = "crypto providers not configured"};
constexpr Missing kConversation{.code = "ERR_CONVERSATION_NOT_FOUND",
                                .message = "failed finding conversation component {0}",
                                .rpc = Errc::kInvalidArgument,
                                .http = 400};
/// Not part of daprd's usual builds either, which have no HTTP routes for it.
constexpr Missing kSubtleCrypto{.code = "ERR_API_UNIMPLEMENTED",
                                .message = "this API is currently not implemented",
                                .rpc = Errc::kUnimplemented,
                                .http = 501};

/// Group and version are those of the allow lists of the protocol.
struct Method {
  std::string_view name;
  std::string_view group;
  std::string_view version;
  const Missing& answer;
  bool stream = false;
};

constexpr Method kMethods[] = {
    {"InvokeBinding", "bindings", "v1", kBinding},
    {"RegisterActorTimer", "actors", "v1", kActor},
    {"UnregisterActorTimer", "actors", "v1", kActor},
    {"RegisterActorReminder", "actors", "v1", kActor},
    {"UnregisterActorReminder", "actors", "v1", kActor},
    {"UnregisterActorRemindersByType", "actors", "v1", kActor},
    {"ListActorReminders", "actors", "v1", kActor},
    {"GetActorState", "actors", "v1", kActor},
    {"GetActorReminder", "actors", "v1", kActor},
    {"ExecuteActorStateTransaction", "actors", "v1", kActor},
    {"InvokeActor", "actors", "v1", kActor},
    {"SubscribeActorEventsAlpha1", "actors", "v1alpha1", kActor, true},
    {"StartWorkflowAlpha1", "workflows", "v1alpha1", kStartWorkflow},
    {"GetWorkflowAlpha1", "workflows", "v1alpha1", kGetWorkflow},
    {"PurgeWorkflowAlpha1", "workflows", "v1alpha1", kPurgeWorkflow},
    {"TerminateWorkflowAlpha1", "workflows", "v1alpha1", kTerminateWorkflow},
    {"PauseWorkflowAlpha1", "workflows", "v1alpha1", kPauseWorkflow},
    {"ResumeWorkflowAlpha1", "workflows", "v1alpha1", kResumeWorkflow},
    {"RaiseEventWorkflowAlpha1", "workflows", "v1alpha1", kRaiseEvent},
    {"StartWorkflowBeta1", "workflows", "v1beta1", kStartWorkflow},
    {"GetWorkflowBeta1", "workflows", "v1beta1", kGetWorkflow},
    {"PurgeWorkflowBeta1", "workflows", "v1beta1", kPurgeWorkflow},
    {"TerminateWorkflowBeta1", "workflows", "v1beta1", kTerminateWorkflow},
    {"PauseWorkflowBeta1", "workflows", "v1beta1", kPauseWorkflow},
    {"ResumeWorkflowBeta1", "workflows", "v1beta1", kResumeWorkflow},
    {"RaiseEventWorkflowBeta1", "workflows", "v1beta1", kRaiseEvent},
    {"ScheduleJobAlpha1", "jobs", "v1alpha1", kScheduleJob},
    {"ScheduleJob", "jobs", "v1", kScheduleJob},
    {"GetJobAlpha1", "jobs", "v1alpha1", kGetJob},
    {"GetJob", "jobs", "v1", kGetJob},
    {"DeleteJobAlpha1", "jobs", "v1alpha1", kDeleteJob},
    {"DeleteJob", "jobs", "v1", kDeleteJob},
    {"DeleteJobsByPrefixAlpha1", "jobs", "v1alpha1", kDeleteJob},
    {"DeleteJobsByPrefix", "jobs", "v1", kDeleteJob},
    {"ListJobsAlpha1", "jobs", "v1alpha1", kListJobs},
    {"ListJobs", "jobs", "v1", kListJobs},
    {"EncryptAlpha1", "crypto", "v1alpha1", kCrypto, true},
    {"DecryptAlpha1", "crypto", "v1alpha1", kCrypto, true},
    {"SubtleGetKeyAlpha1", "subtlecrypto", "v1alpha1", kSubtleCrypto},
    {"SubtleEncryptAlpha1", "subtlecrypto", "v1alpha1", kSubtleCrypto},
    {"SubtleDecryptAlpha1", "subtlecrypto", "v1alpha1", kSubtleCrypto},
    {"SubtleWrapKeyAlpha1", "subtlecrypto", "v1alpha1", kSubtleCrypto},
    {"SubtleUnwrapKeyAlpha1", "subtlecrypto", "v1alpha1", kSubtleCrypto},
    {"SubtleSignAlpha1", "subtlecrypto", "v1alpha1", kSubtleCrypto},
    {"SubtleVerifyAlpha1", "subtlecrypto", "v1alpha1", kSubtleCrypto},
    {"ConverseAlpha1", "conversation", "v1alpha1", kConversation},
    {"ConverseAlpha2", "conversation", "v1alpha2", kConversation},
};

struct HttpRoute {
  std::string_view methods;
  std::string_view path;      // below "/{version}/"
  std::string_view versions;  // one after the other, each with a space behind it
  std::string_view group;
  const Missing& answer;
};

constexpr std::string_view kStable = "v1.0 ";
constexpr std::string_view kAlpha1 = "v1.0-alpha1 ";
constexpr std::string_view kConversations = "v1.0-alpha1 v1.0-alpha2 ";
constexpr std::string_view kJobs = "v1.0-alpha1 v1.0 ";
constexpr std::string_view kWorkflows = "v1.0-alpha1 v1.0-beta1 v1.0 ";

constexpr HttpRoute kRoutes[] = {
    {"POST,PUT", "bindings/{name}", kStable, "bindings", kBinding},
    {"POST,PUT", "actors/{type}/{id}/state", kStable, "actors", kActor},
    {"GET", "actors/{type}/{id}/state/{key}", kStable, "actors", kActor},
    {"GET,POST,PUT,DELETE", "actors/{type}/{id}/method/{method}", kStable, "actors", kActor},
    {"GET,POST,PUT,DELETE", "actors/{type}/{id}/reminders/{reminder}", kStable, "actors", kActor},
    {"POST,PUT,DELETE", "actors/{type}/{id}/timers/{timer}", kStable, "actors", kActor},
    {"GET", "workflows/{component}/{id}", kWorkflows, "workflows", kGetWorkflow},
    {"POST", "workflows/{component}/{id}/start", kWorkflows, "workflows", kStartWorkflow},
    {"POST", "workflows/{component}/{id}/raiseEvent/{event}", kWorkflows, "workflows", kRaiseEvent},
    {"POST", "workflows/{component}/{id}/pause", kWorkflows, "workflows", kPauseWorkflow},
    {"POST", "workflows/{component}/{id}/resume", kWorkflows, "workflows", kResumeWorkflow},
    {"POST", "workflows/{component}/{id}/terminate", kWorkflows, "workflows", kTerminateWorkflow},
    {"POST", "workflows/{component}/{id}/purge", kWorkflows, "workflows", kPurgeWorkflow},
    {"POST", "jobs/{name}", kJobs, "jobs", kScheduleJob},
    {"GET", "jobs/{name}", kJobs, "jobs", kGetJob},
    {"DELETE", "jobs/{name}", kJobs, "jobs", kDeleteJob},
    {"PUT", "crypto/{name}/encrypt", kAlpha1, "crypto", kCrypto},
    {"PUT", "crypto/{name}/decrypt", kAlpha1, "crypto", kCrypto},
    {"POST", "conversation/{name}/converse", kConversations, "conversation", kConversation},
};

sdk::ApiError error_of(const Missing& missing, std::string_view name) {
  sdk::ApiError error;
  error.status = missing.http;
  error.rpc = missing.rpc;
  error.code = missing.code;
  error.message = fmt::format(fmt::runtime(missing.message), name);
  if (missing.has_reason) error.reason = missing.code;
  return error;
}

/// Field 1 of the message, which is the component's name where one is asked for.
std::string name_in(std::string_view message) {
  std::string name;
  [[maybe_unused]] const auto read = each_bytes_field(message, [&](int number, std::string_view bytes) -> Result<void> {
    if (number == 1) name = bytes;
    return ok();
  });
  return name;
}

Task<sdk::Response> answer_rpc(const Method& method, const sdk::Request& request) {
  const std::string name = method.stream ? std::string() : name_in(request.body());
  co_return sdk::rpc_response(sdk::rpc_status(error_of(method.answer, name)));
}

Task<sdk::Response> answer_http(const HttpRoute& route, const sdk::Request& request) {
  co_return sdk::error_response(error_of(route.answer, request.parameter("name")));
}

}  // namespace

void define_missing_blocks(sdk::Definition& definition) {
  for (const Method& method : kMethods) {
    Route route = sdk::dapr_rpc(method.name, std::string(method.group), std::string(method.version));
    route.safe = true;
    if (method.stream) route.rpc = Rpc::kStream;
    route.streaming = method.stream;
    definition.route(std::move(route), [&method](sdk::Request& request) { return answer_rpc(method, request); });
  }
  for (const HttpRoute& http : kRoutes) {
    for (std::string_view rest = http.versions; !rest.empty(); rest.remove_prefix(rest.find(' ') + 1)) {
      Route route;
      route.method = http.methods;
      route.version = rest.substr(0, rest.find(' '));
      route.path = fmt::format("/{}/{}", route.version, http.path);
      route.group = http.group;
      route.safe = true;
      definition.route(std::move(route), [&http](sdk::Request& request) { return answer_http(http, request); });
    }
  }
}

}  // namespace caisson::gateway

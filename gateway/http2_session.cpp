#include "gateway/http2_session.hpp"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <new>
#include <vector>

#include "gateway/http2_memory.hpp"

namespace caisson::gateway {

namespace {

/// Gaps between stream ids that are remembered; who leaves more is given the benefit of the doubt.
constexpr std::size_t kMostGaps = 16;
/// The connection's own window is not what bounds memory, the streams' are: it is always open, so
/// that one stream that nobody reads cannot hold up the others.
constexpr std::int32_t kConnectionWindow = 1024 * 1024;
/// Closed streams that are kept to become new ones.
constexpr std::size_t kMostSpare = 32;

std::string_view text_of(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

/// nghttp2's callbacks; `self` is the session.
struct Http2Callbacks {
  static Http2Session& of(void* self) { return *static_cast<Http2Session*>(self); }

  /// A stream that its client passed over is closed for good (RFC 9113 section 5.1.1); nghttp2 takes it
  /// for one that it has forgotten.
  static int begin_frame(nghttp2_session* session, const nghttp2_frame_hd* head, void* self) {
    if (head->type == NGHTTP2_HEADERS && of(self).passed_over(head->stream_id)) {
      nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
    }
    return 0;
  }

  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      of(self).opened(frame->hd.stream_id);
      of(self).add(frame->hd.stream_id);
    }
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* self) {
    Http2Session& session = of(self);
    Http2Stream* const stream = session.look_up(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const bool borne =
        stream->add_field(text_of(name, name_size), text_of(value, value_size), session.options_.head_limit);
    return borne ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  /// RFC 9113 section 8.1.1: a malformed message is a stream error.
  static int invalid_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t,
                            const std::uint8_t*, std::size_t, std::uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                  void* self) {
    nghttp2_session_consume_connection(session, size);
    if (Http2Stream* const stream = of(self).look_up(id)) stream->on_data(text_of(bytes, size));
    return 0;
  }

  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    Http2Session& session = of(self);
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        session.useful();
        on_headers(session, frame, ends);
        break;
      case NGHTTP2_DATA:
        if (frame->data.hd.length > frame->data.padlen || ends) {
          session.useful();
        } else if (!session.nuisance()) {
          return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        if (Http2Stream* const stream = ends ? session.look_up(frame->hd.stream_id) : nullptr) stream->on_ended();
        break;
      case NGHTTP2_GOAWAY:
        session.going_away_ = true;
        break;
      case NGHTTP2_SETTINGS:
        session.ready_ = true;
        if (!session.nuisance()) return NGHTTP2_ERR_CALLBACK_FAILURE;
        break;
      case NGHTTP2_WINDOW_UPDATE:
        // Opening the window little by little makes as many writes; a little credit goes with each.
        break;
      default:
        if (!session.nuisance()) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
  }

  static void on_headers(Http2Session& session, const nghttp2_frame* frame, bool ends) {
    const auto stream = session.find(frame->hd.stream_id);
    if (stream == nullptr) return;
    const bool interim = frame->headers.cat != NGHTTP2_HCAT_REQUEST && stream->head_.get(":status").starts_with('1');
    if (interim && !stream->begun_) {  // 1xx: the answer's own head follows
      stream->head_.clear();
      stream->field_bytes_ = 0;
      return;
    }
    const bool first = !stream->begun_;
    if (first) stream->on_head();
    if (ends) stream->on_ended();
    if (first && frame->headers.cat == NGHTTP2_HCAT_REQUEST) session.handler_.on_request(stream);
  }

  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* self) {
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const bool has_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!has_end) return 0;
    of(self).useful();
    if (!ends || of(self).options_.role != Http2Session::Role::kServer) return 0;
    // The answer is complete, the request is not wanted any more (RFC 9113 section 8.1).
    const Http2Stream* const stream = of(self).look_up(frame->hd.stream_id);
    if (stream != nullptr && !stream->ended()) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t code, void* self) {
    of(self).close(id, code);
    return 0;
  }

  static ssize_t send(nghttp2_session*, const std::uint8_t* bytes, std::size_t size, int, void* self) {
    of(self).out_->append(reinterpret_cast<const char*>(bytes), size);
    return static_cast<ssize_t>(size);
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* head, std::size_t size,
                       nghttp2_data_source* source, void* self) {
    constexpr std::size_t kFrameHead = 9;
    std::string& out = *of(self).out_;
    out.append(reinterpret_cast<const char*>(head), kFrameHead);
    static_cast<Http2Stream*>(source->ptr)->give(out, size);
    return 0;
  }

  static nghttp2_session_callbacks* all() {
    static nghttp2_session_callbacks* const callbacks = [] {
      nghttp2_session_callbacks* made = nullptr;
      if (nghttp2_session_callbacks_new(&made) != 0) throw std::bad_alloc();
      nghttp2_session_callbacks_set_on_begin_frame_callback(made, begin_frame);
      nghttp2_session_callbacks_set_on_begin_headers_callback(made, begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(made, header);
      nghttp2_session_callbacks_set_on_invalid_header_callback(made, invalid_header);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, data);
      nghttp2_session_callbacks_set_on_frame_recv_callback(made, frame_received);
      nghttp2_session_callbacks_set_on_frame_send_callback(made, frame_sent);
      nghttp2_session_callbacks_set_on_stream_close_callback(made, stream_closed);
      nghttp2_session_callbacks_set_send_callback(made, send);
      nghttp2_session_callbacks_set_send_data_callback(made, send_data);
      return made;
    }();
    return callbacks;
  }

  static nghttp2_option* options() {
    static nghttp2_option* const options = [] {
      nghttp2_option* made = nullptr;
      if (nghttp2_option_new(&made) != 0) throw std::bad_alloc();
      nghttp2_option_set_no_auto_window_update(made, 1);
      return made;
    }();
    return options;
  }
};

Http2Session::Http2Session(EventLoop& loop, Handler& handler, const Options& options)
    : loop_(loop), handler_(handler), options_(options), patience_(options.nuisance_burst), patience_at_(loop.now()) {
  const auto make = options.role == Role::kServer ? nghttp2_session_server_new3 : nghttp2_session_client_new3;
  if (make(&session_, Http2Callbacks::all(), this, Http2Callbacks::options(), http2_memory()) != 0) {
    throw std::bad_alloc();
  }
}

Http2Session::~Http2Session() {
  for (auto& [id, stream] : streams_) stream->on_closed(NGHTTP2_INTERNAL_ERROR);
  nghttp2_session_del(session_);
}

void Http2Session::start() {
  const nghttp2_settings_entry server[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options_.max_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(options_.head_limit)}};
  const nghttp2_settings_entry client[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(options_.head_limit)}};
  const auto& settings = options_.role == Role::kServer ? server : client;
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  handler_.on_output();
}

Result<void> Http2Session::upgrade(const Http2Upgrade& request) {
  const auto* const settings = reinterpret_cast<const std::uint8_t*>(request.settings.data());
  const int head_only = request.head.get(":method") == "HEAD" ? 1 : 0;
  if (nghttp2_session_upgrade2(session_, settings, request.settings.size(), head_only, nullptr) != 0) {
    return Error{Errc::kInvalidArgument, "HTTP2-Settings holds no settings"};
  }
  const auto stream = add(1);
  stream->head_ = request.head;
  stream->on_head();
  stream->on_ended();
  handler_.on_request(stream);
  return ok();
}

bool Http2Session::has_room() const {
  return streams_.size() < nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

std::shared_ptr<Http2Stream> Http2Session::request(std::span<const Field> fields, bool last) {
  if (failed_ || going_away_ || nghttp2_session_check_request_allowed(session_) == 0) return nullptr;
  std::vector<nghttp2_nv> pairs;
  pairs.reserve(fields.size());
  for (const Field& field : fields) {
    const auto bytes = [](std::string_view text) {
      return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
    };
    pairs.push_back(
        {bytes(field.name), bytes(field.value), field.name.size(), field.value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  // The id is known only afterwards, the body's source is needed before.
  auto stream = std::make_shared<Http2Stream>(*this, 0);
  nghttp2_data_provider body{};
  body.source.ptr = stream.get();
  body.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t most, std::uint32_t* flags,
                          nghttp2_data_source* source,
                          void*) -> ssize_t { return static_cast<Http2Stream*>(source->ptr)->offer(most, *flags); };
  const std::int32_t id =
      nghttp2_submit_request(session_, nullptr, pairs.data(), pairs.size(), last ? nullptr : &body, nullptr);
  if (id < 0) {
    stream->on_closed(NGHTTP2_REFUSED_STREAM);
    return nullptr;
  }
  stream->id_ = id;
  stream->finished_ = last;
  streams_.emplace(id, stream);
  handler_.on_output();
  return stream;
}

Result<void> Http2Session::receive(std::string_view bytes) {
  if (failed_) return ok();
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const ssize_t taken = nghttp2_session_mem_recv(session_, begin, bytes.size());
  if (taken >= 0) return ok();
  failed_ = true;
  const bool flooded = taken == NGHTTP2_ERR_FLOODED || taken == NGHTTP2_ERR_CALLBACK_FAILURE;
  terminate(flooded ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
  return Error{flooded ? Errc::kResourceExhausted : Errc::kInvalidArgument,
               std::string("HTTP/2: ") + nghttp2_strerror(static_cast<int>(taken))};
}

Result<void> Http2Session::collect(std::string& out, std::size_t most) {
  const std::size_t until = out.size() + most;
  out_ = &out;
  while (out.size() < until) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) {
      failed_ = true;
      return Error{Errc::kInternal, std::string("HTTP/2: ") + nghttp2_strerror(static_cast<int>(size))};
    }
    if (size == 0) break;
    out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  }
  return ok();
}

bool Http2Session::over() const {
  if (nghttp2_session_want_write(session_) != 0) return false;
  return failed_ || nghttp2_session_want_read(session_) == 0;
}

void Http2Session::ping() {
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  handler_.on_output();
}

void Http2Session::go_away() {
  going_away_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
  handler_.on_output();
}

void Http2Session::terminate(std::uint32_t code) {
  going_away_ = true;
  nghttp2_session_terminate_session(session_, code);
  handler_.on_output();
}

void Http2Session::for_each(const std::function<void(Http2Stream&)>& visit) {
  std::vector<std::shared_ptr<Http2Stream>> all;  // a visit may close one
  all.reserve(streams_.size());
  for (const auto& [id, stream] : streams_) all.push_back(stream);
  for (const auto& stream : all) visit(*stream);
}

std::shared_ptr<Http2Stream> Http2Session::find(std::int32_t id) const {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second;
}

/// Frames of one stream come in a row, most often.
Http2Stream* Http2Session::look_up(std::int32_t id) {
  if (looked_up_ != nullptr && looked_up_->id_ == id) return looked_up_;
  const auto found = streams_.find(id);
  if (found == streams_.end()) return nullptr;
  return looked_up_ = found->second.get();
}

std::shared_ptr<Http2Stream> Http2Session::add(std::int32_t id) {
  std::shared_ptr<Http2Stream> stream;
  if (spare_.empty()) {
    stream = std::make_shared<Http2Stream>(*this, id);
  } else {
    stream = std::move(spare_.back());
    spare_.pop_back();
    stream->renew(*this, id);
  }
  streams_.emplace(id, stream);
  looked_up_ = stream.get();
  return stream;
}

void Http2Session::close(std::int32_t id, std::uint32_t code) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  auto stream = std::move(found->second);
  streams_.erase(found);
  if (looked_up_ == stream.get()) looked_up_ = nullptr;
  stream->on_closed(code);
  handler_.on_closed(*stream);
  const bool known = stream.use_count() != 1;
  if (!known && spare_.size() < kMostSpare && stream->worth_keeping()) spare_.push_back(std::move(stream));
}

/// The peer opened a stream.
void Http2Session::opened(std::int32_t id) {
  if (id > last_opened_ + 2 && passed_over_.size() < kMostGaps) passed_over_.push_back({last_opened_, id});
  last_opened_ = id;
}

bool Http2Session::passed_over(std::int32_t id) const {
  return std::ranges::any_of(passed_over_, [id](const auto& gap) { return id > gap.first && id < gap.second; });
}

/// False when the peer has been a nuisance for too long.
bool Http2Session::nuisance() {
  const Nanos now = loop_.now();
  const double seconds = std::chrono::duration<double>(now - patience_at_).count();
  patience_ = std::min(options_.nuisance_burst, patience_ + seconds * options_.nuisance_per_second);
  patience_at_ = now;
  patience_ -= 1;
  return patience_ > 0;
}

void Http2Session::useful() { patience_ = std::min(options_.nuisance_burst, patience_ + 1); }

}  // namespace caisson::gateway

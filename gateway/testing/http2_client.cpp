#include "gateway/testing/http2_client.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace caisson::gateway::testing {

namespace {

Http2Client& of(void* self) { return *static_cast<Http2Client*>(self); }

std::string find(const Http2Client::Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace

std::string framed(std::string_view message, bool packed) {
  std::string bytes(5, '\0');
  bytes[0] = packed ? '\1' : '\0';
  for (std::size_t i = 0; i < 4; ++i) bytes[1 + i] = static_cast<char>(message.size() >> (24 - 8 * i) & 255);
  return bytes.append(message);
}

std::string Http2Client::Stream::header(std::string_view name) const { return find(head, name); }
std::string Http2Client::Stream::trailer(std::string_view name) const { return find(trailers, name); }
std::string Http2Client::Stream::grpc_status() const {
  return trailers.empty() ? header("grpc-status") : trailer("grpc-status");
}

std::vector<std::string> Http2Client::Stream::messages() const {
  std::vector<std::string> all;
  std::string_view rest = body;
  while (rest.size() >= 5) {
    std::size_t size = 0;
    for (std::size_t i = 1; i < 5; ++i) size = size << 8 | static_cast<unsigned char>(rest[i]);
    if (rest.size() < 5 + size) break;
    all.emplace_back(rest.substr(5, size));
    rest.remove_prefix(5 + size);
  }
  return all;
}

Http2Client::Http2Client(int fd, std::uint32_t window, bool auto_window) : fd_(fd) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* self) {
        Stream& stream = of(self).stream(frame->hd.stream_id);
        auto& list = stream.headed ? stream.trailers : stream.head;
        list.emplace_back(std::string(reinterpret_cast<const char*>(name), name_size),
                          std::string(reinterpret_cast<const char*>(value), value_size));
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
        if (frame->hd.type == NGHTTP2_HEADERS) of(self).stream(frame->hd.stream_id).headed = true;
        if (frame->hd.type == NGHTTP2_RST_STREAM) {
          of(self).stream(frame->hd.stream_id).error = frame->rst_stream.error_code;
        }
        if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) ++of(self).pongs_;
        if (frame->hd.type == NGHTTP2_GOAWAY) {
          of(self).went_away_ = true;
          of(self).away_code_ = frame->goaway.error_code;
        }
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks,
      [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size, void* self) {
        of(self).stream(id).body.append(reinterpret_cast<const char*>(bytes), size);
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks, [](nghttp2_session*, std::int32_t id, std::uint32_t, void* self) {
        of(self).stream(id).closed = true;
        return 0;
      });
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, auto_window ? 0 : 1);
  nghttp2_session_client_new2(&session_, callbacks, this, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 1);
}

Http2Client::~Http2Client() {
  nghttp2_session_del(session_);
  ::close(fd_);
}

std::int32_t Http2Client::request(const Headers& headers, std::string_view body, bool ended) {
  std::vector<nghttp2_nv> pairs;
  for (const auto& [name, value] : headers) {
    pairs.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                     reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                     NGHTTP2_NV_FLAG_NONE});
  }
  bodies_.push_back({std::string(body), ended, false});
  nghttp2_data_provider provider{};
  provider.source.ptr = &bodies_.back();
  provider.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t most, std::uint32_t* flags,
                              nghttp2_data_source* source, void*) -> ssize_t {
    Body& from = *static_cast<Body*>(source->ptr);
    if (from.bytes.empty() && !from.ended) {
      from.deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    const std::size_t size = std::min(most, from.bytes.size());
    std::memcpy(to, from.bytes.data(), size);
    from.bytes.erase(0, size);
    if (from.bytes.empty() && from.ended) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  };
  const bool has_body = !body.empty() || !ended;
  const std::int32_t id =
      nghttp2_submit_request(session_, nullptr, pairs.data(), pairs.size(), has_body ? &provider : nullptr, nullptr);
  body_of_[id] = &bodies_.back();
  return id;
}

std::int32_t Http2Client::get(std::string_view path, const Headers& more) {
  Headers headers{{":method", "GET"}, {":scheme", "http"}, {":path", std::string(path)}, {":authority", "h"}};
  headers.insert(headers.end(), more.begin(), more.end());
  return request(headers, {});
}

std::int32_t Http2Client::call(std::string_view path, std::string_view message, const Headers& more, bool ended) {
  Headers headers{{":method", "POST"},
                  {":scheme", "http"},
                  {":path", std::string(path)},
                  {":authority", "h"},
                  {"content-type", "application/grpc"},
                  {"te", "trailers"}};
  headers.insert(headers.end(), more.begin(), more.end());
  return request(headers, framed(message), ended);
}

void Http2Client::send(std::int32_t stream, std::string_view bytes, bool ended) {
  Body& body = *body_of_.at(stream);
  body.bytes += bytes;
  body.ended = ended;
  if (std::exchange(body.deferred, false)) nghttp2_session_resume_data(session_, stream);
}

void Http2Client::reset(std::int32_t stream, std::uint32_t code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, code);
}

void Http2Client::open_window(std::int32_t stream, std::int32_t bytes) {
  nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, stream, bytes);
}

void Http2Client::ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

bool Http2Client::turn() {
  const std::uint8_t* bytes = nullptr;
  ssize_t size = 0;
  while (out_.size() < 256 * 1024 && (size = nghttp2_session_mem_send(session_, &bytes)) > 0) {
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  }
  const ssize_t sent = ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
  if (sent > 0) out_.erase(0, static_cast<std::size_t>(sent));
  std::uint8_t piece[64 * 1024];
  while ((size = ::recv(fd_, piece, sizeof piece, MSG_DONTWAIT)) > 0) {
    if (nghttp2_session_mem_recv(session_, piece, static_cast<std::size_t>(size)) < 0) ended_ = true;
  }
  if (size == 0 || (size < 0 && errno == ECONNRESET)) ended_ = true;
  return !ended_;
}

}  // namespace caisson::gateway::testing

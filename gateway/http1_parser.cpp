#include "gateway/http1_parser.hpp"

#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <optional>

#include "net/http_headers.hpp"

namespace caisson::gateway {

namespace {

namespace http = boost::beast::http;

/// A chunk's header or the trailer: longer ones are not waited for.
constexpr std::size_t kLongestChunkLine = 8 * 1024;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

Error malformed(std::string what) { return {Errc::kInvalidArgument, std::move(what)}; }

}  // namespace

std::string_view RequestHead::header(std::string_view name) const {
  for (const Field& field : fields) {
    if (equal_ignoring_case(field.name, name)) return field.value;
  }
  return {};
}

/// Beast's parser with the calls it makes back, which only collect. What it reports is copied into
/// one text, because the connection's buffer moves while the body is read.
class Http1Parser::Machine {
 public:
  class Reader final : public http::basic_parser<true> {
   public:
    explicit Reader(Machine& owner) : owner_(owner) {}

   private:
    using View = boost::beast::string_view;
    using Code = boost::beast::error_code;

    void on_request_impl(http::verb, View method, View target, int version, Code& ec) override {
      ec = {};
      owner_.method_ = owner_.keep(view(method));
      owner_.target_ = owner_.keep(view(target));
      owner_.version_ = version;
    }
    void on_response_impl(int, View, int, Code& ec) override { ec = {}; }
    void on_field_impl(http::field, View name, View value, Code& ec) override {
      ec = {};
      if (!owner_.collecting_) return;  // trailers are not passed on
      const Place name_place = owner_.keep(view(name));
      owner_.fields_.push_back({name_place, owner_.keep(view(value))});
    }
    void on_header_impl(Code& ec) override { ec = {}; }
    void on_body_init_impl(boost::optional<std::uint64_t> const&, Code& ec) override { ec = {}; }
    std::size_t on_body_impl(View body, Code& ec) override {
      ec = {};
      owner_.body_ = view(body);
      return body.size();
    }
    void on_chunk_header_impl(std::uint64_t, View, Code& ec) override { ec = {}; }
    std::size_t on_chunk_body_impl(std::uint64_t, View body, Code& ec) override {
      ec = {};
      owner_.body_ = view(body);
      return body.size();
    }
    void on_finish_impl(Code& ec) override { ec = {}; }

    Machine& owner_;
  };

  struct Place {
    std::size_t begin = 0;
    std::size_t size = 0;
  };

  void reset(std::size_t header_limit) {
    text_.clear();
    fields_.clear();
    body_ = {};
    collecting_ = true;
    reader_.emplace(*this);
    reader_->header_limit(static_cast<std::uint32_t>(header_limit) + 1);
    // Bodies are counted by who reads them; "none" is taken for zero by Boost 1.74.
    reader_->body_limit(std::numeric_limits<std::uint64_t>::max());
  }

  Place keep(std::string_view piece) {
    const Place place{text_.size(), piece.size()};
    text_ += piece;
    return place;
  }
  [[nodiscard]] std::string_view at(Place place) const {
    return std::string_view(text_).substr(place.begin, place.size);
  }

  std::optional<Reader> reader_;
  std::string text_;
  Place method_;
  Place target_;
  int version_ = 11;
  std::vector<std::pair<Place, Place>> fields_;
  std::string_view body_;
  bool collecting_ = true;
};

Http1Parser::Http1Parser(std::size_t header_limit)
    : header_limit_(header_limit), machine_(std::make_unique<Machine>()) {
  next_request();
}

Http1Parser::~Http1Parser() = default;

void Http1Parser::next_request() {
  machine_->reset(header_limit_);
  header_bytes_ = 0;
  begun_ = false;
  in_head_ = true;
  head_.fields.clear();
}

bool Http1Parser::done() const { return machine_->reader_->is_done(); }

Result<Http1Parser::Step> Http1Parser::feed(std::string_view input) {
  Step step;
  if (!begun_) {
    // An empty line before a request is allowed (RFC 9112 section 2.2).
    while (!input.empty() && (input.front() == '\r' || input.front() == '\n') && step.consumed < 2) {
      input.remove_prefix(1);
      ++step.consumed;
    }
    if (input.empty()) return step;
    begun_ = true;
  }
  auto& reader = *machine_->reader_;
  if (reader.is_done()) {
    step.progress = Progress::kDone;
    return step;
  }

  machine_->body_ = {};
  boost::beast::error_code code;
  const std::size_t used = reader.put({input.data(), input.size()}, code);
  step.consumed += used;
  if (code && code != http::error::need_more) {
    if (code == http::error::header_limit && in_head_) {
      return Error{Errc::kOutOfRange, "the request's headers are too large"};
    }
    return malformed(code.message());
  }

  if (in_head_) {
    header_bytes_ += used;
    const std::size_t waiting = reader.is_header_done() ? 0 : input.size() - used;
    if (header_bytes_ + waiting > header_limit_) {
      return Error{Errc::kOutOfRange, "the request's headers are too large"};
    }
    if (!reader.is_header_done()) return step;
    in_head_ = false;
    machine_->collecting_ = false;
    TRY(finish_head());
    step.progress = Progress::kHead;
    return step;
  }
  if (!machine_->body_.empty()) {
    step.progress = Progress::kBody;
    step.body = machine_->body_;
  } else if (reader.is_done()) {
    step.progress = Progress::kDone;
  } else if (code && used == 0 && input.size() > kLongestChunkLine) {
    return malformed("a chunk's header is too long");
  } else if (!code && used != 0) {
    step.progress = Progress::kBody;  // a chunk's header: go on
  }
  return step;
}

Result<void> Http1Parser::finish_head() {
  const Machine& machine = *machine_;
  head_.method = machine.at(machine.method_);
  std::string_view target = machine.at(machine.target_);
  // The absolute form names the host first; what follows is the path (RFC 9112 section 3.2.2).
  if (const auto scheme = target.find("://"); !target.starts_with('/') && scheme != target.npos) {
    const auto slash = target.find('/', scheme + 3);
    target = slash == target.npos ? std::string_view("/") : target.substr(slash);
  }
  target = target.substr(0, target.find('#'));
  const auto mark = target.find('?');
  head_.path = target.substr(0, mark);
  head_.query = mark == target.npos ? std::string_view() : target.substr(mark + 1);

  for (const auto& [name, value] : machine.fields_) {
    head_.fields.push_back({machine.at(name), machine.at(value)});
  }
  const auto& reader = *machine.reader_;
  head_.keep_alive = reader.keep_alive();
  head_.http10 = machine.version_ < 11;
  head_.chunked = reader.chunked();
  const auto length = reader.content_length();
  head_.content_length = length && !head_.chunked ? *length : 0;

  bool expects_continue = false;
  int hosts = 0;
  for (const Field& field : head_.fields) {
    if (!net::is_header_value(field.value)) return malformed("a header's value holds a control character");
    if (equal_ignoring_case(field.name, "transfer-encoding") && !equal_ignoring_case(field.value, "chunked")) {
      return Error{Errc::kUnimplemented, "unsupported transfer encoding"};
    }
    if (equal_ignoring_case(field.name, "expect")) {
      expects_continue = equal_ignoring_case(field.value, "100-continue");
    }
    if (equal_ignoring_case(field.name, "host")) ++hosts;
  }
  head_.expects_continue = expects_continue && !head_.http10;
  if (hosts > 1 || (hosts == 0 && !head_.http10)) return malformed("missing required Host header");
  if (head_.http10 && head_.chunked) return malformed("HTTP/1.0 knows no chunks");
  if (!head_.path.starts_with('/') && head_.path != "*") return malformed("the request target is no path");
  return ok();
}

}  // namespace caisson::gateway

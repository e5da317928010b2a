#pragma once

#include <cstddef>
#include <memory>

namespace caisson::shm {

/// What lends memory and must live until all of it came back, even where its owner gives it up before.
/// One thread.
class Lender {
 public:
  /// Owner of a lender.
  struct Close {
    void operator()(Lender* lender) const {
      lender->closed_ = true;
      lender->closing();
      if (lender->out_ == 0) delete lender;
    }
  };
  template <class T>
  using Owner = std::unique_ptr<T, Close>;

 protected:
  virtual ~Lender() = default;
  /// The owner is gone; nothing will be lent any more.
  virtual void closing() {}

  void lent() { ++out_; }
  /// The last thing that may be done with the object: it may be gone afterwards.
  void came_back() {
    if (--out_ == 0 && closed_) delete this;
  }
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  std::size_t out_ = 0;
  bool closed_ = false;
};

}  // namespace caisson::shm

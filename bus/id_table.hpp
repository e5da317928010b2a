#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace caisson {

/// Base of what an IdTable finds by its number; in at most one table.
class IdNode {
 public:
  explicit IdNode(std::uint64_t id) : id_(id) {}
  IdNode(const IdNode&) = delete;
  IdNode& operator=(const IdNode&) = delete;

  [[nodiscard]] std::uint64_t id() const { return id_; }

 private:
  template <class T>
  friend class IdTable;
  std::uint64_t id_;
  IdNode* next_ = nullptr;
};

/// Objects by number: chained through themselves in buckets that double with their count, so that one more
/// costs no memory. Does not own them. Where the numbers are a peer's, `scatter` is one that it does
/// not know, else it could put all into one bucket.
template <class T>
class IdTable {
 public:
  explicit IdTable(std::uint64_t scatter = 0) : scatter_(scatter | 1) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  /// Null when there is none.
  [[nodiscard]] T* find(std::uint64_t id) const {
    if (size_ == 0) return nullptr;
    IdNode* node = buckets_[bucket_of(id)];
    while (node != nullptr && node->id_ != id) node = node->next_;
    return static_cast<T*>(node);
  }

  /// Its number is not in the table yet.
  void insert(T& item) {
    if (size_ == buckets_.size()) grow();
    link(item);
    ++size_;
  }

  /// No-op when it is not in the table.
  void erase(T& item) {
    if (size_ == 0) return;
    IdNode** at = &buckets_[bucket_of(item.id())];
    while (*at != nullptr && *at != &item) at = &(*at)->next_;
    if (*at == nullptr) return;
    *at = (*at)->next_;
    --size_;
  }

  /// Empties the table and calls `function` for each that was in it.
  template <class Function>
  void take_all(Function function) {
    const std::vector<IdNode*> buckets = std::exchange(buckets_, {});
    size_ = 0;
    for (IdNode* node : buckets) {
      while (node != nullptr) {
        T& item = static_cast<T&>(*node);
        node = node->next_;
        function(item);
      }
    }
  }

 private:
  static constexpr std::size_t kFirstBuckets = 16;
  static constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15;

  [[nodiscard]] std::size_t bucket_of(std::uint64_t id) const {
    const std::uint64_t scattered = id * scatter_;
    return ((scattered ^ (scattered >> 32)) * kGolden >> 32) & (buckets_.size() - 1);
  }
  void link(IdNode& node) {
    IdNode*& first = buckets_[bucket_of(node.id_)];
    node.next_ = std::exchange(first, &node);
  }
  void grow() {
    const std::vector<IdNode*> before = std::exchange(buckets_, {});
    buckets_.resize(before.empty() ? kFirstBuckets : before.size() * 2);
    for (IdNode* node : before) {
      while (node != nullptr) link(*std::exchange(node, node->next_));
    }
  }

  std::vector<IdNode*> buckets_;  // a power of two of them, or none
  std::size_t size_ = 0;
  std::uint64_t scatter_;
};

}  // namespace caisson

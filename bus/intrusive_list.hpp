#pragma once

namespace caisson {

/// A member of at most one IntrusiveList; leaves it when destroyed. No allocation, O(1) removal.
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { unlink(); }

  [[nodiscard]] bool linked() const { return next_ != this; }
  void unlink() {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = this;
  }

 private:
  template <class T>
  friend class IntrusiveList;
  ListNode* previous_ = this;
  ListNode* next_ = this;
};

/// First in, first out, of objects that derive from ListNode. Does not own them: a list that dies
/// first leaves its members unlinked.
template <class T>
class IntrusiveList {
 public:
  IntrusiveList() = default;
  ~IntrusiveList() {
    while (!empty()) pop_front();
  }

  [[nodiscard]] bool empty() const { return !head_.linked(); }
  [[nodiscard]] T& front() { return static_cast<T&>(*head_.next_); }

  void push_back(T& item) {
    ListNode& node = item;
    node.unlink();
    node.previous_ = head_.previous_;
    node.next_ = &head_;
    head_.previous_->next_ = &node;
    head_.previous_ = &node;
  }
  void push_front(T& item) {
    ListNode& node = item;
    node.unlink();
    node.next_ = head_.next_;
    node.previous_ = &head_;
    head_.next_->previous_ = &node;
    head_.next_ = &node;
  }
  T& pop_front() {
    T& item = front();
    static_cast<ListNode&>(item).unlink();
    return item;
  }
  /// Forward, for range-for; a member may not leave the list meanwhile.
  class Iterator {
   public:
    explicit Iterator(ListNode* node) : node_(node) {}
    T& operator*() const { return static_cast<T&>(*node_); }
    Iterator& operator++() {
      node_ = IntrusiveList::after(*node_);
      return *this;
    }
    bool operator!=(const Iterator& other) const { return node_ != other.node_; }

   private:
    ListNode* node_;
  };
  [[nodiscard]] Iterator begin() { return Iterator(head_.next_); }
  [[nodiscard]] Iterator end() { return Iterator(&head_); }

  /// Moves all members of `other` behind the own ones.
  void take_all(IntrusiveList& other) {
    while (!other.empty()) push_back(other.pop_front());
  }

 private:
  static ListNode* after(ListNode& node) { return node.next_; }

  ListNode head_;
};

}  // namespace caisson

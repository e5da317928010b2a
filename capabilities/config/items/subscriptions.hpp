#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "capabilities/config/items/delivery.hpp"
#include "capabilities/config/items/subscription_log.hpp"
#include "capabilities/config/items/update_stream.hpp"
#include "sdk/capability.hpp"

namespace caisson::items {

/// What one app may have; beyond that kResourceExhausted.
inline constexpr std::size_t kMaxSubscriptions = 100;
inline constexpr std::size_t kMaxWatchedKeys = 20000;
inline constexpr std::size_t kMaxWatchedBytes = std::size_t{2} << 20;

/// Tells apps of what changes in their stores.
///
/// A change is a hint here: the key becomes due, its item is read, and when it differs from what the app
/// was told last, the app is told, and that is noted on disk. So any number of changes of a key while the
/// app is away become one, what waits is bounded by the number of keys, and after a lost connection or a
/// restart of this process everything is read once and only differences are told. Per key one update is
/// under way at a time. An app that does not answer 200 is asked again with back-off, for ever.
///
/// A subscription made over a stream is told there, one update at a time, and has nobody's place and no app
/// port. When its stream goes away it waits a minute for another that takes it up (the gateway opens one when
/// this process has restarted), and ends.
///
/// Subscriptions of an app that restarts (docs/decisions/0007): the same keys again take the place of the
/// older subscription; what an earlier incarnation subscribed to ends where a new subscription covers it.
///
/// One thread. Nothing here waits for a store or an app on behalf of anybody else.
class Subscriptions {
 public:
  /// A store as an app may see it, and its component's type.
  struct FoundStore {
    std::shared_ptr<Store> store;  // null: not there at the moment
    std::string type;
  };
  using FindStore = std::function<FoundStore(const std::string& store, const std::string& app)>;

  /// `path` of the log; empty: a restart forgets.
  Subscriptions(sdk::Context& context, FindStore find_store, Deliverer& deliverer, std::string path);
  ~Subscriptions();

  /// Takes up what the last run of this process left.
  void start();

  /// Gives the id. The items' present contents count as told. Not bound to the caller: when it goes
  /// away, the subscription may have been made. kResourceExhausted names the limit.
  Task<Result<std::string>> subscribe(std::string app, std::string store, std::vector<std::string> keys,
                                      Deadline deadline);
  /// The same for a stream. `resumes`, where not empty, is the id of a subscription that lost its stream: it goes
  /// on where it was; one that is not known any more begins anew under that id, and is told of everything.
  /// Nothing is told before attach().
  Task<Result<std::string>> subscribe_stream(std::string app, std::string store, std::vector<std::string> keys,
                                             std::string resumes, Deadline deadline);
  /// Takes the place of another stream, which ends. kNotFound when the subscription has gone meanwhile.
  Result<void> attach(const std::string& app, const std::string& id, std::shared_ptr<UpdateStream> stream);
  /// That stream is gone. No effect when another has taken its place.
  void detach(const std::string& app, const std::string& id, const UpdateStream* stream);

  /// kNotFound when the app has no such subscription of that kind.
  Task<Result<void>> unsubscribe(std::string app, std::string store, std::string id, bool streamed, Deadline deadline);

  /// Some store came, went or was replaced.
  void stores_changed();
  void app_changed(const sdk::AppState& app);

  /// Lets the updates under way finish and begins no more.
  Task<void> drain(Deadline deadline);

 private:
  struct Active;
  using ActivePtr = std::shared_ptr<Active>;
  struct Due;

  // The set of subscriptions.
  Task<void> restore();
  Task<Result<SubscriptionLog::Stored>> draft(Subscription wanted, Deadline deadline);
  [[nodiscard]] ActivePtr find(const std::string& app, const std::string& id) const;
  Task<void> expire(ActivePtr active);
  Task<Result<void>> until_restored(Deadline deadline);
  Task<Result<std::string>> make(SubscriptionLog::Stored added, Deadline deadline);
  Task<Result<std::string>> make_alone(SubscriptionLog::Stored added, Deadline deadline);
  Task<Result<std::string>> end(std::string app, std::string id, Deadline deadline);
  [[nodiscard]] std::vector<ActivePtr> replaced_by(const Subscription& added) const;
  [[nodiscard]] Result<void> within_limits(const SubscriptionLog::Stored& added,
                                           const std::vector<ActivePtr>& replaced) const;
  Task<void> pause(std::vector<ActivePtr> all, Deadline deadline);
  void activate(SubscriptionLog::Stored stored);
  void drop(const ActivePtr& active);
  Task<Result<std::string>> beside(Task<Result<std::string>> task, Deadline deadline);

  // One subscription.
  Task<void> run(ActivePtr active);
  void attach(const ActivePtr& active);
  [[nodiscard]] bool may_work(const Active& active) const;
  Task<bool> find_differences(ActivePtr active);
  Deadline begin_due(const ActivePtr& active, TaskScope& workers);
  Task<void> tell(ActivePtr active, std::string key, Nanos pause);
  Task<Result<void>> tell_once(ActivePtr active, std::string key);
  Task<void> note(ActivePtr active, std::string key, std::optional<Fingerprint> now, Nanos after);
  [[nodiscard]] bool superseded(const Active& active, const std::string& key) const;

  sdk::Context& context_;
  FindStore find_store_;
  Deliverer& deliverer_;
  SubscriptionLog log_;
  LogLimit log_limit_;
  bool restored_ = false;
  std::string not_restored_;  // why not
  WaitQueue restored_changed_;
  bool draining_ = false;
  bool making_ = false;  // one subscription at a time, so that each sees the ones before
  WaitQueue made_;
  std::map<std::string, std::list<ActivePtr>, std::less<>> apps_;  // in the order they were made
  sdk::Counter told_;
  sdk::Counter refused_;
  sdk::Counter active_;
  std::uint64_t count_ = 0;
  TaskScope scope_;  // last: its tasks use everything above
};

}  // namespace caisson::items

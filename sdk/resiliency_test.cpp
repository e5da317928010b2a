#include "sdk/resiliency.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/log.hpp"
#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"

namespace caisson::sdk {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// --- codes and waits ---

TEST(CodeListTest, HasSingleCodesAndRanges) {
  const auto list = CodeList::parse("429, 500-599", 100, 599);

  ASSERT_TRUE(list);
  EXPECT_TRUE(list->has(429) && list->has(500) && list->has(599));
  EXPECT_FALSE(list->has(428) || list->has(499));
}

TEST(CodeListTest, RefusesWhatIsNoCode) {
  for (const char* text : {"x", "99", "600", "500-", "-5", "500-400", "500,,501", "500,"}) {
    EXPECT_FALSE(CodeList::parse(text, 100, 599)) << text;
  }
}

TEST(BackoffTest, AConstantPolicyWaitsTheSameAndEndsAfterItsRetries) {
  RetryRule rule;
  rule.duration = 2s;
  rule.max_retries = 2;
  Backoff backoff(rule, [] { return 0.5; });

  EXPECT_EQ(backoff.next(0s), 2s);
  EXPECT_EQ(backoff.next(2s), 2s);
  EXPECT_EQ(backoff.next(4s), std::nullopt);
}

TEST(BackoffTest, AnExponentialPolicyGrowsByHalfUpToItsCap) {
  RetryRule rule;
  rule.exponential = true;
  rule.max_interval = 1s;
  Backoff backoff(rule, [] { return 0.5; });  // the middle of the spread

  EXPECT_EQ(backoff.next(0s), 500ms);
  EXPECT_EQ(backoff.next(0s), 750ms);
  EXPECT_EQ(backoff.next(0s), 1s);
  EXPECT_EQ(backoff.next(0s), 1s);
}

TEST(BackoffTest, AnExponentialPolicySpreadsByHalfEitherWay) {
  RetryRule rule;
  rule.exponential = true;
  rule.max_interval = 60s;

  EXPECT_EQ(Backoff(rule, [] { return 0.0; }).next(0s), 250ms);
  EXPECT_EQ(Backoff(rule, [] { return 0.75; }).next(0s), 625ms);
}

TEST(BackoffTest, AnExponentialPolicyEndsAfterFifteenMinutes) {
  RetryRule rule;
  rule.exponential = true;
  rule.max_interval = 60s;
  Backoff backoff(rule, [] { return 0.5; });

  EXPECT_NE(backoff.next(14min), std::nullopt);
  EXPECT_EQ(backoff.next(15min), std::nullopt);
}

TEST(RetryRuleTest, CodesDecideOnlyForAttemptsThatHaveOne) {
  config::RetryPolicy policy;
  policy.http_codes = "503";
  policy.grpc_codes = "14";
  const auto rule = compile(policy);
  ASSERT_TRUE(rule);
  const auto applies = [&](std::optional<int> code) { return rule->applies_to({true, false, code, Errc::kOk}); };

  EXPECT_TRUE(applies(503) && applies(14) && applies(std::nullopt));
  EXPECT_FALSE(applies(500) || applies(13) || applies(42) || applies(700));
}

TEST(RetryRuleTest, APermanentFailureIsNeverRepeated) {
  EXPECT_FALSE(RetryRule().applies_to({true, true, std::nullopt, Errc::kAborted}));
}

// --- breaker ---

class CircuitBreakerTest : public ::testing::Test {
 protected:
  std::shared_ptr<CircuitBreaker> make(const config::CircuitBreakerPolicy& policy) {
    auto compiled = compile(policy);
    EXPECT_TRUE(compiled);
    return std::make_shared<CircuitBreaker>(clock_, *compiled);
  }
  static bool call(CircuitBreaker& breaker, bool success) {
    auto pass = breaker.admit();
    if (pass) pass->report(success);
    return static_cast<bool>(pass);
  }
  caisson::testing::FakeClock clock_;
};

TEST_F(CircuitBreakerTest, OpensWithTheSixthFailureInARow) {
  const auto breaker = make({});
  for (int i = 0; i < 5; ++i) call(*breaker, false);
  EXPECT_EQ(breaker->state(), BreakerState::kClosed);

  call(*breaker, false);

  EXPECT_EQ(breaker->state(), BreakerState::kOpen);
  EXPECT_THAT(breaker->admit().error().message, HasSubstr("open"));
}

TEST_F(CircuitBreakerTest, ASuccessBeginsTheRowAnew) {
  const auto breaker = make({});
  for (int i = 0; i < 5; ++i) call(*breaker, false);

  call(*breaker, true);
  for (int i = 0; i < 5; ++i) call(*breaker, false);

  EXPECT_EQ(breaker->state(), BreakerState::kClosed);
}

TEST_F(CircuitBreakerTest, ARateWithAMinimumOfSamplesIsACondition) {
  config::CircuitBreakerPolicy policy;
  policy.trip = "requests >= 200 && totalFailures * 2 >= requests";
  const auto breaker = make(policy);

  for (int i = 0; i < 199; ++i) call(*breaker, false);
  EXPECT_EQ(breaker->state(), BreakerState::kClosed);
  call(*breaker, false);

  EXPECT_EQ(breaker->state(), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, ItIsNotOpenedWhileTheRateIsBelow) {
  config::CircuitBreakerPolicy policy;
  policy.trip = "requests >= 200 && totalFailures * 2 >= requests";
  const auto breaker = make(policy);
  for (int i = 0; i < 101; ++i) call(*breaker, true);
  for (int i = 0; i < 100; ++i) call(*breaker, false);
  EXPECT_EQ(breaker->state(), BreakerState::kClosed);

  call(*breaker, false);

  EXPECT_EQ(breaker->state(), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, AfterItsTimeoutItLetsExactlyItsMaximumThrough) {
  config::CircuitBreakerPolicy policy;
  policy.trip = "consecutiveFailures >= 1";
  policy.max_requests = 2;
  policy.timeout = 10s;
  const auto breaker = make(policy);
  call(*breaker, false);
  clock_.advance(10s - 1ns);
  EXPECT_FALSE(breaker->admit());

  clock_.advance(1ns);
  auto first = breaker->admit();
  auto second = breaker->admit();
  const auto third = breaker->admit();

  EXPECT_TRUE(first && second);
  ASSERT_FALSE(third);
  EXPECT_THAT(third.error().message, HasSubstr("too many requests"));
  first->report(true);
  EXPECT_EQ(breaker->state(), BreakerState::kHalfOpen);
  second->report(true);
  EXPECT_EQ(breaker->state(), BreakerState::kClosed);
  EXPECT_EQ(breaker->counts().requests, 0u);
}

TEST_F(CircuitBreakerTest, OneFailureWhileHalfOpenOpensItAgain) {
  config::CircuitBreakerPolicy policy;
  policy.trip = "consecutiveFailures >= 1";
  policy.timeout = 10s;
  const auto breaker = make(policy);
  call(*breaker, false);
  clock_.advance(10s);

  call(*breaker, false);

  EXPECT_EQ(breaker->state(), BreakerState::kOpen);
  EXPECT_FALSE(breaker->admit());
}

TEST_F(CircuitBreakerTest, ATrialThatIsCancelledMakesRoomForAnother) {
  config::CircuitBreakerPolicy policy;
  policy.trip = "consecutiveFailures >= 1";
  policy.timeout = 10s;
  const auto breaker = make(policy);
  call(*breaker, false);
  clock_.advance(10s);

  { const auto dropped = breaker->admit(); }

  EXPECT_TRUE(breaker->admit());
}

TEST_F(CircuitBreakerTest, ALateResultOfACallFromBeforeDoesNotCount) {
  config::CircuitBreakerPolicy policy;
  policy.trip = "consecutiveFailures >= 1";
  policy.timeout = 10s;
  const auto breaker = make(policy);
  auto slow = breaker->admit();
  call(*breaker, false);
  clock_.advance(10s);
  auto trial = breaker->admit();

  slow->report(false);

  EXPECT_EQ(breaker->state(), BreakerState::kHalfOpen);
  trial->report(true);
  EXPECT_EQ(breaker->state(), BreakerState::kClosed);
}

TEST_F(CircuitBreakerTest, TheIntervalClearsTheCountsWhileClosed) {
  config::CircuitBreakerPolicy policy;
  policy.trip = "totalFailures >= 2";
  policy.interval = 5s;
  const auto breaker = make(policy);
  call(*breaker, false);
  clock_.advance(5s);

  call(*breaker, false);

  EXPECT_EQ(breaker->state(), BreakerState::kClosed);
}

TEST_F(CircuitBreakerTest, AWrongConditionIsRefusedWithItsField) {
  config::CircuitBreakerPolicy policy;
  policy.trip = "consecutivefailures > 3";

  const auto compiled = compile(policy);

  ASSERT_FALSE(compiled);
  EXPECT_THAT(compiled.error().message, HasSubstr("trip: character 1: there is no 'consecutivefailures'"));
}

// --- policies ---

class ResiliencyTest : public ::testing::Test {
 protected:
  /// An attempt that notes when it ran and answers from a script, its last entry for ever.
  Task<Result<int>> attempt(Deadline deadline) {
    attempts_.push_back(clock_.now() - start_);
    deadlines_.push_back(deadline);
    const std::size_t at = std::min(attempts_.size(), script_.size()) - 1;
    if (script_[at].code == Errc::kOk) co_return 42;
    co_return script_[at];
  }

  /// Runs a call under the policy, time passing in steps of 50 ms.
  Result<int> run(const Policy& policy, Deadline overall = Deadline::never()) {
    attempts_.clear();
    deadlines_.clear();
    start_ = clock_.now();
    std::optional<Result<int>> result;
    TaskScope scope(loop_);
    scope.spawn(keep(policy.run<int>([this](Deadline d) { return attempt(d); }, overall), result));
    for (int i = 0; !result && i < 40000; ++i) {
      while (loop_.turn(0ns)) {
      }
      if (!result) clock_.advance(50ms);
    }
    return result ? *std::move(result) : Error{Errc::kInternal, "it did not end"};
  }
  void call(const Policy& policy) { [[maybe_unused]] const auto result = run(policy); }
  static Task<void> keep(Task<Result<int>> task, std::optional<Result<int>>& result) {
    result.emplace(co_await std::move(task));
  }

  static config::Resiliency document() {
    config::Resiliency document;
    document.name = "policies";
    document.timeouts["brief"] = 1s;
    config::RetryPolicy retry;
    retry.duration = 1s;
    retry.max_retries = 3;
    document.retries["thrice"] = retry;
    config::CircuitBreakerPolicy breaker;
    breaker.trip = "consecutiveFailures >= 2";
    document.circuit_breakers["touchy"] = breaker;
    return document;
  }
  void configure(const config::Resiliency& document) {
    config::Generation generation;
    generation.resiliencies.push_back(document);
    resiliency_.configure(generation);
  }

  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  Resiliency resiliency_{loop_};
  std::vector<Error> script_{{Errc::kInternal, "broken"}};
  std::vector<Nanos> attempts_;
  std::vector<Deadline> deadlines_;
  Nanos start_{};
};

TEST_F(ResiliencyTest, WithoutAPolicyThereIsOneAttempt) {
  const Policy policy = resiliency_.component_outbound("shop", "store", "state.sqlite");

  const auto result = run(policy);

  EXPECT_EQ(result.error().message, "broken");
  EXPECT_EQ(attempts_.size(), 1u);
}

TEST_F(ResiliencyTest, AConstantRetryRepeatsUntilItIsExhausted) {
  auto policies = document();
  policies.component_outbound["store"].retry = "thrice";
  configure(policies);

  const auto result = run(resiliency_.component_outbound("shop", "store", "state.sqlite"));

  EXPECT_EQ(result.error().message, "broken");
  EXPECT_THAT(attempts_, ElementsAre(0s, 1s, 2s, 3s));
}

TEST_F(ResiliencyTest, ARetryThatSucceedsIsTheResult) {
  auto policies = document();
  policies.component_outbound["store"].retry = "thrice";
  configure(policies);
  script_ = {{Errc::kUnavailable, "away"}, {Errc::kOk, ""}};

  const auto result = run(resiliency_.component_outbound("shop", "store", "state.sqlite"));

  ASSERT_TRUE(result);
  EXPECT_EQ(*result, 42);
  EXPECT_EQ(attempts_.size(), 2u);
}

TEST_F(ResiliencyTest, AStaleEtagIsNotRetried) {
  auto policies = document();
  policies.component_outbound["store"].retry = "thrice";
  configure(policies);
  script_ = {{Errc::kAborted, "etag"}};

  EXPECT_EQ(run(resiliency_.component_outbound("shop", "store", "state.sqlite")).error().code, Errc::kAborted);
  EXPECT_EQ(attempts_.size(), 1u);
}

TEST_F(ResiliencyTest, EveryAttemptHasItsOwnTimeout) {
  auto policies = document();
  policies.component_outbound["store"] = {"brief", "thrice", "", 0};
  configure(policies);

  call(resiliency_.component_outbound("shop", "store", "state.sqlite"));

  ASSERT_EQ(deadlines_.size(), 4u);
  EXPECT_EQ(deadlines_[0].moment() - start_, 1s);
  EXPECT_EQ(deadlines_[3].moment() - start_, 4s);
}

TEST_F(ResiliencyTest, NoAttemptAndNoWaitOutlivesTheCallersDeadline) {
  auto policies = document();
  policies.component_outbound["store"] = {"brief", "thrice", "", 0};
  configure(policies);

  const auto result =
      run(resiliency_.component_outbound("shop", "store", "state.sqlite"), Deadline::after(clock_, 1500ms));

  EXPECT_EQ(result.error().message, "broken");  // at once, not at the deadline
  EXPECT_THAT(attempts_, ElementsAre(0s, 1s));
  EXPECT_EQ(deadlines_[1].moment() - start_, 1500ms);
}

TEST_F(ResiliencyTest, FailedAttemptsCountInTheBreakerAndAnOpenOneEndsTheRetries) {
  auto policies = document();
  policies.component_outbound["store"] = {"", "thrice", "touchy", 0};
  configure(policies);
  const Policy policy = resiliency_.component_outbound("shop", "store", "state.sqlite");

  const auto result = run(policy);
  const std::size_t first_call = attempts_.size();
  call(policy);

  EXPECT_THAT(result.error().message, HasSubstr("circuit breaker is open"));
  EXPECT_EQ(first_call, 2u);
  EXPECT_TRUE(attempts_.empty());
}

TEST_F(ResiliencyTest, InboundAndOutboundOfAComponentShareTheirBreaker) {
  auto policies = document();
  policies.component_outbound["store"].circuit_breaker = "touchy";
  policies.component_inbound["store"].circuit_breaker = "touchy";
  configure(policies);
  call(resiliency_.component_outbound("shop", "store", "pubsub.sqlite"));

  call(resiliency_.component_inbound("shop", "store", "pubsub.sqlite"));

  ASSERT_EQ(resiliency_.breakers().size(), 1u);
  EXPECT_EQ(resiliency_.breakers()[0].state, BreakerState::kOpen);
}

TEST_F(ResiliencyTest, OneAppsFailuresDoNotOpenAnothersBreaker) {
  auto policies = document();
  policies.component_outbound["store"].circuit_breaker = "touchy";
  configure(policies);
  const Policy shop = resiliency_.component_outbound("shop", "store", "state.sqlite");
  call(shop);
  call(shop);

  const Policy other = resiliency_.component_outbound("other", "store", "state.sqlite");

  EXPECT_EQ(shop.breaker()->state(), BreakerState::kOpen);
  EXPECT_EQ(other.breaker()->state(), BreakerState::kClosed);
}

TEST_F(ResiliencyTest, ABreakerKeepsItsStateOverANewConfigurationUnlessItsPolicyChanged) {
  auto policies = document();
  policies.component_outbound["store"].circuit_breaker = "touchy";
  configure(policies);
  const auto policy = [this] { return resiliency_.component_outbound("shop", "store", "state.sqlite"); };
  call(policy());
  call(policy());

  policies.timeouts["brief"] = 2s;
  configure(policies);
  EXPECT_EQ(policy().breaker()->state(), BreakerState::kOpen);
  policies.circuit_breakers["touchy"].trip = "consecutiveFailures >= 3";
  configure(policies);

  EXPECT_EQ(policy().breaker()->state(), BreakerState::kClosed);
}

TEST_F(ResiliencyTest, EveryMethodOfAnAppHasItsOwnBreaker) {
  auto policies = document();
  policies.apps["cart"].circuit_breaker = "touchy";
  configure(policies);
  const Policy pay = resiliency_.for_app("shop", "cart", "pay");
  call(pay);
  call(pay);

  EXPECT_EQ(pay.breaker()->state(), BreakerState::kOpen);
  EXPECT_EQ(resiliency_.for_app("shop", "cart", "pay").breaker(), pay.breaker());
  EXPECT_EQ(resiliency_.for_app("shop", "cart", "list").breaker()->state(), BreakerState::kClosed);
}

TEST_F(ResiliencyTest, TheLeastRecentlyUsedBreakerOfAnAppIsDropped) {
  auto policies = document();
  policies.apps["cart"] = {"", "", "touchy", 2};
  configure(policies);
  const auto breaker = [this](const char* method) { return resiliency_.for_app("shop", "cart", method).breaker(); };
  const Policy a = resiliency_.for_app("shop", "cart", "a");
  const Policy b = resiliency_.for_app("shop", "cart", "b");
  EXPECT_EQ(breaker("a"), a.breaker());

  EXPECT_NE(breaker("c"), nullptr);

  EXPECT_EQ(breaker("a"), a.breaker());
  EXPECT_NE(breaker("b"), b.breaker());
  EXPECT_EQ(resiliency_.breakers().size(), 2u);
}

TEST_F(ResiliencyTest, DefaultPoliciesApplyToTargetsWithoutAnEntryTheMostSpecificFirst) {
  auto policies = document();
  policies.timeouts = {{"DefaultTimeoutPolicy", 9s},
                       {"DefaultComponentTimeoutPolicy", 8s},
                       {"DefaultComponentInboundTimeoutPolicy", 7s},
                       {"DefaultPubsubComponentInboundTimeoutPolicy", 6s},
                       {"DefaultAppTimeoutPolicy", 5s}};
  policies.component_outbound["named"].retry = "thrice";
  configure(policies);

  EXPECT_EQ(resiliency_.component_inbound("a", "x", "pubsub.redis").timeout(), 6s);
  EXPECT_EQ(resiliency_.component_inbound("a", "x", "state.redis").timeout(), 7s);
  EXPECT_EQ(resiliency_.component_outbound("a", "x", "state.redis").timeout(), 8s);
  EXPECT_EQ(resiliency_.for_app("a", "x", "m").timeout(), 5s);
  EXPECT_EQ(resiliency_.component_inbound("a", "named", "pubsub.redis").timeout(), std::nullopt);
}

TEST_F(ResiliencyTest, ADocumentAppliesOnlyToItsScopesAndALaterOneWins) {
  config::Generation generation;
  generation.resiliencies = {document(), document()};
  generation.resiliencies[0].component_outbound["store"].timeout = "brief";
  generation.resiliencies[1].timeouts["brief"] = 3s;
  generation.resiliencies[1].scopes = {"shop"};
  resiliency_.configure(generation);

  EXPECT_EQ(resiliency_.component_outbound("shop", "store", "state.x").timeout(), 3s);
  EXPECT_EQ(resiliency_.component_outbound("other", "store", "state.x").timeout(), 1s);
}

TEST_F(ResiliencyTest, ATargetThatNamesNoSuchPolicyHasNone) {
  auto policies = document();
  policies.component_outbound["store"] = {"missing", "missing", "missing", 0};
  configure(policies);

  const Policy policy = resiliency_.component_outbound("shop", "store", "state.x");

  EXPECT_FALSE(policy.retries());
  EXPECT_EQ(policy.timeout(), std::nullopt);
  EXPECT_EQ(policy.breaker(), nullptr);
}

TEST_F(ResiliencyTest, AnAppThatCannotBeReachedIsTriedThreeMoreTimesByTheBuiltInPolicy) {
  script_ = {{Errc::kUnavailable, "away"}};
  call(resiliency_.for_app("shop", "cart", "pay"));
  EXPECT_THAT(attempts_, ElementsAre(0s, 1s, 2s, 3s));

  script_ = {{Errc::kUnknown, "the connection broke"}};
  call(resiliency_.for_app("shop", "cart", "pay"));
  EXPECT_EQ(attempts_.size(), 1u);
}

TEST_F(ResiliencyTest, ABuiltInPolicyCannotBeLoweredBelowThree) {
  auto policies = document();
  policies.retries["DaprBuiltInServiceRetries"] = policies.retries["thrice"];
  policies.retries["DaprBuiltInServiceRetries"].max_retries = 1;
  configure(policies);
  script_ = {{Errc::kUnavailable, "away"}};

  call(resiliency_.for_app("shop", "cart", "pay"));

  EXPECT_EQ(attempts_.size(), 4u);
}

TEST_F(ResiliencyTest, ABrokenPolicyIsLeftOutAndNamedWithItsFile) {
  auto policies = document();
  policies.origin = {"resources/resiliency.yaml", 3};
  policies.circuit_breakers["broken"].trip = "consecutiveFailures >";
  policies.component_outbound["store"] = {"brief", "", "broken", 0};
  start_logging("test", "info");
  ::testing::internal::CaptureStderr();

  configure(policies);

  const std::string logged = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(logged, HasSubstr("resources/resiliency.yaml:3"));
  EXPECT_THAT(logged, HasSubstr("'broken'"));
  const Policy policy = resiliency_.component_outbound("shop", "store", "state.x");
  EXPECT_EQ(policy.timeout(), 1s);
  EXPECT_EQ(policy.breaker(), nullptr);
}

}  // namespace
}  // namespace caisson::sdk

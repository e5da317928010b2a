// Every capability by the Go SDK, as its documentation shows it: client BACKEND.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	dapr "github.com/dapr/go-sdk/client"
	"github.com/dapr/go-sdk/service/common"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"caisson/sdktest/control"
)

const patience = 30 * time.Second

var backend, state, pubsub, config, lock string

type scenario struct {
	name string
	run  func(context.Context, dapr.Client) error
}

func expect(what string, got, expected any) error {
	if fmt.Sprint(got) != fmt.Sprint(expected) {
		return fmt.Errorf("%s: got %v, not %v", what, got, expected)
	}
	return nil
}

func newEvent() control.Event { return control.Event{ID: uuid.NewString()} }

func publishTo(ctx context.Context, c dapr.Client, topic string, event control.Event,
	options ...dapr.PublishEventOption) error {
	text, err := json.Marshal(event)
	if err != nil {
		return err
	}
	options = append(options, dapr.PublishEventWithContentType("application/json"))
	return c.PublishEvent(ctx, pubsub, topic, text, options...)
}

// arrives publishes an event to a topic and waits until the app tells of it under a name.
func arrives(ctx context.Context, c dapr.Client, topic, name string,
	options ...dapr.PublishEventOption) (control.Event, error) {
	event := newEvent()
	if err := publishTo(ctx, c, topic, event, options...); err != nil {
		return event, err
	}
	return control.WaitForEvent(name, event.ID)
}

func sidecar(ctx context.Context, c dapr.Client) error { return c.Wait(ctx, patience) }

func stateBasics(ctx context.Context, c dapr.Client) error {
	if err := c.SaveState(ctx, state, "cart", []byte(`{"items":3}`), nil); err != nil {
		return err
	}
	item, err := c.GetState(ctx, state, "cart", nil)
	if err != nil {
		return err
	}
	if err := errors.Join(expect("value", string(item.Value), `{"items":3}`),
		c.DeleteState(ctx, state, "cart", nil)); err != nil {
		return err
	}
	item, err = c.GetState(ctx, state, "cart", nil)
	if err != nil {
		return err
	}
	return expect("deleted value", string(item.Value), "")
}

func stateEtags(ctx context.Context, c dapr.Client) error {
	if err := c.SaveState(ctx, state, "etag", []byte("v1"), nil); err != nil {
		return err
	}
	first, err := c.GetState(ctx, state, "etag", nil)
	if err != nil {
		return err
	}
	if err := c.SaveStateWithETag(ctx, state, "etag", []byte("v2"), first.Etag, nil); err != nil {
		return err
	}
	saved := c.SaveStateWithETag(ctx, state, "etag", []byte("v3"), first.Etag, nil)
	deleted := c.DeleteStateWithETag(ctx, state, "etag", &dapr.ETag{Value: first.Etag}, nil, nil)
	now, err := c.GetState(ctx, state, "etag", nil)
	if err != nil {
		return err
	}
	return errors.Join(expect("late save", codeOf(saved), codes.Aborted),
		expect("late delete", codeOf(deleted), codes.Aborted), expect("value", string(now.Value), "v2"))
}

// codeOf finds the code below the text that the SDK puts around an error.
func codeOf(err error) codes.Code {
	var carrier interface{ GRPCStatus() *status.Status }
	if errors.As(err, &carrier) {
		return carrier.GRPCStatus().Code()
	}
	return status.Code(err)
}

func stateBulk(ctx context.Context, c dapr.Client) error {
	var items []*dapr.SetStateItem
	for i := range 5 {
		items = append(items, &dapr.SetStateItem{Key: fmt.Sprint("b", i), Value: []byte(fmt.Sprint(i))})
	}
	if err := c.SaveBulkState(ctx, state, items...); err != nil {
		return err
	}
	got, err := c.GetBulkState(ctx, state, []string{"b0", "b4", "none"}, nil, 10)
	if err != nil {
		return err
	}
	values := map[string]string{}
	for _, item := range got {
		values[item.Key] = string(item.Value)
	}
	return expect("items", values, map[string]string{"b0": "0", "b4": "4", "none": ""})
}

func stateTransaction(ctx context.Context, c dapr.Client) error {
	if err := c.SaveState(ctx, state, "t2", []byte("old"), nil); err != nil {
		return err
	}
	err := c.ExecuteStateTransaction(ctx, state, nil, []*dapr.StateOperation{
		{Type: dapr.StateOperationTypeUpsert, Item: &dapr.SetStateItem{Key: "t1", Value: []byte("one")}},
		{Type: dapr.StateOperationTypeDelete, Item: &dapr.SetStateItem{Key: "t2"}},
	})
	if err != nil {
		return err
	}
	one, first := c.GetState(ctx, state, "t1", nil)
	two, second := c.GetState(ctx, state, "t2", nil)
	if err := errors.Join(first, second); err != nil {
		return err
	}
	return errors.Join(expect("t1", string(one.Value), "one"), expect("t2", string(two.Value), ""))
}

func publish(ctx context.Context, c dapr.Client) error {
	event := newEvent()
	event.Total = 17
	if err := publishTo(ctx, c, "orders", event); err != nil {
		return err
	}
	got, err := control.WaitForEvent("orders", event.ID)
	return errors.Join(err, expect("total", got.Total, 17))
}

func declaredSubscription(ctx context.Context, c dapr.Client) error {
	_, err := arrives(ctx, c, "declared", "declared")
	return err
}

func routing(ctx context.Context, c dapr.Client) error {
	_, widget := arrives(ctx, c, "routed", "widgets",
		dapr.PublishEventWithMetadata(map[string]string{"cloudevent.type": "widget"}))
	_, other := arrives(ctx, c, "routed", "others")
	return errors.Join(widget, other)
}

func retry(ctx context.Context, c dapr.Client) error {
	event, err := arrives(ctx, c, "flaky", "flaky")
	return errors.Join(err, expect("attempts", event.Attempts, 2))
}

func deadLetter(ctx context.Context, c dapr.Client) error {
	_, err := arrives(ctx, c, "poison", "dead")
	return err
}

func bulkPublish(ctx context.Context, c dapr.Client) error {
	events := []control.Event{newEvent(), newEvent(), newEvent()}
	var data []any
	for _, event := range events {
		data = append(data, event)
	}
	answer := c.PublishEvents(ctx, pubsub, "orders", data, dapr.PublishEventsWithContentType("application/json"))
	if answer.Error != nil || len(answer.FailedEvents) != 0 {
		return fmt.Errorf("%w, %d failed", answer.Error, len(answer.FailedEvents))
	}
	for _, event := range events {
		if _, err := control.WaitForEvent("orders", event.ID); err != nil {
			return err
		}
	}
	return nil
}

func streamingSubscription(ctx context.Context, c dapr.Client) error {
	subscription, err := c.Subscribe(ctx, dapr.SubscriptionOptions{PubsubName: pubsub, Topic: "streamed"})
	if err != nil {
		return err
	}
	for range 2 {
		event := newEvent()
		if err := publishTo(ctx, c, "streamed", event); err != nil {
			return err
		}
		message, err := subscription.Receive()
		if err != nil {
			return err
		}
		var got control.Event
		if err := errors.Join(json.Unmarshal(message.RawData, &got), message.Success()); err != nil {
			return err
		}
		if err := expect("event", got.ID, event.ID); err != nil {
			return err
		}
	}
	return subscription.Close()
}

func streamingWithAHandler(ctx context.Context, c dapr.Client) error {
	got := make(chan string, 8)
	stop, err := c.SubscribeWithHandler(ctx, dapr.SubscriptionOptions{PubsubName: pubsub, Topic: "handled"},
		func(e *common.TopicEvent) common.SubscriptionResponseStatus {
			var event control.Event
			if err := e.Struct(&event); err != nil {
				return common.SubscriptionResponseStatusDrop
			}
			got <- event.ID
			return common.SubscriptionResponseStatusSuccess
		})
	if err != nil {
		return err
	}
	event := newEvent()
	if err := publishTo(ctx, c, "handled", event); err != nil {
		return err
	}
	select {
	case id := <-got:
		return errors.Join(expect("event", id, event.ID), stop())
	case <-time.After(patience):
		return errors.New("no event came")
	}
}

func invoke(ctx context.Context, c dapr.Client) error {
	answer, err := c.InvokeMethodWithContent(ctx, "sdk", "hello", "post",
		&dapr.DataContent{ContentType: "application/json", Data: []byte(`{"name":"ada"}`)})
	return errors.Join(err, expect("answer", string(answer), `{"hello":"ada"}`))
}

func invokeError(ctx context.Context, c dapr.Client) error {
	if _, err := c.InvokeMethod(ctx, "sdk", "no-such-method", "post"); err == nil {
		return errors.New("was not refused")
	}
	return nil
}

func secrets(ctx context.Context, c dapr.Client) error {
	one, err := c.GetSecret(ctx, "secrets", "db-password", nil)
	if err != nil {
		return err
	}
	bulk, err := c.GetBulkSecret(ctx, "secrets", nil)
	return errors.Join(err, expect("secret", one["db-password"], "correct horse"),
		expect("bulk", bulk["api-key"]["api-key"], "k-17"))
}

func configuration(ctx context.Context, c dapr.Client) error {
	item, err := c.GetConfigurationItem(ctx, config, "size")
	if err != nil {
		return err
	}
	return expect("size", item.Value, "7")
}

func configurationUpdates(ctx context.Context, c dapr.Client) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	got := make(chan string, 8)
	id, err := c.SubscribeConfigurationItems(ctx, config, []string{"color"},
		func(_ string, items map[string]*dapr.ConfigurationItem) {
			for _, item := range items {
				got <- item.Value
			}
		})
	if err != nil {
		return err
	}
	value := "blue-" + uuid.NewString()
	if err := control.ChangeConfiguration(backend, "color", value); err != nil {
		return err
	}
	tooLate := time.After(patience)
	for {
		select {
		case now := <-got:
			if now == value { // the present value may come first
				return c.UnsubscribeConfigurationItems(ctx, config, id)
			}
		case <-tooLate:
			return errors.New("no update came")
		}
	}
}

func locks(ctx context.Context, c dapr.Client) error {
	try := func(owner string, expected bool) error {
		got, err := c.TryLockAlpha1(ctx, lock,
			&dapr.LockRequest{ResourceID: "printer", LockOwner: owner, ExpiryInSeconds: 60})
		if err != nil {
			return err
		}
		return expect("lock of "+owner, got.Success, expected)
	}
	unlock := func(owner, expected string) error {
		got, err := c.UnlockAlpha1(ctx, lock, &dapr.UnlockRequest{ResourceID: "printer", LockOwner: owner})
		if err != nil {
			return err
		}
		return expect("unlock of "+owner, got.Status, expected)
	}
	return errors.Join(try("ada", true), try("bob", false), unlock("bob", "LOCK_BELONGS_TO_OTHERS"),
		unlock("ada", "SUCCESS"), unlock("ada", "LOCK_DOES_NOT_EXIST"))
}

func metadata(ctx context.Context, c dapr.Client) error {
	if err := c.SetMetadata(ctx, "build", "17"); err != nil {
		return err
	}
	got, err := c.GetMetadata(ctx)
	if err != nil {
		return err
	}
	known := false
	for _, component := range got.RegisteredComponents {
		known = known || component.Name == state
	}
	return errors.Join(expect("id", got.ID, "sdk"), expect("build", got.ExtendedMetadata["build"], "17"),
		expect("component", known, true))
}

func main() {
	backend = os.Args[1]
	state, pubsub, config, lock = backend+"-state", backend+"-pubsub", backend+"-config", backend+"-lock"
	client, err := dapr.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	wanted := strings.Split(os.Getenv("SCENARIOS"), ",")
	for _, one := range []scenario{
		{"sidecar", sidecar}, {"state", stateBasics}, {"state_etags", stateEtags}, {"state_bulk", stateBulk},
		{"state_transaction", stateTransaction}, {"publish", publish}, {"declared_subscription", declaredSubscription},
		{"routing", routing}, {"retry", retry}, {"dead_letter", deadLetter}, {"bulk_publish", bulkPublish},
		{"streaming_subscription", streamingSubscription}, {"streaming_with_a_handler", streamingWithAHandler},
		{"invoke", invoke}, {"invoke_error", invokeError}, {"secrets", secrets}, {"configuration", configuration},
		{"configuration_updates", configurationUpdates}, {"lock", locks}, {"metadata", metadata},
	} {
		if !slices.Contains(wanted, one.name) {
			continue
		}
		ctx, done := context.WithTimeout(context.Background(), 2*patience)
		if err := one.run(ctx, client); err != nil {
			fmt.Printf("failed %s: %s\n", one.name, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok", one.name)
		}
		done()
	}
}

// An app of the Go SDK: app http|grpc.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"

	"github.com/dapr/go-sdk/service/common"
	daprgrpc "github.com/dapr/go-sdk/service/grpc"
	daprhttp "github.com/dapr/go-sdk/service/http"

	"caisson/sdktest/control"
)

var (
	lock     sync.Mutex
	attempts = map[string]int{}
)

func tell(name string) common.TopicEventHandler {
	return func(_ context.Context, e *common.TopicEvent) (bool, error) {
		var event control.Event
		if err := e.Struct(&event); err != nil {
			return false, err
		}
		return true, control.Received(name, event)
	}
}

func flaky(_ context.Context, e *common.TopicEvent) (bool, error) {
	var event control.Event
	if err := e.Struct(&event); err != nil {
		return false, err
	}
	lock.Lock()
	attempts[event.ID]++
	event.Attempts = attempts[event.ID]
	lock.Unlock()
	if event.Attempts == 1 {
		return true, errors.New("not now")
	}
	return false, control.Received("flaky", event)
}

func poison(context.Context, *common.TopicEvent) (bool, error) {
	return false, errors.New("never") // no retry: dropped
}

func hello(_ context.Context, in *common.InvocationEvent) (*common.Content, error) {
	var person struct{ Name string }
	if err := json.Unmarshal(in.Data, &person); err != nil {
		return nil, err
	}
	answer, err := json.Marshal(map[string]string{"hello": person.Name})
	return &common.Content{Data: answer, ContentType: "application/json"}, err
}

func subscribe(service common.Service, backend string) error {
	pubsub := backend + "-pubsub"
	on := func(topic, path, match, deadLetter string, handler common.TopicEventHandler) error {
		return service.AddTopicEventHandler(&common.Subscription{
			PubsubName: pubsub, Topic: topic, Route: "/" + backend + path, Match: match, DeadLetterTopic: deadLetter,
		}, handler)
	}
	return errors.Join(
		on("orders", "/orders", "", "", tell("orders")),
		on("routed", "/widgets", `event.type == "widget"`, "", tell("widgets")),
		on("routed", "/others", "", "", tell("others")),
		on("flaky", "/flaky", "", "", flaky),
		on("poison", "/poison", "", "dead", poison),
		on("dead", "/dead", "", "", tell("dead")))
}

func run(protocol string) error {
	address := "127.0.0.1:" + os.Getenv("APP_PORT")
	var service common.Service
	switch protocol {
	case "http":
		service = daprhttp.NewService(address)
	case "grpc":
		made, err := daprgrpc.NewService(address)
		if err != nil {
			return err
		}
		service = made
	default:
		return fmt.Errorf("%q is no protocol", protocol)
	}
	for _, backend := range []string{"embedded", "redis"} {
		if err := subscribe(service, backend); err != nil {
			return err
		}
	}
	if err := service.AddServiceInvocationHandler("hello", hello); err != nil {
		return err
	}
	if protocol == "http" { // a declared subscription delivers a CloudEvent to its route
		err := service.AddServiceInvocationHandler("/declared",
			func(_ context.Context, in *common.InvocationEvent) (*common.Content, error) {
				var event struct{ Data control.Event }
				if err := json.Unmarshal(in.Data, &event); err != nil {
					return nil, err
				}
				return &common.Content{}, control.Received("declared", event.Data)
			})
		if err != nil {
			return err
		}
	}
	return service.Start()
}

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// Package control speaks to the test's control server; the SDK under test has no part in this.
package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

// Event is the data of an event of these tests.
type Event struct {
	ID       string `json:"id"`
	Total    int    `json:"total,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
}

func ask(method, path string, document any) ([]byte, error) {
	var body io.Reader
	if document != nil {
		text, err := json.Marshal(document)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, os.Getenv("CONTROL")+path, body)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// Received tells of an event's data.
func Received(name string, event Event) error {
	_, err := ask("POST", "/received/"+name, event)
	return err
}

// WaitForEvent returns the data of the event with that id, once the app has told of it.
func WaitForEvent(name, id string) (event Event, err error) {
	text, err := ask("GET", "/received/"+name+"/"+id, nil)
	if err != nil {
		return event, err
	}
	return event, json.Unmarshal(text, &event)
}

// ChangeConfiguration sets an item of a backend's configuration store.
func ChangeConfiguration(backend, key, value string) error {
	_, err := ask("POST", "/configuration/"+backend, map[string]string{"key": key, "value": value})
	return err
}

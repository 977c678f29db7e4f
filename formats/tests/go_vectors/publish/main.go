// Publishes stored messages, one a line, into a new stream with nats.go, as a Go program fills its log:
//
//	go run ./publish [-stream NAME] nats://127.0.0.1:4222 MESSAGES
//
// The subject is `events.<type>` where that is one, else `events.odd`; the id goes into the header Nats-Msg-Id, the first
// time that it comes: the stream would drop the second message.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"trstctl-vectors/names"
)

func main() {
	stream := flag.String("stream", "TRSTCTL_EVENTS", "name of the stream")
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := publish(flag.Arg(0), *stream, flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func publish(url, stream, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	connection, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		return err
	}
	_, err = js.CreateStream(context.Background(), jetstream.StreamConfig{
		Name:        stream,
		Subjects:    []string{"events.>"},
		Storage:     jetstream.FileStorage,
		Duplicates:  24 * time.Hour,
		DenyDelete:  true,
		DenyPurge:   true,
		AllowDirect: true,
	})
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for i, message := range bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n")) {
		ack, err := js.PublishMsg(context.Background(), messageOf(message, known))
		if err != nil {
			return fmt.Errorf("message %d: %w", i+1, err)
		}
		if ack.Sequence != uint64(i+1) {
			return fmt.Errorf("message %d was stored as %d", i+1, ack.Sequence)
		}
	}
	return nil
}

// messageOf gives the message its subject and header. What its payload says besides is not looked at.
func messageOf(payload []byte, known map[string]bool) *nats.Msg {
	var event struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	_ = json.Unmarshal(payload, &event)
	message := nats.NewMsg("events.odd")
	if names.IsSubject(event.Type) {
		message.Subject = "events." + event.Type
	}
	if event.ID != "" && !known[event.ID] {
		message.Header.Set("Nats-Msg-Id", event.ID)
		known[event.ID] = true
	}
	message.Data = payload
	return message
}

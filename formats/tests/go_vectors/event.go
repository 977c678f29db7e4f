package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// event is what a stored message and a record line both say.
type event struct {
	id, kind, tenantID string
	// nil when absent, which counts as 1, as 0 does.
	version *int64
	time    time.Time
	// JSON for what a version 1 file can keep, but any bytes in a stored message.
	payload []byte
	actor   *actor
}

type actor struct {
	Subject string   `json:"subject"`
	Roles   []string `json:"roles,omitempty"`
}

// storedMessage is the object that the log holds ("Event form and raw form"). It can be written without `v` and with 0.
type storedMessage struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	TenantID string    `json:"tenant_id"`
	Time     time.Time `json:"time"`
	V        *int64    `json:"v,omitempty"`
	Data     []byte    `json:"data,omitempty"`
	Actor    *actor    `json:"actor,omitempty"`
}

// record is a record line of version 1.
type record struct {
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	TenantID string          `json:"tenant_id"`
	V        int64           `json:"v,omitempty"`
	Time     time.Time       `json:"time"`
	Data     json.RawMessage `json:"data,omitempty"`
	Actor    *actor          `json:"actor,omitempty"`
}

// stored gives the message of an event.
func (e event) stored() ([]byte, error) {
	return json.Marshal(storedMessage{e.id, e.kind, e.tenantID, e.time, e.version, e.payload, e.actor})
}

// line gives the record line of an event, newline included.
func (e event) line() ([]byte, error) {
	version := int64(1)
	if e.version != nil && *e.version != 0 {
		version = *e.version
	}
	var out bytes.Buffer
	err := json.NewEncoder(&out).Encode(record{e.id, e.kind, e.tenantID, version, e.time, e.payload, e.actor})
	return out.Bytes(), err
}

// readStored reads a message of the log.
func readStored(message []byte) (event, error) {
	var m struct {
		storedMessage
		V    integer    `json:"v"`
		Data base64Text `json:"data"`
	}
	if err := json.Unmarshal(message, &m); err != nil {
		return event{}, err
	}
	return complete(event{m.ID, m.Type, m.TenantID, (*int64)(&m.V), m.Time, m.Data, m.Actor})
}

// readLine reads a record line.
func readLine(line []byte) (event, error) {
	var r struct {
		record
		V integer `json:"v"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return event{}, err
	}
	return complete(event{r.ID, r.Type, r.TenantID, (*int64)(&r.V), r.Time, r.Data, r.Actor})
}

// What follows are the only three rules of reading that encoding/json does not know.

// complete demands what every record has.
func complete(e event) (event, error) {
	if e.kind == "" || e.tenantID == "" {
		return e, errors.New("no type or no tenant_id")
	}
	return e, nil
}

// integer has at most 18 digits ("Limits"), also where a later one counts.
type integer int64

func (i *integer) UnmarshalJSON(text []byte) error {
	if len(bytes.TrimPrefix(text, []byte("-"))) > 18 {
		return errors.New("an integer of more than 18 digits")
	}
	return json.Unmarshal(text, (*int64)(i))
}

// base64Text is a string; Go would take a list of numbers for bytes, too.
type base64Text []byte

func (b *base64Text) UnmarshalJSON(text []byte) error {
	if text[0] == '[' {
		return errors.New("data is no string")
	}
	return json.Unmarshal(text, (*[]byte)(b))
}

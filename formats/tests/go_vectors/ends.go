package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The first and last lines of a backup, as Go reads them. Around them stands the worked example of the page: its two
// records, keyed.
const (
	exampleHeader  = `{"format":"trstctl-event-log-backup","version":1,"created_at":"2026-01-02T03:04:05.123456789Z","event_cut_sequence":2}` + "\n"
	exampleRecords = `{"id":"Vh5Zk2QmX0aBcDeFgHiJkL","type":"tenant.registered","tenant_id":"00000000-0000-4000-8000-00000000000a","v":1,"time":"2026-01-02T03:00:00Z","data":{"name":"Acme \u003cR\u0026D\u003e"}}
{"id":"Vh5Zk2QmX0aBcDeFgHiJkM","type":"owner.created","tenant_id":"00000000-0000-4000-8000-00000000000a","v":1,"time":"2026-01-02T03:00:01.5Z","data":{"id":"11111111-1111-4111-8111-111111111111","kind":"team","name":"payments","email":"pay@example.com"},"actor":{"subject":"alice","roles":["admin"]}}
`
	headerTag = `{"format":"trstctl-event-log-backup"`
)

// readHeader reads a first line of the example.
func readHeader(line []byte) error {
	var h struct {
		header
		Version          integer `json:"version"`
		EventCutSequence count   `json:"event_cut_sequence"`
	}
	if !bytes.HasPrefix(line, []byte(headerTag)) {
		return errors.New("not the beginning of a backup")
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return err
	}
	if h.Format != "trstctl-event-log-backup" || h.Version != 1 || h.EventCutSequence != 2 {
		return fmt.Errorf("another header: %+v", h)
	}
	return nil
}

// readTrailer reads a last line of the example.
func readTrailer(line []byte) error {
	var t struct {
		trailer
		Records          count `json:"records"`
		EventCutSequence count `json:"event_cut_sequence"`
	}
	if err := json.Unmarshal(line, &t); err != nil {
		return err
	}
	sum, mac := exampleDigests()
	if t.Format != "trstctl-event-log-backup-trailer" || t.SHA256 != sum || t.HMACSHA256 != mac || t.Records != 2 || t.EventCutSequence != 2 {
		return fmt.Errorf("another trailer: %+v", t)
	}
	return nil
}

func exampleDigests() (sum, mac string) {
	body := []byte(exampleHeader + exampleRecords)
	digest := sha256.Sum256(body)
	key := authentication(keyFile, []byte("trstctl/backup-integrity/v1"))
	return hex.EncodeToString(digest[:]), hex.EncodeToString(authentication(key, body))
}

// count has no sign, and at most 18 digits.
type count uint64

func (c *count) UnmarshalJSON(text []byte) error {
	if len(text) > 18 {
		return errors.New("an integer of more than 18 digits")
	}
	return json.Unmarshal(text, (*uint64)(c))
}

// ends gives lines that Go takes in that place, and lines that it refuses: so many of each.
func (c chance) ends(howMany int, spell func(chance) []byte, read func([]byte) error) (readable, refused [][]byte) {
	for len(readable) < howMany || len(refused) < howMany {
		text := spell(c)
		if c.oneIn(2) {
			text = c.mangled(text)
		}
		text = bytes.TrimRight(text, "\r")
		if read(text) == nil {
			readable = append(readable, text)
		} else {
			refused = append(refused, text)
		}
	}
	return readable[:howMany], refused[:howMany]
}

func spelledHeader(c chance) []byte {
	members := []member{{"version", "1"}, {"created_at", c.spelledTime(c.at())}, {"event_cut_sequence", "2"}}
	return []byte(headerTag + c.blank() + "," + c.spelledEnd(members)[1:] + c.blank())
}

func spelledTrailer(c chance) []byte {
	sum, mac := exampleDigests()
	members := []member{
		{"format", c.quoted("trstctl-event-log-backup-trailer")}, {"sha256", c.quoted(sum)}, {"hmac_sha256", c.quoted(mac)},
		{"records", "2"}, {"event_cut_sequence", "2"},
	}
	return []byte(c.blank() + c.spelledEnd(members) + c.blank())
}

// spelledEnd gives a header or trailer in another order, case and so on, some of its members twice.
func (c chance) spelledEnd(members []member) string {
	if c.oneIn(3) {
		c.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	}
	for range c.IntN(4) {
		at := c.IntN(len(members) + 1)
		again := pick(c, members)
		further := pick(c, []member{
			again, {again.key, "null"}, {"more", strings.ReplaceAll(c.value(2), "\n", " ")}, {"format", `"other"`}, {"version", "-1"}, {"records", "7"},
			{"event_cut_sequence", "0"}, {"created_at", c.spelledTime(c.at())}, {"sha256", `""`},
		})
		members = append(members[:at], append([]member{further}, members[at:]...)...)
	}
	return c.spelledObject(members)
}

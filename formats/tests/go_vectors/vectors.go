package main

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"

	"trstctl-vectors/names"
)

// The key file of the worked examples.
var keyFile = []byte("-----BEGIN PRIVATE KEY-----\nEXAMPLE\n-----END PRIVATE KEY-----\n")

// vectors gives the files by their names, as ../README.md describes them.
func vectors(seed uint64, events int) (map[string][]byte, error) {
	files := map[string][]byte{}
	histories := []struct {
		name   string
		names  whichNames
		events int
		key    []byte
	}{
		{"history", usualNames, events, keyFile},
		{"odd-names", anyNames, events / 2, nil},
	}
	for part, h := range histories {
		c := chanceOf(seed, uint64(part))
		messages, err := c.history(h.events, h.names)
		if err != nil {
			return nil, err
		}
		if err := add(files, h.name, messages, h.key); err != nil {
			return nil, err
		}
	}
	spelled, refused := chanceOf(seed, 10).spellings(events, storedForm)
	files["refused.stored"] = joined(refused)
	if err := add(files, "spellings", spelled, keyFile); err != nil {
		return nil, err
	}
	lines, refused := chanceOf(seed, 11).spellings(events, lineForm)
	files["refused.lines"] = joined(refused)
	headers, refused := chanceOf(seed, 12).ends(events/2, spelledHeader, readHeader)
	files["readable.headers"], files["refused.headers"] = joined(headers), joined(refused)
	trailers, refused := chanceOf(seed, 13).ends(events/2, spelledTrailer, readTrailer)
	files["readable.trailers"], files["refused.trailers"] = joined(trailers), joined(refused)
	return files, addLines(files, lines)
}

func created() time.Time { return time.Date(2026, time.January, 2, 3, 4, 5, 123_456_789, time.UTC) }

// add adds stored messages and their backup.
func add(files map[string][]byte, name string, messages [][]byte, key []byte) error {
	backup, err := backupOf(messages, created(), uint64(len(messages)), key)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	files[name+".stored"] = joined(messages)
	if key != nil {
		name += ".with-key"
	}
	files[name+".jsonl"] = backup
	return nil
}

// addLines adds a backup of record lines that no writer writes, and the backup that is written after they were read.
func addLines(files map[string][]byte, lines [][]byte) error {
	var again bytes.Buffer
	for _, line := range lines {
		event, err := readLine(line)
		if err != nil {
			return err
		}
		written, err := event.line()
		if err != nil {
			return err
		}
		again.Write(written)
	}
	count := uint64(len(lines))
	var err error
	if files["lines.jsonl"], err = fileOf(joined(lines), count, created(), count, nil); err != nil {
		return err
	}
	files["lines-written-again.jsonl"], err = fileOf(again.Bytes(), count, created(), count, nil)
	return err
}

// history gives the messages of that many events. Where all strings are UTF-8, the event as it was and the event as it
// was stored give the same record line; if they do not, this program is wrong.
func (c chance) history(events int, which whichNames) ([][]byte, error) {
	var messages [][]byte
	for n := range events {
		event := c.event(n+1, which)
		message, err := event.stored()
		if err != nil {
			return nil, err
		}
		direct, err := event.line()
		if err != nil {
			return nil, err
		}
		back, err := readStored(message)
		if err != nil {
			return nil, err
		}
		decoded, err := back.line()
		if err != nil {
			return nil, err
		}
		_, offset := event.time.Zone()
		if isUTF8(event) && offset%60 == 0 && !bytes.Equal(direct, decoded) {
			return nil, fmt.Errorf("two lines for one event:\n%s%s", direct, decoded)
		}
		messages = append(messages, message)
	}
	return messages, nil
}

func isUTF8(e event) bool {
	valid := utf8.ValidString(e.id) && utf8.ValidString(e.kind) && utf8.ValidString(e.tenantID)
	if e.actor != nil {
		valid = valid && utf8.ValidString(e.actor.Subject)
		for _, role := range e.actor.Roles {
			valid = valid && utf8.ValidString(role)
		}
	}
	return valid
}

// spellings gives texts that Go reads, and texts that it refuses: so many of each.
func (c chance) spellings(count int, form form) (readable, refused [][]byte) {
	for n := 1; len(readable) < count || len(refused) < count; n++ {
		text := c.spelled(c.event(n, usualNames), form)
		if c.oneIn(2) {
			text = c.mangled(text)
		}
		// A CR at the end would be one of the line, and not of its text.
		switch text = bytes.TrimRight(text, "\r"); verdict(text, form) {
		case keeps:
			readable = append(readable, text)
		case refuses:
			refused = append(refused, text)
		}
	}
	return readable[:count], refused[:count]
}

type verdictOfGo int

const (
	refuses verdictOfGo = iota
	// A line that verify accepts and restore does not.
	readsOnly
	keeps
)

func verdict(text []byte, form form) verdictOfGo {
	if form == storedForm {
		event, err := readStored(text)
		if err == nil {
			_, err = event.line()
		}
		if err != nil {
			return refuses
		}
		return keeps
	}
	event, err := readLine(text)
	if err != nil {
		return refuses
	}
	if _, err := event.stored(); err != nil || !names.IsSubject(event.kind) || !names.IsHeaderValue(event.id) {
		return readsOnly
	}
	return keeps
}

func joined(lines [][]byte) []byte {
	var out bytes.Buffer
	for _, line := range lines {
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Bytes()
}

package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

type header struct {
	Format           string    `json:"format"`
	Version          int       `json:"version"`
	CreatedAt        time.Time `json:"created_at"`
	EventCutSequence uint64    `json:"event_cut_sequence,omitempty"`
}

type trailer struct {
	Format           string `json:"format"`
	SHA256           string `json:"sha256"`
	HMACSHA256       string `json:"hmac_sha256,omitempty"`
	Records          uint64 `json:"records"`
	EventCutSequence uint64 `json:"event_cut_sequence,omitempty"`
}

// backupOf decodes each message and encodes it again; without a key the file is unkeyed.
func backupOf(messages [][]byte, created time.Time, cut uint64, keyFile []byte) ([]byte, error) {
	var lines bytes.Buffer
	for i, message := range messages {
		event, err := readStored(message)
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
		line, err := event.line()
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
		lines.Write(line)
	}
	return fileOf(lines.Bytes(), uint64(len(messages)), created, cut, keyFile)
}

// fileOf puts header and trailer around these lines.
func fileOf(lines []byte, records uint64, created time.Time, cut uint64, keyFile []byte) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	if err := encoder.Encode(header{"trstctl-event-log-backup", 1, created, cut}); err != nil {
		return nil, err
	}
	out.Write(lines)
	sum := sha256.Sum256(out.Bytes())
	mac := ""
	if keyFile != nil {
		mac = hex.EncodeToString(authentication(authentication(keyFile, []byte("trstctl/backup-integrity/v1")), out.Bytes()))
	}
	tag := "trstctl-event-log-backup-trailer"
	err := encoder.Encode(trailer{tag, hex.EncodeToString(sum[:]), mac, records, cut})
	return out.Bytes(), err
}

func authentication(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}

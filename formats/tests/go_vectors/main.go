// Writes version 1 backups as a Go program writes them, with nothing but Go's standard library: an oracle for
// `trstctl-dr`, written from docs/format/backup.md alone. What it knows of the format is in event.go and backup.go, and
// it is Go's encoding/json and time that spell: no string, number or time is written by hand there.
//
//	go run . generate [-seed N] [-events N] DIR     writes the vectors of this folder, or others, into DIR
//	go run . backup -created-at TIME [-cut N] [-key-file FILE] MESSAGES
//	                                                writes the backup of these messages to standard output
//
// MESSAGES holds one stored message a line. publish/ brings them into a real stream.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("which one: generate or backup?")
	}
	switch args[0] {
	case "generate":
		return runGenerate(args[1:])
	case "backup":
		return runBackup(args[1:])
	}
	return fmt.Errorf("unknown command %q", args[0])
}

func runGenerate(args []string) error {
	flags := flag.NewFlagSet("generate", flag.ExitOnError)
	seed := flags.Uint64("seed", 1, "chance; the vectors of this folder have 1")
	events := flags.Int("events", 80, "events in the largest file")
	_ = flags.Parse(args)
	if flags.NArg() != 1 {
		return errors.New("generate takes one folder")
	}
	files, err := vectors(*seed, *events)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(flags.Arg(0), name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func runBackup(args []string) error {
	flags := flag.NewFlagSet("backup", flag.ExitOnError)
	createdAt := flags.String("created-at", "", "created_at of the header")
	cut := flags.Uint64("cut", 0, "event_cut_sequence (0: the number of messages)")
	keyFile := flags.String("key-file", "", "the audit signing key")
	_ = flags.Parse(args)
	if flags.NArg() != 1 {
		return errors.New("backup takes one file of messages")
	}
	created, err := time.Parse(time.RFC3339Nano, *createdAt)
	if err != nil {
		return err
	}
	messages, err := readLines(flags.Arg(0))
	if err != nil {
		return err
	}
	var key []byte
	if *keyFile != "" {
		if key, err = os.ReadFile(*keyFile); err != nil {
			return err
		}
	}
	if *cut == 0 {
		*cut = uint64(len(messages))
	}
	file, err := backupOf(messages, created, *cut, key)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(file)
	return err
}

func readLines(path string) ([][]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := bytes.Split(content, []byte("\n"))
	return lines[:len(lines)-1], nil
}

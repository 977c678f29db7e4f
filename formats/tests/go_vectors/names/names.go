// Package names says which types and ids a log can have.
package names

import "strings"

// IsSubject says whether `events.` and this type are a subject that can be published to.
func IsSubject(kind string) bool {
	for _, token := range strings.Split(kind, ".") {
		if token == "" || token == "*" || token == ">" {
			return false
		}
	}
	return strings.IndexFunc(kind, func(r rune) bool { return r <= ' ' || r == 0x7f }) < 0
}

// IsHeaderValue says whether this id can be the value of Nats-Msg-Id.
func IsHeaderValue(id string) bool { return !strings.ContainsAny(id, "\r\n") }

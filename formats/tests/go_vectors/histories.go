package main

import (
	"fmt"
	"strings"
	"time"
)

// Pieces of names, texts and roles: what a JSON writer has to think about, and plain words between.
var pieces = []string{
	"a", "b ", "owner", "Acme <R&D>", "<", ">", "&", "\"", "\\", "/", "'", "=", "\\u003c", "\\ud800", "</script>",
	"é", "ß", "€", "日本", "🙂", "👩‍👩‍👧", "e\u0301", "\u202e", "\u00a0", "\u2027", "\u2028", "\u2029", "\u202a", "\ufeff", "\ufffd",
	"\uffff", "\U0010ffff", "\u007f", "\u0080", "\u009f", "\x00", "\x01", "\b", "\t", "\n", "\v", "\f", "\r", "\x1b", "\x1f",
}

// Bytes that are no UTF-8.
var broken = []string{
	"\xff", "\x80", "\xc3", "\xe2\x80", "\xf0\x9f\x99", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
	"\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe2\x80\xc3\xa9",
}

var numbers = []string{
	"0", "-0", "0.0", "-0.0", "1.0", "1e400", "-1E+400", "5e-324", "1e-400", "0e0", "1E5", "1e+05", "0.1", "1.10", "123456789012345678901234567890",
	"18446744073709551616", "9007199254740993", "-9223372036854775808", "3.141592653589793238462643383279", "100", "-7",
}

// What may stand in a string of a payload besides: escapes in every spelling.
var escapes = []string{
	`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0000`, `\u001f`, `\u003c`, `\u003C`, `\u0026`, `\u2028`, `\u2029`, `\u0041`, `\u00e9`,
	`\u00E9`, `\ud83d\ude42`, `\uD83D\uDE42`, `\ud800`, `\udc00`, `\ude42\ud83d`, `\ud83dx`, `\uffff`, `\ufffd`, `\\u003c`,
}

// text gives a string, now and then with bytes that are none.
func (c chance) text() string {
	text := c.some(4, pieces)
	if c.oneIn(8) {
		text += pick(c, broken) + c.some(1, pieces)
	}
	return text
}

// space gives white space of JSON, or none.
func (c chance) space() string {
	if !c.oneIn(4) {
		return ""
	}
	return pick(c, []string{" ", "\t", "\n", "\r", " \r\n\t "})
}

// payload gives JSON text.
func (c chance) payload() string {
	switch c.IntN(12) {
	case 0:
		return pick(c, []string{"null", "true", "false", `""`, "{}", "[]", "[[]]", `{"":{}}`, " { } ", "[ ]\n"})
	case 1:
		return pick(c, numbers)
	case 2:
		return strings.Repeat("[", 60) + strings.Repeat("]", 60)
	}
	return c.space() + c.object(3) + c.space()
}

func (c chance) object(depth int) string {
	keys := []string{`"id"`, `"name"`, `"name"`, `"kind"`, `""`, `"<&>"`, `"\u0069d"`, c.payloadString()}
	var out strings.Builder
	out.WriteString("{" + c.space())
	for i := range c.IntN(4) {
		if i > 0 {
			out.WriteString("," + c.space())
		}
		out.WriteString(pick(c, keys) + c.space() + ":" + c.space() + c.value(depth-1) + c.space())
	}
	return out.String() + "}"
}

func (c chance) value(depth int) string {
	switch kind := c.IntN(7); {
	case kind == 0 && depth > 0:
		return c.object(depth)
	case kind == 1 && depth > 0:
		return "[" + c.space() + c.value(depth-1) + c.space() + "," + c.space() + c.value(depth-1) + "]"
	case kind == 2:
		return pick(c, []string{"null", "true", "false"})
	case kind == 3:
		return pick(c, numbers)
	}
	return c.payloadString()
}

// payloadString gives a string as it stands in JSON: no control characters, quotes or backslashes but in escapes.
func (c chance) payloadString() string {
	text := ""
	for range c.IntN(4) {
		switch c.IntN(5) {
		case 0:
			text += pick(c, escapes)
		case 1:
			if c.oneIn(3) {
				text += pick(c, broken)
			}
		default:
			if piece := pick(c, pieces); strings.IndexFunc(piece, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) < 0 {
				text += piece
			}
		}
	}
	return `"` + text + `"`
}

// at gives a time of any sort that Go can write.
func (c chance) at() time.Time {
	zone := time.UTC
	switch c.IntN(4) {
	case 0:
		zone = time.FixedZone("", 60*(c.IntN(2*1439+1)-1439))
	case 1:
		// The mean time of a place, which is written without its seconds.
		zone = time.FixedZone("LMT", pick(c, []int{3208, -17762, 1, -59, 0, 19800, -3600}))
	}
	nanoseconds := pick(c, []int{0, 0, 1, 999_999_999, 500_000_000, 120_000_000, 10, 123_456_789, c.IntN(1_000_000_000)})
	year := pick(c, []int{0, 1, 4, 1582, 1677, 1900, 1969, 1970, 2000, 2024, 2026, 2026, 2261, 2262, 9999})
	if c.oneIn(20) {
		return time.Time{}
	}
	month, day := time.Month(1+c.IntN(12)), 1+c.IntN(28)
	if c.oneIn(6) {
		month, day = pick(c, []time.Month{time.January, time.December}), pick(c, []int{1, 31})
	}
	return time.Date(year, month, day, c.IntN(24), c.IntN(60), c.IntN(60), nanoseconds, zone)
}

// whichNames says which ids and types a history has.
type whichNames int

const (
	// Only what a restore can publish: a type that ends a subject, an id that is a header's value.
	usualNames whichNames = iota
	anyNames
)

// event gives the n-th event of a history; ids differ, since a stream takes each one once.
func (c chance) event(n int, which whichNames) event {
	const tenant = "00000000-0000-4000-8000-00000000000"
	e := event{
		id:       fmt.Sprintf("%05d%s", n, pick(c, []string{"", "-Vh5Zk2QmX0aBcDeFgHiJkM", "<é>&", "/\u2028\"\\", "\x7f🙂"})),
		kind:     pick(c, []string{"owner.created", "tenant.registered", "x", "a<b>.c&d", "é.\u2029", "a*.b>", `q"\`}),
		tenantID: tenant + pick(c, []string{"a", "b", "c"}),
		time:     c.at(),
	}
	if c.oneIn(25) {
		e.id = ""
	}
	if which == anyNames {
		e.id += c.text()
		e.kind += c.text()
	}
	if c.oneIn(3) {
		e.tenantID = "t" + c.text()
	}
	if !c.oneIn(5) {
		version := pick(c, []int64{0, 1, 1, 1, 2, 3, 7, -7, 999_999_999_999_999_999, -999_999_999_999_999_999})
		e.version = &version
	}
	if !c.oneIn(6) {
		e.payload = []byte(c.payload())
	}
	if !c.oneIn(3) {
		e.actor = &actor{Subject: c.text()}
		for range c.IntN(4) {
			e.actor.Roles = append(e.actor.Roles, c.text())
		}
		if c.oneIn(6) {
			e.actor.Roles = []string{}
		}
	}
	return e
}

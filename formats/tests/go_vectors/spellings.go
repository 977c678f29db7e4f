package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// form says which of the two texts of an event is meant.
type form int

const (
	storedForm form = iota
	lineForm
)

// member is one of an object, its value as JSON.
type member struct{ key, value string }

// spelled gives a text of the event that no writer writes: other white space, order, case, escapes, keys said twice,
// `null`, keys that mean nothing. Go's reader decides what of it is wrong. It has no newline in it.
func (c chance) spelled(e event, form form) []byte {
	members := []member{{"type", c.quoted(e.kind)}, {"tenant_id", c.quoted(e.tenantID)}}
	if e.id != "" {
		members = append(members, member{"id", c.quoted(e.id)})
	}
	if !e.time.IsZero() {
		members = append(members, member{"time", c.spelledTime(e.time)})
	}
	if e.version != nil {
		members = append(members, member{"v", fmt.Sprint(*e.version)})
	}
	if len(e.payload) > 0 {
		members = append(members, member{"data", c.spelledData(e.payload, form)})
	}
	if e.actor != nil {
		members = append(members, member{"actor", c.spelledActor(e.actor)})
	}
	if c.oneIn(3) {
		c.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	}
	for range c.IntN(4) {
		at := c.IntN(len(members) + 1)
		members = append(members[:at], append([]member{c.further(members, form)}, members[at:]...)...)
	}
	text := c.spelledObject(members)
	return []byte(strings.ReplaceAll(c.blank()+text+c.blank(), "\n", " "))
}

// further gives a member more: one of no meaning, or one that was there in another way.
func (c chance) further(members []member, form form) member {
	switch c.IntN(4) {
	case 0:
		return member{pick(c, []string{"more", "", "seq", "idd", "tenantid", "data_b64", "Format"}), c.value(2)}
	case 1:
		return member{pick(c, members).key, "null"}
	case 2:
		return member{"actor", c.spelledActor(&actor{"other", []string{"r", "s", "t"}[:c.IntN(4)]})}
	}
	another := c.event(0, usualNames)
	return pick(c, []member{
		{"id", c.quoted(another.id)}, {"type", c.quoted(another.kind)}, {"v", pick(c, []string{"4", "4", "0", "-0", "1000000000000000000"})},
		{"time", c.spelledTime(another.time)}, {"data", c.spelledData([]byte(c.payload()), form)},
	})
}

// blank gives white space more often than payloads have it.
func (c chance) blank() string {
	return pick(c, []string{"", "", "", " ", "\t", " \r "})
}

func (c chance) spelledObject(members []member) string {
	text := "{" + c.blank()
	for i, m := range members {
		if i > 0 {
			text += "," + c.blank()
		}
		text += c.spelledKey(m.key) + c.blank() + ":" + c.blank() + m.value + c.blank()
	}
	return text + "}"
}

func (c chance) spelledKey(key string) string {
	switch c.IntN(6) {
	case 0:
		key = strings.ToUpper(key)
	case 1:
		key = strings.ReplaceAll(key, "s", "ſ")
	case 2:
		return c.quoted(key)
	}
	return `"` + key + `"`
}

// quoted gives a JSON string for the text, character by character in one of the ways to say it, now and then with
// something broken in it.
func (c chance) quoted(text string) string {
	out := ""
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		usual, _ := json.Marshal(text[:size])
		switch {
		case c.oneIn(4) && r < 0x10000:
			out += fmt.Sprintf(pick(c, []string{`\u%04x`, `\u%04X`}), r)
		case c.oneIn(2) && (r > '\\' || r == '<' || r == '&' || r == '>'):
			out += text[:size]
		case r == '/':
			out += `\/`
		default:
			out += string(usual[1 : len(usual)-1])
		}
		text = text[size:]
	}
	if c.oneIn(10) {
		out += pick(c, append(escapes, broken...))
	}
	return `"` + out + `"`
}

// spelledTime gives a time in a way of RFC 3339, or of what Go's reader takes for it.
func (c chance) spelledTime(t time.Time) string {
	text := t.Format(time.RFC3339Nano)
	clock, zone := text[:19], text[19:]
	if at := strings.IndexAny(zone, "Z+-"); at >= 0 {
		zone = zone[at:]
	}
	if clock[11] == '0' && c.oneIn(3) {
		clock = clock[:11] + clock[12:]
	}
	fraction := pick(c, []string{"", ".0", ".120", ".000000000", ".100000000", ".9", ".1234567899", ",5", ".99999999999999999999"})
	zone = pick(c, []string{zone, zone, "Z", "+00:00", "-00:00", "+23:59", "-23:59", "+05:30"})
	if c.oneIn(15) {
		zone = pick(c, []string{"+24:00", "-24:60", "+23:60", "+25:00", "+01:61", "+0100", "z", "", ".Z", " Z", ",Z"})
	}
	return `"` + clock + fraction + zone + `"`
}

func (c chance) spelledData(payload []byte, form form) string {
	if form == lineForm {
		return string(payload)
	}
	text := base64.StdEncoding.EncodeToString(payload)
	switch c.IntN(20) {
	case 0, 1, 2:
		at := c.IntN(len(text) + 1)
		text = text[:at] + pick(c, []string{`\n`, `\r\n`, `\u000a`}) + text[at:]
	case 3, 4, 5:
		// The bits that encode nothing.
		if at := strings.IndexByte(text, '='); at > 0 && text[at-1] == 'g' {
			text = text[:at-1] + "h" + text[at:]
		}
	case 6, 7:
		text = strings.ReplaceAll(text, "/", `\/`)
	case 8:
		text = pick(c, []string{strings.TrimRight(text, "="), text + "=", text + "\t", strings.ReplaceAll(text, "+", "-")})
	}
	return `"` + text + `"`
}

func (c chance) spelledActor(a *actor) string {
	members := []member{{"subject", c.quoted(a.Subject)}}
	for range c.IntN(3) {
		roles := []string{}
		for _, role := range a.Roles {
			roles = append(roles, pick(c, []string{c.quoted(role), c.quoted(role), c.quoted(role), "null"}))
		}
		members = append(members, member{"roles", "[" + c.blank() + strings.Join(roles[:c.IntN(len(roles)+1)], c.blank()+",") + c.blank() + "]"})
	}
	if c.oneIn(5) {
		members = append(members, member{pick(c, []string{"roles", "subject", "more"}), "null"})
	}
	return c.spelledObject(members)
}

// mangled changes a text at one place: a byte, or a value of another type.
func (c chance) mangled(text []byte) []byte {
	values := []string{"1", "1.0", "1e0", "-1", "0", "1234567890123456789", "true", `""`, `"x"`, "null", "[]", "{}", `[1]`, `["a",1]`, `{"subject":1}`}
	if at := bytes.IndexByte(text, ':'); at >= 0 && c.oneIn(2) {
		// Behind one of the colons of what stands outside strings, mostly.
		for next := at; next >= 0 && c.oneIn(2); {
			if next = bytes.IndexByte(text[at+1:], ':'); next >= 0 {
				at += 1 + next
			}
		}
		rest := text[at+1:]
		if end := bytes.IndexAny(rest, ",}"); end >= 0 {
			rest = rest[end:]
		}
		return bytes.Join([][]byte{text[:at+1], []byte(pick(c, values)), rest}, nil)
	}
	at := c.IntN(len(text))
	switch c.IntN(3) {
	case 0:
		return bytes.Join([][]byte{text[:at], text[at+1:]}, nil)
	case 1:
		return text[:at]
	}
	insert := []byte(pick(c, []string{" ", "\"", "\\", ",", "{", "}", ":", "0", "\x01", "\xff", "e", "\u00a0"}))
	return bytes.Join([][]byte{text[:at], insert, text[at:]}, nil)
}

package main

import "math/rand/v2"

// chance is the source of everything random; the same seed gives the same files with every release of Go.
type chance struct{ *rand.Rand }

func chanceOf(seed, part uint64) chance {
	return chance{rand.New(rand.NewPCG(seed, part))}
}

// oneIn says yes once in n times.
func (c chance) oneIn(n int) bool { return c.IntN(n) == 0 }

// pick gives one of these.
func pick[T any](c chance, of []T) T { return of[c.IntN(len(of))] }

// some joins up to n of these.
func (c chance) some(n int, of []string) string {
	text := ""
	for range c.IntN(n + 1) {
		text += pick(c, of)
	}
	return text
}

package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	rules "github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// The worker has nothing to find fault with, and the receiver reads what it looks
// for.
func TestEventsAreSound(t *testing.T) {
	t.Parallel()
	published := time.Now()
	decoder := rules.NewDecoder(rules.DefaultRules())
	for number := range 4000 {
		size := []int{300, 700, 2000, 8000}[number%4]
		text := event(number, published, size)
		require.InDelta(t, size, len(text), 100)
		got, err := decoder.Decode(text)
		require.NoError(t, err, "%s", text)
		require.Len(t, got.Events, 1)
		e := got.Events[0]
		require.Equal(t, string(text), string(e.Raw))
		require.Empty(t, append(e.Faults, e.Warnings...))
		require.Equal(t, rules.Channels()[number%3], e.Channel)
		at, read, err := readID([]byte(e.ID + `"`))
		require.NoError(t, err)
		require.Equal(t, number, read)
		require.Equal(t, published.UnixNano(), at.UnixNano())
	}
}

func TestOneEventInTwentyIsACopyOfAnEarlierOne(t *testing.T) {
	t.Parallel()
	l := load{events: 10_000, datasets: 20, size: usualSize, began: time.Now()}
	seen, datasets := make(map[string]string), make(map[string]int)
	for i := range l.events {
		subject, body := l.message(i)
		if before, known := seen[string(body)]; known {
			require.Equal(t, before, subject, "a copy is for the same dataset")
		}
		seen[string(body)] = subject
		datasets[subject]++
	}
	require.Len(t, seen, l.distinct())
	require.Equal(t, 500, l.copies())
	require.Len(t, datasets, l.datasets)
	for subject, events := range datasets {
		require.InDelta(t, 500, events, 150, subject)
	}
}

func TestPoisonIsAsOftenAsWanted(t *testing.T) {
	t.Parallel()
	l := load{events: 100_000, datasets: 20, size: usualSize, poison: 0.01}
	poison := 0
	for i := range l.events {
		_, body := l.message(i)
		if bytes.Contains(body, []byte(poisonous)) {
			poison++
			require.True(t, l.isPoison(l.number(i)))
		}
	}
	require.InDelta(t, 1000, poison, 150)
	require.Less(t, l.distinct(), l.events-l.copies())
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	require.Zero(t, quantile(nil, 0.5))
	var sorted []time.Duration
	for i := range 1000 {
		sorted = append(sorted, time.Duration(i+1))
	}
	require.EqualValues(t, 500, quantile(sorted, 0.5))
	require.EqualValues(t, 990, quantile(sorted, 0.99))
	require.EqualValues(t, 999, quantile(sorted, 0.999))
	require.EqualValues(t, 1, quantile(sorted[:1], 0.999))
}

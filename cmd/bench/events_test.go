package main

import (
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
	for number := range 3000 {
		text := event(number, published)
		require.InDelta(t, 700, len(text), 60)
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
	l := load{events: 10_000, datasets: 20, began: time.Now()}
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

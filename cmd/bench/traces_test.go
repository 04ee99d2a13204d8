package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is compared is what one round has measured, and what is shown is the median.
func TestWhatSpansCostIsComparedWithinARound(t *testing.T) {
	t.Parallel()
	round := func(off, some, all, away int) []traced {
		us := func(n int) traced { return traced{cpu: time.Duration(n) * time.Microsecond} }
		return []traced{us(off), us(some), us(all), us(away)}
	}
	var out bytes.Buffer
	run := tracing{events: 1000, datasets: 20, rounds: 3}
	require.NoError(t, run.print(&out, [][]traced{
		round(10, 10, 14, 14), round(20, 21, 30, 33), round(10, 9, 13, 13),
	}))
	for _, row := range []string{
		`no exporter +10\.0 +no exporter +\+0\.0 % +\+0\.0 % +\+0\.0 % +0`,
		`1 % of events +10\.0 +no exporter +\+0\.0 % +-10\.0 % +\+5\.0 % +0`,
		`all events +14\.0 +no exporter +\+40\.0 % +\+30\.0 % +\+50\.0 % +0`,
		`collector away +14\.0 +all events +\+0\.0 % +\+0\.0 % +\+10\.0 % +0`,
	} {
		require.Regexp(t, row, out.String())
	}
}

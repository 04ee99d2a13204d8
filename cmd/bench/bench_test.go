//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// In its short form the program does all that it does in its long form, and its
// figures say so. How good they are is no matter of a test.
func TestTheShortForm(t *testing.T) {
	leavesNothing(t)
	var out, progress strings.Builder
	command := newRoot()
	command.SetArgs([]string{"--short"})
	command.SetOut(&out)
	command.SetErr(&progress)
	require.NoError(t, command.ExecuteContext(t.Context()), "%s", &progress)
	t.Logf("%s%s", &progress, &out)

	const events, distinct = 2000, 1900
	workers := rows(t, out.String(), "worker", 14)
	require.Len(t, workers, 3)
	for i, datasets := range []int{1, 20, 1000} {
		row := workers[i]
		require.Equal(t, datasets, int(row[0]))
		requireSent(t, row, distinct)
		require.Equal(t, distinct, int(row[12]), "every event is received, but for copies")
		require.Zero(t, row[13], "and none again")
	}
	ceiling := rows(t, out.String(), "ceiling", 14)
	require.Len(t, ceiling, 1)
	requireSent(t, ceiling[0], events)
	require.Equal(t, distinct, int(ceiling[0][12]))
	require.Equal(t, events-distinct, int(ceiling[0][13]), "the ceiling knows of no copies")

	paces := rows(t, out.String(), "200", 5)
	require.Len(t, paces, 1)
	require.Equal(t, 200, int(paces[0][1]), "every event has a latency")
	require.LessOrEqual(t, paces[0][2], paces[0][3])
	require.LessOrEqual(t, paces[0][3], paces[0][4])
}

// requireSent asserts that a row's requests and the events in each make up so many.
func requireSent(t *testing.T, row []float64, events float64) {
	t.Helper()
	const requests, each, rounding = 10, 11, 0.05
	require.Positive(t, row[1], "events a second")
	require.Positive(t, row[requests])
	require.InDelta(t, events, row[requests]*row[each], rounding*row[requests])
}

// rows are the figures of all rows of that name in the output.
func rows(t *testing.T, text, name string, columns int) (all [][]float64) {
	t.Helper()
	for line := range strings.Lines(text) {
		fields := strings.Fields(strings.ReplaceAll(line, "%", ""))
		if len(fields) == 0 || fields[0] != name {
			continue
		}
		var row []float64
		for _, field := range fields[1:] {
			figure, err := strconv.ParseFloat(field, 64)
			require.NoError(t, err, line)
			row = append(row, figure)
		}
		require.Len(t, row, columns, line)
		all = append(all, row)
	}
	return all
}

// What an event may cost where it can be counted: what the client libraries allocate
// for it and eight objects more; and no more requests than 800 for 200,000 events.
func TestBudgets(t *testing.T) {
	leavesNothing(t)
	const events, requests, beside = 200_000, 800, 8
	both, err := run(t.Context(), flags{events: events}, 1, new(bytes.Buffer), (*bench).pair)
	require.NoError(t, err)
	worker, ceiling := both.worker, both.ceiling
	ours, theirs := worker.each(float64(worker.Allocs)), ceiling.each(float64(ceiling.Allocs))
	t.Logf("allocations an event: %.1f, of the libraries alone %.1f; %d requests", ours, theirs, worker.Received.Requests)
	require.LessOrEqual(t, ours, theirs+beside)
	require.LessOrEqual(t, worker.Received.Requests, requests)
}

// With poison and with several workers every sound event is received all the same.
func TestGrowthInAllDirections(t *testing.T) {
	leavesNothing(t)
	last := func(d direction) direction {
		d.points = d.points[len(d.points)-1:]
		return d
	}
	all := directions()
	poison, workers := last(all[5]), direction{all[4].name, all[4].points[1:2]}
	grown, err := run(t.Context(), flags{short: true}, 1, new(bytes.Buffer), func(b *bench, ctx context.Context) ([]grown, error) {
		return b.growth(ctx, []direction{poison, workers})
	})
	require.NoError(t, err)
	for _, g := range grown {
		m := g.measured[0]
		require.Equal(t, m.Load.distinct(), m.Received.Distinct, g.name)
		require.Equal(t, m.Received.Distinct, m.Received.Events, "%s: none is received twice", g.name)
	}
	require.Less(t, grown[0].measured[0].Load.distinct(), grown[1].measured[0].Load.distinct())
	require.Greater(t, grown[0].measured[0].Received.Requests, 2*grown[1].measured[0].Received.Requests, "poison is searched for")
}

func TestBetweenClusters(t *testing.T) {
	leavesNothing(t)
	both, err := run(t.Context(), flags{short: true}, clusterNodes, new(bytes.Buffer), (*bench).pair)
	require.NoError(t, err)
	require.Equal(t, both.worker.Load.distinct(), both.worker.Received.Events)
	require.Equal(t, both.ceiling.Load.events, both.ceiling.Received.Events)
}

// Whoever has enough of waiting leaves nothing running. Copies alone take the worker
// longer than a second here.
func TestAnInterruptEndsEverything(t *testing.T) {
	leavesNothing(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	progress := &interrupter{at: "worker: a backlog", after: time.Second, cancel: cancel}
	_, err := run(ctx, flags{events: 20_000, datasets: []int{20}}, 1, progress, (*bench).measure)
	require.ErrorIs(t, err, context.Canceled, "%s", &progress.said)
}

// interrupter cancels when it is told of a certain progress, and some time after.
type interrupter struct {
	at     string
	after  time.Duration
	cancel context.CancelFunc
	said   bytes.Buffer
}

func (i *interrupter) Write(text []byte) (int, error) {
	if strings.Contains(string(text), i.at) {
		time.AfterFunc(i.after, i.cancel)
	}
	return i.said.Write(text)
}

// leavesNothing asserts at the end of a test that it has left neither files nor
// processes.
func leavesNothing(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left, "files")
		require.Empty(t, children(t), "processes")
	})
}

// children are the processes that this one has started.
func children(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	ours := fmt.Sprintf(" %d ", os.Getpid())
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		state := stat[bytes.LastIndexByte(stat, ')')+1:] // " S 4711 …"
		if len(state) > 2 && bytes.HasPrefix(state[2:], []byte(ours)) {
			all = append(all, string(stat))
		}
	}
	return all
}

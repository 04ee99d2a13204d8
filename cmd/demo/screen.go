package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// screen shows the state of things: a table that is drawn over and over on a
// terminal, a line now and then elsewhere.
type screen struct {
	out    io.Writer
	live   bool
	colour bool

	mu    sync.Mutex
	notes map[string]string
	lines int // of the table on the terminal
}

func newScreen(out io.Writer, plain bool) *screen {
	file, ok := out.(*os.File)
	live := !plain && ok && term.IsTerminal(int(file.Fd()))
	return &screen{out: out, live: live, colour: live && os.Getenv("NO_COLOR") == "", notes: make(map[string]string)}
}

func (s *screen) every() time.Duration {
	if s.live {
		return 200 * time.Millisecond
	}
	return 2 * time.Second
}

// annotate changes the notes beside datasets.
func (s *screen) annotate(notes map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.notes, notes)
}

func (s *screen) note(dataset string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes[dataset]
}

// introduce says what is on.
func (s *screen) introduce(show *show) {
	fmt.Fprintf(s.out, `capi-dispatcher demo: conversion events from NATS JetStream to Meta, for %s

  NATS   %s
  Redis  %s
  Graph  %s
  admin  %s  (/readyz, /metrics)
  log    %s

`, show.flags.length, show.config.NATS.URL, show.config.Redis.URL, show.config.Graph.URL, show.scores.admin, show.logTo)
}

// draw shows the state of things now.
func (s *screen) draw(show *show) {
	scores, totals := show.scores.read(), show.script.totals()
	if !s.live {
		s.drawLine(show, scores, totals)
		return
	}
	var table strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&table, "\x1b[%dA\x1b[J", s.lines)
	}
	fmt.Fprintf(&table, "%s%-33s%10s%10s%11s%7s%8s%9s%10s  %s%s\n", s.style("1"),
		fmt.Sprintf("%4.0fs  dataset", time.Since(show.began).Seconds()),
		"published", "accepted", "duplicates", "dead", "parked", "in flight", "requests", "", s.style("0"))
	for _, c := range show.cast {
		e, got := totals[c.dataset], scores[c.dataset]
		note := s.note(c.dataset)
		fmt.Fprintf(&table, "%-33s%10d%10d%11d%7d%8d%9d%10d  %s%s%s\n", c.role, e.Published,
			got.Accepted, got.Duplicates, got.Dead, got.Parked, got.InFlight, got.Requests, s.style("33"), note, s.style("0"))
	}
	s.lines = len(show.cast) + 1
	_, _ = io.WriteString(s.out, table.String())
}

func (s *screen) drawLine(show *show, scores map[string]score, totals map[string]expected) {
	var sum score
	var published int
	for dataset, e := range totals {
		published += e.Published
		got := scores[dataset]
		sum.Accepted += got.Accepted
		sum.Duplicates += got.Duplicates
		sum.Dead += got.Dead
		sum.Parked += got.Parked
		sum.InFlight += got.InFlight
	}
	fmt.Fprintf(s.out, "%3.0fs  published %d  accepted %d  duplicates %d  dead %d  parked %d  in flight %d\n",
		time.Since(show.began).Seconds(), published, sum.Accepted, sum.Duplicates, sum.Dead, sum.Parked, sum.InFlight)
}

// style is a terminal's escape sequence, where there are colours.
func (s *screen) style(code string) string {
	if !s.colour {
		return ""
	}
	return "\x1b[" + code + "m"
}

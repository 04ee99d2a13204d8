package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// perform publishes for the length of the show, while its trouble comes and
// goes.
func (s *show) perform(ctx context.Context) error {
	if s.api == nil {
		return s.performForReal(ctx)
	}
	stopTrouble := s.trouble()
	defer stopTrouble()
	ctx, cancel := context.WithTimeout(ctx, s.flags.length)
	defer cancel()
	limiter := rate.NewLimiter(rate.Limit(s.flags.rate), max(1, s.flags.rate/20))
	for limiter.Wait(ctx) == nil {
		if err := s.publish(s.script.next(s.choose())); err != nil {
			return err
		}
	}
	return nil
}

// performForReal sends a few events: these count.
func (s *show) performForReal(ctx context.Context) error {
	for range 10 {
		if err := s.publish(s.script.next(s.cast[0])); err != nil || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// choose picks who speaks next, by their shares.
func (s *show) choose() character {
	all := 0
	for _, c := range s.cast {
		all += c.share
	}
	dice := s.script.random.IntN(all)
	for _, c := range s.cast {
		if dice -= c.share; dice < 0 {
			return c
		}
	}
	return s.cast[0]
}

func (s *show) publish(m message) error {
	subject := s.config.NATS.Subject + "." + m.dataset
	if _, err := s.js.PublishAsync(subject, []byte(m.body)); err != nil {
		return fmt.Errorf("publishing to %s: %w", subject, err)
	}
	return nil
}

// act is a change of scene at some part of the show's length.
type act struct {
	at   float64 // 0 is the beginning, 1 the end
	note map[string]string
	do   func()
}

func (s *show) acts() []act {
	return []act{
		{0.2, map[string]string{throttled: "Meta answers 429, Retry-After 2"}, func() {
			s.api.Always(throttled, graphtest.Fault{Status: 429, Header: map[string]string{"Retry-After": "2"}})
		}},
		{0.25, map[string]string{tokenDies: "token revoked: error 190"}, func() {
			s.api.AddDataset(tokenDies, "the-new-token")
		}},
		{0.55, map[string]string{throttled: "Meta takes its events again"}, func() { s.api.Clear(throttled) }},
		{0.65, map[string]string{tokenDies: "token file replaced"}, func() {
			_ = s.writeToken(tokenDies, "the-new-token") // if it fails, the books won't balance
		}},
	}
}

// trouble lets each act begin at its time.
func (s *show) trouble() (stop func()) {
	var timers []*time.Timer
	for _, a := range s.acts() {
		timers = append(timers, time.AfterFunc(time.Duration(a.at*float64(s.flags.length)), func() {
			a.do()
			s.screen.annotate(a.note)
		}))
	}
	return func() {
		for _, timer := range timers {
			timer.Stop()
		}
	}
}

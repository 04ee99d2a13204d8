package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/logging"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/worker"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// show is one performance.
type show struct {
	*stage

	flags  flags
	cast   []character
	script *script
	js     jetstream.JetStream
	screen *screen
	scores *scoreboard
	began  time.Time
	logTo  string
}

// runDemo sets the stage, lets the worker and the producer play, and closes
// the books.
func runDemo(ctx context.Context, f flags, out io.Writer) error {
	stage, err := newStage(ctx, f)
	if err != nil {
		return err
	}
	defer stage.end()
	s := &show{stage: stage, flags: f, cast: cast(), script: newScript(), screen: newScreen(out, f.plain)}
	if stage.api == nil {
		s.cast = []character{{dataset: f.dataset, role: "the real thing", share: 1, real: true}}
	}
	nats, err := connect.NATSNow(&stage.config.NATS, connect.Publish)
	if err != nil {
		return err
	}
	s.js = nats
	defer s.js.Conn().Close()
	defer s.removeStreams()
	s.removeStreams() // of a demo that was cut short
	return s.play(ctx)
}

// removeStreams leaves nothing behind on a server of the user's.
func (s *show) removeStreams() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	streams := s.config.NATS.Streams
	for _, name := range []string{streams.Stream, streams.ParkedStream, streams.DeadLetterStream} {
		_ = s.js.DeleteStream(ctx, name)
	}
}

func (s *show) play(ctx context.Context) error {
	for _, c := range s.cast {
		if s.api != nil {
			s.api.AddDataset(c.dataset, "token-of-"+c.dataset)
			if err := s.writeToken(c.dataset, "token-of-"+c.dataset); err != nil {
				return err
			}
		}
	}
	stopWorker, workerEnded, err := s.startWorker()
	if err != nil {
		return err
	}
	s.began = time.Now()
	s.screen.introduce(s)
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); s.watch(watching) }()
	err = errors.Join(s.perform(ctx), s.awaitTheEnd(ctx))
	stopWatching()
	<-watched
	stopWorker()
	err = errors.Join(err, <-workerEnded)
	if err != nil && ctx.Err() == nil {
		return err
	}
	return s.closeTheBooks(context.WithoutCancel(ctx))
}

// startWorker runs the worker in this process, its log in a file, and waits
// until it can be asked how it is.
func (s *show) startWorker() (stop context.CancelFunc, ended <-chan error, err error) {
	s.logTo = filepath.Join(os.TempDir(), "capi-dispatcher-demo.log")
	file, err := os.Create(s.logTo)
	if err != nil {
		return nil, nil, err
	}
	s.atEnd(func() { _ = file.Close() })
	log, err := logging.New(config.Log{Level: "info", Format: config.JSON}, file)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	done, admin := make(chan error, 1), make(chan string, 1)
	go func() {
		done <- worker.Run(ctx, s.config, "demo", log, func(address string) { admin <- address })
	}()
	select {
	case address := <-admin:
		s.scores = newScoreboard("http://" + address)
		return stop, done, s.scores.awaitReady(ctx)
	case err := <-done:
		stop()
		return nil, nil, err
	}
}

// watch keeps the screen up to date until ctx ends.
func (s *show) watch(ctx context.Context) {
	ticker := time.NewTicker(s.screen.every())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.screen.draw(s)
			return
		case <-ticker.C:
			s.screen.draw(s)
		}
	}
}

// awaitTheEnd waits until all that was published has come to its end.
func (s *show) awaitTheEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the events did not all come to their end: %w", ctx.Err())
		case <-ticker.C:
			if s.settled() {
				return nil
			}
		}
	}
}

// settled reports whether every event published has been accepted, recognised as
// a duplicate, or dead-lettered.
func (s *show) settled() bool {
	scores := s.scores.read()
	for dataset, e := range s.script.totals() {
		got := scores[dataset]
		if got.Accepted+got.Duplicates+got.Dead < e.Published {
			return false
		}
	}
	return true
}

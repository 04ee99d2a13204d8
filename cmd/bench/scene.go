package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/bench/process"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// scene is what each measurement has of its own: new streams, an empty Redis, a
// new receiver, and a configuration that leads to them.
type scene struct {
	*stage

	config   config.Config
	file     string // that it is in
	receiver *process.Process
	url      string // of the receiver
	http     *http.Client
}

// newScene sets everything up, with a configuration that may differ from what is
// shipped. The caller ends it.
func (s *stage) newScene(
	ctx context.Context, answerAfter time.Duration, configure func(*config.Config),
) (*scene, error) {
	receiver, err := process.Start(ctx, s.dir, "receiver", s.self, "receiver", "--answer-after", answerAfter.String())
	if err != nil {
		return nil, err
	}
	c := &scene{
		stage: s, config: s.config, file: filepath.Join(s.dir, "config.yaml"), receiver: receiver,
		http: &http.Client{Transport: new(http.Transport)},
	}
	if configure != nil {
		configure(&c.config)
	}
	if err := c.begin(ctx); err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

func (c *scene) begin(ctx context.Context) (err error) {
	if c.url, err = c.receiver.Said(ctx, regexp.MustCompile(`receiving on (\S+)\n`)); err != nil {
		return err
	}
	c.config.Graph.URL = c.url
	text, err := c.config.YAML()
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
		return err
	}
	return errors.Join(c.forgetClaims(ctx), c.renewStreams(ctx))
}

func (c *scene) end() {
	c.receiver.End()
	c.http.CloseIdleConnections()
}

// renewStreams has the program set the streams up, as it would for anybody.
func (c *scene) renewStreams(ctx context.Context) error {
	streams := c.config.NATS.Streams
	for _, name := range []string{streams.Stream, streams.ParkedStream, streams.DeadLetterStream} {
		if err := c.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("deleting stream %s: %w", name, err)
		}
	}
	ensure := process.Command(ctx, c.dispatcher, "stream", "ensure", "--config", c.file)
	if out, err := ensure.CombinedOutput(); err != nil {
		return fmt.Errorf("setting the streams up: %w: %s", err, out)
	}
	return nil
}

// startWorkers runs so many workers, as they are shipped. What it returns is to be
// ended in any case.
func (c *scene) startWorkers(ctx context.Context, workers int) (running crew, err error) {
	for range workers {
		p, err := process.Start(ctx, c.dir, "worker", c.dispatcher, "run", "--config", c.file)
		if err != nil {
			return running, err
		}
		running = append(running, p)
	}
	return running, nil
}

// publish puts a load on the stream, as fast as that takes it.
func (c *scene) publish(ctx context.Context, l load) error {
	const atOnce = 4000 // no more than a busy machine stores in time
	for i := range l.events {
		subject, body := l.message(i)
		if _, err := c.js.PublishAsync(subject, body); err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
		if i%atOnce != atOnce-1 {
			continue
		}
		if err := c.awaitStored(ctx); err != nil {
			return err
		}
	}
	return c.checkStored(ctx, l.events)
}

// awaitStored waits until what has been published is answered.
func (c *scene) awaitStored(ctx context.Context) error {
	select {
	case <-c.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *scene) checkStored(ctx context.Context, want int) error {
	if err := c.awaitStored(ctx); err != nil {
		return err
	}
	stream, err := c.js.Stream(ctx, c.config.NATS.Stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", c.config.NATS.Stream, err)
	}
	if stored := int(stream.CachedInfo().State.Msgs); stored != want {
		return fmt.Errorf("%d messages are stored, of %d published", stored, want)
	}
	return nil
}

// consumed is how many messages of the stream have been acknowledged without a
// gap, and whether any has been delivered.
func (c *scene) consumed(ctx context.Context) (acknowledged int, begun bool, err error) {
	consumer, err := c.js.Consumer(ctx, c.config.NATS.Stream, c.config.NATS.Consumer)
	if err != nil {
		return 0, false, fmt.Errorf("consumer %s: %w", c.config.NATS.Consumer, err)
	}
	info := consumer.CachedInfo()
	return int(info.AckFloor.Stream), info.Delivered.Consumer > 0, nil
}

func (c *scene) counts(ctx context.Context) (got counts, err error) {
	return got, c.ask(ctx, http.MethodGet, countsPath, &got)
}

func (c *scene) latencies(ctx context.Context) (got latencies, err error) {
	return got, c.ask(ctx, http.MethodPost, latenciesPath, &got)
}

// ask asks the receiver.
func (c *scene) ask(ctx context.Context, method, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("the receiver does not answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("the receiver's answer: %w", err)
	}
	return nil
}

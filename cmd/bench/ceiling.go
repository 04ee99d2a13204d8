package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
)

const (
	ceilingPulls    = 4 // at once
	ceilingRequests = 8 // at once
	ceilingBatch    = 1000
)

// ceiling is the least that has to be done with an event, and nothing to keep it
// safe: messages are pulled, gathered by subject, claimed, posted, confirmed and
// acknowledged by the client libraries. It looks into no message. Its only
// identity is the number in the stream, so copies are sent like all others.
type ceiling struct {
	consumer jetstream.Consumer
	epoch    dedupe.Epoch
	store    *dedupe.Store
	http     *http.Client
	url      string // of Graph
	messages int    // in the stream

	mu       sync.Mutex
	gathered int
	lanes    map[string][]jetstream.Msg
	full     chan []jetstream.Msg // of one dataset each
}

func ceilingCommand() *cobra.Command {
	var file string
	var messages int
	command := &cobra.Command{
		Use:    "ceiling",
		Short:  "Take the worker's place, with no more than the client libraries",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file, nil)
			if err != nil {
				return err
			}
			if err := tellAllocs(cmd); err != nil {
				return err
			}
			if err := runCeiling(cmd.Context(), cfg, messages); err != nil {
				return err
			}
			<-cmd.Context().Done() // what it has used can only be read while it is there
			return nil
		},
	}
	command.Flags().StringVar(&file, "config", "", "configuration file, as the worker's")
	command.Flags().IntVar(&messages, "messages", 0, "how many messages there are in the stream")
	return command
}

// tellAllocs says where it can be asked what this process has allocated.
func tellAllocs(cmd *cobra.Command) error {
	listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "{\"admin\":%q}\n", listener.Addr().String())
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			fmt.Fprintf(w, "%s %d\n", mallocsMetric, memory.Mallocs)
		})}
	go func() { _ = server.Serve(listener) }()
	return nil
}

func runCeiling(ctx context.Context, cfg *config.Config, messages int) error {
	nats, err := connect.NATSNow(&cfg.NATS, connect.Worker)
	if err != nil {
		return err
	}
	defer nats.Conn().Close()
	redis, err := connect.Redis(&cfg.Redis, ceilingRequests)
	if err != nil {
		return err
	}
	defer func() { _ = redis.Close() }()
	stream, err := nats.Stream(ctx, cfg.NATS.Stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", cfg.NATS.Stream, err)
	}
	consumer, err := stream.Consumer(ctx, cfg.NATS.Consumer)
	if err != nil {
		return fmt.Errorf("consumer %s: %w", cfg.NATS.Consumer, err)
	}
	c := &ceiling{
		consumer: consumer, epoch: dedupe.NewEpoch(cfg.NATS.Stream, stream.CachedInfo().Created.UnixNano()),
		store: dedupe.New(cfg.Dedupe.Config, cfg.NATS.ClaimLease(), redis),
		http:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: ceilingRequests, DisableCompression: true}},
		url:   cfg.Graph.URL + "/" + cfg.Graph.Version + "/", messages: messages,
		lanes: make(map[string][]jetstream.Msg), full: make(chan []jetstream.Msg),
	}
	return c.run(ctx)
}

func (c *ceiling) run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	for range ceilingRequests {
		work.Go(func() error { return c.sendAll(ctx) })
	}
	work.Go(func() error {
		defer close(c.full)
		pulls, ctx := errgroup.WithContext(ctx)
		for range ceilingPulls {
			pulls.Go(func() error { return c.pullAll(ctx) })
		}
		return pulls.Wait()
	})
	return work.Wait()
}

func (c *ceiling) pullAll(ctx context.Context) error {
	for ctx.Err() == nil && !c.gatheredAll() {
		batch, err := c.consumer.Fetch(ceilingBatch, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return fmt.Errorf("pulling: %w", err)
		}
		for msg := range batch.Messages() {
			c.gather(ctx, msg)
		}
		if err := batch.Error(); err != nil {
			return fmt.Errorf("pulling: %w", err)
		}
	}
	return ctx.Err()
}

func (c *ceiling) gatheredAll() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gathered >= c.messages
}

// gather puts a message to the others of its dataset, and hands over what is
// enough for a request; with the last message, all that is left.
func (c *ceiling) gather(ctx context.Context, msg jetstream.Msg) {
	for _, batch := range c.add(msg) {
		select {
		case c.full <- batch:
		case <-ctx.Done():
		}
	}
}

func (c *ceiling) add(msg jetstream.Msg) (batches [][]jetstream.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	subject := msg.Subject()
	c.lanes[subject] = append(c.lanes[subject], msg)
	if len(c.lanes[subject]) == ceilingBatch {
		batches = append(batches, c.lanes[subject])
		delete(c.lanes, subject)
	}
	if c.gathered++; c.gathered == c.messages {
		for _, lane := range c.lanes {
			batches = append(batches, lane)
		}
	}
	return batches
}

func (c *ceiling) sendAll(ctx context.Context) error {
	for batch := range c.full {
		if err := c.send(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (c *ceiling) send(ctx context.Context, batch []jetstream.Msg) error {
	claims, err := c.claimsOf(batch)
	if err != nil {
		return err
	}
	for _, result := range c.store.Claim(ctx, claims) {
		if result.State != dedupe.Fresh {
			return errors.Join(fmt.Errorf("claiming: %s", result.State), result.Err)
		}
	}
	if err := c.post(ctx, batch); err != nil {
		return fmt.Errorf("posting: %w", err)
	}
	if _, err := c.store.Confirm(ctx, claims); err != nil {
		return fmt.Errorf("confirming: %w", err)
	}
	for _, msg := range batch {
		if err := msg.Ack(); err != nil {
			return fmt.Errorf("acknowledging: %w", err)
		}
	}
	return nil
}

func (c *ceiling) claimsOf(batch []jetstream.Msg) ([]dedupe.Claim, error) {
	claims := make([]dedupe.Claim, len(batch))
	for i, msg := range batch {
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		sequence := meta.Sequence.Stream
		claims[i] = dedupe.Claim{
			Key:   dedupe.NewKey(strconv.FormatUint(sequence, 10)),
			Owner: dedupe.NewOwner(c.epoch, sequence), Holder: dedupe.NewHolder(),
		}
	}
	return claims, nil
}

func (c *ceiling) post(ctx context.Context, batch []jetstream.Msg) error {
	subject := batch[0].Subject()
	target := c.url + subject[strings.LastIndexByte(subject, '.')+1:] + "/events"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, requestBody(batch))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the receiver says %s", response.Status)
	}
	return nil
}

func requestBody(batch []jetstream.Msg) *bytes.Buffer {
	const begin, end = `{"data":[`, "]}"
	size := len(begin) + len(end)
	for _, msg := range batch {
		size += len(msg.Data()) + 1
	}
	body := bytes.NewBuffer(make([]byte, 0, size))
	body.WriteString(begin)
	for i, msg := range batch {
		if i > 0 {
			body.WriteByte(',')
		}
		body.Write(msg.Data())
	}
	body.WriteString(end)
	return body
}

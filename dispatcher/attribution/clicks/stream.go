package clicks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// Config says where records, and bodies of webhooks that partners publish, are kept.
type Config struct {
	// Stream holds the records, on Subject.<channel>.<account>.<alias>.<what it says>.
	Stream  string `yaml:"stream"`
	Subject string `yaml:"subject"`
	// Queue holds bodies until they are reduced, on QueueSubject.<account> or
	// QueueSubject.all.
	Queue        string `yaml:"queue"`
	QueueSubject string `yaml:"queue_subject"`
	// Keep is how long records are kept, and how old a click may become.
	Keep time.Duration `yaml:"keep"`

	// Consumer, Replicas and Manage are those of the other streams.
	Consumer string `yaml:"-"`
	Replicas int    `yaml:"-"`
	Manage   bool   `yaml:"-"`
}

const (
	// queueKeeps is how long bodies wait for a receiver: they hold what people have
	// written.
	queueKeeps = 24 * time.Hour
	// sameWithin is how long what is published again is not even stored.
	sameWithin = 10 * time.Minute
	ackWait    = 30 * time.Second
)

// streams are the two streams as they are made.
func (c *Config) streams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		{
			Name: c.Stream, Subjects: []string{c.Subject + ".>"}, Replicas: c.Replicas,
			Description: "clicks on ads and people's aliases, from webhooks",
			MaxAge:      c.Keep, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardOld,
			Duplicates: min(sameWithin, c.Keep), AllowDirect: true,
		},
		{
			Name: c.Queue, Subjects: []string{c.QueueSubject + ".>"}, Replicas: c.Replicas,
			Description: "bodies of webhooks that partners have received",
			Retention:   jetstream.WorkQueuePolicy, MaxAge: queueKeeps, Discard: jetstream.DiscardNew,
		},
	}
}

// Ensure makes the streams that are missing, if it may, and returns their consumers.
// Streams that are there are never changed.
func Ensure(ctx context.Context, js jetstream.JetStream, c *Config) (records, bodies jetstream.Consumer, err error) {
	consumers := make([]jetstream.Consumer, 0, 2)
	for _, want := range c.streams() {
		stream, err := c.ensureStream(ctx, js, want)
		if err != nil {
			return nil, nil, err
		}
		consumer, err := c.ensureConsumer(ctx, stream)
		if err != nil {
			return nil, nil, fmt.Errorf("consumer %s of stream %s: %w", c.Consumer, want.Name, err)
		}
		consumers = append(consumers, consumer)
	}
	return consumers[0], consumers[1], nil
}

func (c *Config) ensureStream(
	ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig,
) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) && c.Manage {
		stream, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another has been faster
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, &streams.SetupError{Problem: fmt.Sprintf("stream %s is not there, and nats.manage is false; "+
			"make it with the subjects %q", want.Name, want.Subjects)}
	case err != nil:
		return nil, fmt.Errorf("stream %s: %w", want.Name, err)
	}
	return stream, check(stream.CachedInfo().Config, want)
}

// check reports a stream that cannot work as it is.
func check(have, want jetstream.StreamConfig) error {
	switch {
	case !streams.Covers(have.Subjects, want.Subjects[0]):
		return &streams.SetupError{Problem: fmt.Sprintf("stream %s has the subjects %q, which do not include %q",
			have.Name, have.Subjects, want.Subjects[0])}
	case have.Retention != want.Retention:
		return &streams.SetupError{Problem: fmt.Sprintf("stream %s has the retention %s, and not %s",
			have.Name, have.Retention, want.Retention)}
	default:
		return nil
	}
}

func (c *Config) ensureConsumer(ctx context.Context, stream jetstream.Stream) (jetstream.Consumer, error) {
	if !c.Manage {
		return stream.Consumer(ctx, c.Consumer)
	}
	return stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: c.Consumer, Description: "receivers of capi-dispatcher",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: 10_000,
	})
}

// Publisher publishes records.
type Publisher struct {
	js   jetstream.JetStream
	root string
}

// NewPublisher returns a publisher of records below a subject.
func NewPublisher(js jetstream.JetStream, root string) *Publisher {
	return &Publisher{js: js, root: root}
}

// Publish stores records, and returns nil once NATS has acknowledged all of them.
func (p *Publisher) Publish(ctx context.Context, records []Record) error {
	futures := make([]jetstream.PubAckFuture, 0, len(records))
	for i := range records {
		msg, err := records[i].Message(p.root)
		if err != nil {
			return err
		}
		future, err := p.js.PublishMsgAsync(msg)
		if err != nil {
			return fmt.Errorf("publishing a record: %w", err)
		}
		futures = append(futures, future)
	}
	for _, future := range futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return fmt.Errorf("publishing a record: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("publishing records: %w", ctx.Err())
		}
	}
	return nil
}

// Each reads all records of a stream below a subject, with their numbers, in order;
// all of them if that is "". It ends with the first error that visit returns.
func Each(
	ctx context.Context, js jetstream.JetStream, stream, below string, visit func(number uint64, data []byte) error,
) error {
	cfg := jetstream.OrderedConsumerConfig{}
	if below != "" {
		cfg.FilterSubjects = []string{below + ".>"}
	}
	consumer, err := js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", stream, err)
	}
	for {
		info, err := consumer.Info(ctx)
		if err != nil {
			return fmt.Errorf("reading stream %s: %w", stream, err)
		}
		if info.NumPending == 0 {
			return nil
		}
		if err := page(ctx, consumer, visit); err != nil {
			return err
		}
	}
}

func page(ctx context.Context, consumer jetstream.Consumer, visit func(number uint64, data []byte) error) error {
	const most, patience = 500, time.Second
	batch, err := consumer.Fetch(most, jetstream.FetchMaxWait(patience))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() { // to the end: the client waits for somebody to take them
		if err != nil {
			continue
		}
		var meta *jetstream.MsgMetadata
		if meta, err = msg.Metadata(); err == nil {
			err = visit(meta.Sequence.Stream, msg.Data())
		}
	}
	return cmp.Or(err, batch.Error(), ctx.Err())
}

package spans

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

// mostBytes is how large an export may be. A collector takes 4 MiB over gRPC, and
// refuses all of what is larger.
const mostBytes = 3 << 20

// Client takes spans to a collector: an [otlptrace.Client].
type Client interface {
	UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error
}

// Config is what a [Queue] works with.
type Config struct {
	Client Client
	// Resource says what the spans are of, Scope and SchemaURL what they are like.
	Resource         []attribute.KeyValue
	Scope, SchemaURL string
	MostWaiting      int           // spans
	MostAtOnce       int           // spans in an export
	Delay            time.Duration // of a span until it is exported, at the most
	Timeout          time.Duration // of an export
	// Lost is told of spans that could not be exported, and why: before they waited
	// (errors.Is [ErrFull]), or of what the client says.
	Lost func(spans int, why error)
}

// ErrFull says that as many spans wait as may.
var ErrFull = errors.New("spans end faster than they are exported")

// Queue exports spans that have ended. Whoever ends one never waits for that.
type Queue struct {
	Config

	head      []byte // of an export, up to the first span
	after     int    // where in it the length of what follows the resource stands
	wake      chan struct{}
	stopped   chan struct{}   // closed when nothing more is to be waited for
	done      chan struct{}   // closed when all is exported
	abandoned context.Context //nolint:containedctx // ends what is under way
	abandon   context.CancelFunc

	mu      sync.Mutex
	waiting int // spans, also those under way
	chunks  []chunk
	spare   []byte // of an export that is over, to be used again
	ended   bool
	failing bool // since the last export
}

// chunk is what one export carries.
type chunk struct {
	bytes []byte
	spans int
}

// NewQueue returns a queue. The caller ends it with Shutdown.
func NewQueue(cfg Config) *Queue {
	q := &Queue{Config: cfg, wake: make(chan struct{}, 1), stopped: make(chan struct{}), done: make(chan struct{})}
	q.head, q.after = headOf(&cfg)
	q.abandoned, q.abandon = context.WithCancel(context.Background())
	go q.run()
	return q
}

// lengthBytes is how many bytes a length has that is filled in when it is known:
// enough for [mostBytes], and twice that.
const lengthBytes = 4

// headOf is how each export begins: what the spans are of, and what they are like.
func headOf(cfg *Config) (head []byte, lengthAt int) {
	head = within(nil, resourceOfResourceSpans, func(b []byte) []byte {
		return appendAttributes(b, attributesOfResource, cfg.Resource)
	})
	head = protowire.AppendTag(head, scopeSpansOfResource, protowire.BytesType)
	lengthAt = len(head)
	head = append(head, make([]byte, lengthBytes)...)
	head = within(head, scopeOfScopeSpans, func(b []byte) []byte { return appendText(b, nameOfScope, cfg.Scope) })
	return appendText(head, schemaOfScopeSpans, cfg.SchemaURL), lengthAt
}

// fillLength writes the length of what follows it, in as many bytes as are there.
func fillLength(b []byte, at int) {
	length := len(b) - at - lengthBytes
	for i := range lengthBytes - 1 {
		b[at+i] = byte(length&0x7f | 0x80)
		length >>= 7
	}
	b[at+lengthBytes-1] = byte(length)
}

// room is bytes for an export: those of one before, if there is one.
func (q *Queue) room() []byte {
	if b := q.spare; b != nil {
		q.spare = nil
		return b[:0]
	}
	return make([]byte, 0, 64<<10)
}

// add has an encoded span wait for the next export.
func (q *Queue) add(span []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return
	}
	if q.waiting >= q.MostWaiting {
		q.Lost(1, ErrFull)
		return
	}
	q.waiting++
	last := len(q.chunks) - 1
	if last < 0 || q.chunks[last].spans == q.MostAtOnce || len(q.chunks[last].bytes)+len(span) > mostBytes {
		q.chunks = append(q.chunks, chunk{bytes: append(q.room(), q.head...)})
		last++
	}
	c := &q.chunks[last]
	c.bytes = appendBytes(c.bytes, spansOfScopeSpans, span)
	if c.spans++; c.spans == q.MostAtOnce || last > 0 {
		q.hurry()
	}
}

func (q *Queue) hurry() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run exports until the queue is stopped, and then what is left.
func (q *Queue) run() {
	defer close(q.done)
	ticker := time.NewTicker(q.Delay)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			q.export(false)
		case <-q.wake:
			q.export(true)
		case <-q.stopped:
			q.export(false)
			return
		}
	}
}

// export exports what waits, or only what fills an export.
func (q *Queue) export(full bool) {
	for {
		c, any := q.take(full)
		if !any {
			return
		}
		ctx, cancel := context.WithTimeout(q.abandoned, q.Timeout)
		err := q.Client.UploadTraces(ctx, []*tracepb.ResourceSpans{q.resourceSpans(c.bytes)})
		cancel()
		q.exported(c, err)
	}
}

func (q *Queue) take(full bool) (c chunk, any bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.chunks) == 0 || full && len(q.chunks) == 1 && q.chunks[0].spans < q.MostAtOnce {
		return chunk{}, false
	}
	c = q.chunks[0]
	q.chunks[0] = chunk{}
	q.chunks = q.chunks[1:]
	return c, true
}

func (q *Queue) exported(c chunk, err error) {
	q.mu.Lock()
	q.waiting -= c.spans
	q.failing = err != nil
	q.spare = c.bytes
	q.mu.Unlock()
	if err != nil {
		q.Lost(c.spans, err)
	}
}

// resourceSpans is the message that the client takes. It is encoded already: what a
// message holds in fields that it does not know is written as it is.
func (q *Queue) resourceSpans(b []byte) *tracepb.ResourceSpans {
	fillLength(b, q.after)
	message := new(tracepb.ResourceSpans)
	message.ProtoReflect().SetUnknown(b)
	return message
}

// Shutdown exports what is left, unless nobody takes it, and ends. When ctx ends, it
// gives up.
func (q *Queue) Shutdown(ctx context.Context) error {
	defer q.abandon()
	q.mu.Lock()
	again := q.ended
	q.ended = true
	if q.failing {
		q.abandon() // no stop is to wait for that
	}
	q.mu.Unlock()
	if again {
		return nil
	}
	close(q.stopped)
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		q.abandon()
		<-q.done
		return ctx.Err()
	}
}

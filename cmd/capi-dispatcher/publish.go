package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/term"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
)

// publishFlags is what publish can be told.
type publishFlags struct {
	dataset  string
	testCode string
	asJSON   bool
}

func (p *program) publish() *cobra.Command {
	var flags publishFlags
	command := &cobra.Command{
		Use:   "publish FILE|-",
		Short: "Put events on the stream",
		Long: `Put events on the stream, from NDJSON (an event or a request body a line), from
a JSON array of them, or from one request body as Meta documents it. Each
message is acknowledged by NATS before it counts.

What the dispatcher would dead-letter is not published: it is reported with its
line, the rest goes on, and the exit code is 3.

Where the OTEL_* variables name a collector, each message begins a trace, or goes
on with the one that TRACEPARENT names: see docs/traces.md.`,
		Example: `  capi-dispatcher publish --dataset 1234567890 events.ndjson
  jq -c '.orders[] | …' shop.json | capi-dispatcher publish -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, nats, err := p.connect(connect.Publish)
			if err != nil {
				return err
			}
			defer nats.Conn().Close()
			return withSpans(cmd.Context(), func(tracer trace.Tracer) error {
				return withInput(cmd, args[0], func(in io.Reader, size int64) error {
					return flags.publish(cmd, cfg, nats, tracer, in, size)
				})
			})
		},
	}
	addDestination(command, &flags.dataset, admission.Auto, "dataset id, or auto to find it by the account in the event")
	command.Flags().StringVar(&flags.testCode, "test-event-code", "",
		"code from Meta's Test Events tool (test events count, too)")
	command.Flags().BoolVar(&flags.asJSON, "json", false, "print the summary as JSON")
	return command
}

// publish publishes an input of a size, and reports.
func (f *publishFlags) publish(
	cmd *cobra.Command, cfg *config.Config, nats *connect.Connection, tracer trace.Tracer, in io.Reader, size int64,
) error {
	bar := newBar(os.Stderr, size)
	out := publisher{
		js: nats, flags: *f, checker: newChecker(cfg, f.dataset), subject: cfg.NATS.Subject + "." + f.dataset,
		complain: func(text string) { _ = bar.Clear(); cmd.PrintErrln(text) },
		spans:    traces.New(traces.Config{Tracer: tracer}).Producer(cfg.NATS.Stream, nats.Conn().ConnectedUrlRedacted()),
	}
	out.checker.testCode = f.testCode
	began := time.Now()
	// What is under way is waited for, but not when it is denied.
	err := nats.Rights.Do(context.WithoutCancel(cmd.Context()), func(allowed context.Context) error {
		out.denied = allowed.Done()
		return errors.Join(out.publishAll(cmd.Context(), io.TeeReader(in, bar)), context.Cause(allowed))
	})
	_ = bar.Finish()
	return errors.Join(err, out.report(cmd.OutOrStdout(), time.Since(began)))
}

// newBar shows how much of the input is read, on a terminal only.
func newBar(out *os.File, size int64) *progressbar.ProgressBar {
	if !term.IsTerminal(int(out.Fd())) {
		return progressbar.DefaultBytesSilent(size)
	}
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(out), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("publishing"), progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
}

// publisher puts records on the stream, and counts.
type publisher struct {
	js       jetstream.JetStream
	flags    publishFlags
	checker  *checker
	subject  string
	complain func(text string)
	spans    *traces.Producer
	denied   <-chan struct{} // closed when NATS takes nothing

	published, events int // acknowledged by NATS
	refused, failed   int
	underway          []publishing
}

// publishing is a message that NATS has not acknowledged yet.
type publishing struct {
	place  string
	events int
	future jetstream.PubAckFuture
	span   traces.Publication
}

// atOnce is how many messages may be unacknowledged.
const atOnce = 2048

func (p *publisher) publishAll(ctx context.Context, in io.Reader) error {
	for r := range readRecords(in, p.checker.decoder) {
		if ctx.Err() != nil || p.isDenied() {
			break
		}
		p.publish(ctx, r)
	}
	for len(p.underway) > 0 {
		p.awaitOldest()
	}
	return ctx.Err()
}

func (p *publisher) publish(ctx context.Context, r record) {
	refusal := p.checker.faults(&r)
	if refusal == nil && len(r.data) > int(p.js.Conn().MaxPayload()) {
		refusal = fmt.Errorf("%s: %d bytes are more than NATS takes in a message (%d)", r.place, len(r.data),
			p.js.Conn().MaxPayload())
	}
	if refusal != nil {
		p.refused++
		p.complain(refusal.Error())
		return
	}
	if len(p.underway) == atOnce {
		p.awaitOldest()
	}
	msg := nats.NewMsg(p.subject)
	msg.Data = r.data
	if p.flags.testCode != "" {
		msg.Header.Set(header.TestEventCode, p.flags.testCode)
	}
	span := p.spans.Publish(traces.FromEnvironment(ctx), msg.Header, msg.Subject, p.dataset())
	future, err := p.js.PublishMsgAsync(msg)
	if err != nil {
		span.End(0, err)
		p.fail(r.place, err)
		return
	}
	p.underway = append(p.underway, publishing{
		place: r.place, events: len(r.request.Events), future: future, span: span,
	})
}

// dataset is the one that everything is published for, or "".
func (p *publisher) dataset() string {
	if p.flags.dataset == admission.Auto {
		return ""
	}
	return p.flags.dataset
}

func (p *publisher) awaitOldest() {
	oldest := p.underway[0]
	p.underway = p.underway[1:]
	select {
	case ack := <-oldest.future.Ok():
		oldest.span.End(ack.Sequence, nil)
		p.published++
		p.events += oldest.events
	case err := <-oldest.future.Err():
		oldest.span.End(0, err)
		p.fail(oldest.place, err)
	case <-p.denied: // why is said once, at the end
		oldest.span.End(0, context.Canceled)
		p.failed++
	}
}

func (p *publisher) isDenied() bool {
	select {
	case <-p.denied:
		return true
	default:
		return false
	}
}

// fail notes a message that NATS did not take. The first says what it means.
func (p *publisher) fail(place string, err error) {
	if p.failed++; errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("no stream listens on %s; start the dispatcher, or run: capi-dispatcher stream ensure", p.subject)
	}
	p.complain(place + ": not published: " + err.Error())
}

func (p *publisher) report(out io.Writer, took time.Duration) error {
	var err error
	if p.flags.asJSON {
		err = json.NewEncoder(out).Encode(map[string]any{
			"subject": p.subject, "messages": p.published, "events": p.events,
			"refused": p.refused, "failed": p.failed, "seconds": took.Seconds(),
		})
	} else {
		_, err = fmt.Fprintf(out, "%s in %s published to %s in %s; %d refused, %d failed\n",
			terminal.Count(p.events, "event"), terminal.Count(p.published, "message"), p.subject,
			took.Round(time.Millisecond), p.refused, p.failed)
	}
	switch {
	case err != nil:
		return err
	case p.failed > 0:
		return fmt.Errorf("not published: %s", terminal.Count(p.failed, "message"))
	case p.refused > 0:
		return exit.ErrPartial
	default:
		return nil
	}
}

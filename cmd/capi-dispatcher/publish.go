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
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/term"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/publish"
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
	from     int
	patience time.Duration
	all      bool
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
line, the rest goes on, and the exit code is 3. Of many faults the first are
printed, and all with --all.

While NATS is away, publish waits for it, as long as --wait says, and sends again
what was not acknowledged. Publishing an input again is safe: workers recognise
copies for as long as dedupe.window says (8 days), by event_name and event_id or,
without an event_id, by the whole event. So the dataset and, without ids, the
events must be the same. --from goes on in the middle of an input.

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
	command.Flags().IntVar(&flags.from, "from", 1, "the first line, or element of an array, to publish")
	command.Flags().DurationVar(&flags.patience, "wait", 5*time.Minute, "how long to wait for a NATS that is away")
	addAll(command, &flags.all)
	command.Flags().BoolVar(&flags.asJSON, "json", false, "print the summary as JSON")
	return command
}

// publish publishes an input of a size, and reports.
func (f *publishFlags) publish(
	cmd *cobra.Command, cfg *config.Config, nats *connect.Connection, tracer trace.Tracer, in io.Reader, size int64,
) error {
	bar := newBar(os.Stderr, size)
	say := func(line string) { _ = bar.Clear(); cmd.PrintErrln(line) }
	run := publication{
		flags: f, cfg: cfg, checker: newChecker(cfg, f.dataset), subject: cfg.NATS.Subject + "." + f.dataset,
		conn: nats.Conn(),
		out:  publish.New(publish.Config{NATS: nats, Patience: f.patience, Interrupted: cmd.Context().Done(), Say: say}),
		complaints: terminal.NewExcerpt(f.all, func(line string) error {
			say(line)
			return nil
		}),
		spans: traces.New(traces.Config{Tracer: tracer}).Producer(cfg.NATS.Stream, nats.Conn().ConnectedUrlRedacted()),
	}
	run.checker.testCode = f.testCode
	began := time.Now()
	// What is under way is waited for, but not when it is denied.
	err := nats.Rights.Do(context.WithoutCancel(cmd.Context()), func(allowed context.Context) error {
		return run.publishAll(allowed, io.TeeReader(in, bar))
	})
	_ = bar.Finish()
	if err == nil && cmd.Context().Err() != nil {
		err = publish.ErrInterrupted
	}
	sayIfEmpty(cmd, run.read)
	return errors.Join(run.complaints.End(), run.report(cmd.OutOrStdout(), time.Since(began)), run.explain(err, say))
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

// publication puts the records of an input on the stream.
type publication struct {
	flags      *publishFlags
	cfg        *config.Config
	checker    *checker
	subject    string
	conn       *nats.Conn
	out        *publish.Publisher
	complaints *terminal.Excerpt
	spans      *traces.Producer

	read, refused int
}

func (p *publication) publishAll(ctx context.Context, in io.Reader) error {
	for r := range readRecords(in, p.checker.decoder) {
		if r.number < p.flags.from {
			continue
		}
		p.read++
		if p.publish(ctx, r) != nil {
			break
		}
	}
	return p.out.Finish(ctx) // with what has ended it, too
}

func (p *publication) publish(ctx context.Context, r record) error {
	if faults := p.faults(&r); len(faults) > 0 {
		p.refused++
		for _, line := range faults {
			_ = p.complaints.Print(r.place, line) // whoever reads it may be gone
		}
		return nil
	}
	msg := nats.NewMsg(p.subject)
	msg.Data = r.data
	if p.flags.testCode != "" {
		msg.Header.Set(header.TestEventCode, p.flags.testCode)
	}
	return p.out.Publish(ctx, publish.Message{
		Msg: msg, Number: r.number, Place: r.place, Events: len(r.request.Events),
		Span: p.spans.Publish(traces.FromEnvironment(ctx), msg.Header, msg.Subject, p.dataset()),
	})
}

// faults is why a record is not published, in lines that say where it is.
func (p *publication) faults(r *record) []string {
	faults := p.checker.faults(r)
	if most := p.conn.MaxPayload(); len(faults) == 0 && int64(len(r.data)) > most {
		faults = append(faults, fmt.Sprintf("%s: %d bytes are more than NATS takes in a message (%d)",
			r.place, len(r.data), most))
	}
	return faults
}

// dataset is the one that everything is published for, or "".
func (p *publication) dataset() string {
	if p.flags.dataset == admission.Auto {
		return ""
	}
	return p.flags.dataset
}

func (p *publication) report(out io.Writer, took time.Duration) error {
	if p.flags.asJSON {
		summary := map[string]any{
			"subject": p.subject, "messages": p.out.Published, "events": p.out.Events, "again": p.out.Again,
			"refused": p.refused, "failed": p.out.Failed, "seconds": took.Seconds(),
		}
		if p.out.First > 0 {
			summary["resume_from"] = p.out.First
		}
		return json.NewEncoder(out).Encode(summary)
	}
	_, err := fmt.Fprintf(out, "%s in %s published to %s in %s; %d refused, %d failed\n",
		terminal.Count(p.out.Events, "event"), terminal.Count(p.out.Published, "message"), p.subject,
		took.Round(time.Millisecond), p.refused, p.out.Failed)
	return err
}

// explain says what to do about what is not published, and returns the error that
// the verb ends with.
func (p *publication) explain(err error, say func(string)) error {
	for _, line := range p.out.Refusals() {
		say(line)
	}
	if p.out.Again > 0 {
		say(terminal.Count(p.out.Again, "message") + " sent again; of copies that this may have made, workers send one to Meta")
	}
	if errors.Is(err, publish.ErrNoStream) {
		return fmt.Errorf("no stream listens on %s; start the dispatcher, or run: capi-dispatcher stream ensure; "+
			"where NATS has no JetStream, start nats-server with -js first", p.subject)
	}
	if p.out.First > 0 {
		say(fmt.Sprintf("to go on, run it again with --from %d, or from the start: workers recognise copies for %s (dedupe.window)",
			p.out.First, days(p.cfg.Dedupe.Window)))
	}
	switch {
	case p.out.Failed > 0:
		return errors.Join(err, fmt.Errorf("not published: %s", terminal.Count(p.out.Failed, "message")))
	case err != nil:
		return err
	default:
		return exit.PartialIf(p.refused > 0)
	}
}

// days is a time in days, where it is one.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day != 0 {
		return d.String()
	}
	return terminal.Count(int(d/day), "day")
}

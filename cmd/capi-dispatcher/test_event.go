package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/explain"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// testEventFlags is what test-event can be told.
type testEventFlags struct {
	dataset, code       string
	anyway, all, asJSON bool
}

func (p *program) testEvent() *cobra.Command {
	var flags testEventFlags
	command := &cobra.Command{
		Use:   "test-event --dataset ID --code TEST… FILE|-",
		Short: "Send events with a test code, and show Meta's answer",
		Long: `Send events straight to Meta with a code from the Test Events tool (Events
Manager → dataset → Test events), and show the request, Meta's answer, and what it
means. Nothing goes through NATS or Redis. Take care: test events count, too.

What is sent is what the dispatcher would send, but for the code: checked, hashed
and completed as configured. Events that it would dead-letter, or keep until their
time comes, are not sent, unless --anyway asks what Meta says of them.
The exit code is 3 if not all events were accepted.

Of many requests, long requests and many faults the first are shown, and all of
them with --all or --json.`,
		Example: `  capi-dispatcher test-event --dataset 1234567890 --code TEST123 event.json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !graph.IsID(flags.dataset) || flags.code == "" {
				return exit.Usage(errors.New("--dataset, an id of digits, and --code are needed"))
			}
			cfg, err := p.load()
			if err != nil {
				return err
			}
			return withInput(cmd, args[0], func(in io.Reader, _ int64) error {
				var exchange exchange
				client, err := connect.Graph(&cfg.Graph, exchange.over(graph.NewTransport(1)))
				if err != nil {
					return exit.Usage(err)
				}
				return withSpans(cmd.Context(), func(tracer trace.Tracer) error {
					report, end := reporter(cmd.OutOrStdout(), flags.all, flags.asJSON)
					trial := trial{
						flags: flags, checker: newChecker(cfg, flags.dataset), client: client,
						exchange: &exchange, out: cmd.OutOrStdout(), report: report,
						requests: traces.New(traces.Config{Tracer: tracer, Endpoint: client.Endpoint}).Requests(),
					}
					return errors.Join(trial.run(cmd.Context(), in), end(), trial.showRest())
				})
			})
		},
	}
	command.Flags().StringVar(&flags.dataset, "dataset", "", "dataset id")
	command.Flags().StringVar(&flags.code, "code", "", "code from Meta's Test Events tool")
	command.Flags().BoolVar(&flags.anyway, "anyway", false, "send events that the dispatcher would not send, too")
	addAll(command, &flags.all)
	command.Flags().BoolVar(&flags.asJSON, "json", false, "print each request and its answer as a line of JSON")
	return command
}

// trial sends the records of an input, a request each.
type trial struct {
	flags    testEventFlags
	checker  *checker
	client   *graph.Client
	exchange *exchange
	out      io.Writer
	requests traces.Requests
	report   func(foundFault) error

	shown  int
	hidden map[string]int // requests that are not shown, by verdict
}

func (t *trial) run(ctx context.Context, in io.Reader) error {
	var refused bool
	var records int
	for r := range readRecords(in, t.checker.decoder) {
		records++
		events, err := t.choose(&r)
		if err != nil {
			return err
		}
		refused = refused || len(events) < len(r.request.Events) || r.err != nil
		if len(events) == 0 {
			continue
		}
		answer := t.send(ctx, r.request.Envelope, events)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(answer.Cause, graph.ErrNoToken) {
			return exit.Usage(answer.Cause)
		}
		refused = refused || answer.Verdict != graph.Accepted
		if err := t.show(r.place, &answer); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case records == 0:
		return exit.Usage(errors.New("the input holds no event to send"))
	default:
		return exit.PartialIf(refused)
	}
}

// choose returns the events of a record that are to be sent, and says of the
// others why they are not.
func (t *trial) choose(r *record) (events [][]byte, err error) {
	v := validation{checker: t.checker, report: t.report, strict: true}
	if err := v.record(*r); err != nil {
		return nil, err
	}
	for i := range r.request.Events {
		e := &r.request.Events[i]
		if t.flags.anyway || len(v.check(t.checker.decide(r, e))) == 0 {
			events = append(events, e.Raw)
		}
	}
	return events, nil
}

// send sends events as a worker would. A code that is given here goes
// before any other.
func (t *trial) send(ctx context.Context, envelope event.Envelope, events [][]byte) graph.Answer {
	envelope.TestEventCode = t.flags.code
	*t.exchange = exchange{}
	ctx = t.requests.BeginAlone(traces.FromEnvironment(ctx),
		traces.Post{Dataset: t.flags.dataset, Events: len(events)})
	answer := t.client.Send(ctx, graph.Request{
		Dataset: t.flags.dataset, Envelope: t.checker.admission.Complete(envelope, t.flags.dataset), Events: events,
	})
	t.requests.End(&answer)
	return answer
}

// show prints a request and what came of it.
func (t *trial) show(place string, answer *graph.Answer) error {
	if t.flags.asJSON {
		return json.NewEncoder(t.out).Encode(map[string]any{
			"place": place, "url": t.exchange.url, "request": asJSON(t.exchange.sent), "status": answer.Status,
			"answer": asJSON(t.exchange.answer()), "verdict": answer.Verdict.String(), "reason": answer.Detail(),
			"meaning": inWords(answer),
		})
	}
	if t.shown == mostShown && !t.flags.all {
		if t.hidden == nil {
			t.hidden = make(map[string]int)
		}
		t.hidden[answer.Verdict.String()]++
		return nil
	}
	t.shown++
	_, err := fmt.Fprintf(t.out, "%s\n\nrequest\n  POST %s\n%s\n\nanswer (HTTP %d, after %s)\n%s\n\nmeaning\n  %s\n\n", terminal.Line(place),
		terminal.Line(t.exchange.url), t.head(t.exchange.sent), answer.Status, answer.Took.Round(time.Millisecond),
		t.head(t.exchange.answer()), inWords(answer))
	return err
}

// Bounds of what is shown without --all.
const (
	mostShown = 10 // requests
	mostLines = 60 // of one
)

// head is JSON for people, as much of it as is to be shown.
func (t *trial) head(text []byte) string {
	lines := strings.Split(terminal.JSON(text), "\n")
	if t.flags.all || len(lines) <= mostLines {
		return strings.Join(lines, "\n")
	}
	return strings.Join(append(lines[:mostLines:mostLines],
		fmt.Sprintf("  … and %d more lines: --all prints them", len(lines)-mostLines)), "\n")
}

// showRest says what came of the requests that were not shown.
func (t *trial) showRest() error {
	for _, verdict := range slices.Sorted(maps.Keys(t.hidden)) {
		_, err := fmt.Fprintf(t.out, "… and %s more: %s; --all shows them\n",
			terminal.Count(t.hidden[verdict], "request"), verdict)
		if err != nil {
			return err
		}
	}
	return nil
}

// asJSON passes JSON on as it is, and anything else as a text.
func asJSON(text []byte) any {
	if json.Valid(text) {
		return json.RawMessage(text)
	}
	return string(text)
}

// inWords returns what an answer means for a person who tries an event.
func inWords(answer *graph.Answer) string {
	if answer.Verdict == graph.Accepted {
		return "accepted: " + terminal.Count(answer.Received, "event") + " received. Look at Events Manager, Test events"
	}
	text := answer.Verdict.String() + ": " + terminal.Line(answer.Detail())
	if e := answer.Error; e != nil {
		if meaning, ok := graph.Explain(e.Code, e.Subcode); ok {
			text += "\n  what it means: " + meaning.Title + "\n  what to do: " + explain.Remedy(meaning) +
				"\n  the dispatcher " + explain.Reaction(meaning)
		}
	}
	return text
}

// exchange is the last request and its answer, as they went over the wire, but
// for what is secret.
type exchange struct {
	url   string
	token graph.Secret
	sent  []byte
	got   bytes.Buffer
}

// answer is what came back, but for secrets: Graph repeats a token that it does
// not like.
func (x *exchange) answer() []byte {
	clean, _ := redact.Text(x.token.Redact(x.got.Bytes()), nil)
	return clean
}

// roundTripper is a function as [http.RoundTripper].
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// over listens in on what goes over a transport.
func (x *exchange) over(transport http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		sent, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		x.url, x.sent = r.URL.String(), withoutProof(sent)
		x.token = graph.Secret(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		response, err := transport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(response.Body, &x.got), response.Body}
		return response, nil
	})
}

// withoutProof takes the appsecret_proof off the end of a request body.
func withoutProof(body []byte) []byte {
	const proof = `,"appsecret_proof":"`
	if at := bytes.LastIndex(body, []byte(proof)); at >= 0 {
		return append(body[:at:at], '}')
	}
	return body
}

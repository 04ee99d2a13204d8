package dispatcher

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// post makes one attempt, and one wide line in the log.
func (s *shipment) post(entries []*entry) graph.Answer {
	ctx, cancel := context.WithDeadline(s.working, s.latestBegin(entries).Add(s.cfg.RequestTimeout))
	defer cancel()
	ctx, span := s.startPost(ctx, s.lane, entries)
	request := graph.Request{Dataset: s.lane.dataset, Envelope: s.lane.envelope, Events: make([][]byte, len(entries))}
	for i, e := range entries {
		request.Events[i] = e.event.Raw
		// Had it been lost on its way, it would be lost there again.
		request.Fresh = request.Fresh || e.history.maybeSent > 0
		e.history.attempts++
	}
	s.token, s.posted = s.deps.Tokens.Fingerprint(s.lane.dataset), time.Now()
	answer := s.deps.Graph.Send(ctx, request)
	endPost(span, &answer)
	s.meters.posted(ctx, s.lane.dataset, len(entries), &answer)
	s.logPost(span, entries, &answer)
	s.noteReach(&answer)
	s.noteUsage(&answer)
	return answer
}

func (s *shipment) logPost(span trace.Span, entries []*entry, answer *graph.Answer) {
	fields := []zap.Field{
		zap.String("dataset", s.lane.dataset),
		zap.Int("events", len(entries)),
		zap.Stringer("verdict", answer.Verdict),
		zap.Int("status", answer.Status),
		zap.Duration("took", answer.Took),
		zap.String("fbtrace_id", answer.TraceID),
	}
	if id := span.SpanContext().TraceID(); id.IsValid() {
		fields = append(fields, zap.Stringer("trace_id", id))
	}
	if answer.Verdict == graph.Accepted {
		if len(answer.Messages) > 0 {
			fields = append(fields, zap.Int("messages", len(answer.Messages))) // they may quote events
		}
		s.log.Info("events sent", fields...)
		return
	}
	if e := answer.Error; e != nil {
		fields = append(fields, zap.Int("code", e.Code), zap.Int("subcode", e.Subcode))
	}
	s.log.Warn("events not accepted", append(fields, zap.String("reason", answer.Reason()))...)
}

// unreachableAfter is how many connections in a row have to fail before Meta
// counts as out of reach for everybody.
const unreachableAfter = 3

// noteReach keeps track of whether connections to Meta come about at all.
// Without any, no dataset's events can go anywhere, and none are pulled.
func (d *Dispatcher) noteReach(answer *graph.Answer) {
	switch {
	case answer.Unreachable:
		if d.unreached.Add(1) >= unreachableAfter && d.gates.graph.Shut(answer.Reason()) {
			d.log.Warn("Meta cannot be reached; events wait in the stream", zap.String("reason", answer.Reason()))
		}
	case answer.Status != 0 || answer.Verdict == graph.Unknown:
		d.unreached.Store(0)
		lost := d.gates.graph.Condition("").Since
		if d.gates.graph.Open() {
			d.log.Info("Meta can be reached again")
			d.breaker.EndOutage(lost)
		}
	}
}

package traces

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// The attributes of a request that are ours.
const (
	EventsKey     = attribute.Key("capi.events")
	DepthKey      = attribute.Key("capi.bisect.depth")
	VerdictKey    = attribute.Key("capi.verdict")
	GraphErrorKey = attribute.Key("capi.graph.error")
	ReceivedKey   = attribute.Key("capi.events_received")
	FBTraceKey    = attribute.Key("capi.fbtrace_id")
)

// Requests are the requests of one batch, and how they hang together. It is for one
// goroutine.
type Requests struct {
	tracer  *Tracer
	last    Request
	blamed  Request // that was refused last
	refused Request // of which the halves are sent
	depth   int     // how often the batch has been halved
}

// Requests begins with none.
func (t *Tracer) Requests() Requests { return Requests{tracer: t} }

// Request is one request as the traces of its events see it. Where none of these is
// sampled, its methods do nothing.
type Request struct{ span trace.Span }

// Post is what is known of a request when its span starts.
type Post struct {
	Dataset string
	Events  int
	Resend  int // which repetition it is; 0 for the first
}

// Begin begins the span of a request with some events, of which those are given
// that are sampled. The request links to each, and each links back.
func (r *Requests) Begin(ctx context.Context, post Post, sampled []Event) (context.Context, Request) {
	r.last = Request{}
	if len(sampled) == 0 {
		return ctx, r.last
	}
	parent := sampled[0].SpanContext()
	if r.refused.span != nil {
		parent = r.refused.span.SpanContext()
	}
	links := make([]trace.Link, len(sampled))
	for i, e := range sampled {
		links[i] = linkTo(e.SpanContext())
	}
	ctx = r.start(child(ctx, parent), post, links)
	if r.last.span != nil {
		back := linkTo(r.last.span.SpanContext())
		for _, e := range sampled {
			e.span.AddLink(back)
		}
	}
	return ctx, r.last
}

// BeginAlone begins the span of a request whose events are in no trace.
func (r *Requests) BeginAlone(ctx context.Context, post Post) context.Context {
	r.last = Request{}
	if r.tracer.off {
		return ctx
	}
	return r.start(ctx, post, nil)
}

func (r *Requests) start(ctx context.Context, post Post, links []trace.Link) context.Context {
	name, about := r.describe(post)
	ctx, span := r.tracer.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithLinks(links...), trace.WithAttributes(about...))
	if span.IsRecording() {
		r.last = Request{span: span}
	}
	return ctx
}

func (r *Requests) describe(post Post) (name string, about []attribute.KeyValue) {
	about = []attribute.KeyValue{semconv.HTTPRequestMethodPost, EventsKey.Int(post.Events)}
	about = appendTexts(about, text{DatasetKey, post.Dataset})
	if post.Resend > 0 {
		about = append(about, semconv.HTTPRequestResendCount(post.Resend))
	}
	if r.depth > 0 {
		about = append(about, DepthKey.Int(r.depth))
	}
	if r.tracer.endpoint == nil {
		return "POST", about
	}
	full := r.tracer.endpoint(post.Dataset)
	about = append(append(about, semconv.URLFull(full)), addressOf(full)...)
	template := templateOf(full, post.Dataset)
	return "POST " + template, append(about, semconv.URLTemplate(template))
}

// templateOf is the path of an address, without the dataset.
func templateOf(address, dataset string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "/"
	}
	return strings.Replace(u.Path, "/"+dataset+"/", "/{dataset}/", 1)
}

// End ends the span of the request that was begun last with Meta's answer.
func (r *Requests) End(answer *graph.Answer) {
	if r.last.span != nil && (answer.Verdict == graph.Refused || answer.PerAsset) {
		r.blamed = r.last
	}
	r.last.end(answer)
}

// Halve makes the requests that follow children of the one that was refused last,
// until the end that it returns.
func (r *Requests) Halve() (end func()) {
	before, depth := r.refused, r.depth
	r.refused, r.depth = r.blamed, depth+1
	return func() { r.refused, r.depth = before, depth }
}

// Last is the request that was made last.
func (r *Requests) Last() Request { return r.last }

func (r Request) end(answer *graph.Answer) {
	if r.span == nil {
		return
	}
	defer r.span.End()
	about := make([]attribute.KeyValue, 0, 8)
	about = append(about, VerdictKey.String(answer.Verdict.String()), semconv.HTTPRequestBodySize(answer.Sent))
	if answer.Status != 0 {
		about = append(about, semconv.HTTPResponseStatusCode(answer.Status))
	}
	if answer.Verdict == graph.Accepted {
		about = append(about, ReceivedKey.Int(answer.Received))
	} else {
		about = append(about, semconv.ErrorTypeKey.String(errorType(answer)))
		r.span.SetStatus(codes.Error, answer.Reason())
	}
	if e := answer.Error; e != nil {
		about = append(about, GraphErrorKey.String(graph.ErrorCode{Code: e.Code, Subcode: e.Subcode}.String()))
	}
	r.span.SetAttributes(appendTexts(about, text{FBTraceKey, answer.TraceID})...)
}

// errorType is the status of an answer that says that the request has failed, else
// what it is taken for.
func errorType(answer *graph.Answer) string {
	const bad = 400
	if answer.Status >= bad {
		return strconv.Itoa(answer.Status)
	}
	return answer.Verdict.String()
}

// Fields lead from a line in the log to the request's span.
func (r Request) Fields() []zap.Field {
	if r.span == nil {
		return nil
	}
	span := r.span.SpanContext()
	return []zap.Field{zap.Stringer("trace_id", span.TraceID()), zap.Stringer("span_id", span.SpanID())}
}

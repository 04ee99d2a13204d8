package metrics

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/directory"
)

// Undelivered is the reason of events that are parked as dead letters, because the
// stream of dead letters would not have them.
const Undelivered = "undelivered"

// Lookup is what has become of the question for an account's dataset.
type Lookup string

// The results.
const (
	Found   Lookup = "found"
	None    Lookup = "none"    // Meta says that the account has none
	Pending Lookup = "pending" // no answer yet
	Refused Lookup = "refused" // a person has to mend something: a token, a permission, an id
	Failed  Lookup = "failed"  // worth trying again
)

// endingsOf lists how events leave, as far as it is known from the start.
func endingsOf() []ending {
	all := []ending{
		{"accepted", ""}, {"duplicate", ""}, {"skipped", ""}, {"returned", ""}, {"dropped", ""}, {"parked", Undelivered},
	}
	for _, reason := range parked.Reasons() {
		all = append(all, ending{"parked", string(reason)})
	}
	for _, reason := range deadletter.Reasons() {
		all = append(all, ending{"dead_lettered", string(reason)})
	}
	return all
}

// closed are the attributes with values from closed lists.
type closed struct {
	timely  map[Timeliness]metric.MeasurementOption
	lost    map[deadletter.Reason]metric.MeasurementOption
	lookups map[Lookup]metric.MeasurementOption
	claims  map[exchange]metric.MeasurementOption
}

// exchange is one with Redis.
type exchange struct {
	operation claims.Operation
	ok        bool
}

func newClosed() *closed {
	c := &closed{
		timely:  options("result", InTime, Late, PublishedLate),
		lost:    options("reason", lostReasons()...),
		lookups: options("result", Found, None, Pending, Refused, Failed),
		claims:  make(map[exchange]metric.MeasurementOption),
	}
	for _, operation := range claims.Operations() {
		for _, ok := range []bool{true, false} {
			c.claims[exchange{operation, ok}] = metric.WithAttributeSet(attribute.NewSet(
				attribute.String("operation", string(operation)), attribute.Bool("ok", ok)))
		}
	}
	return c
}

func options[Value ~string](name string, values ...Value) map[Value]metric.MeasurementOption {
	all := make(map[Value]metric.MeasurementOption, len(values))
	for _, value := range values {
		all[value] = metric.WithAttributeSet(attribute.NewSet(attribute.String(name, string(value))))
	}
	return all
}

// begin makes the series that are known from the start, so that what is counted
// first is seen to rise.
func (m *Meters) begin() {
	ctx := context.Background()
	for _, end := range endingsOf() {
		m.outcomes.Add(ctx, 0, m.all.of(end).add...)
	}
	zero(ctx, m.timely, m.closed.timely)
	zero(ctx, m.lost, m.closed.lost)
	zero(ctx, m.lookups, m.closed.lookups)
	m.maybeAll.Add(ctx, 0)
}

func zero[Value comparable](ctx context.Context, counter metric.Int64Counter, of map[Value]metric.MeasurementOption) {
	for _, option := range of {
		counter.Add(ctx, 0, option)
	}
}

// LookedUp counts a question for an account's dataset.
func (m *Meters) LookedUp(f directory.Finding) {
	m.lookups.Add(context.Background(), 1, m.closed.lookups[lookupOf(f)])
}

func lookupOf(f directory.Finding) Lookup {
	failed, ok := errors.AsType[*graph.DatasetError](f.Err)
	switch {
	case errors.Is(f.Err, directory.ErrPending):
		return Pending
	case ok && !failed.Temporary():
		return Refused
	case f.Err != nil:
		return Failed
	case f.Dataset == "":
		return None
	default:
		return Found
	}
}

// ClaimTook notes how long an exchange with Redis took.
func (m *Meters) ClaimTook(operation claims.Operation, took time.Duration, ok bool) {
	m.claimTime.Record(context.Background(), took.Seconds(), m.closed.claims[exchange{operation, ok}])
}

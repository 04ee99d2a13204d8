package dispatcher_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// mixture makes n events of which some are bad, and lists the good ones' ids.
func mixture(prefix string, n int, bad []int) (messages, good []string) {
	for i := range n {
		id := fmt.Sprint(prefix, i)
		if slices.Contains(bad, i) {
			messages = append(messages, poison(id))
			continue
		}
		messages, good = append(messages, event(id)), append(good, id)
	}
	return messages, good
}

// mostRequests is what halving may cost. That no place of k culprits among n
// needs more was computed for every n to 130, around the powers of two, and for
// 1000: one culprit needs 20, ten need 141, 500 need 1987, 1000 need 1999.
func mostRequests(k, n int) int {
	return int(2*float64(k)*math.Log2(float64(n))) + 1
}

func TestPoisonInTheWorstPlaces(t *testing.T) {
	t.Parallel()
	const n = 1000
	everyOther := make([]int, 0, n/2)
	for i := range n / 2 {
		everyOther = append(everyOther, 2*i)
	}
	for name, tc := range map[string]struct {
		bad  []int
		most int
	}{
		"first and last":      {[]int{0, n - 1}, mostRequests(2, n)},
		"every other":         {everyOther, 1987},
		"half, at random":     {rand.New(rand.NewPCG(1, 2)).Perm(n)[:n/2], 1987},
		"ten, at random":      {rand.New(rand.NewPCG(3, 4)).Perm(n)[:10], mostRequests(10, n)},
		"ten, next to others": {span(495, 505), mostRequests(10, n)},
		"all":                 {span(0, n), 2*n - 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			messages, good := mixture("e", n, tc.bad)
			b.publish(dataset, body(messages...))
			b.awaitLetters(len(tc.bad))
			b.awaitQuiet()
			if len(good) > 0 {
				b.requireOnce(good...)
			}
			b.requireBalance()
			require.LessOrEqual(t, b.Ledger().Sum().Requests, tc.most)
		})
	}
}

// For one culprit, every place is tried.
func TestOnePoisonInEveryPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 45
	var all []string
	for place := range n {
		before := b.Ledger().Sum().Requests
		messages, good := mixture(fmt.Sprint("p", place, "-"), n, []int{place})
		all = append(all, good...)
		b.publish(dataset, body(messages...))
		b.awaitAccepted(len(all))
		b.awaitLetters(place + 1)
		require.LessOrEqual(t, b.Ledger().Sum().Requests-before, mostRequests(1, n), "place %d", place)
	}
	b.awaitQuiet()
	b.requireOnce(all...)
}

func TestPoisonInEachOfManyBatches(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.batch.MaxEvents = 100 })
	const batches, n = 20, 100
	var all []string
	for i := range batches {
		messages, good := mixture(fmt.Sprint("b", i, "-"), n, []int{i * 5})
		all = append(all, good...)
		b.publish(dataset, body(messages...))
	}
	b.awaitLetters(batches)
	b.awaitQuiet()
	b.requireOnce(all...)
	// Batches need not be cut where the messages end: a few more are sent, and
	// one may hold two of the culprits.
	require.LessOrEqual(t, b.Ledger().Sum().Requests, batches*(mostRequests(1, n)+1))
	b.requireBalance()
}

// Half-way through, Meta has had enough of our requests. The rest waits; nobody
// who was found innocent is sent again, and nobody innocent is dead-lettered.
func TestARefusalTurnsIntoAThrottle(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]string{"short": "0", "long": "8"} {
		for after := range 6 {
			t.Run(fmt.Sprint(name, " after ", after), func(t *testing.T) {
				t.Parallel()
				b := setup(t, func(o *options) { o.cfg.Delivery.Retry.Budget = 5 * time.Second })
				// What takes longer than the budget is the halving, not the throttle.
				b.Script(dataset, slices.Repeat([]graphtest.Fault{{Delay: 1250 * time.Millisecond}}, after+1)...)
				b.Script(dataset, graphtest.Fault{
					Status: 429, Error: &graphtest.Error{Code: 80004, Message: "too many calls"}, Header: map[string]string{"Retry-After": wait},
				})
				bad := []int{100, 700}
				messages, good := mixture("e", 1000, bad)
				b.publish(dataset, body(messages...))
				b.awaitLetters(2)
				b.awaitQuiet()
				b.requireOnce(good...)
				b.requireBalance()
				parked := b.books("capi.events.settled", attribute.String("outcome", "parked"))
				require.Equal(t, wait == "8", parked > 0, "a short throttle is waited for, a long one is not")
			})
		}
	}
}

// Meta names an event that is not at fault. That costs a request, not hundreds.
func TestMetaNamesAnInnocent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	messages, good := mixture("e", 1000, []int{700})
	b.Script(dataset, graphtest.Fault{Status: 400, Body: `{"error":{"code":100,"error_subcode":2804087,"message":"m","error_data":{"event_index":0}}}`})
	b.publish(dataset, body(messages...))
	letters := b.awaitLetters(1)
	require.Contains(t, string(letters[0].Event), `"e700"`)
	b.awaitAccepted(999)
	b.awaitQuiet()
	b.requireOnce(good...)
	require.LessOrEqual(t, b.Ledger().Sum().Requests, mostRequests(1, 1000)+1)
}

// Each refusal names the next culprit: two requests for each.
func TestMetaNamesEachCulprit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bad := []int{10, 500, 990}
	messages, good := mixture("e", 1000, bad)
	for i, place := range bad {
		named := fmt.Sprintf(`{"error":{"code":100,"error_subcode":2804087,"message":"m","error_data":{"event_index":%d}}}`, place-i)
		b.Script(dataset, graphtest.Fault{Status: 400, Body: named}, graphtest.Fault{})
	}
	b.publish(dataset, body(messages...))
	b.awaitLetters(len(bad))
	b.awaitAccepted(len(good))
	require.Equal(t, 2*len(bad)+1, b.Ledger().Sum().Requests)
	b.awaitQuiet()
	b.requireOnce(good...)
}

func TestPoisonIsFoundAndItsNeighboursAreDelivered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		n   int
		bad []int
	}{
		"the only one":         {1, []int{0}},
		"one of two":           {2, []int{1}},
		"first of many":        {1000, []int{0}},
		"last of many":         {1000, []int{999}},
		"in the middle":        {1000, []int{500}},
		"two neighbours":       {1000, []int{499, 500}},
		"ten, spread":          {1000, []int{3, 101, 222, 340, 401, 555, 678, 777, 888, 990}},
		"all of them":          {64, span(0, 64)},
		"half of them":         {128, span(0, 64)},
		"three of an odd lot":  {37, []int{0, 17, 36}},
		"all but one":          {33, append(span(0, 16), span(17, 33)...)},
		"not a power of two":   {999, []int{333, 666}},
		"every other of a few": {10, []int{0, 2, 4, 6, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			messages, good := make([]string, tc.n), []string{}
			for i := range messages {
				messages[i] = event(fmt.Sprintf("e%d", i))
			}
			for _, i := range tc.bad {
				messages[i] = poison(fmt.Sprintf("e%d", i))
			}
			for i, message := range messages {
				if !strings.Contains(message, "invalid") {
					good = append(good, fmt.Sprintf("e%d", i))
				}
			}
			b.publish(dataset, body(messages...))
			letters := b.awaitLetters(len(tc.bad))
			b.awaitQuiet()
			b.requireOnce(good...)
			b.requireBalance()
			for _, letter := range letters {
				require.Equal(t, deadletter.Refused, letter.Reason)
				require.Equal(t, 100, letter.Graph.Code)
				require.Equal(t, 2804087, letter.Graph.Subcode)
				require.Contains(t, letter.Graph.Message, "Invalid Ctwa Clid")
				require.NotEmpty(t, letter.Graph.TraceID)
			}
			k, n := float64(len(tc.bad)), float64(tc.n)
			require.LessOrEqual(t, b.Ledger().Sum().Requests, int(2*k*math.Log2(n))+1, "requests for %v bad of %v", k, n)
		})
	}
}

func span(from, to int) (list []int) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func TestHalvingStopsWhenTheTroubleChanges(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Delivery.Park = retry.Backoff{Initial: 20 * time.Second, Max: 20 * time.Second}
	})
	refused := graphtest.Fault{Error: &graphtest.Error{Code: 100, Subcode: 2804087, Message: "Invalid parameter"}}
	b.Script(dataset, refused, refused, graphtest.Fault{Error: graphtest.TokenExpired()})
	b.publish(dataset, body(events(100)...))
	b.await("the rest is parked", func() bool {
		return b.books("capi.events.settled", attribute.String("outcome", "parked")) == 100
	})
	require.Equal(t, 3, b.Ledger().Sum().Requests)
	b.awaitAccepted(100)
	b.awaitQuiet()
	require.Empty(t, b.letters())
	_, again := b.Ledger().Distinct()
	require.Zero(t, again)
}

// As the live API does it, in a sentence.
func TestMetaNamesTheCulpritInASentence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	messages := events(1000)
	messages[700] = poison("e700")
	b.Script(dataset, graphtest.Fault{Error: &graphtest.Error{
		Code: 100, Subcode: 2804019, Message: "Server Side Api Parameter Error: $['data'][700]['custom_data']['contents'] must be an array",
	}})
	b.publish(dataset, body(messages...))
	b.awaitLetters(1)
	b.awaitAccepted(999)
	require.Equal(t, 3, b.Ledger().Sum().Requests, "the batch, the culprit, the others")
	b.awaitQuiet()
}

func TestMetaNamesTheCulprit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	messages := events(1000)
	messages[700] = poison("e700")
	named := graphtest.Fault{Status: 400, Body: `{"error":{"code":100,"error_subcode":2804087,"message":"m","error_data":"{\"event_index\":700}"}}`}
	b.Script(dataset, named)
	b.publish(dataset, body(messages...))
	b.awaitLetters(1)
	b.awaitAccepted(999)
	require.Equal(t, 3, b.Ledger().Sum().Requests, "the batch, the culprit, the others")
	b.awaitQuiet()
}

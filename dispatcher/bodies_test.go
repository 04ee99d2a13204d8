package dispatcher_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	rules "github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// nameless is a sound event without event_id.
func nameless(click string) string {
	return strings.Replace(strings.Replace(event("x"), `"event_id":"x",`, "", 1), `"clid"`, `"`+click+`"`, 1)
}

// The many faulty events of a body share a letter, which is no larger than the
// body; its good events are sent, and the books count events.
func TestFaultyEventsOfABodyShareALetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const faulty, good = 900, 100
	var all []string
	for i := range good {
		all = append(all, event(fmt.Sprint("good", i)))
		for j := range faulty / good {
			all = append(all, fmt.Sprintf(`{"event_id":"bad%d"}`, i*faulty/good+j))
		}
	}
	message := strings.TrimSuffix(body(all...), "}") + `,"partner_agent":"acme"}`
	b.publish(dataset, message)
	b.awaitAccepted(good)
	letter := b.awaitLetters(1)[0]
	require.Equal(t, deadletter.Invalid, letter.Reason)
	require.Equal(t, `{"partner_agent":"acme"}`, letter.Envelope)
	require.Len(t, letter.Places, faulty)
	require.Equal(t, 1, letter.Places[0], "where it stood")
	require.Equal(t, "/data/0/event_name", letter.Faults[0].Pointer, "the first fault of each comes first")
	require.Equal(t, "/data/49/event_name", letter.Faults[49].Pointer)
	require.Equal(t, "… 3550 more faults", letter.Faults[50].Message)
	var held struct{ Data []json.RawMessage }
	require.NoError(t, json.Unmarshal(letter.Event, &held))
	require.Len(t, held.Data, faulty)
	for i, place := range letter.Places {
		require.Equal(t, all[place], string(held.Data[i]), "the original bytes")
	}
	stream, err := b.js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	require.Less(t, stream.CachedInfo().State.Bytes, uint64(len(message)))
	b.awaitQuiet()
	require.EqualValues(t, faulty, b.books("capi.events.settled", attribute.String("outcome", "dead_lettered"), attribute.String("reason", "invalid")))
	b.requireBalance()
	b.requireNoneTwice()
}

// A few faulty events have a letter each.
func TestAFewFaultyEventsHaveALetterEach(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, body(slices.Concat(slices.Repeat([]string{`{}`}, 10), events(5))...))
	for _, letter := range b.awaitLetters(10) {
		require.Equal(t, `{}`, string(letter.Event))
		require.Nil(t, letter.Places)
	}
	b.awaitAccepted(5)
	b.awaitQuiet()
}

// Events of different reasons do not share a letter.
func TestLettersAreOfOneReason(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.batch.MaxBytes = 10_000 })
	const each = 20
	b.publish(dataset, body(slices.Concat(slices.Repeat([]string{`{}`}, each), slices.Repeat([]string{padded("large", 11_000)}, each))...))
	letters := b.awaitLetters(2)
	slices.SortFunc(letters, func(x, y deadletter.Letter) int { return strings.Compare(string(x.Reason), string(y.Reason)) })
	require.Equal(t, deadletter.Invalid, letters[0].Reason)
	require.Equal(t, 0, letters[0].Places[0])
	require.Equal(t, deadletter.TooLarge, letters[1].Reason)
	require.Equal(t, each, letters[1].Places[0])
	b.awaitQuiet()
	b.requireBalance()
}

// Events whose account Meta does not know share a letter as well.
func TestEventsWithoutADatasetShareALetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("auto", body(events(500)...))
	letter := b.awaitLetters(1)[0]
	require.Equal(t, deadletter.NoDataset, letter.Reason)
	require.Len(t, letter.Places, 500)
	b.awaitQuiet()
	b.requireBalance()
}

// A group is cut where the letter would be larger than NATS takes.
func TestLargeFaultyEventsAreSpreadOverLetters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const many, size = 12, 80_000
	padding := strings.Repeat("x", size)
	b.publish(dataset, body(slices.Repeat([]string{`{"x":"` + padding + `"}`}, many)...))
	b.await("all are dead-lettered", func() bool {
		return b.books("capi.events.settled", attribute.String("outcome", "dead_lettered")) == many
	})
	whole := 0
	for _, letter := range b.letters() {
		require.Zero(t, letter.CutOff)
		whole += strings.Count(string(letter.Event), padding)
	}
	require.Equal(t, many, whole)
	b.awaitQuiet()
}

// A name for a message is not a name for each of its events.
func TestEventsOfANamedMessageAreToldApart(t *testing.T) {
	t.Parallel()
	for _, name := range []string{header.DedupeID, nats.MsgIdHdr} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			named := nats.Header{name: {"order-1"}}
			msg := &nats.Msg{Subject: "capi.events." + dataset, Header: named, Data: []byte(body(nameless("a"), nameless("b"), nameless("c")))}
			b.publishMsg(msg)
			b.await("all three are accepted", func() bool { return b.Ledger().Totals(dataset).Events == 3 })
			b.await("NATS has forgotten the id", func() bool {
				ack, err := b.js.PublishMsg(t.Context(), msg)
				return err == nil && !ack.Duplicate
			})
			b.awaitQuiet()
			require.Equal(t, 3, b.Ledger().Totals(dataset).Events, "copies are known")
		})
	}
}

// A shared letter that is replayed, by two people, is the events that it was: the
// message that they came in is known when it comes again.
func TestASharedLetterIsReplayedAsWhatItWas(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cfg.Rules.MessagingEvents = []string{"Purchase"} })
	const many = 12
	var all []string
	for i := range many {
		all = append(all, `{}`, nameless(fmt.Sprint("click", i)))
	}
	named := &nats.Msg{Subject: "capi.events." + dataset, Header: nats.Header{header.DedupeID: {"m"}}, Data: []byte(body(all...))}
	b.publishMsg(named)
	letter := b.awaitLetters(1)[0]
	require.Len(t, letter.Places, 2*many)
	b.stop(b.running)
	b.options.cfg.Rules = rules.DefaultRules()
	b.running = b.start()
	box := b.box()
	require.NoError(t, box.Replay(t.Context(), letter, true))
	require.NoError(t, box.Replay(t.Context(), letter, false))
	b.await("the sound ones are accepted", func() bool { return b.Ledger().Totals(dataset).Events == many })
	b.publishMsg(named)
	b.awaitQuiet()
	require.Equal(t, many, b.Ledger().Totals(dataset).Events, "once")
	require.EqualValues(t, 2*many, b.settledAs("duplicate"))
}

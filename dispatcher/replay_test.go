package dispatcher_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func (b *harness) box() *deadletter.Box {
	b.t.Helper()
	box, err := deadletter.Open(b.t.Context(), b.js, streams.Default().Letters())
	require.NoError(b.t, err)
	return box
}

// replay replays a letter, and deletes it.
func (b *harness) replay(number uint64) {
	b.t.Helper()
	box := b.box()
	letter, err := box.Get(b.t.Context(), number)
	require.NoError(b.t, err)
	require.NoError(b.t, box.Replay(b.t.Context(), letter, false))
}

// replayTogether lets two people replay a letter at once.
func (b *harness) replayTogether(number uint64) {
	b.t.Helper()
	letter, err := b.box().Get(b.t.Context(), number)
	require.NoError(b.t, err)
	var errs [2]error
	var people sync.WaitGroup
	for i := range errs {
		box := b.box()
		people.Go(func() { errs[i] = box.Replay(b.t.Context(), letter, false) })
	}
	people.Wait()
	require.Equal(b.t, [2]error{}, errs)
}

// anonymous is an event without event_id.
func anonymous() string { return strings.Replace(event("x"), `"event_id":"x",`, "", 1) }

// refuseOnce lets Meta find fault with the next event, and with none after it.
func refuseOnce(b *harness) { b.Script(dataset, graphtest.Fault{Error: graphtest.RestrictedRegion()}) }

// Two people replay one letter at once, whatever its event is told apart by: it
// is accepted once, and a copy that comes later is known.
func TestTwoPeopleReplayOneLetter(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data   string
		header nats.Header
		change func(*options)
		doubt  bool
	}{
		"told apart by event_id":                    {data: event("a")},
		"by Nats-Msg-Id":                            {data: anonymous(), header: nats.Header{"Nats-Msg-Id": {"m"}}},
		"by Capi-Dedupe-Id":                         {data: anonymous(), header: nats.Header{"Capi-Dedupe-Id": {"m"}}},
		"by content":                                {data: anonymous()},
		"by content, in a body":                     {data: `{"data":[` + anonymous() + `],"upload_tag":"` + strings.Repeat("x", 10_000) + `"}`},
		"by content that is hashed":                 {data: withUser(anonymous(), `"em":"Jane@Example.com"`), change: func(o *options) { o.cfg.Rules.HashPersonalData = true }},
		"that may have been sent, with event_id":    {data: event("a"), doubt: true},
		"that may have been sent, told by content":  {data: anonymous(), doubt: true},
		"that may have been sent, by a Nats-Msg-Id": {data: anonymous(), header: nats.Header{"Nats-Msg-Id": {"m"}}, doubt: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *options) {
				o.cfg.Delivery.OnUnknown = dispatcher.DeadLetter
				if tc.change != nil {
					tc.change(o)
				}
			})
			if tc.doubt {
				b.Script(dataset, graphtest.Fault{Drop: true})
			} else {
				refuseOnce(b)
			}
			first := &nats.Msg{Subject: "capi.events." + dataset, Data: []byte(tc.data), Header: tc.header}
			b.publishMsg(first)
			b.awaitLetters(1)
			b.awaitQuiet()
			b.replayTogether(1)
			b.awaitQuiet()
			require.Equal(t, 1, b.Ledger().Sum().Events)
			require.EqualValues(t, 1, b.settledAs("duplicate"))
			b.republish(first)
			b.awaitQuiet()
			require.Equal(t, 1, b.Ledger().Sum().Events)
			require.EqualValues(t, 2, b.settledAs("duplicate"))
			require.Zero(t, b.streamSize("CAPI_DLQ"))
			b.requireBalance()
		})
	}
}

// A producer publishes under the id that a replay had in former times. NATS
// dropped the replay then, and the letter was deleted.
func TestAReplaysIDCannotBeForeseen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refuseOnce(b)
	b.publish(dataset, event("a"))
	b.awaitLetters(1)
	letters, err := b.js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	foreseen := fmt.Sprintf("replay-%x-%d", letters.CachedInfo().Created.UnixNano(), 1)
	for _, subject := range []string{"capi.events." + dataset, "capi.parked.due." + dataset} {
		b.publishMsg(&nats.Msg{Subject: subject, Data: []byte(event("b")), Header: nats.Header{"Nats-Msg-Id": {foreseen}}})
	}
	b.replay(1)
	b.awaitAccepted(2)
	b.awaitQuiet()
	b.requireOnce("a", "b")
}

// What is replayed keeps its past, and has its tries before it.
func TestAReplayIsANewTry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refuseOnce(b)
	refuseOnce(b)
	b.publish(dataset, `{"data":[`+event("a")+`],"partner_agent":"acme"}`)
	first := b.awaitLetters(1)[0]
	b.replay(1)
	b.await("it is a letter again", func() bool { return b.lastSequence("CAPI_DLQ") == 2 })
	again, err := b.box().Get(t.Context(), 2)
	require.NoError(t, err)
	require.True(t, first.FirstSeen.Equal(again.FirstSeen))
	require.Equal(t, first.OriginSubject, again.OriginSubject)
	require.Equal(t, first.OriginSequence, again.OriginSequence)
	require.Equal(t, `{"partner_agent":"acme"}`, again.Envelope)
	require.Equal(t, 1, again.Attempts, "those of before are not counted")
	b.replay(2)
	b.awaitAccepted(1)
	require.Equal(t, "acme", b.Ledger().Entries()[0].PartnerAgent)
}

func TestWhatIsNotJSONComesBackAsALetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, `{"event_name":`)
	b.publish("auto", `{"event_name":`)
	first := b.awaitLetters(2)
	b.replay(1)
	b.replay(2)
	b.await("they are letters again", func() bool { return b.lastSequence("CAPI_DLQ") == 4 })
	b.awaitQuiet()
	for i, before := range first {
		again, err := b.box().Get(t.Context(), uint64(i+3))
		require.NoError(t, err)
		require.Equal(t, deadletter.Malformed, again.Reason)
		require.Equal(t, before.Event, again.Event)
		require.Equal(t, before.Dataset, again.Dataset)
		require.Equal(t, before.OriginSubject, again.OriginSubject)
		require.Equal(t, before.OriginSequence, again.OriginSequence)
	}
}

// A letter that nobody knew the dataset of has it found by its account, wherever
// it was published.
func TestReplaysWithoutADataset(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("auto", event("a"), body(event("b")))
	b.publish("shop", event("c"))
	for _, letter := range b.awaitLetters(3) {
		require.Equal(t, deadletter.NoDataset, letter.Reason)
	}
	b.replay(1)
	b.await("it is a letter again", func() bool { return b.lastSequence("CAPI_DLQ") == 4 })
	b.awaitQuiet()

	b.stop(b.running)
	b.options.cfg.Assets.WhatsAppAccounts = map[string]admission.WhatsAppAccount{"102": {Dataset: dataset}}
	b.options.cfg.Datasets = map[string]admission.Dataset{dataset: {PartnerAgent: "acme"}}
	b.running = b.start()
	for number := uint64(2); number <= 4; number++ {
		b.replay(number)
	}
	b.awaitAccepted(3)
	b.awaitQuiet()
	b.requireOnce("a", "b", "c")
	for _, entry := range b.Ledger().Entries() {
		require.Equal(t, "acme", entry.PartnerAgent, "what is configured for the dataset goes along")
	}
}

// A dataset that Meta has to tell is found for what is replayed, too.
func TestAReplayAsksForItsDataset(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.resolve = true })
	b.AddAsset(graphtest.Asset{ID: "102", Kind: graphtest.WhatsApp, Tokens: []string{token}})
	b.publish("auto", event("a"))
	require.Equal(t, deadletter.NoDataset, b.awaitLetters(1)[0].Reason)
	b.stop(b.running)
	require.NoError(t, b.options.redis.FlushAll(t.Context()).Err(), "what Meta has said is kept for a while")
	b.AddAsset(graphtest.Asset{ID: "102", Kind: graphtest.WhatsApp, Dataset: dataset, Tokens: []string{token}})
	b.running = b.start()
	b.replay(1)
	b.awaitAccepted(1)
	b.requireOnce("a")
}

// A letter of what an older version could not read has never had what is
// configured beside its events. Sent without, a test would count.
func TestAReplayHasWhatIsConfigured(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Datasets = map[string]admission.Dataset{dataset: {TestEventCode: "TEST1"}}
	})
	letter := deadletter.Letter{Event: []byte(event("a")), Dataset: dataset, Reason: deadletter.Malformed, OriginSubject: "capi.events." + dataset}
	b.publishMsg(letter.Message("capi.dead", 1<<20))
	b.replay(1)
	b.awaitAccepted(1)
	require.Equal(t, "TEST1", b.Ledger().Entries()[0].TestEventCode)
}

// A letter may hold several events of a message. Each goes its way, and is told
// apart from the others, also by content and by the message's id.
func TestALetterOfSeveralEventsIsReplayed(t *testing.T) {
	t.Parallel()
	marked := func(mark string) string { return withUser(anonymous(), `"external_id":"`+mark+`"`) }
	for name, id := range map[string]string{"by content": "", "by the message's id": "m"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			letter := deadletter.Letter{
				Event: []byte(body(marked("1"), marked("2"), poison("c"), marked("3"))), Dataset: dataset, Reason: deadletter.Invalid,
				DedupeID: id, Envelope: `{"partner_agent":"acme"}`, FirstSeen: time.Now(), DeadLetteredAt: time.Now(),
				OriginSubject: "capi.events." + dataset, OriginSequence: 1,
			}
			b.publishMsg(letter.Message("capi.dead", 1<<20))
			b.replayTogether(1)
			b.await("what is replayed is taken", func() bool { return b.books("capi.events.received") >= 8 })
			b.awaitQuiet()
			require.Equal(t, 3, b.Ledger().Sum().Events)
			for _, entry := range b.Ledger().Entries() {
				require.Equal(t, "acme", entry.PartnerAgent)
			}
			b.requireBalance()
		})
	}
}

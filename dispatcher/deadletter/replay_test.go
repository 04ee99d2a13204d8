package deadletter_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
)

// last is what has been put into the parked stream last.
func last(t *testing.T, js jetstream.JetStream) *jetstream.RawStreamMsg {
	t.Helper()
	parked, err := js.Stream(t.Context(), "CAPI_PARKED")
	require.NoError(t, err)
	msg, err := parked.GetMsg(t.Context(), parked.CachedInfo().State.LastSeq)
	require.NoError(t, err)
	return msg
}

// whole is a letter in which everything is set that a replay may have.
func whole() deadletter.Letter {
	letter := full()
	letter.CutOff, letter.Claim = 0, 77
	return letter
}

func TestAReplayIsLikeAParkedEventWhoseTimeHasCome(t *testing.T) {
	t.Parallel()
	box, js := rig(t, whole())
	letter, err := box.Get(t.Context(), 1)
	require.NoError(t, err)
	require.NoError(t, box.Replay(t.Context(), letter, false))
	_, err = box.Get(t.Context(), 1)
	require.ErrorIs(t, err, deadletter.ErrNotFound)

	msg := last(t, js)
	require.Equal(t, "capi.parked.due.123", msg.Subject)
	require.Equal(t, `{"event_name": "Lead"}`, string(msg.Data))
	id := msg.Header.Get("Nats-Msg-Id")
	require.Regexp(t, "^replay-[A-Z2-7]{26,}$", id, "128 bits or more")
	require.Equal(t, nats.Header{
		"Capi-First-Seen": {whole().FirstSeen.Format(time.RFC3339Nano)}, "Capi-Origin-Subject": {"capi.events.123"}, "Capi-Origin-Sequence": {"9"},
		"Capi-Dedupe-Id": {"m/0"}, "Capi-Content-Ids": {",c0ffee"}, "Capi-Claim": {"77"}, "Capi-Envelope": {`{"partner_agent":"acme"}`},
		"traceparent": whole().Trace["traceparent"],
		"Nats-Msg-Id": {id}, "Nats-Expected-Stream": {"CAPI_PARKED"},
	}, msg.Header)
}

func TestWhereReplaysGo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		letter        deadletter.Letter
		subject, data string
	}{
		"to its dataset":                  {deadletter.Letter{Event: []byte(`{}`), Dataset: "5", OriginSubject: "capi.events.auto"}, "capi.parked.due.5", `{}`},
		"without a dataset":               {deadletter.Letter{Event: []byte(`{}`), OriginSubject: "capi.events.auto"}, "capi.parked.due.auto", `{}`},
		"whose subject named none":        {deadletter.Letter{Event: []byte(`{}`), OriginSubject: "capi.events.shop"}, "capi.parked.due.auto", `{}`},
		"whose subject is another now":    {deadletter.Letter{Event: []byte(`{}`), Dataset: "5", OriginSubject: "old.events.5"}, "capi.parked.due.5", `{}`},
		"of what is not JSON":             {deadletter.Letter{Event: []byte(`{`), Dataset: "5"}, "capi.parked.due.5", `{`},
		"of several events":               {deadletter.Letter{Event: []byte(`{"data":[{},{}]}`), Dataset: "5"}, "capi.parked.due.5", `{"data":[{},{}]}`},
		"of several, with something more": {deadletter.Letter{Event: []byte(`{"data":[{},{}]}`), Envelope: `{"a":1}`}, "capi.parked.due.auto", `{"data":[{},{}]}`},
		"with something more around it":   {deadletter.Letter{Event: []byte(`{"data":[{}],"a":1}`)}, "capi.parked.due.auto", `{"data":[{}],"a":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.letter.Reason = deadletter.Invalid
			box, js := rig(t, tc.letter)
			letter, err := box.Get(t.Context(), 1)
			require.NoError(t, err)
			require.NoError(t, box.Replay(t.Context(), letter, false))
			msg := last(t, js)
			require.Equal(t, tc.subject, msg.Subject)
			require.Equal(t, tc.data, string(msg.Data))
			require.Equal(t, tc.letter.Envelope, msg.Header.Get("Capi-Envelope"))
			require.Equal(t, tc.letter.OriginSubject, msg.Header.Get("Capi-Origin-Subject"))
			require.Empty(t, msg.Header.Get("Capi-Attempts"), "it is a new try")
		})
	}
}

// Each time is a message of its own: what tells copies apart is the event.
func TestALetterIsReplayedTwiceUnderTwoIDs(t *testing.T) {
	t.Parallel()
	box, js := rig(t, whole())
	letter, err := box.Get(t.Context(), 1)
	require.NoError(t, err)
	require.NoError(t, box.Replay(t.Context(), letter, true))
	first := last(t, js)
	require.NoError(t, box.Replay(t.Context(), letter, true))
	second := last(t, js)
	require.NotEqual(t, first.Sequence, second.Sequence)
	require.NotEqual(t, first.Header.Get("Nats-Msg-Id"), second.Header.Get("Nats-Msg-Id"))
	_, err = box.Get(t.Context(), 1)
	require.NoError(t, err, "it was kept")
}

// Another person was faster.
func TestALetterThatIsGoneWhenItIsToBeDeleted(t *testing.T) {
	t.Parallel()
	box, js := rig(t, whole())
	letter, err := box.Get(t.Context(), 1)
	require.NoError(t, err)
	require.NoError(t, box.Replay(t.Context(), letter, false))
	require.NoError(t, box.Replay(t.Context(), letter, false), "it is not there any more, as it should be")
	require.EqualValues(t, 2, last(t, js).Sequence)
}

func TestALetterThatMayNotBeDeleted(t *testing.T) {
	t.Parallel()
	box, js := rig(t, whole())
	stream, err := js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.DenyDelete = true
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	letter, err := box.Get(t.Context(), 1)
	require.NoError(t, err)
	require.ErrorContains(t, box.Replay(t.Context(), letter, false), "dead letter 1 is replayed, and could not be deleted")
}

// knowing is a server that has whatever is published already.
type knowing struct{ jetstream.JetStream }

func (k knowing) PublishMsg(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := k.JetStream.PublishMsg(ctx, msg, opts...)
	if err != nil {
		return ack, err
	}
	return k.JetStream.PublishMsg(ctx, msg, opts...)
}

func TestALetterStaysWhereNATSTakesItsReplayForACopy(t *testing.T) {
	t.Parallel()
	_, js := rig(t, whole())
	box, err := deadletter.Open(t.Context(), knowing{js}, streams())
	require.NoError(t, err)
	letter, err := box.Get(t.Context(), 1)
	require.NoError(t, err)
	require.ErrorIs(t, box.Replay(t.Context(), letter, false), deadletter.ErrNotStored)
	_, err = box.Get(t.Context(), 1)
	require.NoError(t, err)
}

// Somebody else's stream listens where the parked events should be.
func TestALetterStaysWhereNoWorkerWouldFindItsReplay(t *testing.T) {
	t.Parallel()
	_, js := rig(t, whole())
	elsewhere := streams()
	elsewhere.Parked = "ANOTHER"
	box, err := deadletter.Open(t.Context(), js, elsewhere)
	require.NoError(t, err)
	letter, err := box.Get(t.Context(), 1)
	require.NoError(t, err)
	require.ErrorContains(t, box.Replay(t.Context(), letter, false), "replaying dead letter 1: ")
	_, err = box.Get(t.Context(), 1)
	require.NoError(t, err)
}

func TestAPartOfAnEventIsNotReplayed(t *testing.T) {
	t.Parallel()
	box, _ := rig(t, full())
	letter, err := box.Get(t.Context(), 1)
	require.NoError(t, err)
	err = box.Replay(t.Context(), letter, false)
	require.ErrorIs(t, err, deadletter.ErrCutOff)
	require.EqualError(t, err, "dead letter 1 holds only a part of the event, the first 22 of 99 bytes: publish it anew; it was message 9 on capi.events.123")
	_, err = box.Get(t.Context(), 1)
	require.NoError(t, err)
}

// A dataset becomes a word of a subject.
func TestALetterWhoseDatasetIsNoneIsNotReplayed(t *testing.T) {
	t.Parallel()
	letter := whole()
	box, _ := rig(t)
	for _, word := range []string{"1 2", "1.2", "*", ">", "auto"} {
		letter.Dataset = word
		require.ErrorContains(t, box.Replay(t.Context(), letter, false), "names the dataset")
	}
}

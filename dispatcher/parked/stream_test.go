package parked_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
)

// harness is a real server with a stream of parked events.
type harness struct {
	t      *testing.T
	js     jetstream.JetStream
	stream *parked.Stream
}

func streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "CAPI_PARKED", Subjects: []string{"capi.parked.>"},
		Retention: jetstream.WorkQueuePolicy, AllowDirect: true, AllowMsgSchedules: true,
	}
}

func setup(t *testing.T) *harness {
	t.Helper()
	js := natstest.Start(t).JetStream()
	_, err := js.CreateStream(t.Context(), streamConfig())
	require.NoError(t, err)
	return &harness{t: t, js: js, stream: parked.NewStream(js, nil, "CAPI_PARKED", subjects)}
}

// park parks an event until a time of its own.
func (b *harness) park(to, id string, at time.Time, e parked.Event) {
	b.t.Helper()
	_, err := b.js.PublishMsg(b.t.Context(), e.Message(subjects, to, id), append(subjects.Schedule(to, at), jetstream.WithMsgID("park-"+id))...)
	require.NoError(b.t, err)
}

func (b *harness) read(dataset string, from uint64, most int) []parked.Waiting {
	b.t.Helper()
	waiting, err := b.stream.Read(b.t.Context(), dataset, from, most)
	require.NoError(b.t, err)
	return waiting
}

// due takes what has come back for a dataset, once there is so much.
func (b *harness) due(dataset string, n int) []jetstream.Msg {
	b.t.Helper()
	consumer, err := b.js.CreateOrUpdateConsumer(b.t.Context(), "CAPI_PARKED", jetstream.ConsumerConfig{
		Durable: "ours", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "capi.parked.due.>",
	})
	require.NoError(b.t, err)
	batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(10*time.Second))
	require.NoError(b.t, err)
	var messages []jetstream.Msg
	for msg := range batch.Messages() {
		require.Equal(b.t, subjects.Due(dataset), msg.Subject())
		messages = append(messages, msg)
	}
	require.Len(b.t, messages, n)
	return messages
}

// size is how many messages there are, waiting or not.
func (b *harness) size() uint64 {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), "CAPI_PARKED")
	require.NoError(b.t, err)
	return stream.CachedInfo().State.Msgs
}

func inAnHour() time.Time { return time.Now().Add(time.Hour) }

func TestWhatIsParkedIsRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	began, at := time.Now(), inAnHour()
	e := full()
	for i := range 5 {
		b.park("1", strconv.Itoa(i), at, e)
	}
	b.park("2", "x", at, parked.Event{Reason: parked.NotYet})
	b.park("dead.1", "y", at, parked.Event{})

	waiting := b.read("1", 0, 100)
	require.Len(t, waiting, 5)
	first := waiting[0]
	require.Equal(t, "capi.parked.wait.1.0", first.Subject)
	require.EqualValues(t, 1, first.Sequence)
	require.Equal(t, parked.Failing, first.Reason())
	require.True(t, first.TriedAlone())
	require.WithinDuration(t, at, first.DueAt(), time.Second)
	require.WithinRange(t, first.StoredAt(), began.Add(-time.Minute), time.Now().Add(time.Minute))
	require.Equal(t, e, parked.Parse(first.Message.Data, first.Message.Header, stored))

	require.Len(t, b.read("1", 4, 100), 2)
	require.Len(t, b.read("1", 1, 2), 2)
	require.Len(t, b.read("1", 1, 5), 5)
	require.Empty(t, b.read("1", 6, 100))
	require.Empty(t, b.read("3", 1, 100))
	require.Len(t, b.read("", 1, 100), 7, "of all, letters on their way too")
	require.False(t, b.read("2", 1, 1)[0].TriedAlone())

	for dataset, want := range map[string]uint64{"1": 5, "2": 6, "3": 0} {
		newest, err := b.stream.Newest(t.Context(), dataset)
		require.NoError(t, err)
		require.Equal(t, want, newest, dataset)
	}
	last, err := b.stream.Last(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 7, last)
}

func TestWokenEventsComeBackAtOnceAsTheyWere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	last, err := b.stream.Last(t.Context())
	require.NoError(t, err)
	require.Zero(t, last, "nothing waits")
	e := full()
	msg := e.Message(subjects, "1", "a")
	msg.Header.Set("Capi-Of-Another-Version", "x")
	_, err = b.js.PublishMsg(t.Context(), msg, append(subjects.Schedule("1", inAnHour()), jetstream.WithMsgID("park-a"))...)
	require.NoError(t, err)
	b.park("1", "b", inAnHour(), e)

	now := time.Now().Add(time.Minute) // whatever clock that is
	accepted := now.Add(-time.Hour)
	woken, err := b.stream.Wake(t.Context(), "1", b.read("1", 1, 1), now, accepted)
	require.NoError(t, err)
	require.Equal(t, 1, woken)
	came := b.due("1", 1)[0]
	require.Equal(t, "x", came.Headers().Get("Capi-Of-Another-Version"))
	require.Empty(t, came.Headers().Get("Nats-Msg-Id"))
	back := parked.Parse(came.Data(), came.Headers(), stored)
	require.True(t, now.Equal(back.Recalled))
	require.True(t, accepted.Equal(back.Accepted))
	back.Recalled, back.Accepted = time.Time{}, time.Time{}
	require.Equal(t, e, back)
	require.Len(t, b.read("1", 1, 100), 1, "the other one waits")
	require.EqualValues(t, 2, b.size())
}

// Two workers have read the same events. Each event comes back once, and each
// worker counts those that it has woken.
func TestSomebodyElseWasFaster(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 10 {
		b.park("1", strconv.Itoa(i), inAnHour(), full())
	}
	ours, theirs := b.read("1", 1, 100), b.read("1", 1, 4)
	woken, err := b.stream.Wake(t.Context(), "1", theirs, time.Now(), time.Time{})
	require.NoError(t, err)
	require.Equal(t, 4, woken)
	woken, err = b.stream.Wake(t.Context(), "1", ours, time.Now(), time.Time{})
	require.NoError(t, err)
	require.Equal(t, 6, woken)
	for _, msg := range b.due("1", 10) {
		require.NoError(t, msg.DoubleAck(t.Context()))
	}
	require.Zero(t, b.size())
	woken, err = b.stream.Wake(t.Context(), "1", ours, time.Now(), time.Time{})
	require.NoError(t, err)
	require.Zero(t, woken, "they have come back")
	require.Zero(t, b.size())
}

func TestAWakeThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.park("1", "a", inAnHour(), full())
	waiting := b.read("1", 1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, b.js.DeleteStream(t.Context(), "CAPI_PARKED"))
	woken, err := b.stream.Wake(ctx, "1", waiting, time.Now(), time.Time{})
	require.Error(t, err)
	require.Zero(t, woken)
	woken, err = b.stream.Wake(t.Context(), "1", waiting, time.Now(), time.Time{})
	require.ErrorIs(t, err, jetstream.ErrNoStreamResponse)
	require.Zero(t, woken)
	_, err = b.stream.Last(t.Context())
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

func TestAStreamThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cfg := streamConfig()
	cfg.AllowDirect = false
	_, err := b.js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = b.stream.Read(t.Context(), "1", 1, 10)
	require.ErrorIs(t, err, parked.ErrNoDirectGet)
	_, err = b.stream.Newest(t.Context(), "1")
	require.ErrorIs(t, err, parked.ErrNoDirectGet)
}

// A right that is missing is named: the request itself is never answered.
func TestAStreamThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	running := natstest.StartWith(t, &server.Options{Users: []*server.User{
		{Username: "worker", Password: "x", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$JS.API.DIRECT.GET.>"}},
		}},
	}})
	denied := new(rights.Watch)
	js := running.JetStream(nats.UserInfo("worker", "x"), nats.ErrorHandler(func(conn *nats.Conn, _ *nats.Subscription, err error) {
		denied.Note(conn, err)
	}))
	_, err := js.CreateStream(t.Context(), streamConfig())
	require.NoError(t, err)
	_, err = parked.NewStream(js, denied, "CAPI_PARKED", subjects).Read(t.Context(), "1", 1, 10)
	var missing *rights.DeniedError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, "$JS.API.DIRECT.GET.CAPI_PARKED", missing.Subject)
}

// answering is a server that says something else than it should.
func answering(t *testing.T, answers ...nats.Header) *parked.Stream {
	t.Helper()
	js := natstest.Start(t).JetStream()
	responder, err := js.Conn().Subscribe("$JS.API.DIRECT.GET.ODD", func(asked *nats.Msg) {
		for _, headers := range answers {
			_ = js.Conn().PublishMsg(&nats.Msg{Subject: asked.Reply, Header: headers})
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = responder.Unsubscribe() })
	return parked.NewStream(js, nil, "ODD", subjects)
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	one := nats.Header{"Nats-Sequence": {"7"}, "Nats-Subject": {"capi.parked.wait.1.a"}}
	for name, tc := range map[string]struct {
		answers []nats.Header
		read    int
		err     string
	}{
		"silence":                     {nil, 0, "reading parked events: context deadline exceeded"},
		"silence after some":          {[]nats.Header{one, one}, 2, ""},
		"no more":                     {[]nats.Header{one, {"Status": {"204"}}}, 1, ""},
		"none":                        {[]nats.Header{{"Status": {"404"}}}, 0, ""},
		"no such stream":              {[]nats.Header{{"Status": {"503"}}}, 0, parked.ErrNoDirectGet.Error()},
		"a refusal":                   {[]nats.Header{{"Status": {"408"}, "Description": {"Bad Request"}}}, 0, "reading parked events: 408 Bad Request"},
		"no number":                   {[]nats.Header{{"Nats-Sequence": {"x"}}}, 0, "reading parked events: strconv.ParseUint"},
		"more than was asked for":     {[]nats.Header{one, one, one, one}, 3, ""},
		"exactly what was asked for":  {[]nats.Header{one, one, one}, 3, ""},
		"an end that is not the last": {[]nats.Header{one, {"Status": {"404"}}, one}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := answering(t, tc.answers...)
			waiting, err := stream.Read(t.Context(), "1", 1, 3)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Len(t, waiting, tc.read)
			for i := range waiting {
				require.EqualValues(t, 7, waiting[i].Sequence)
				require.Equal(t, "capi.parked.wait.1.a", waiting[i].Subject)
			}
		})
	}
	stream := answering(t, one)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := stream.Read(ctx, "1", 1, 3)
	require.ErrorIs(t, err, context.DeadlineExceeded, "what is cut short is not all")
}

// The schedule that could not be read, or the time, is long past.
func TestTimesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := parked.Waiting{Message: &nats.Msg{}}
	require.Zero(t, w.DueAt())
	require.Zero(t, w.StoredAt())
	require.Empty(t, w.Reason())
	require.False(t, w.TriedAlone())
}

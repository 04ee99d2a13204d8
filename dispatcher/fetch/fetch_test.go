package fetch_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/fetch"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const next = "$JS.API.CONSUMER.MSG.NEXT.S.c"

// stream makes a stream S with a consumer c, and publishes messages of so many
// bytes into it.
func stream(t *testing.T, js jetstream.JetStream, replicas, messages, size int) fetch.Consumer {
	t.Helper()
	made, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: replicas})
	require.NoError(t, err)
	_, err = made.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 100_000})
	require.NoError(t, err)
	data := []byte(strings.Repeat("x", size))
	for range messages {
		_, err := js.PublishAsync("s", data)
		require.NoError(t, err)
	}
	<-js.PublishAsyncComplete()
	return fetch.Consumer{Conn: js.Conn(), Subject: next}
}

// take counts messages, which have to come in order and once.
func take(t *testing.T, got *int) func(*nats.Msg) error {
	t.Helper()
	return func(msg *nats.Msg) error {
		*got++
		meta, err := msg.Metadata()
		require.NoError(t, err)
		require.EqualValues(t, *got, meta.Sequence.Stream)
		require.EqualValues(t, 1, meta.NumDelivered)
		return msg.Ack()
	}
}

// With the client's own Fetch, a pull that gets all it has asked for loses most
// of it: see the package's doc.
func TestAPullOfAReplicatedConsumerLosesNothing(t *testing.T) {
	t.Parallel()
	const messages, size = 4000, 700
	for name, want := range map[string]fetch.Want{
		"enough by number": {Messages: 1000, Bytes: 64 << 20, Wait: time.Second},
		"enough by bytes":  {Messages: 10_000, Bytes: 400_000, Wait: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := natstest.StartCluster(t, 3)
			consumer := stream(t, cluster.Nodes[0].JetStream(), 3, messages, size)
			got, began := 0, time.Now()
			for got < messages {
				before := got
				require.NoError(t, consumer.Fetch(want, take(t, &got)))
				require.Greater(t, got, before)
			}
			require.Less(t, time.Since(began), 10*time.Second, "it waits for nothing that has come")
		})
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	const size = 1000
	consumer := stream(t, natstest.Start(t).JetStream(), 1, 30, size)
	got := 0
	require.NoError(t, consumer.Fetch(fetch.Want{Messages: 10, Bytes: 1 << 20, Wait: time.Second}, take(t, &got)))
	require.Equal(t, 10, got)
	require.NoError(t, consumer.Fetch(fetch.Want{Messages: 100, Bytes: 5*size + size/2, Wait: time.Second}, take(t, &got)))
	require.Equal(t, 15, got)
	began := time.Now()
	require.NoError(t, consumer.Fetch(fetch.Want{Messages: 100, Bytes: 1 << 20, Wait: 100 * time.Millisecond}, take(t, &got)))
	require.Equal(t, 30, got)
	require.Greater(t, time.Since(began), 100*time.Millisecond, "more might have come")
	require.NoError(t, consumer.Fetch(fetch.Want{Messages: 1, Bytes: size / 2, Wait: 50 * time.Millisecond}, take(t, &got)))
	require.Equal(t, 30, got)
}

// What is published is a message, whatever it looks like.
func TestAMessageThatLooksLikeAStatus(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	consumer := stream(t, js, 1, 0, 0)
	for _, code := range []string{"100", "404", "408", "409", "503"} {
		_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "s", Header: nats.Header{"Status": {code}, "Description": {"Consumer Deleted"}}})
		require.NoError(t, err)
	}
	got := 0
	require.NoError(t, consumer.Fetch(fetch.Want{Messages: 5, Bytes: 1 << 20, Wait: time.Second}, take(t, &got)))
	require.Equal(t, 5, got)
}

func TestWhatTakeReturnsEndsThePull(t *testing.T) {
	t.Parallel()
	consumer := stream(t, natstest.Start(t).JetStream(), 1, 3, 1)
	enough := errors.New("enough")
	require.ErrorIs(t, consumer.Fetch(fetch.Want{Messages: 3, Bytes: 1000, Wait: time.Second}, func(*nats.Msg) error { return enough }), enough)
}

func TestWithoutAConsumerOrAConnection(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	consumer, want := fetch.Consumer{Conn: js.Conn(), Subject: next}, fetch.Want{Messages: 1, Bytes: 1000, Wait: time.Second}
	var status *fetch.StatusError
	require.ErrorAs(t, consumer.Fetch(want, nil), &status)
	require.Equal(t, "503", status.Code)
	js.Conn().Close()
	require.ErrorIs(t, consumer.Fetch(want, nil), nats.ErrConnectionClosed)
}

// Whatever the order in which messages and statuses come, all messages that the
// server has counted are waited for, and no others.
func TestStatuses(t *testing.T) {
	t.Parallel()
	const wait = 50 * time.Millisecond
	server := natstest.Start(t)
	completed := "NATS/1.0 409 Batch Completed\r\nNats-Pending-Messages: %d\r\nNats-Pending-Bytes: 100\r\n\r\n"
	for name, tc := range map[string]struct {
		answers []string // m: a message
		got     int
		err     string
		quiet   bool // what is missing is waited for in vain
	}{
		"all":                       {answers: []string{"m", "m", "m"}, got: 3},
		"completed after them":      {answers: []string{"m", "m", "m", fmt.Sprintf(completed, 0)}, got: 3},
		"completed before them":     {answers: []string{fmt.Sprintf(completed, 0), "m", "m", "m"}, got: 3},
		"completed between them":    {answers: []string{"m", fmt.Sprintf(completed, 0), "m", "m"}, got: 3},
		"full before the last":      {answers: []string{"m", "NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 1\r\n\r\n", "m"}, got: 2},
		"the time is over":          {answers: []string{"m", "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 2\r\nNats-Pending-Bytes: 10\r\n\r\n"}, got: 1},
		"the time is over, no more": {answers: []string{"NATS/1.0 408 Request Timeout\r\n\r\n"}},
		"none":                      {answers: []string{"NATS/1.0 404 No Messages\r\n\r\n"}},
		"a heartbeat":               {answers: []string{"NATS/1.0 100 Idle Heartbeat\r\n\r\n", "m", "m", "m"}, got: 3},
		"deleted":                   {answers: []string{"m", "NATS/1.0 409 Consumer Deleted\r\n\r\n"}, got: 1, err: "409 Consumer Deleted"},
		"another leader":            {answers: []string{"NATS/1.0 409 Leadership Change\r\n\r\n"}, err: "409 Leadership Change"},
		"too many pulls":            {answers: []string{"NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n"}, err: "409 Exceeded MaxWaiting"},
		"too old a server":          {answers: []string{"NATS/1.0 412 Required Api Level\r\n\r\n"}, err: "412 Required Api Level"},
		"no sense":                  {answers: []string{"NATS/1.0 400 Bad Request\r\n\r\n"}, err: "400 Bad Request"},
		"one is lost":               {answers: []string{"m", fmt.Sprintf(completed, 0), "m"}, got: 2, quiet: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := server.JetStream().Conn()
			consumer := fetch.Consumer{Conn: conn, Subject: nats.NewInbox()}
			answer(t, consumer, tc.answers)
			got, began := 0, time.Now()
			err := consumer.Fetch(fetch.Want{Messages: 3, Bytes: 1 << 20, Wait: wait}, func(*nats.Msg) error { got++; return nil })
			if tc.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.err)
			}
			require.Equal(t, tc.got, got)
			require.Equal(t, tc.quiet, time.Since(began) >= wait+time.Second)
		})
	}
}

// answer plays a consumer that answers a pull so.
func answer(t *testing.T, consumer fetch.Consumer, answers []string) {
	t.Helper()
	conn := consumer.Conn
	_, err := conn.Subscribe(consumer.Subject, func(request *nats.Msg) {
		for _, answer := range answers {
			msg := &nats.Msg{Subject: request.Reply, Reply: "acknowledge.it", Data: []byte("x")}
			if answer != "m" {
				header, err := nats.DecodeHeadersMsg([]byte(answer))
				require.NoError(t, err)
				msg = &nats.Msg{Subject: request.Reply, Header: header}
			}
			require.NoError(t, conn.PublishMsg(msg))
		}
	})
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
}

package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// A consumer of your own on the dead-letter stream reads letters with Parse.
func ExampleParse() {
	letter, err := deadletter.Parse(3, fromTheStream().Data, fromTheStream().Header)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("letter", letter.Sequence, "of dataset", letter.Dataset+":", letter.Reason)
	fmt.Println("published to", letter.OriginSubject, "as message", letter.OriginSequence)
	for _, fault := range letter.Faults {
		fmt.Println(fault.Pointer, fault.Code)
	}
	fmt.Printf("%s\n", letter.Event)

	// Output:
	// letter 3 of dataset 1234567890: invalid
	// published to capi.events.1234567890 as message 4711
	// /event_time missing
	// {"event_name":"Purchase","event_id":"order-1"}
}

// fromTheStream is a message as the dispatcher has published it.
func fromTheStream() *nats.Msg {
	at := time.Unix(1_800_000_000, 0)
	letter := deadletter.Letter{
		Event:          []byte(`{"event_name":"Purchase","event_id":"order-1"}`),
		Dataset:        "1234567890",
		Reason:         deadletter.Invalid,
		Faults:         []event.Fault{{Pointer: "/event_time", Code: event.Missing}},
		FirstSeen:      at,
		DeadLetteredAt: at,
		OriginSubject:  "capi.events.1234567890",
		OriginSequence: 4711,
	}
	return letter.Message("capi.dead", 1<<20)
}

// The letters of one reason are replayed, after the cause has been mended.
func ExampleBox() {
	ctx := context.Background()
	js, end := streamsWithALetter(ctx) // jetstream.New(connection), with NATS servers of yours
	defer end()

	box, err := deadletter.Open(ctx, js, deadletter.Streams{
		Letters: "CAPI_DLQ", LettersSubject: "capi.dead", Parked: "CAPI_PARKED", ParkedSubject: "capi.parked",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	chosen := deadletter.Filter{Dataset: "1234567890", Reasons: []deadletter.Reason{deadletter.NoDataset, deadletter.Refused}}
	strangers, err := box.Each(ctx, chosen, func(letter deadletter.Letter) error {
		const keep = false
		fmt.Println("replaying letter", letter.Sequence)
		return box.Replay(ctx, letter, keep)
	})
	fmt.Println("messages that are no letters:", strangers, "error:", err)
	_, err = box.Get(ctx, 1)
	fmt.Println("letter 1 is gone:", errors.Is(err, deadletter.ErrNotFound))

	// Output:
	// replaying letter 1
	// messages that are no letters: 0 error: <nil>
	// letter 1 is gone: true
}

// streamsWithALetter runs a NATS server with what a Box works on.
func streamsWithALetter(ctx context.Context) (js jetstream.JetStream, end func()) {
	dir := must(os.MkdirTemp("", "example"))
	running := must(server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
	}))
	running.Start()
	if !running.ReadyForConnections(time.Minute) {
		panic("NATS does not start")
	}
	conn := must(nats.Connect(running.ClientURL(), nats.Timeout(time.Minute)))
	js = must(jetstream.New(conn))
	for name, subject := range map[string]string{"CAPI_PARKED": "capi.parked.>", "CAPI_DLQ": "capi.dead.>"} {
		must(js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{subject}}))
	}
	letter := deadletter.Letter{
		Event: []byte(`{"event_name":"Purchase"}`), Dataset: "1234567890", Reason: deadletter.Refused,
	}
	must(js.PublishMsg(ctx, letter.Message("capi.dead", 1<<20)))
	return js, func() {
		conn.Close()
		running.Shutdown()
		running.WaitForShutdown()
		_ = os.RemoveAll(dir)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

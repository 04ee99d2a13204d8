package deadletter_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// headerSize is what JetStream counts as headers.
func headerSize(msg *nats.Msg) int {
	return msg.Size() - len(msg.Data) - len(msg.Subject) - len(msg.Reply)
}

const mostHeaders = 64<<10 - 1024 // a message id comes on top

// FuzzLetters: whatever an event is and whatever is said of it, its letter fits,
// and reads back.
func FuzzLetters(f *testing.F) {
	f.Add([]byte(`{"event_name":"Lead"}`), "why", 3, 100)
	f.Add([]byte(strings.Repeat("\xff", 1<<12)), "\x00\x1b<>\"", 700, 8<<10)
	f.Add([]byte(`{}`), "ä", 700, 8<<10-1)
	f.Fuzz(func(t *testing.T, raw []byte, text string, faults, long int) {
		const maxPayload = 128 << 10
		faults, long = abs(faults)%2000, abs(long)%(8<<10)
		letter := full()
		letter.Event, letter.Faults, letter.CutOff = raw, nil, 0
		for i := range faults {
			letter.Faults = append(letter.Faults, event.Fault{Pointer: fmt.Sprint("/", text, i), Code: event.WrongType, Message: text})
		}
		long8k := strings.Repeat("h", long)
		letter.Envelope, letter.OriginSubject = `{"a":"`+long8k+`"}`, "capi.events."+strings.Repeat("9", long%4000)
		letter.Graph.Message = strings.Repeat(text, 1+long/100)
		letter.ContentIDs = slices.Repeat([]string{strings.Repeat("f", 64)}, deadletter.MostContentIDs)
		letter.Trace = nats.Header{"traceparent": {long8k}, "tracestate": {long8k}, "baggage": {long8k}}
		msg := letter.Message("capi.dead", maxPayload)
		require.LessOrEqual(t, headerSize(msg), mostHeaders)
		require.LessOrEqual(t, msg.Size(), maxPayload)
		back, err := deadletter.Parse(1, msg.Data, msg.Header)
		require.NoError(t, err)
		require.Equal(t, letter.Reason, back.Reason)
		require.Equal(t, faults > 0, len(back.Faults) > 0)
		if back.CutOff == 0 {
			require.Equal(t, raw, back.Event)
		} else {
			require.Equal(t, len(raw), back.CutOff)
		}
	})
}

func abs(n int) int { return max(n, -max(n, -1<<62)) }

func TestAMinimalLetterIsSmall(t *testing.T) {
	t.Parallel()
	letter := full()
	letter.OriginSubject, letter.CutOff = strings.Repeat("9", 4000), 0
	letter.Faults = slices.Repeat(letter.Faults, 100)
	msg := letter.Minimal("capi.dead")
	require.Less(t, msg.Size(), 512)
	back, err := deadletter.Parse(1, msg.Data, msg.Header)
	require.NoError(t, err)
	require.Equal(t, letter.Reason, back.Reason)
	require.Equal(t, letter.OriginSequence, back.OriginSequence)
	require.Equal(t, len(letter.Event), back.CutOff)
}

// Faults that are left out of a letter are counted.
func TestDetailIsBounded(t *testing.T) {
	t.Parallel()
	letter := full()
	letter.Faults = slices.Repeat([]event.Fault{{Pointer: "/a", Code: event.WrongType, Message: strings.Repeat("ä", 1000)}}, 50)
	msg := letter.Message("capi.dead", 1<<20)
	back, err := deadletter.Parse(1, msg.Data, msg.Header)
	require.NoError(t, err)
	kept := len(back.Faults) - 1
	require.Positive(t, kept)
	require.Equal(t, fmt.Sprintf("… %d more faults", 50-kept), back.Faults[kept].Message)
	require.LessOrEqual(t, len(msg.Header.Get("Capi-Detail")), 8<<10)
}

func TestPlacesReadBack(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		var places []int
		for place := range event.MaxEvents {
			if random.IntN(1+random.IntN(10)) == 0 {
				places = append(places, place)
			}
		}
		letter := full()
		letter.Places = places
		back, err := deadletter.ParsePlaces(letter.Message("capi.dead", 1<<20).Header.Get("Capi-Places"))
		require.NoError(t, err)
		require.Equal(t, places, back)
	}
}

func FuzzParsePlaces(f *testing.F) {
	for _, text := range []string{"0,3-7", "999", "-1", "5-3", "0-999999999", strings.Repeat("0-999,", 1000)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		places, err := deadletter.ParsePlaces(text)
		if err == nil {
			require.LessOrEqual(t, len(places), event.MaxEvents)
		}
	})
}

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// event is a sound event, or one with a click that Meta refuses.
func event(id, click string) string {
	return fmt.Sprintf(`{"event_name":"Purchase","event_id":%q,"event_time":%d,"action_source":"business_messaging",`+
		`"messaging_channel":"whatsapp","user_data":{"whatsapp_business_account_id":"102290129340398","ctwa_clid":%q},`+
		`"custom_data":{"currency":"EUR","value":12.50,"content_name":%q}}`, id, time.Now().Unix(), click, strings.Repeat("x", 300))
}

// load is a number of events and what is to become of them.
type load struct {
	messages []jetstreamMessage
	good     map[graphtest.Event]bool
	poison   map[string]bool // by id
}

type jetstreamMessage struct{ subject, body string }

// newLoad makes n messages for so many datasets; a tenth repeats a sound one
// from before, and one in a hundred is poison.
func newLoad(n, datasets int) load {
	random := rand.New(rand.NewPCG(uint64(n), uint64(datasets)))
	l := load{good: make(map[graphtest.Event]bool), poison: make(map[string]bool)}
	var sound []jetstreamMessage
	for i := range n {
		if len(sound) > 0 && random.IntN(10) == 0 {
			l.messages = append(l.messages, sound[random.IntN(len(sound))])
			continue
		}
		dataset, id := datasetID(random.IntN(datasets)), fmt.Sprintf("order-%d", i)
		click := "ARAkLk"
		if random.IntN(100) == 0 {
			click = "invalid"
			l.poison[id] = true
		} else {
			l.good[graphtest.Event{Dataset: dataset, Name: "Purchase", ID: id}] = true
		}
		message := jetstreamMessage{"capi.events." + dataset, event(id, click)}
		l.messages = append(l.messages, message)
		if !l.poison[id] {
			sound = append(sound, message)
		}
	}
	return l
}

func datasetID(i int) string { return strconv.Itoa(1_000_000_000_000_000 + i) }

// publishAll puts messages on the stream as fast as it takes them.
func (r *rig) publishAll(messages []jetstreamMessage) {
	r.t.Helper()
	for len(messages) > 0 {
		n := atOnce(messages)
		futures := make([]jetstream.PubAckFuture, n)
		for i, m := range messages[:n] {
			future, err := r.js.PublishAsync(m.subject, []byte(m.body))
			require.NoError(r.t, err)
			futures[i] = future
		}
		for _, future := range futures {
			select {
			case <-future.Ok():
			case err := <-future.Err():
				require.NoError(r.t, err)
			}
		}
		messages = messages[n:]
	}
}

// atOnce is how many messages are published without an answer: no more than a busy
// machine stores in time.
func atOnce(messages []jetstreamMessage) (n int) {
	const most, mostBytes = 1000, 4 << 20
	for bytes := 0; n < min(len(messages), most) && bytes < mostBytes; n++ {
		bytes += len(messages[n].body)
	}
	return n
}

func (r *rig) addDatasets(n int) {
	for i := range n {
		r.AddDataset(datasetID(i), token)
	}
}

// requireOnce asserts that exactly the good events were accepted, each once,
// but for those that may have been accepted again.
func (r *rig) requireOnce(good map[graphtest.Event]bool, again map[graphtest.Event]int) {
	r.t.Helper()
	counts := r.Ledger().Counts()
	var lost, twice, strange []graphtest.Event
	for e := range good {
		if counts[e] == 0 {
			lost = append(lost, e)
		}
	}
	for e, times := range counts {
		if !good[e] {
			strange = append(strange, e)
		}
		if times > 1+again[e] {
			twice = append(twice, e)
		}
	}
	require.Empty(r.t, lost, "lost")
	require.Empty(r.t, strange, "never published as good")
	require.Empty(r.t, twice, "accepted more often than anything explains")
}

// requireEnded waits until every event of a load has come to its end, and
// asserts that it is the right one: the sound ones accepted once, but for those
// that may have been accepted again, and each poison a dead letter.
func (r *rig) requireEnded(l load, again map[graphtest.Event]int) {
	r.t.Helper()
	r.awaitFor(3*time.Minute, "every event has come to its end", func() bool {
		return r.size("CAPI_DLQ") >= len(l.poison) && len(r.Ledger().Counts()) >= len(l.good)
	})
	r.awaitQuiet()
	r.requireOnce(l.good, again)
	require.Len(r.t, r.letters(), len(l.poison))
}

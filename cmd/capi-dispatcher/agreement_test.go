package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/command"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/logging"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/worker"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

const dataset = "1234567890"

// agreement is a running worker and the verbs, with one configuration.
type agreement struct {
	t             *testing.T
	cfg           config.Config
	dir           string
	js            jetstream.JetStream
	worked, tried *graphtest.API // what the worker and test-event send to
	triedURL      string
	admin         string // address of the worker's admin port
}

// message is what a producer publishes to a dataset, or to auto.
type message struct{ to, body string }

// verdict is what became of a message: "sent", "waits", or why it is dead, with
// the first fault of each event that is.
type verdict struct{ what, why string }

func setupAgreement(t *testing.T, change func(*config.Config)) *agreement {
	t.Helper()
	a := &agreement{
		t: t, cfg: config.Default(), dir: t.TempDir(),
		worked: graphtest.New(graphtest.Config{AnyDataset: true, KeepEvents: true}),
		tried:  graphtest.New(graphtest.Config{AnyDataset: true, KeepEvents: true}),
	}
	server := natstest.Start(t)
	a.js = server.JetStream()
	worked, tried := httptest.NewServer(a.worked), httptest.NewServer(a.tried)
	t.Cleanup(worked.Close)
	t.Cleanup(tried.Close)
	a.triedURL = tried.URL
	require.NoError(t, os.WriteFile(filepath.Join(a.dir, "default"), []byte("EAAB-a-token-of-no-app"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(a.dir, "app_secret"), []byte("hush"), 0o600))
	cfg := &a.cfg
	cfg.NATS.URL = secret.URLs(server.URL())
	cfg.Redis.URL = secret.URLs("redis://" + miniredis.RunT(t).Addr())
	cfg.Graph.URL, cfg.Graph.TokenDir, cfg.Graph.AppSecretFile = worked.URL, a.dir, filepath.Join(a.dir, "app_secret")
	cfg.Graph.HashPersonalData, cfg.Graph.PartnerAgent = true, "acme"
	cfg.Admin.Address, cfg.Batch.MaxBytes, cfg.Batch.Linger = "127.0.0.1:0", 20_000, 0
	cfg.Assets.Pages = map[string]admission.Asset{"1061": {Dataset: dataset}, "49": {Dataset: dataset, Country: "DE"}}
	change(cfg)
	a.run()
	return a
}

// run runs the worker until the test ends.
func (a *agreement) run() {
	ctx, stop := context.WithCancel(context.WithoutCancel(a.t.Context()))
	started, ended := make(chan string, 1), make(chan error, 1)
	cfg := a.cfg
	go func() {
		ended <- worker.Run(ctx, &cfg, "test", logging.Nop(), func(address string) { started <- address })
	}()
	a.t.Cleanup(func() {
		stop()
		require.NoError(a.t, <-ended)
	})
	a.admin = <-started
	require.Eventually(a.t, func() bool { return a.stream("CAPI_DLQ") != nil }, time.Minute, 10*time.Millisecond)
}

func (a *agreement) stream(name string) jetstream.Stream {
	stream, err := a.js.Stream(a.t.Context(), name)
	if err != nil {
		return nil
	}
	return stream
}

// verb runs a verb, with events from a file, and with a change to the
// configuration.
func (a *agreement) verb(change func(*config.Config), body string, args ...string) (stdout, stderr string, code int) {
	a.t.Helper()
	cfg := a.cfg
	change(&cfg)
	text, err := cfg.YAML()
	require.NoError(a.t, err)
	for name, text := range map[string]string{"config.yaml": text, "events": body} {
		require.NoError(a.t, os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600))
	}
	var out, errs bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(append(args, filepath.Join(a.dir, "events"), "--config", filepath.Join(a.dir, "config.yaml")))
	code = command.ExitCode(root.ExecuteContext(a.t.Context()))
	return out.String(), errs.String(), code
}

func same(*config.Config) {}

// work publishes messages, one after the other, and returns what the worker does
// with each.
func (a *agreement) work(messages []message) []verdict {
	a.t.Helper()
	bySequence := make(map[uint64]int)
	for i, m := range messages {
		acked, err := a.js.Publish(a.t.Context(), "capi.events."+m.to, []byte(m.body))
		require.NoError(a.t, err)
		bySequence[acked.Sequence] = i
	}
	require.Eventually(a.t, func() bool { return natstest.Done(a.t.Context(), a.js, "CAPI", "capi-dispatcher") }, time.Minute, 10*time.Millisecond)
	verdicts := make([]verdict, len(messages))
	for i := range verdicts {
		verdicts[i].what = "sent"
	}
	for _, letter := range a.letters() {
		i := bySequence[letter.OriginSequence]
		verdicts[i] = verdict{string(letter.Reason), letter.Faults[0].Pointer + " " + string(letter.Faults[0].Code)}
	}
	a.each("CAPI_PARKED", func(msg *jetstream.RawStreamMsg) {
		sequence, err := strconv.ParseUint(msg.Header.Get("Capi-Origin-Sequence"), 10, 64)
		require.NoError(a.t, err)
		verdicts[bySequence[sequence]].what = "waits"
	})
	return verdicts
}

func (a *agreement) letters() (letters []deadletter.Letter) {
	a.each("CAPI_DLQ", func(msg *jetstream.RawStreamMsg) {
		letter, err := deadletter.Parse(msg.Sequence, msg.Data, msg.Header)
		require.NoError(a.t, err)
		letters = append(letters, letter)
	})
	return letters
}

func (a *agreement) each(name string, visit func(*jetstream.RawStreamMsg)) {
	a.t.Helper()
	stream := a.stream(name)
	for sequence := uint64(1); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		msg, err := stream.GetMsg(a.t.Context(), sequence)
		require.NoError(a.t, err)
		visit(msg)
	}
}

// requireSame asserts that all verbs foretell what the worker has done.
func (a *agreement) requireSame(m message, did verdict) {
	a.t.Helper()
	about := fmt.Sprintf("%.300s to %s: %v", m.body, m.to, did)
	isDead := did.what != "sent" && did.what != "waits"
	want := map[bool]int{true: exit.PartlyDone}[isDead]

	found, summary, code := a.verb(same, m.body, "validate", "--json", "--dataset", m.to)
	require.Equal(a.t, want, code, about+found+summary)
	require.Equal(a.t, did.what == "waits", strings.Contains(summary, "would wait"), about)
	if isDead {
		var first foundFault
		require.NoError(a.t, json.Unmarshal([]byte(strings.Split(found, "\n")[0]), &first))
		require.Equal(a.t, did.why, first.Pointer+" "+string(first.Code), about)
	}

	_, complaint, code := a.verb(func(c *config.Config) { c.NATS.Subject = "elsewhere" }, m.body, "publish", "--dataset", m.to)
	require.Equal(a.t, want, code, about+complaint)

	if m.to == admission.Auto {
		return // test-event wants to know
	}
	before := len(a.tried.Ledger().Entries())
	shown, complaint, code := a.verb(func(c *config.Config) { c.Graph.URL = a.triedURL }, m.body, "test-event", "--code", "TEST", "--dataset", m.to)
	if did.what != "sent" {
		require.Equal(a.t, exit.PartlyDone, code, about+shown+complaint)
		return
	}
	require.Zero(a.t, code, about+shown+complaint)
	sent := a.tried.Ledger().Entries()[before]
	require.Contains(a.t, a.accepted(), sent.PartnerAgent+" "+string(sent.Raw), "the same bytes: "+about)
}

// accepted are the events that the worker has sent.
func (a *agreement) accepted() (events []string) {
	for _, e := range a.worked.Ledger().Entries() {
		events = append(events, e.PartnerAgent+" "+string(e.Raw))
	}
	return events
}

func (a *agreement) requireAgreement(messages []message) []verdict {
	a.t.Helper()
	_, err := a.js.CreateOrUpdateStream(a.t.Context(), jetstream.StreamConfig{Name: "ELSEWHERE", Subjects: []string{"elsewhere.>"}})
	require.NoError(a.t, err)
	verdicts := a.work(messages)
	for i, m := range messages {
		a.requireSame(m, verdicts[i])
	}
	return verdicts
}

func eventOf(page, more string, at time.Time) string {
	return fmt.Sprintf(`{"event_name":"LeadSubmitted","event_time":%d,"event_id":%q,"action_source":"business_messaging","messaging_channel":"messenger",`+
		`"user_data":{"page_id":%q,"page_scoped_user_id":"7"%s}}`, at.Unix(), strconv.FormatUint(rand.Uint64(), 36), page, more)
}

// validate, publish and test-event say of every event what a worker does.
func TestTheVerbsAndTheWorkerAgree(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := setupAgreement(t, same)
	table := []struct {
		name    string
		message message
		want    string
	}{
		{"sound", message{dataset, eventOf("1061", "", now)}, "sent"},
		{"personal data to be hashed", message{dataset, eventOf("1061", `,"em":" Jane@Example.com"`, now)}, "sent"},
		{"a secret to be taken out", message{dataset, eventOf("1061", `,"access_token":"x","x":"EAAB-a-token-of-no-app"`, now)}, "sent"},
		{"members to be removed", message{dataset, eventOf("1061", `,"fbp":"fb.1.1.1"`, now)}, "sent"},
		{"a code of its own", message{dataset, strings.Replace(eventOf("1061", "", now), "{", `{"test_event_code":"T",`, 1)}, "sent"},
		{"a body with a partner", message{dataset, `{"partner_agent":"theirs","data":[` + eventOf("1061", "", now) + "]}"}, "sent"},
		{"account to be found", message{admission.Auto, eventOf("1061", "", now)}, "sent"},
		{"account nobody knows", message{admission.Auto, eventOf("4711", "", now)}, "no_dataset"},
		{"account not asked for", message{dataset, eventOf("4711", "", now)}, "sent"},
		{"restricted region", message{dataset, eventOf("49", "", now)}, "restricted_region"},
		{"restricted region, found", message{admission.Auto, eventOf("49", "", now)}, "restricted_region"},
		{"too large", message{dataset, eventOf("1061", `,"x":"`+strings.Repeat("x", 20_000)+`"`, now)}, "too_large"},
		{"too large with what is beside it", message{dataset, `{"upload_tag":"` + strings.Repeat("x", 10_000) + `","data":[` +
			eventOf("1061", `,"x":"`+strings.Repeat("x", 10_000)+`"`, now) + "]}"}, "too_large"},
		{"from a fast clock", message{dataset, eventOf("1061", "", now.Add(8*time.Minute))}, "waits"},
		{"from the future", message{dataset, eventOf("1061", "", now.Add(12*time.Minute))}, "invalid"},
		{"too old", message{dataset, eventOf("1061", "", now.AddDate(0, 0, -8))}, "expired"},
		{"faulty", message{dataset, strings.Replace(eventOf("1061", "", now), "LeadSubmitted", "Lead", 1)}, "invalid"},
		{"faulty, and old", message{dataset, strings.Replace(eventOf("1061", "", now.AddDate(0, 0, -8)), "LeadSubmitted", "Lead", 1)}, "invalid"},
		{"no event", message{dataset, "7"}, "invalid"},
		{"no events", message{dataset, `{"data":[]}`}, "invalid"},
		{"malformed", message{dataset, `{"a":1,"a":2}`}, "malformed"},
	}
	var messages []message
	for _, tc := range table {
		messages = append(messages, tc.message)
	}
	for i, did := range a.requireAgreement(messages) {
		require.Equal(t, table[i].want, did.what, table[i].name)
	}
}

// Where a worker would dead-letter every event, no verb begins.
func TestAWordThatIsNoDatasetIsRefused(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"not-a-dataset", "12.34", "*", strings.Repeat("1", 33)} {
		for _, verb := range [][]string{{"validate"}, {"publish"}, {"test-event", "--code", "T"}} {
			root := newRoot()
			root.SetArgs(append(verb, "--dataset", word, "events"))
			require.Equal(t, exit.WrongUsage, command.ExitCode(root.ExecuteContext(t.Context())), "%s %s", verb, word)
		}
	}
}

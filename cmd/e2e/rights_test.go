package e2e_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// shop is the dataset in the documentation's table of rights.
const shop = "1234567890"

// guarded is a rig whose NATS lets in nobody without credentials, and the roles
// that docs/security.md knows.
type guarded struct {
	*rig

	account *natstest.Account
	roles   map[string]natstest.Rights

	mu   sync.Mutex
	seen []*nats.Msg // what has been published
}

func guard(t *testing.T, change ...func(*config.Config)) *guarded {
	t.Helper()
	g := &guarded{rig: setup(t, change...), roles: natstest.Documented(t, "../../docs/security.md")}
	g.AddDataset(shop, token)
	options := &server.Options{}
	g.account = natstest.NewAccount(t, options)
	g.nats = natstest.StartWith(t, options)
	g.js = g.nats.JetStream(nats.UserCredentialBytes([]byte(g.account.Creds())))
	return g
}

// as gives whoever is started from now on these rights.
func (g *guarded) as(rights natstest.Rights) {
	g.t.Helper()
	g.config.NATS.CredsFile = g.file(fmt.Sprintf("user-%d.creds", g.files.Add(1)), g.account.CredsFor(rights))
}

func (g *guarded) asRole(role string) {
	g.t.Helper()
	require.Contains(g.t, g.roles, role)
	g.as(g.roles[role])
}

// makeStreams makes all streams and consumers, and a dead letter.
func (g *guarded) makeStreams() {
	g.t.Helper()
	cfg := g.config.NATS.Streams
	cfg.Manage = true
	set := streams.New(cfg, g.js, nil)
	require.NoError(g.t, set.Ensure(g.t.Context()))
	require.NoError(g.t, set.EnsureConsumers(g.t.Context()))
	letter := &nats.Msg{Subject: "capi.dead." + shop + ".refused", Data: []byte(event("dead", "x")), Header: nats.Header{
		header.Reason: {"refused"}, header.Dataset: {shop}, header.OriginSubject: {"capi.events." + shop},
	}}
	_, err := g.js.PublishMsg(g.t.Context(), letter)
	require.NoError(g.t, err)
}

// listen notes everything that is published.
func (g *guarded) listen() {
	g.t.Helper()
	_, err := g.js.Conn().Subscribe(">", func(msg *nats.Msg) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.seen = append(g.seen, msg)
	})
	require.NoError(g.t, err)
	require.NoError(g.t, g.js.Conn().Flush())
}

// hearAll waits until everything that has been published so far has been noted: what
// has come to the connection may not have been yet.
func (g *guarded) hearAll() {
	g.t.Helper()
	marker := nats.NewInbox()
	require.NoError(g.t, g.js.Conn().Publish(marker, nil))
	g.await("what was published has been noted", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return slices.ContainsFunc(g.seen, func(msg *nats.Msg) bool { return msg.Subject == marker })
	})
}

// requireUsed makes sure that every right of these roles has been used since
// the last time: the answer to what was published was to go to the role's inbox.
func (g *guarded) requireUsed(roles ...string) {
	g.t.Helper()
	g.hearAll()
	for _, role := range roles {
		require.Empty(g.t, g.unused(role), role)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = nil
}

func (g *guarded) unused(role string) (unused []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	rights := g.roles[role]
	for _, right := range rights.Publish {
		if !slices.ContainsFunc(g.seen, uses(right, strings.TrimSuffix(rights.Subscribe[0], ">"))) {
			unused = append(unused, right)
		}
	}
	return unused
}

func uses(right, inbox string) func(msg *nats.Msg) bool {
	return func(msg *nats.Msg) bool {
		ours := strings.HasPrefix(msg.Reply, inbox) || strings.HasPrefix(msg.Subject, "$JS.ACK.")
		return ours && within(strings.Split(msg.Subject, "."), strings.Split(right, "."))
	}
}

// within tells whether a subject is one of those that a pattern stands for.
func within(subject, pattern []string) bool {
	for i, word := range pattern {
		switch {
		case word == ">":
			return len(subject) > i
		case i >= len(subject) || word != "*" && word != subject[i]:
			return false
		}
	}
	return len(subject) == len(pattern)
}

// requireNothingDenied asserts that workers were denied nothing but what the
// documentation says they do without.
func (g *guarded) requireNothingDenied() {
	g.t.Helper()
	for line := range strings.Lines(g.logs()) {
		if strings.Contains(line, "denies") {
			require.Contains(g.t, line, "$JS.API.INFO")
		}
	}
}

// Each role has exactly the rights that the documentation lists, and uses every
// one of them.
func TestTheRightsOfEachRoleAreEnoughAndNeeded(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.listen()

	g.asRole("Maker of the streams")
	g.must("stream", "ensure")
	g.consume("CAPI", "capi.events.other")
	g.consume("CAPI_PARKED", "capi.parked.due.other")
	g.must("stream", "ensure")
	g.requireUsed("Maker of the streams")

	g.asRole("Worker")
	g.config.NATS.Manage = false
	w := g.start()
	stdout, stderr, code := g.run("doctor")
	require.Zero(t, code, stdout+stderr)

	g.asRole("Producer")
	g.Script(shop, graphtest.Fault{Error: graphtest.PermissionMissing()})
	for _, id := range []string{"parked", "good"} {
		g.must("publish", "--dataset", shop, g.file(id+".ndjson", event(id, "x")))
	}
	g.must("publish", "--dataset", shop, g.file("refused.ndjson", event("refused", "invalid")))
	g.await("two are accepted, one is a letter", func() bool { return len(g.Ledger().Counts()) == 2 && g.size("CAPI_DLQ") == 1 })
	g.awaitQuiet()
	w.stop()
	g.requireNothingDenied()
	g.requireUsed("Producer", "Worker")

	g.asRole("Reader of dead letters")
	require.Contains(t, g.must("dlq", "ls"), "refused")
	require.Contains(t, g.must("dlq", "show", "1"), "refused")
	// Whether the last letters were deleted while they were being read is asked only then.
	const rare = "$JS.API.CONSUMER.INFO.CAPI_DLQ.*"
	g.roles["Reader of dead letters"], g.roles["Replayer"] = g.roles["Reader of dead letters"].Without(rare), g.roles["Replayer"].Without(rare)
	g.requireUsed("Reader of dead letters")

	g.asRole("Replayer")
	g.must("dlq", "replay", "1", "--dry-run")
	g.must("dlq", "replay", "--reason", "refused")
	g.requireUsed("Replayer")
	g.asRole("Worker")
	w = g.start()
	g.await("the replayed event is refused again", func() bool { return g.size("CAPI_DLQ") == 1 })
	w.stop()

	for _, stream := range []string{"CAPI", "CAPI_PARKED", "CAPI_DLQ"} {
		g.drop(stream)
	}
	g.asRole("Worker that makes the streams")
	g.config.NATS.Manage = true
	g.start()
	g.publishAll([]jetstreamMessage{{"capi.events." + shop, event("another", "x")}})
	g.await("it is accepted", func() bool { return len(g.Ledger().Counts()) == 3 })
	g.requireNothingDenied()
}

// What is missing is said in words, and not waited for.
func TestAMissingRightIsNamed(t *testing.T) {
	t.Parallel()
	putBack := replayed(t)
	const subscribe = `NATS denies the right to subscribe to %s>; grant it, or connect with another inbox prefix \(see docs/security.md, Rights in NATS\)`
	const publish = `NATS denies the right to publish to %s\S*; grant it \(see docs/security.md, Rights in NATS\)`
	for _, tc := range []struct{ role, without, want, verb string }{
		{"Producer", "_INBOX_capi_publish.>", subscribe, "publish --dataset " + shop + " FILE"},
		{"Producer", "capi.events." + shop, publish, "publish --dataset " + shop + " FILE"},
		{"Maker of the streams", "_INBOX_capi_worker.>", subscribe, "stream ensure"},
		{"Maker of the streams", "$JS.API.STREAM.CREATE.CAPI_PARKED", publish, "stream ensure"},
		{"Reader of dead letters", "_INBOX_capi_dlq.>", subscribe, "dlq ls"},
		{"Reader of dead letters", "$JS.API.STREAM.INFO.CAPI_DLQ", publish, "dlq show 1"},
		{"Reader of dead letters", "$JS.API.DIRECT.GET.CAPI_DLQ", publish, "dlq show 1"},
		{"Replayer", putBack, publish, "dlq replay 1"},
		{"Replayer", "$JS.API.STREAM.MSG.DELETE.CAPI_DLQ", publish, "dlq replay 1"},
		{"Worker", "_INBOX_capi_worker.>", subscribe, "doctor"},
		{"Worker", "$JS.API.CONSUMER.INFO.CAPI.capi-dispatcher", publish, "doctor"},
	} {
		t.Run(tc.verb+" without "+strings.Trim(tc.without, "$"), func(t *testing.T) {
			t.Parallel()
			g := guard(t)
			if !strings.HasPrefix(tc.verb, "stream") {
				g.makeStreams()
			}
			g.config.NATS.Manage = tc.role == "Maker of the streams"
			require.Contains(t, slices.Concat(g.roles[tc.role].Publish, g.roles[tc.role].Subscribe), tc.without)
			g.as(g.roles[tc.role].Without(tc.without))
			stdout, stderr, code := g.run(strings.Fields(strings.Replace(tc.verb, "FILE", g.file("a.ndjson", event("a", "x")), 1))...)
			require.Equal(t, 1, code)
			require.Regexp(t, fmt.Sprintf(tc.want, regexp.QuoteMeta(strings.TrimSuffix(tc.without, ">"))), stdout+stderr)
		})
	}
}

// replayed is the right to put events back.
func replayed(t *testing.T) string {
	t.Helper()
	rights := natstest.Documented(t, "../../docs/security.md")["Replayer"].Publish
	i := slices.IndexFunc(rights, func(right string) bool { return strings.HasPrefix(right, "capi.") })
	require.GreaterOrEqual(t, i, 0)
	return rights[i]
}

// Readiness says which right a worker lacks. An inbox that is granted is used
// without a restart.
func TestAWorkerSaysWhichRightItLacks(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ without, condition string }{
		{"_INBOX_capi_worker.>", "events"},
		{"$JS.API.STREAM.INFO.CAPI_DLQ", "events"},
		{"$JS.API.CONSUMER.MSG.NEXT.CAPI.capi-dispatcher", "events"},
		{"$JS.ACK.CAPI.capi-dispatcher.>", "events"},
		{"$JS.API.CONSUMER.MSG.NEXT.CAPI_PARKED.capi-dispatcher", "parked"},
		{"capi.dead.>", "exits"},
	} {
		t.Run(strings.Trim(tc.without, "$"), func(t *testing.T) {
			t.Parallel()
			g := guard(t, func(cfg *config.Config) { cfg.NATS.Manage = false })
			g.makeStreams()
			all := g.roles["Worker"]
			g.as(all.Without(tc.without))
			g.publishAll([]jetstreamMessage{{"capi.events." + shop, event("good", "x")}, {"capi.events." + shop, event("refused", "invalid")}})
			w := g.launch(program)
			denied := "NATS denies the right to"
			g.await("readiness names the right", func() bool {
				reason := w.readiness().reason(tc.condition)
				return strings.Contains(reason, denied) && strings.Contains(reason, strings.TrimSuffix(tc.without, ">"))
			})
			require.Contains(t, g.logs(), denied)
			if strings.HasPrefix(tc.without, "_INBOX") {
				require.NoError(t, os.WriteFile(g.config.NATS.CredsFile, []byte(g.account.CredsFor(all)), 0o600))
				g.await("it is ready", func() bool { return w.readiness().Ready })
			}
		})
	}
}

// Pulls deliver events to inboxes, and many clients may read the default ones.
func TestWhoReadsTheDefaultInboxesReadsNobodysEvents(t *testing.T) {
	t.Parallel()
	g := guard(t)
	var heard sync.Map
	curious := g.nats.JetStream(nats.UserCredentialBytes([]byte(g.account.CredsFor(natstest.Rights{Subscribe: []string{"_INBOX.>"}})))).Conn()
	_, err := curious.Subscribe("_INBOX.>", func(msg *nats.Msg) { heard.Store(string(msg.Data), true) })
	require.NoError(t, err)
	require.NoError(t, curious.Flush())

	g.config.NATS.CredsFile = g.file("all.creds", g.account.Creds())
	g.start()
	g.must("publish", "--dataset", shop, g.file("events.ndjson", event("good", "x")+"\n"+event("refused", "invalid")))
	g.await("one is accepted, one is a letter", func() bool { return len(g.Ledger().Counts()) == 1 && g.size("CAPI_DLQ") == 1 })
	require.Contains(t, g.must("dlq", "ls"), "refused")
	require.Contains(t, g.must("dlq", "show", "1"), "refused")

	require.NoError(t, curious.Flush())
	some := false
	heard.Range(func(text, _ any) bool {
		some = true
		require.NotContains(t, text, "event_name")
		return true
	})
	require.True(t, some, "the test's own answers are heard")
}

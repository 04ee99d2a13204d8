package dispatcher_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/index"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/webhook"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	rules "github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

const phone = "491701234567"

func keys(tb testing.TB) *keyring.Ring {
	tb.Helper()
	ring, err := keyring.Parse("k1 " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	require.NoError(tb, err)
	return ring
}

// countedIndex counts how often it is asked.
type countedIndex struct {
	attribution.Index

	looks *atomic.Int64
}

func (c countedIndex) Look(ctx context.Context, queries []index.Query) []index.Found {
	c.looks.Add(1)
	return c.Index.Look(ctx, queries)
}

func (b *harness) attribution(o *options) dispatcher.Attribution {
	b.t.Helper()
	looked := attribution.Index(index.New(o.redis, o.people.Keep))
	if o.looks != nil {
		looked = countedIndex{looked, o.looks}
	}
	return attribution.New(*o.people, &o.cfg.Assets, keys(b.t), looked)
}

// attributed has events looked up, for a while.
func attributed(wait time.Duration, change ...func(*attribution.Config)) func(*options) {
	return func(o *options) {
		cfg := attribution.DefaultConfig()
		cfg.Wait = wait
		for _, c := range change {
			c(&cfg)
		}
		o.people = &cfg
		o.cfg.Assets = admission.Assets{
			WhatsAppAccounts: map[string]admission.WhatsAppAccount{"102": {Dataset: dataset}, "900": {Dataset: other}},
			Pages:            map[string]admission.Asset{"106": {Dataset: dataset, Country: "US"}},
			Instagram:        map[string]admission.Asset{"108": {Dataset: dataset, Country: "US"}},
		}
	}
}

// hear puts what a webhook tells into the index.
func (b *harness) hear(updates ...webhook.Update) {
	b.t.Helper()
	var records []clicks.Record
	for i := range updates {
		records = append(records, clicks.New(keys(b.t), &updates[i]))
	}
	require.NoError(b.t, index.New(b.options.redis, b.options.people.Keep).Put(b.t.Context(), records))
}

func clicked(click, phone string, at time.Time) webhook.Update {
	return webhook.Update{Channel: rules.WhatsApp, Account: "102", Click: click, At: at, Person: webhook.Person{Phones: []string{phone}}}
}

// conversion is an event that only says whose it is.
func conversion(id, channel, user, capi string, at time.Time) string {
	if id != "" {
		id = fmt.Sprintf(`"event_id":%q,`, id)
	}
	return fmt.Sprintf(`{"event_name":"LeadSubmitted",%s"event_time":%d,"action_source":"business_messaging","messaging_channel":%q,"user_data":%s,"_capi":%s}`,
		id, at.Unix(), channel, user, capi)
}

// sent are the events that Meta has accepted, as they were sent, by event_id.
func (b *harness) sent() map[string]string {
	b.t.Helper()
	all := make(map[string]string)
	for _, e := range b.Ledger().Entries() {
		all[e.ID] = string(e.Raw)
	}
	return all
}

// contents is all that a stream holds, headers and all.
func (b *harness) contents(name string) string {
	b.t.Helper()
	var all strings.Builder
	stream, err := b.js.Stream(b.t.Context(), name)
	require.NoError(b.t, err)
	for sequence := stream.CachedInfo().State.FirstSeq; sequence <= b.lastSequence(name); sequence++ {
		msg, err := stream.GetMsg(b.t.Context(), sequence)
		require.NoError(b.t, err)
		fmt.Fprintln(&all, msg.Subject, msg.Header, string(msg.Data))
	}
	return all.String()
}

func TestAClickIsFilledIn(t *testing.T) {
	t.Parallel()
	b := setup(t, attributed(time.Minute))
	now := time.Now()
	b.hear(clicked("day 0", phone, now.Add(-4*24*time.Hour)), clicked("day 3", phone, now.Add(-24*time.Hour)),
		webhook.Update{Channel: rules.Messenger, Account: "106", At: now, Person: webhook.Person{Users: []string{"17"}, Conversation: "c-1"}},
		webhook.Update{Channel: rules.Instagram, Account: "108", At: now, Person: webhook.Person{Users: []string{"18"}, Conversation: "c-2"}})
	b.publish(dataset,
		conversion("day 2", "whatsapp", `{}`, `{"wa_id":"`+phone+`"}`, now.Add(-2*24*time.Hour)),
		conversion("day 4", "whatsapp", `{}`, `{"phone":"+49 170 1234567"}`, now),
		conversion("hashed", "whatsapp", `{"whatsapp_business_account_id":"102","ph":["`+clicks.HashPhone(phone)+`"]}`, `null`, now),
		conversion("given", "whatsapp", `{"whatsapp_business_account_id":"102","ctwa_clid":"given"}`, `{"wa_id":"`+phone+`"}`, now),
		conversion("messenger", "messenger", `{}`, `{"conversation_id":"c-1"}`, now),
		conversion("a psid", "messenger", `{}`, `{"user_id":"19"}`, now),
		conversion("instagram", "instagram", `{"ig_account_id":"108"}`, `{"conversation_id":"c-2"}`, now),
	)
	b.publish("auto", conversion("auto", "whatsapp", `{}`, `{"wa_id":"`+phone+`","account":"102"}`, now))
	msg := &nats.Msg{Subject: "capi.events." + dataset, Data: []byte(conversion("by header", "messenger", `{}`, `null`, now)), Header: nats.Header{"Capi-Conversation-Id": {"c-1"}}}
	b.publishMsg(msg)
	b.awaitAccepted(9)
	sent := b.sent()
	for id, want := range map[string][]string{
		"day 2": {`"ctwa_clid":"day 0"`, `"whatsapp_business_account_id":"102"`}, "day 4": {`"ctwa_clid":"day 3"`}, "hashed": {`"ctwa_clid":"day 3"`},
		"given": {`"ctwa_clid":"given"`}, "messenger": {`"page_scoped_user_id":"17"`, `"page_id":"106"`}, "a psid": {`"page_scoped_user_id":"19"`, `"page_id":"106"`},
		"instagram": {`"ig_sid":"18"`}, "auto": {`"ctwa_clid":"day 3"`}, "by header": {`"page_scoped_user_id":"17"`},
	} {
		for _, member := range want {
			require.Contains(t, sent[id], member, id)
		}
		require.NotContains(t, sent[id], "_capi", id)
		require.NotContains(t, sent[id], phone, id)
	}
	b.awaitQuiet()
	require.Zero(t, b.streamSize("CAPI_DLQ"))
	require.Equal(t, int64(8), b.books("capi.attribution.lookups", attribute.String("found", "found")))
}

// The member is for the dispatcher, whatever is configured.
func TestTheReferenceIsTakenOutWhereNothingIsLookedUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, conversion("a", "whatsapp", `{"whatsapp_business_account_id":"102","ctwa_clid":"given"}`, `{"wa_id":"`+phone+`"}`, time.Now()))
	b.publish(dataset, conversion("b", "whatsapp", `{"whatsapp_business_account_id":"102"}`, `{"wa_id":"`+phone+`"}`, time.Now()))
	b.awaitAccepted(1)
	b.awaitQuiet()
	require.NotContains(t, b.sent()["a"], "_capi")
	letters := b.letters()
	require.Len(t, letters, 1)
	require.Equal(t, deadletter.Invalid, letters[0].Reason)
	require.NotContains(t, string(letters[0].Event), phone)
}

// The event is published before the webhook comes, and so is a copy of it. What is
// filled in is no part of what it is known by.
func TestAnEventWaitsForItsWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t, attributed(time.Hour))
	event := conversion("", "whatsapp", `{}`, `{"wa_id":"`+phone+`"}`, time.Now())
	b.publish(dataset, event)
	b.awaitParked(1) // and no slot is held
	stored := b.contents("CAPI_PARKED")
	require.NotContains(t, stored, phone)
	require.Contains(t, stored, `"_capi":{"aliases":["102:`)
	require.Contains(t, stored, "no_webhook")

	b.hear(clicked("late", phone, time.Now()))
	b.publish(dataset, event) // a copy, which is filled in at once
	b.publish(dataset, conversion("", "whatsapp", `{}`, `{"wa_id":"492"}`, time.Now()))
	b.awaitAccepted(1)
	b.await("the first has come back", func() bool { return b.books("capi.events.settled", attribute.String("outcome", "duplicate")) == 1 })
	require.Len(t, b.Ledger().Entries(), 1, "once")
	require.Contains(t, string(b.Ledger().Entries()[0].Raw), `"ctwa_clid":"late"`)
}

func TestWhatNoWebhookHasToldOf(t *testing.T) {
	t.Parallel()
	publish := func(b *harness) {
		b.publish(dataset, conversion("a", "whatsapp", `{"ph":"`+clicks.HashPhone(phone)+`"}`, `null`, time.Now()), event("good"))
	}
	t.Run("dead_letter", func(t *testing.T) {
		t.Parallel()
		b := setup(t, attributed(0))
		publish(b)
		b.awaitAccepted(1)
		b.await("it is a letter", func() bool { return b.streamSize("CAPI_DLQ") == 1 })
		letter := b.letters()[0]
		require.Equal(t, deadletter.Unattributed, letter.Reason)
		require.Contains(t, fmt.Sprint(letter.Faults), "no webhook has told of that person")

		b.hear(clicked("late", phone, time.Now()))
		b.replay(1)
		b.awaitAccepted(2)
		require.Contains(t, b.sent()["a"], `"ctwa_clid":"late"`)
	})
	t.Run("send_without", func(t *testing.T) {
		t.Parallel()
		b := setup(t, attributed(0, func(c *attribution.Config) { c.Unattributed = attribution.SendWithout }))
		publish(b)
		b.publish(dataset, conversion("b", "whatsapp", `{}`, `null`, time.Now()))
		b.awaitAccepted(2)
		require.Contains(t, b.sent()["a"], `"action_source":"chat"`)
		require.NotContains(t, b.sent()["a"], "messaging_channel")
		b.await("what Meta could make nothing of is a letter", func() bool { return b.streamSize("CAPI_DLQ") == 1 })
		require.Equal(t, deadletter.Unattributed, b.letters()[0].Reason)
	})
	t.Run("skip", func(t *testing.T) {
		t.Parallel()
		b := setup(t, attributed(0, func(c *attribution.Config) { c.Unattributed = attribution.Skip }))
		publish(b)
		b.awaitAccepted(1)
		b.awaitQuiet()
		require.Zero(t, b.streamSize("CAPI_DLQ"))
		require.Equal(t, int64(1), b.books("capi.events.settled", attribute.String("outcome", "skipped")))
	})
}

// Nobody gets what is known of another dataset's people by naming them.
func TestNobodyGetsAnothersClick(t *testing.T) {
	t.Parallel()
	b := setup(t, attributed(0))
	b.hear(clicked("theirs", phone, time.Now()))
	b.publish(other, conversion("a", "whatsapp", `{}`, `{"wa_id":"`+phone+`"}`, time.Now()),
		conversion("b", "whatsapp", `{"whatsapp_business_account_id":"102"}`, `{"wa_id":"`+phone+`"}`, time.Now()),
		conversion("c", "whatsapp", `{}`, `{"wa_id":"`+phone+`","account":"102"}`, time.Now()))
	b.await("they are letters", func() bool { return b.streamSize("CAPI_DLQ") == 3 })
	for _, letter := range b.letters() {
		require.Equal(t, deadletter.Unattributed, letter.Reason)
		require.NotContains(t, string(letter.Event), "theirs")
	}
}

// What has been filled in stays, and so do the aliases of the person.
func TestWhatWasFilledInIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t, attributed(time.Minute))
	b.hear(clicked("the click", phone, time.Now()))
	b.Script(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()})
	b.publish(dataset, conversion("a", "whatsapp", `{}`, `{"wa_id":"`+phone+`"}`, time.Now()))
	b.await("it is parked", func() bool { return b.streamSize("CAPI_PARKED") == 1 })
	require.Contains(t, b.contents("CAPI_PARKED"), `"ctwa_clid":"the click"`)
	require.Contains(t, b.contents("CAPI_PARKED"), `"aliases":["102:`)
	require.NoError(t, b.options.redis.FlushAll(t.Context()).Err())
	b.awaitAccepted(1)
	require.Contains(t, b.sent()["a"], `"ctwa_clid":"the click"`)
	require.NotContains(t, b.sent()["a"], "_capi")
}

// A thousand events of a message are looked up at once.
func TestAPageIsLookedUpAtOnce(t *testing.T) {
	t.Parallel()
	looks := new(atomic.Int64)
	b := setup(t, attributed(time.Minute), func(o *options) { o.looks = looks })
	now, conversions := time.Now(), make([]string, 1000)
	for i := range conversions {
		person := strconv.Itoa(4917000000000 + i)
		b.hear(clicked("click "+person, person, now))
		conversions[i] = conversion(strconv.Itoa(i), "whatsapp", `{}`, `{"wa_id":"`+person+`"}`, now)
	}
	b.publish(dataset, body(conversions...))
	b.awaitAccepted(1000)
	require.Equal(t, int64(1), looks.Load())
	for i, raw := range b.sent() {
		var n int
		_, err := fmt.Sscan(i, &n)
		require.NoError(t, err)
		require.Contains(t, raw, fmt.Sprintf(`"ctwa_clid":"click %d"`, 4917000000000+n))
	}
	b.publish(dataset, event("sound"))
	b.awaitAccepted(1001)
	require.Equal(t, int64(1), looks.Load(), "what lacks nothing is not looked up")
}

// A Redis that cannot be asked is no reason to give up.
func TestALookUpThatFailsIsDoneAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, attributed(0))
	b.hear(clicked("the click", phone, time.Now()))
	ring := keys(t)
	key := "capi:click:{whatsapp:102:" + ring.Alias(keyring.Scope{Channel: "whatsapp", Account: "102"}, keyring.Phone, clicks.HashPhone(phone)) + "}"
	require.NoError(t, b.options.redis.Rename(t.Context(), key, "aside").Err())
	require.NoError(t, b.options.redis.Set(t.Context(), key, "of another type", 0).Err())
	b.publish(dataset, conversion("a", "whatsapp", `{}`, `{"wa_id":"`+phone+`"}`, time.Now()))
	b.await("it waits", func() bool { return b.streamSize("CAPI_PARKED") == 1 })
	require.NoError(t, b.options.redis.Rename(t.Context(), "aside", key).Err())
	b.awaitAccepted(1)
	require.Contains(t, b.sent()["a"], `"ctwa_clid":"the click"`)
	require.Equal(t, int64(1), b.books("capi.attribution.lookups", attribute.String("found", "failed")))
}

// A number in the clear, and whatever else a producer says of a person, is in no
// stream that the dispatcher writes to.
func TestManyLettersOfOneMessageKeepTheirPeople(t *testing.T) {
	t.Parallel()
	b := setup(t, attributed(0))
	conversions := make([]string, 20)
	for i := range conversions {
		conversions[i] = conversion("", "whatsapp", `{}`, fmt.Sprintf(`{"wa_id":"49170%07d"}`, i), time.Now())
	}
	b.publish(dataset, body(conversions...))
	b.await("they share a letter", func() bool { return b.streamSize("CAPI_DLQ") == 1 })
	require.NotContains(t, b.contents("CAPI_DLQ"), "49170")
	for i := range conversions {
		b.hear(clicked(fmt.Sprintf("click-%d", i), fmt.Sprintf("49170%07d", i), time.Now()))
	}
	b.replay(1)
	b.await("all are accepted", func() bool { return len(b.Ledger().Entries()) == 20 })
	var got []string
	for _, e := range b.Ledger().Entries() {
		_, rest, _ := strings.Cut(string(e.Raw), `"ctwa_clid":"`)
		click, _, _ := strings.Cut(rest, `"`)
		got = append(got, click)
	}
	slices.Sort(got)
	require.Len(t, slices.Compact(got), 20)
}

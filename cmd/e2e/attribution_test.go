package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/webhook"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

const (
	waba, page, account = "102290129340398", "1061", "1081" // the first is that of the guide's sample
	appSecret           = "app-secret"
	verifyToken         = "verify-token"
)

// captured is a rig whose events are looked up, with a receiver of webhooks.
type captured struct {
	*rig

	address string
}

func capture(t *testing.T, change ...func(*config.Config)) *captured {
	t.Helper()
	c := &captured{address: fmt.Sprint("127.0.0.1:", porttest.Port(t))}
	c.rig = setup(t, append([]func(*config.Config){func(cfg *config.Config) {
		cfg.Attribution.Enabled, cfg.Attribution.Wait = true, time.Minute
		cfg.Webhooks.Address = c.address
		cfg.Assets = admission.Assets{
			WhatsAppAccounts: map[string]admission.WhatsAppAccount{waba: {Dataset: datasetID(0)}},
			Pages:            map[string]admission.Asset{page: {Dataset: datasetID(0), Country: "US"}},
			Instagram:        map[string]admission.Asset{account: {Dataset: datasetID(0), Country: "US"}},
		}
	}}, change...)...)
	c.config.Attribution.KeyFile = c.file("people.keys", "k1 "+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))
	c.config.Webhooks.VerifyTokenFile = c.file("verify-token", verifyToken)
	c.config.Webhooks.AppSecretFiles = []string{c.file("other-secret", "another"), c.file("app-secret", appSecret)}
	c.addDatasets(1)
	return c
}

// receive runs a receiver and waits until it is ready.
func (c *captured) receive() *worker {
	c.t.Helper()
	w := c.launchVerb(shipped, "webhooks")
	c.await("the receiver is ready", func() bool { return w.readiness().Ready })
	return w
}

func (c *captured) work() *worker {
	c.t.Helper()
	w := c.launch(shipped)
	c.await("the worker is ready", func() bool { return w.readiness().Ready })
	return w
}

// post sends a webhook the way Meta does, and returns the code of the answer; 0 is none.
func (c *captured) post(body, signature string) int {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+c.address+"/", strings.NewReader(body))
	require.NoError(c.t, err)
	request.Header.Set("X-Hub-Signature-256", signature)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func (c *captured) deliver(body string) int {
	c.t.Helper()
	return c.post(body, webhook.Sign([]byte(body), appSecret))
}

func sample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../dispatcher/attribution/webhook/testdata/guide.json")
	require.NoError(t, err)
	return string(text)
}

// messages is a webhook of WhatsApp with messages.
func messages(list ...string) string {
	return `{"object":"whatsapp_business_account","entry":[{"id":"` + waba + `","changes":[{"field":"messages","value":{"messages":[` + strings.Join(list, ",") + `]}}]}]}`
}

func clickBy(from, click string, at time.Time) string {
	return fmt.Sprintf(`{"from":%q,"id":"wamid.%s","timestamp":"%d","type":"text","referral":{"source_id":"990099","source_type":"ad","ctwa_clid":%q}}`, from, click, at.Unix(), click)
}

// purchase is a conversion of which a producer knows only whose it is.
func purchase(id, channel, capi string, at time.Time) string {
	return fmt.Sprintf(`{"event_name":"Purchase","event_id":%q,"event_time":%d,"action_source":"business_messaging","messaging_channel":%q,`+
		`"user_data":{},"custom_data":{"currency":"EUR","value":1},"_capi":%s}`, id, at.Unix(), channel, capi)
}

func (c *captured) convert(events ...string) {
	c.t.Helper()
	for _, e := range events {
		c.publishAll([]jetstreamMessage{{"capi.events." + datasetID(0), e}})
	}
}

// person returns who an accepted event was about, as Meta got it.
func (c *captured) person(id string) string {
	for _, entry := range c.Ledger().Entries() {
		var sent struct {
			User map[string]any `json:"user_data"`
		}
		if entry.ID == id && json.Unmarshal(entry.Raw, &sent) == nil {
			for _, member := range []string{"ctwa_clid", "page_scoped_user_id", "ig_sid"} {
				if person, ok := sent.User[member].(string); ok {
					return person
				}
			}
		}
	}
	return ""
}

func (c *captured) awaitPerson(id, person string) {
	c.t.Helper()
	c.await(id+" is accepted, about "+person, func() bool { return c.person(id) == person })
}

// awaitIndexed waits until the index has everything that is in the stream.
func (c *captured) awaitIndexed() {
	c.t.Helper()
	c.await("the index has everything", func() bool {
		consumer, err := c.js.Consumer(context.Background(), "CAPI_CLICKS", "capi-dispatcher")
		if err != nil {
			return false
		}
		info := consumer.CachedInfo()
		return info.NumPending == 0 && info.NumAckPending == 0
	})
}

// Acceptance 1: what is not Meta's is refused.
func TestAttribution01OnlyWhatMetaHasSignedIsTaken(t *testing.T) {
	t.Parallel()
	c := capture(t)
	r := c.receive()
	const body = `{"object":"whatsapp_business_account","entry":[]}`
	const signature = "sha256=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f"
	require.Equal(t, 200, c.post(body, signature))
	require.Equal(t, 401, c.post(strings.Replace(body, "whatsapp", "whatsapq", 1), signature), "one byte is another")
	require.Equal(t, 401, c.post(`{"object": "whatsapp_business_account", "entry": []}`, signature), "written otherwise")
	require.Equal(t, 401, c.post(body, "sha1=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349"))
	require.Equal(t, 401, c.post(body, ""))
	require.Equal(t, 200, c.post(body, webhook.Sign([]byte(body), "another")), "with any of the secrets")
	large := `{"object":"page","x":"` + strings.Repeat("x", 8<<20) + `"}`
	require.Equal(t, 413, c.deliver(large))
	require.Equal(t, 200, c.deliver("not JSON"), "Meta would send it again for days")

	get := func(query string) (int, string) {
		response, err := http.Get("http://" + c.address + "/?" + query)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(text)
	}
	code, challenge := get("hub.mode=subscribe&hub.verify_token=" + verifyToken + "&hub.challenge=1158201444")
	require.Equal(t, 200, code)
	require.Equal(t, "1158201444", challenge, "bare")
	for _, query := range []string{
		"hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1", "hub.verify_token=" + verifyToken + "&hub.challenge=1",
		"hub.mode=subscribe&hub.verify_token=" + verifyToken + "&hub.challenge=<script>", "",
	} {
		code, _ := get(query)
		require.Equal(t, 403, code, query)
	}
	figures, err := r.get("/metrics")
	require.NoError(t, err)
	require.Regexp(t, `capi_webhooks_answered_total\{code="401",method="POST"[^}]*\} 4`, figures)
}

// Acceptance 2: the guide's sample, then an event with only the phone number.
func TestAttribution02TheGuidesSampleAndAnEventByPhone(t *testing.T) {
	t.Parallel()
	c := capture(t)
	c.receive()
	// The sample is of 2023, and clicks are kept for four weeks.
	require.Equal(t, 200, c.deliver(strings.Replace(sample(t), "1678189586", strconv.FormatInt(time.Now().Unix(), 10), 1)))
	c.awaitIndexed()
	file := c.file("events.ndjson", purchase("a", "whatsapp", `{"wa_id":"16315551234"}`, time.Now())+"\n"+purchase("b", "whatsapp", `{"wa_id":"1"}`, time.Now()))
	told := c.must("validate", "--dataset", datasetID(0), "--explain-attribution", file)
	require.Contains(t, told, "line 1: note: /user_data/ctwa_clid: found on account "+waba)
	require.Contains(t, told, "line 2: note: /user_data/ctwa_clid: nothing is known of that person yet; it would wait for 1m0s, and then: dead_letter")
	c.work()
	c.convert(purchase("a", "whatsapp", `{"wa_id":"16315551234"}`, time.Now()), purchase("b", "whatsapp", `{"phone":"+1 (631) 555-1234"}`, time.Now()))
	const click = "ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwFF4XvnO2E4Nx0-eM-GABDLOPaOdRMv-_zfUQ2a"
	c.awaitPerson("a", click)
	c.awaitPerson("b", click)
}

// Acceptance 3: which click it was, a month's conversation over.
func TestAttribution03EachPurchaseHasTheClickBeforeIt(t *testing.T) {
	t.Parallel()
	c := capture(t)
	c.receive()
	day := func(n int) time.Time { return time.Now().Add(time.Duration(n-5) * 24 * time.Hour) }
	require.Equal(t, 200, c.deliver(messages(clickBy("491", "day 0", day(0)), clickBy("491", "day 3", day(3)))))
	c.awaitIndexed()
	c.work()
	c.convert(purchase("day 2", "whatsapp", `{"wa_id":"491"}`, day(2)), purchase("day 4", "whatsapp", `{"wa_id":"491"}`, day(4)))
	c.awaitPerson("day 2", "day 0")
	c.awaitPerson("day 4", "day 3")
}

// Acceptance 4: a thousand updates, one of them malformed.
func TestAttribution04OneOfAThousandUpdatesIsMalformed(t *testing.T) {
	t.Parallel()
	c := capture(t)
	r := c.receive()
	list := make([]string, 1000)
	for i := range list {
		list[i] = clickBy(strconv.Itoa(49170000000+i), fmt.Sprint("click", i), time.Now())
	}
	list[500] = `{"from":{},"timestamp":"soon"}`
	require.Equal(t, 200, c.deliver(messages(list...)))
	require.Equal(t, 999, c.size("CAPI_CLICKS"))
	figures, err := r.get("/metrics")
	require.NoError(t, err)
	require.Regexp(t, `capi_webhooks_updates_total\{[^}]*outcome="malformed"[^}]*\} 1\n`, figures)
	require.Regexp(t, `capi_webhooks_updates_total\{[^}]*outcome="stored"[^}]*\} 999\n`, figures)
}

// Acceptance 5: nothing is answered with 200 that is not stored, and what comes again
// is stored once.
func TestAttribution05WithoutNATSMetaIsToldToComeAgain(t *testing.T) {
	t.Parallel()
	c := capture(t)
	r := c.receive()
	body := messages(clickBy("491", "the click", time.Now()))
	c.nats.Stop()
	c.await("it is answered with 503", func() bool { return c.deliver(body) == 503 })
	c.nats.Restart()
	c.await("it is stored", func() bool { return c.deliver(body) == 200 })
	for range 3 {
		require.Equal(t, 200, c.deliver(body))
	}
	require.Equal(t, 1, c.size("CAPI_CLICKS"))
	c.awaitIndexed()
	require.True(t, r.readiness().Ready)
}

// Acceptance 6: killed between NATS' acknowledgement and the answer, and between Redis
// and the acknowledgement to NATS.
func TestAttribution06AKilledReceiverChangesNothing(t *testing.T) {
	t.Parallel()
	at := time.Now()
	body := messages(clickBy("491", "first", at.Add(-time.Hour)), clickBy("491", "second", at), clickBy("492", "other", at))
	undisturbed := capture(t)
	undisturbed.receive()
	require.Equal(t, 200, undisturbed.deliver(body))
	undisturbed.awaitIndexed()
	want := dump(t, undisturbed)
	require.Len(t, want, 2)
	for name, h := range map[string]hold{
		"stored, not answered":          {at: toClient, match: contains(`{"stream":"CAPI_CLICKS"`)},
		"in Redis, not acknowledged":    {at: toServer, match: contains("$JS.ACK.CAPI_CLICKS")},
		"fetched, not written to Redis": {at: toClient, match: contains("$JS.ACK.CAPI_CLICKS")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := capture(t, func(cfg *config.Config) { cfg.NATS.AckWait = 10 * time.Second })
			address, err := url.Parse(c.nats.URL())
			require.NoError(t, err)
			direct, via := c.lead, newProxyOf(t, new(atomic.Bool), address.Host)
			c.lead = func(cfg *config.Config) {
				direct(cfg)
				cfg.NATS.URL = secret.URLs("nats://" + via.address())
			}
			r := c.receive()
			reached := via.hold(h)
			answered := make(chan int, 1)
			go func() { answered <- c.deliver(body) }()
			<-reached
			r.kill()
			<-answered
			c.lead = direct
			c.receive()
			require.Equal(t, 200, c.deliver(body), "Meta comes again")
			c.await("the state is the same", func() bool { return slices.Equal(want, dump(t, c)) })
			require.Equal(t, 3, c.size("CAPI_CLICKS"))
		})
	}
}

// dump is what is in the index: each key with its members and their times.
func dump(t *testing.T, c *captured) (all []string) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: c.redis.Addr})
	defer func() { _ = client.Close() }()
	keys, err := client.Keys(t.Context(), "capi:*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		members, err := client.ZRangeWithScores(t.Context(), key, 0, -1).Result()
		require.NoError(t, err)
		all = append(all, fmt.Sprint(key, members, client.ExpireTime(t.Context(), key).Val()))
	}
	slices.Sort(all)
	return all
}

// Acceptance 7: the conversion comes before its webhook.
func TestAttribution07TheEventComesBeforeItsWebhook(t *testing.T) {
	t.Parallel()
	c := capture(t)
	c.receive()
	c.work()
	c.convert(purchase("early", "whatsapp", `{"wa_id":"491"}`, time.Now()))
	c.await("it waits", func() bool { return c.size("CAPI_PARKED") == 1 })
	require.Equal(t, 200, c.deliver(messages(clickBy("491", "late", time.Now()))))
	c.awaitPerson("early", "late")
	c.awaitQuiet()
	require.Len(t, c.Ledger().Entries(), 1, "once")
}

// Acceptance 8: an ad in WhatsApp Status has no click, and no other id stands in for it.
func TestAttribution08AnAdInStatusHasNoClick(t *testing.T) {
	t.Parallel()
	c := capture(t, func(cfg *config.Config) { cfg.Attribution.Wait = 0 })
	c.receive()
	require.Equal(t, 200, c.deliver(messages(strings.Replace(clickBy("491", "x", time.Now()), `,"ctwa_clid":"x"`, "", 1))))
	c.work()
	c.convert(purchase("status", "whatsapp", `{"wa_id":"491"}`, time.Now()))
	c.await("it is a letter", func() bool { return c.size("CAPI_DLQ") == 1 })
	require.Contains(t, c.must("dlq", "ls"), string(deadletter.Unattributed))
	require.Empty(t, c.Ledger().Entries())
	require.NotContains(t, c.streams("CAPI_CLICKS", "CAPI_DLQ"), "990099")
}

// Acceptance 9: a person without a number, and one who gets another.
func TestAttribution09UserIDsAndNewNumbers(t *testing.T) {
	t.Parallel()
	c := capture(t)
	c.receive()
	now := time.Now()
	byUserID := fmt.Sprintf(`{"from":"","from_user_id":"DE.1","id":"wamid.1","timestamp":"%d","referral":{"ctwa_clid":"of DE.1"}}`, now.Unix())
	changed := fmt.Sprintf(`{"from":"","id":"wamid.2","timestamp":"%d","type":"system","system":{"type":"user_changed_number","wa_id":"492","user_id":"DE.2","previous_user_id":"DE.1"}}`, now.Unix())
	require.Equal(t, 200, c.deliver(messages(byUserID)))
	c.awaitIndexed()
	c.work()
	c.convert(purchase("by user id", "whatsapp", `{"user_id":"DE.1"}`, now))
	c.awaitPerson("by user id", "of DE.1")
	require.Equal(t, 200, c.deliver(messages(changed)))
	c.awaitIndexed()
	c.convert(purchase("by the new id", "whatsapp", `{"user_id":"DE.2"}`, now), purchase("by the new number", "whatsapp", `{"wa_id":"+492"}`, now))
	c.awaitPerson("by the new id", "of DE.1")
	c.awaitPerson("by the new number", "of DE.1")
}

// Acceptance 10: Redis has lost everything.
func TestAttribution10TheIndexIsRebuilt(t *testing.T) {
	t.Parallel()
	c := capture(t)
	r := c.receive()
	now := time.Now()
	require.Equal(t, 200, c.deliver(messages(clickBy("491", "first", now.Add(-time.Hour)), clickBy("491", "second", now), clickBy("492", "other", now))))
	c.awaitIndexed()
	r.stop()
	want := dump(t, c)
	client := redis.NewClient(&redis.Options{Addr: c.redis.Addr})
	defer func() { _ = client.Close() }()
	require.NoError(t, client.FlushAll(t.Context()).Err())
	require.Empty(t, dump(t, c))
	require.Contains(t, c.must("attribution", "rebuild"), "3 records put into Redis; 0 could not be read")
	require.Equal(t, want, dump(t, c))
	c.must("attribution", "rebuild")
	require.Equal(t, want, dump(t, c), "again, and nothing changes")
	c.work()
	c.convert(purchase("after", "whatsapp", `{"wa_id":"491"}`, now))
	c.awaitPerson("after", "second")
}

// Acceptance 11: a person is forgotten, wherever the dispatcher has put what it knew.
func TestAttribution11APersonIsForgotten(t *testing.T) {
	t.Parallel()
	const phone, neighbour = "4917012345678", "4917087654321"
	c := capture(t)
	c.receive()
	w := c.work()
	now := time.Now()
	withID := fmt.Sprintf(`{"object":"whatsapp_business_account","entry":[{"id":%q,"changes":[{"field":"messages","value":{"contacts":[{"wa_id":%q,"user_id":"DE.7"}],"messages":[{"from":%q,"id":"x","timestamp":"%d"}]}}]}]}`, waba, phone, phone, now.Unix())
	require.Equal(t, 200, c.deliver(withID))
	c.convert(purchase("parked", "whatsapp", `{"wa_id":"`+phone+`"}`, now), purchase("neighbour", "whatsapp", `{"wa_id":"`+neighbour+`"}`, now))
	c.await("both wait", func() bool { return c.size("CAPI_PARKED") == 2 })
	c.config.Attribution.Wait = 0
	w.stop()
	w = c.work()
	c.convert(purchase("letter", "whatsapp", `{"user_id":"DE.7"}`, now))
	c.await("one is a letter", func() bool { return c.size("CAPI_DLQ") >= 1 })
	w.stop()
	require.Equal(t, 200, c.deliver(messages(clickBy(phone, "secret-click", now), clickBy(neighbour, "neighbours-click", now))))
	c.awaitIndexed()
	before := c.size("CAPI_PARKED") + c.size("CAPI_DLQ")

	args := []string{"forget", "--channel", "whatsapp", "--account", waba, "--user", "+49 170 12345678"}
	require.Contains(t, c.must(append(args, "--dry-run")...), "would be deleted: ")
	require.Equal(t, before, c.size("CAPI_PARKED")+c.size("CAPI_DLQ"))
	said := c.must(args...)
	require.Contains(t, said, "deleted: ")
	require.Contains(t, said, "not reached: events as their producers have published them")
	require.Equal(t, 1, c.size("CAPI_CLICKS"), "the neighbour's click is left")
	require.Equal(t, before-2, c.size("CAPI_PARKED")+c.size("CAPI_DLQ"), "and what the neighbour has done")
	require.Len(t, dump(t, c), 1)
	everything := c.streams("CAPI_CLICKS", "CAPI_PARKED", "CAPI_DLQ", "CAPI_WEBHOOKS") + strings.Join(dump(t, c), "\n") + c.logs()
	for _, hidden := range []string{phone, "DE.7", "secret-click", neighbour, "neighbours-click"} {
		require.NotContains(t, everything, hidden)
	}
	c.must("attribution", "rebuild")
	require.Len(t, dump(t, c), 1, "nothing comes back")
}

// streams is all that streams hold.
func (c *captured) streams(names ...string) string {
	c.t.Helper()
	var all strings.Builder
	for _, name := range names {
		stream, err := c.js.Stream(c.t.Context(), name)
		require.NoError(c.t, err)
		state := stream.CachedInfo().State
		for number := state.FirstSeq; state.Msgs > 0 && number <= state.LastSeq; number++ {
			if msg, err := stream.GetMsg(c.t.Context(), number); err == nil {
				fmt.Fprintln(&all, msg.Subject, msg.Header, string(msg.Data))
			}
		}
	}
	return all.String()
}

// Acceptance 12: Messenger and Instagram, by the ids of the channel and by those of a
// partner's conversations, whose backend has received the webhook itself.
func TestAttribution12MessengerAndInstagram(t *testing.T) {
	t.Parallel()
	c := capture(t)
	c.receive()
	now := time.Now()
	hook := func(object, id, inside string) string {
		return fmt.Sprintf(`{"object":%q,"entry":[{"id":%q,"messaging":[{"sender":{"id":"17"},"recipient":{"id":%q},"timestamp":%d,%s}]}]}`, object, id, id, now.UnixMilli(), inside)
	}
	publish := func(subject, conversation, body string) {
		_, err := c.js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: []byte(body), Header: nats.Header{"Capi-Conversation-Id": {conversation}}})
		require.NoError(t, err)
	}
	publish("capi.webhooks."+page, "thread-1", hook("page", page, `"postback":{"referral":{"source":"ADS"}}`))
	publish("capi.webhooks.all", "thread-2", hook("instagram", account, `"message":{"mid":"m"}`))
	publish("capi.webhooks."+account, "stolen", hook("page", page, `"referral":{"source":"ADS"}`)) // of another account than the subject's
	publish("capi.webhooks.all", "", "not JSON")
	require.Equal(t, 200, c.deliver(hook("page", page, `"referral":{"source":"ADS"}`)))
	c.await("all are taken", func() bool { return c.size("CAPI_WEBHOOKS") == 0 && c.size("CAPI_CLICKS") == 3 })
	c.awaitIndexed()
	c.work()
	c.convert(
		purchase("a thread", "messenger", `{"conversation_id":"thread-1"}`, now), purchase("an id", "messenger", `{"user_id":"17"}`, now),
		purchase("instagram", "instagram", `{"conversation_id":"thread-2"}`, now), purchase("stolen", "messenger", `{"conversation_id":"stolen"}`, now),
	)
	for _, id := range []string{"a thread", "an id", "instagram"} {
		c.awaitPerson(id, "17")
	}
	require.Empty(t, c.person("stolen"))
}

package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func TestTheDatasetIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Assets = admission.Assets{
			Pages:            map[string]admission.Asset{"11": {Dataset: dataset}},
			WhatsAppAccounts: map[string]admission.WhatsAppAccount{"102": {Dataset: other}},
			Instagram:        map[string]admission.Asset{"17": {Dataset: dataset}},
		}
	})
	messaging := func(id, channel, user string) string {
		return fmt.Sprintf(`{"event_name":"LeadSubmitted","event_id":%q,"event_time":%d,"action_source":"business_messaging",`+
			`"messaging_channel":%q,"user_data":{%s}}`, id, time.Now().Unix(), channel, user)
	}
	b.publish(dataset, event("by subject"))
	b.publishMsg(&nats.Msg{
		Subject: "capi.events.auto", Data: []byte(event("by header")),
		Header: nats.Header{"Capi-Dataset-Id": {dataset}},
	})
	b.publish("auto",
		messaging("by page", "messenger", `"page_id":11,"page_scoped_user_id":"1"`),
		messaging("by whatsapp account", "whatsapp", `"whatsapp_business_account_id":"102","ctwa_clid":"c"`),
		messaging("by the ad's page", "whatsapp", `"page_id":"11","whatsapp_business_account_id":"777","ctwa_clid":"c"`),
		messaging("by instagram account", "instagram", `"ig_account_id":17,"ig_sid":"1"`),
		body(messaging("one of two", "messenger", `"page_id":11,"page_scoped_user_id":"1"`),
			messaging("two of two", "whatsapp", `"whatsapp_business_account_id":102,"ctwa_clid":"c"`)),
	)
	b.awaitAccepted(8)
	got := make(map[string]string)
	for e := range b.Ledger().Counts() {
		got[e.ID] = e.Dataset
	}
	require.Equal(t, map[string]string{
		"by subject": dataset, "by header": dataset, "by page": dataset, "by whatsapp account": other,
		"by the ad's page": dataset, "by instagram account": dataset, "one of two": dataset, "two of two": other,
	}, got)
	b.awaitQuiet()
}

func TestNoDataset(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("auto", event("a"))
	b.publish("not-a-dataset", event("b"))
	b.publish("12.34", event("c"))
	b.publishMsg(&nats.Msg{
		Subject: "capi.events.auto", Data: []byte(event("d")), Header: nats.Header{"Capi-Dataset-Id": {"../1"}},
	})
	for _, letter := range b.awaitLetters(4) {
		require.Equal(t, deadletter.NoDataset, letter.Reason)
		require.Empty(t, letter.Dataset)
		require.Len(t, letter.Faults, 1)
		require.NotEmpty(t, letter.Faults[0].Message)
	}
	b.awaitQuiet()
}

func TestWhatARequestBodySaysGoesAlong(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.PartnerAgent = "partner of all"
		o.cfg.Datasets = map[string]admission.Dataset{other: {PartnerAgent: "partner of one", TestEventCode: "TEST-config"}}
	})
	b.publish(dataset, event("plain"))
	b.publish(other, event("configured"))
	b.publish(other, `{"data":[`+event("body")+`],"partner_agent":"partner of body","test_event_code":"TEST-body","access_token":"oops"}`)
	b.publishMsg(&nats.Msg{
		Subject: "capi.events." + dataset, Data: []byte(event("header")), Header: nats.Header{"Capi-Test-Event-Code": {"TEST-header"}},
	})
	b.awaitAccepted(4)
	got := make(map[string]string)
	for _, entry := range b.Ledger().Entries() {
		got[entry.ID] = entry.PartnerAgent + "/" + entry.TestEventCode
	}
	require.Equal(t, map[string]string{
		"plain": "partner of all/", "configured": "partner of one/TEST-config",
		"body": "partner of body/TEST-body", "header": "partner of all/TEST-header",
	}, got)
}

func TestBytesAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	odd := strings.Replace(event("odd"), `"event_name"`, `"x_unknown" : { "big": 12345678901234567890.10, "esc": "\u00e9\/" } , "event_name"`, 1)
	b.publish(dataset, odd, body(strings.Replace(odd, `"odd"`, `"odder"`, 1)))
	b.awaitAccepted(2)
	for _, entry := range b.Ledger().Entries() {
		require.Equal(t, odd, strings.Replace(string(entry.Raw), `"odder"`, `"odd"`, 1))
	}
}

func TestFaultyEventsAreDeadLetters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	huge := strings.Replace(event("huge"), `"event_name"`, `"x":"`+strings.Repeat("x", 950_000)+`","event_name"`, 1)
	for _, tc := range []struct {
		name, message string
		reason        deadletter.Reason
		faults        []string
		letter        string // its event, if not the message
	}{
		{"malformed", `{"event_name":`, deadletter.Malformed, []string{" malformed"}, ""},
		{"no object", `[1]`, deadletter.Invalid, []string{" wrong_type"}, ""},
		{"no events", body(), deadletter.Invalid, []string{"/data empty"}, ""},
		{"several faults", `{"event_name":1,"event_time":"x","action_source":"business_messaging","user_data":{}}`, deadletter.Invalid, []string{
			"/event_name wrong_type", "/event_time wrong_type", "/messaging_channel missing",
		}, ""},
		{"too old", eventAt("old", time.Now().Add(-8*24*time.Hour)), deadletter.Expired, []string{"/event_time too_old"}, ""},
		{"from far in the future", eventAt("far", time.Now().Add(time.Hour)), deadletter.Invalid, []string{"/event_time in_future"}, ""},
		{"too large", huge, deadletter.TooLarge, []string{" too_large"}, ""},
		{"one of a body", body(event("good"), `{"event_name":"x"}`), deadletter.Invalid, []string{
			"/event_time missing", "/user_data missing", "/action_source missing",
		}, `{"event_name":"x"}`},
	} {
		before := b.lastSequence("CAPI_DLQ")
		b.publish(dataset, tc.message)
		letters := b.awaitLetters(int(before) + 1)
		letter := letters[before]
		require.Equal(t, tc.reason, letter.Reason, tc.name)
		require.Equal(t, dataset, letter.Dataset)
		var faults []string
		for _, f := range letter.Faults {
			faults = append(faults, f.Pointer+" "+string(f.Code))
		}
		require.Equal(t, tc.faults, faults, tc.name)
		if tc.letter == "" {
			tc.letter = tc.message
		}
		require.Equal(t, tc.letter, string(letter.Event), "the original bytes")
		require.Equal(t, "capi.events."+dataset, letter.OriginSubject)
		require.Equal(t, b.lastSequence("CAPI"), letter.OriginSequence)
		require.WithinDuration(t, time.Now(), letter.DeadLetteredAt, time.Minute)
		require.WithinDuration(t, time.Now(), letter.FirstSeen, time.Minute)
	}
	b.awaitQuiet()
	b.requireOnce("good")
	b.requireBalance()
}

func TestEventsFromAFastClockWaitForTheirTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now().Add(3 * time.Second)
	b.publish(dataset, eventAt("ahead", at))
	b.awaitAccepted(1)
	require.True(t, time.Now().After(at.Truncate(time.Second)))
	require.Zero(t, b.Ledger().Sum().Refused, "Meta has not seen it early")
	b.awaitQuiet()
}

func TestAThousandEventsInOneMessageAreOneRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, body(events(1000)...))
	b.awaitAccepted(1000)
	require.Equal(t, graphtest.Totals{Requests: 1, Batches: 1, Events: 1000, Largest: 1000}, b.Ledger().Sum())
	b.awaitQuiet()
	b.publish(dataset, `{"data":[{}`+strings.Repeat(",{}", 1000)+`]}`)
	require.Equal(t, deadletter.Invalid, b.awaitLetters(1)[0].Reason)
}

// To the NATS client, what has no data and a header Status is word from the server
// that a pull has ended. It is a message like any other, and poison to nobody but
// itself.
func TestAMessageThatLooksLikeAStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, code := range []string{"404", "409", "503"} {
		b.publishMsg(&nats.Msg{Subject: "capi.events." + dataset, Header: nats.Header{"Status": {code}, "Description": {"Consumer Deleted"}}})
		b.publish(dataset, event("after "+code))
	}
	b.awaitAccepted(3)
	for _, letter := range b.awaitLetters(3) {
		require.Equal(t, deadletter.Malformed, letter.Reason)
	}
	b.awaitQuiet()
}

package clicks_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/webhook"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ring(tb testing.TB) *keyring.Ring {
	tb.Helper()
	keys, err := keyring.Parse("k1 " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	require.NoError(tb, err)
	return keys
}

func cfg() *clicks.Config {
	return &clicks.Config{
		Stream: "CAPI_CLICKS", Subject: "capi.clicks", Queue: "CAPI_WEBHOOKS", QueueSubject: "capi.webhooks",
		Keep: time.Hour, Consumer: "capi-dispatcher", Replicas: 1, Manage: true,
	}
}

func update() webhook.Update {
	return webhook.Update{
		Channel: event.WhatsApp, Account: "102", Click: "the-click", At: time.Unix(1700000000, 0),
		Person: webhook.Person{Phones: []string{"491701234567"}, Users: []string{"US.1"}, Conversation: "c-1"},
	}
}

func TestARecordNamesNobody(t *testing.T) {
	t.Parallel()
	keys, u := ring(t), update()
	r := clicks.New(keys, &u)
	msg, err := r.Message("capi.clicks")
	require.NoError(t, err)
	for _, hidden := range []string{"491701234567", "US.1", "c-1", "the-click", clicks.HashPhone("491701234567")} {
		require.NotContains(t, msg.Subject+string(msg.Data)+fmt.Sprint(msg.Header), hidden)
	}
	require.Regexp(t, `^capi\.clicks\.whatsapp\.102\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{16}$`, msg.Subject)
	back, err := clicks.Parse(msg.Data)
	require.NoError(t, err)
	require.Equal(t, r, back)
	click, err := keys.Open(back.Scope(), back.Click)
	require.NoError(t, err)
	require.Equal(t, "the-click", click)
	require.Equal(t, keys.Alias(back.Scope(), keyring.Phone, clicks.HashPhone("+49 170 1234567")), back.Aliases[1], "by number or by hash")
	require.Equal(t, clicks.HashPhone("491701234567"), clicks.HashPhone(strings.ToUpper(clicks.HashPhone("491701234567"))))

	later := u
	later.At = later.At.Add(time.Hour)
	same := clicks.New(keys, &later)
	again, err := same.Message("capi.clicks")
	require.NoError(t, err)
	require.Equal(t, msg.Subject, again.Subject, "what is said again replaces what was said")

	chat := webhook.Update{Channel: event.Messenger, Account: "106", At: u.At, Person: webhook.Person{Users: []string{"17"}}}
	r = clicks.New(keys, &chat)
	person, err := keys.Open(r.Scope(), r.Person)
	require.NoError(t, err)
	require.Equal(t, "17", person)
}

func TestWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	alias := ring(t).Alias(keyring.Scope{}, keyring.User, "x")
	for _, text := range []string{
		``, `x`, `{}`, `[]`, `{"channel":"fax","account":"1","aliases":["` + alias + `"],"at":1}`,
		`{"channel":"whatsapp","account":"1.2","aliases":["` + alias + `"],"at":1}`, `{"channel":"whatsapp","account":"1","aliases":[],"at":1}`,
		`{"channel":"whatsapp","account":"1","aliases":["+49170"],"at":1}`, `{"channel":"whatsapp","account":"1","aliases":["` + alias + `"]}`,
	} {
		_, err := clicks.Parse([]byte(text))
		require.ErrorIs(t, err, clicks.ErrNoRecord, text)
		require.NotContains(t, err.Error(), "49170")
	}
}

func FuzzParse(f *testing.F) {
	u := update()
	r := clicks.New(ring(f), &u)
	msg, err := r.Message("capi.clicks")
	require.NoError(f, err)
	f.Add(msg.Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := clicks.Parse(data)
		if err != nil {
			return
		}
		msg, err := r.Message("capi.clicks")
		require.NoError(t, err)
		require.True(t, streams.IsSubject(msg.Subject), msg.Subject)
		back, err := clicks.Parse(msg.Data)
		require.NoError(t, err)
		require.Equal(t, r, back)
	})
}

func TestAClickIsStoredOnceHoweverOftenItComes(t *testing.T) {
	t.Parallel()
	js, keys, u := natstest.Start(t).JetStream(), ring(t), update()
	records, bodies, err := clicks.Ensure(t.Context(), js, cfg())
	require.NoError(t, err)
	require.Equal(t, "CAPI_CLICKS", records.CachedInfo().Stream)
	require.Equal(t, "CAPI_WEBHOOKS", bodies.CachedInfo().Stream)
	_, _, err = clicks.Ensure(t.Context(), js, cfg())
	require.NoError(t, err, "again")

	p := clicks.NewPublisher(js, "capi.clicks")
	other := u
	other.Click = "another"
	for range 3 {
		require.NoError(t, p.Publish(t.Context(), []clicks.Record{clicks.New(keys, &u), clicks.New(keys, &other)}))
	}
	// Long after, when NATS does not know the message's id any more.
	r := clicks.New(keys, &u)
	msg, err := r.Message("capi.clicks")
	require.NoError(t, err)
	msg.Header = nil
	_, err = js.PublishMsg(t.Context(), msg)
	require.NoError(t, err)

	var read []string
	require.NoError(t, clicks.Each(t.Context(), js, "CAPI_CLICKS", "", func(_ uint64, data []byte) error {
		r, err := clicks.Parse(data)
		require.NoError(t, err)
		click, err := keys.Open(r.Scope(), r.Click)
		require.NoError(t, err)
		read = append(read, click)
		return nil
	}))
	require.Equal(t, []string{"another", "the-click"}, read)
	require.NoError(t, clicks.Each(t.Context(), js, "CAPI_CLICKS", "capi.clicks.whatsapp.103", func(uint64, []byte) error {
		return errors.New("nothing is there")
	}))
	require.EqualError(t, clicks.Each(t.Context(), js, "CAPI_CLICKS", "capi.clicks.whatsapp.102", func(uint64, []byte) error {
		return errors.New("enough")
	}), "enough")
}

func TestNothingIsPublishedWithoutAnAcknowledgement(t *testing.T) {
	t.Parallel()
	server, u := natstest.Start(t), update()
	js := server.JetStream()
	p := clicks.NewPublisher(js, "capi.clicks")
	require.Error(t, p.Publish(t.Context(), []clicks.Record{clicks.New(ring(t), &u)}), "there is no stream")
	server.Stop()
	require.Error(t, p.Publish(t.Context(), []clicks.Record{clicks.New(ring(t), &u)}))
}

func TestStreamsThatCannotWork(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	verify := cfg()
	verify.Manage = false
	_, _, err := clicks.Ensure(t.Context(), js, verify)
	var setup *streams.SetupError
	require.ErrorAs(t, err, &setup)
	require.ErrorContains(t, err, "stream CAPI_CLICKS is not there")
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CAPI_CLICKS", Subjects: []string{"other.>"}})
	require.NoError(t, err)
	_, _, err = clicks.Ensure(t.Context(), js, cfg())
	require.ErrorAs(t, err, &setup)
	require.ErrorContains(t, err, `do not include "capi.clicks.>"`)
	require.NoError(t, js.DeleteStream(t.Context(), "CAPI_CLICKS"))
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CAPI_WEBHOOKS", Subjects: []string{"capi.webhooks.>"}})
	require.NoError(t, err)
	_, _, err = clicks.Ensure(t.Context(), js, cfg())
	require.ErrorContains(t, err, "has the retention")
}

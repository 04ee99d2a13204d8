package dispatcher

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// lookedUpInVain is an attribution that nobody should ask.
type lookedUpInVain struct{ Attribution }

func (lookedUpInVain) Dataset(*event.Event) string { panic("the event lacks nothing") }

// Off, nothing is asked and nothing allocated, whatever the event lacks; on, neither is
// for an event that lacks nothing.
func TestAttributionThatIsOffCostsNothing(t *testing.T) {
	const lacks = `{"event_name":"LeadSubmitted","event_time":1,"action_source":"business_messaging","messaging_channel":"whatsapp","user_data":{},"_capi":{"wa_id":"491"}}`
	const sound = `{"event_name":"LeadSubmitted","event_time":1,"action_source":"business_messaging","messaging_channel":"whatsapp",` +
		`"user_data":{"whatsapp_business_account_id":"102","ctwa_clid":"c"}}`
	m := &message{Msg: &nats.Msg{Subject: "capi.events.1", Header: nats.Header{"Traceparent": {"x"}}}, source: &source{role: streams.Events}}
	for raw, on := range map[string]Attribution{lacks: nil, sound: lookedUpInVain{}} {
		request, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(raw))
		require.NoError(t, err)
		in := intake{admitter: &admitter{run: &run{deps: Deps{Attribution: on}}}}
		require.Zero(t, testing.AllocsPerRun(100, func() {
			s := in.seek(m, &request.Events[0])
			if s.lacks() || s.waits() || s.skips() {
				t.Error("it is looked up")
			}
			in.lookUpPeople()
		}))
	}
	require.Equal(t, attribution.Off, attribution.DefaultConfig().AutomaticEvents)
	require.False(t, attribution.DefaultConfig().Enabled)
}

package event_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func messagingEvent(channel, user string) string {
	return `{"event_name":"LeadSubmitted","event_time":1,"action_source":"business_messaging","messaging_channel":"` + channel + `","user_data":` + user + `}`
}

// The account of the channel is filled in where there is none, and nowhere else.
func TestFill(t *testing.T) {
	t.Parallel()
	accounts := event.Assets{Page: "106", WhatsApp: "102", Instagram: "103"}
	for name, tc := range map[string]struct {
		channel, user, want, pointer string
		fill                         event.Assets
	}{
		"messenger":             {"messenger", `{"page_scoped_user_id":"1"}`, `{"page_id":"106","page_scoped_user_id":"1"}`, "/user_data/page_id", accounts},
		"whatsapp":              {"whatsapp", `{ "ctwa_clid":"c"}`, `{"whatsapp_business_account_id":"102", "ctwa_clid":"c"}`, "/user_data/whatsapp_business_account_id", accounts},
		"instagram":             {"instagram", `{"ig_sid":"1"}`, `{"ig_account_id":"103","ig_sid":"1"}`, "/user_data/ig_account_id", accounts},
		"nothing else is there": {"messenger", `{ }`, `{"page_id":"106" }`, "/user_data/page_id", accounts},
		"one is there":          {"messenger", `{"page_id":"1","page_scoped_user_id":"1"}`, "", "", accounts},
		"another kind is there": {"whatsapp", `{"page_id":"1","ctwa_clid":"c"}`, "", "", accounts},
		"the other id is there": {"instagram", `{"instagram_business_account_id":"1","ig_sid":"1"}`, `{"ig_account_id":"1","ig_sid":"1"}`, "", accounts},
		"null is there":         {"messenger", `{"page_id":null,"page_scoped_user_id":"1"}`, "", "", accounts},
		"an empty one is there": {"messenger", `{"page_id":"","page_scoped_user_id":"1"}`, "", "", accounts},
		"none of the channel":   {"messenger", `{"page_scoped_user_id":"1"}`, "", "", event.Assets{WhatsApp: "102"}},
		"no user_data":          {"messenger", `7`, "", "", accounts},
	} {
		decoder := event.NewDecoder(event.DefaultRules())
		decoder.Fill(tc.fill)
		published := messagingEvent(tc.channel, tc.user)
		request, err := decoder.Decode([]byte(published))
		require.NoError(t, err, name)
		got := request.Events[0]
		want := published
		if tc.want != "" {
			want = strings.Replace(published, tc.user, tc.want, 1)
			require.Equal(t, published, string(got.Published), name)
		} else {
			require.Nil(t, got.PublishedKey(), name)
		}
		require.Equal(t, want, string(got.Raw), name)
		require.Equal(t, tc.pointer, got.Filled, name)

		// What was filled in is as good as what was published so.
		again, err := event.NewDecoder(event.DefaultRules()).Decode(got.Raw)
		require.NoError(t, err, name)
		require.Equal(t, again.Events[0].Faults, got.Faults, name)
		require.Equal(t, again.Events[0].Assets, got.Assets, name)
	}
}

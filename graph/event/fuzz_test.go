package event_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// FuzzDecode holds the decoder against the JSON library's own verdict: what
// it accepts is valid JSON, what it calls malformed is not, and every event it
// returns is a valid JSON value found in the message as it is.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		messenger, whatsApp, instagram, `{}`, `[]`, `null`, `{"data":[]}`, `{"data":[{}],"partner_agent":"x"}`,
		`{"data":{},"event_name":"x"}`, `{"data":[` + messenger + `,7]}`, `{"event_time":1e400}`, `{"a":`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d event.Decoder
		got, err := d.Decode(body)
		if err != nil {
			if strings.HasPrefix(err.Error(), event.ErrMalformed.Error()) {
				require.False(t, jsontext.Value(body).IsValid(), "sound JSON was called malformed: %v", err)
			}
			return
		}
		require.True(t, jsontext.Value(body).IsValid(), "broken JSON was accepted")
		require.NotEmpty(t, got.Events)
		for _, e := range got.Events {
			require.True(t, jsontext.Value(e.Raw).IsValid())
			require.True(t, bytes.Contains(body, e.Raw))
			again, err := d.Decode(e.Raw)
			if len(e.Faults) == 0 && err == nil && len(again.Events) == 1 {
				require.Equal(t, e.Name, again.Events[0].Name)
			}
		}
		back, err := event.ParseEnvelope(got.Envelope.Marshal())
		require.NoError(t, err)
		require.Equal(t, got.Envelope, back)
	})
}

package graph_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func refusedWith(tb testing.TB, members map[string]any) graph.Answer {
	tb.Helper()
	members["code"], members["error_subcode"] = 100, 2804019
	body, err := json.Marshal(map[string]any{"error": members})
	require.NoError(tb, err)
	return graph.Judge(http.StatusBadRequest, nil, body, 1)
}

// A path in a sentence names an event, wherever the sentence stands. The first
// is as the live API answers.
func TestAPathInASentenceNamesTheCulprit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want int
	}{
		{"Server Side Api Parameter Error: $['data'][0]['custom_data']['contents'] must be an array", 0},
		{`$["data"][17]["event_name"] is required`, 17},
		{"$.data[700].custom_data.value is no number", 700},
		{"data[999] is no object", 999},
		{"Param data[3]['user_data'] must be an object", 3},
		{"$['data'][4]['custom_data']['contents'][2]['id'] is required", 4},
		{"$['custom_data']['contents'][2] is no object", -1},
		{"custom_data[2] and user_data[3] and metadata[4]", -1},
		{"$['user_data'][1]", -1},
		{"data[1000] is beyond the most events that there are", -1},
		{"data[999999999]", -1},
		{"data[99999999999999999999]", -1},
		{"data[-1] data[] data[x] data[1", -1},
		{"Der Parameter $['data'][12]['event_time'] ist ungültig", 12},
		{"Invalid parameter", -1},
		{"", -1},
	} {
		require.Equal(t, tc.want, refusedWith(t, map[string]any{"message": tc.text}).Error.Event, tc.text)
		require.Equal(t, tc.want, refusedWith(t, map[string]any{"message": "Invalid parameter", "error_user_msg": tc.text}).Error.Event, tc.text)
		require.Equal(t, tc.want, refusedWith(t, map[string]any{"error_user_title": tc.text}).Error.Event, tc.text)
		require.Equal(t, tc.want, refusedWith(t, map[string]any{"error_data": tc.text}).Error.Event, tc.text)
		object := map[string]any{"description": tc.text}
		require.Equal(t, tc.want, refusedWith(t, map[string]any{"error_data": object}).Error.Event, tc.text)
		packed, err := json.Marshal(object)
		require.NoError(t, err)
		require.Equal(t, tc.want, refusedWith(t, map[string]any{"error_data": string(packed)}).Error.Event, tc.text)
	}
}

// What says it outright goes before what a sentence seems to say.
func TestAnIndexGoesBeforeASentence(t *testing.T) {
	t.Parallel()
	got := refusedWith(t, map[string]any{"message": "data[3]", "error_data": map[string]any{"event_index": 5}})
	require.Equal(t, 5, got.Error.Event)
}

// Whatever Meta writes, what comes of it is no event or one that there can be.
func FuzzNamedEvent(f *testing.F) {
	f.Add("$['data'][0]['custom_data']", `{"event_index":7}`)
	f.Add("data[999]", `"{\"event_index\":7}"`)
	f.Add("data[[1]]data[", `"data[5]"`)
	f.Add("", `null`)
	f.Fuzz(func(t *testing.T, text, data string) {
		members := map[string]any{"message": text}
		if json.Valid([]byte(data)) {
			members["error_data"] = json.RawMessage(data)
		}
		at := refusedWith(t, members).Error.Event
		require.True(t, at >= -1 && at < event.MaxEvents, at)
		if at >= 0 && !strings.ContainsAny(text+data, "0123456789") {
			t.Fatalf("%d was read out of nothing", at)
		}
	})
}

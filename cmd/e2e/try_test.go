package e2e_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// Events are tried by hand, with no server but Meta's.
func TestValidate(t *testing.T) {
	t.Parallel()
	r := setup(t)
	good := event("a", "clid")
	lead := strings.Replace(good, `"Purchase"`, `"Lead"`, 1)
	file := r.file("events.ndjson", good+"\n{\n"+`{"data":[`+good+`,`+lead+`,{"event_name":""}]}`+"\n"+
		strings.Replace(good, `"user_data":{`, `"user_data":{"fbp":"x",`, 1)+"\n"+
		regexp.MustCompile(`"event_time":\d+`).ReplaceAllString(good, `"event_time":1675999999`)+"\n")
	stdout, stderr, code := r.run("validate", file)
	require.Equal(t, 3, code, stderr)
	require.Equal(t, `line 2: malformed JSON: at offset 1, in "": unexpected EOF (malformed)
line 3, event 2: /event_name: event_name is "Lead", which business messaging does not know; did you mean LeadSubmitted? (unknown_value; Meta: 100/2804066)
line 3, event 3: /event_name: every event has an event_name; it is empty (empty; Meta: 100/2804019)
line 3, event 3: /event_time: every event has an event_time, in seconds since 1970 (missing; Meta: 100/2804019)
line 3, event 3: /user_data: every event has a user_data object (missing; Meta: 100/2804019)
line 3, event 3: /action_source: every event has an action_source: "email", "website", "app", "phone_call", "chat", "physical_store", "system_generated", "business_messaging" or "other" (missing; Meta: 100/2804019)
line 4: note: /user_data/fbp: it will be left out: Meta would refuse it, or could not use it (removed)
line 5: /event_time: event_time is older than the 7 days that Meta accepts for this action_source (too_old; Meta: 100/2804003)
`, stdout)
	require.Equal(t, "7 events, 7 faults in 4 of them; 1 member would be removed\n", stderr)

	stdout, _, code = r.run("validate", "--json", file)
	require.Equal(t, 3, code)
	var found struct {
		Place, Pointer, Code, Level string
		Event, Subcode              int
	}
	require.NoError(t, json.Unmarshal([]byte(strings.Split(stdout, "\n")[1]), &found))
	require.Equal(t, "line 3 /event_name unknown_value fault", found.Place+" "+found.Pointer+" "+found.Code+" "+found.Level)
	require.Equal(t, []int{2, 2804066}, []int{found.Event, found.Subcode})

	_, stderr, code = r.run("validate", r.file("leaky.json", `{"access_token":"x","method":"delete","data":[`+good+`]}`))
	require.Zero(t, code)
	require.Equal(t, "1 event, 0 faults in 0 of them; 1 secret would be taken out: a message is no place for tokens; "+
		"1 member beside the events would be left out, for Meta documents no such\n", stderr)

	// Warnings and notes are no faults.
	stdout, stderr, code = r.run("validate", r.file("odd.json", fmt.Sprintf(`{"event_name":"Lead","event_time":%q,"action_source":"website",`+
		`"event_source_url":"https://shop.example/","user_data":{"external_id":"7"}}`, time.Now().Add(-2*time.Hour).Format(time.RFC3339))))
	require.Zero(t, code)
	require.Equal(t, `line 1: warning: /user_data/client_user_agent: a website event has the client_user_agent of the browser; without it Meta matches fewer events (no_user_agent)
line 1: warning: /event_time: event_time is more than an hour ago; Meta wants events as soon as they occur, and makes less of late ones (sent_late)
line 1: note: /event_time: it will be sent in the form that Meta takes (repaired)
`, stdout)
	require.Equal(t, "1 event, 0 faults in 0 of them; 2 warnings; 1 member would be repaired\n", stderr)

	_, stderr, code = r.run("validate", r.file("good.json", good))
	require.Zero(t, code)
	require.Equal(t, "1 event, 0 faults in 0 of them\n", stderr)
	for _, wrong := range [][]string{{"validate"}, {"validate", "/nowhere"}} {
		_, _, code = r.run(wrong...)
		require.Equal(t, 2, code)
	}
}

func TestTestEvent(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(1)
	r.config.Graph.AppSecretFile = r.file("secret", "hush")
	file := r.file("event.json", event("a", "clid"))
	try := func(want int, file string, more ...string) string {
		stdout, stderr, code := r.run(append([]string{"test-event", "--dataset", datasetID(0), "--code", "TEST123", file}, more...)...)
		require.Equal(t, want, code, stdout+stderr)
		require.NotContains(t, stdout+stderr, token)
		require.NotContains(t, stdout, "appsecret_proof")
		return stdout
	}
	shown := try(0, file)
	t.Log(shown)
	require.Contains(t, shown, "POST http://"+r.graph.address+"/v26.0/"+datasetID(0)+"/events")
	require.Contains(t, shown, `"test_event_code": "TEST123"`)
	require.Contains(t, shown, "HTTP 200")
	require.Contains(t, shown, `"events_received": 1`)
	require.Contains(t, shown, "accepted: 1 event received")
	require.Equal(t, "TEST123", r.Ledger().Entries()[0].TestEventCode)

	var line struct {
		Verdict string
		Answer  struct{ Error struct{ Code int } }
		Request struct{ Data []json.RawMessage }
	}
	r.Script(datasetID(0), graphtest.Fault{Error: graphtest.TokenExpired()})
	require.NoError(t, json.Unmarshal([]byte(try(3, file, "--json")), &line))
	require.Equal(t, "paused", line.Verdict)
	require.Equal(t, 190, line.Answer.Error.Code)
	require.Len(t, line.Request.Data, 1)

	faulty := r.file("faulty.json", `{"event_name":"Lead"}`)
	requests := r.Ledger().Sum().Requests
	require.Contains(t, try(3, faulty), "/event_time: every event has an event_time")
	require.Equal(t, requests, r.Ledger().Sum().Requests, "it was not sent")
	require.Contains(t, try(3, faulty, "--anyway"), "what to do: see Meta's message")

	for _, wrong := range [][]string{{"test-event", file}, {"test-event", "--dataset", "1", file}, {"test-event", "--dataset", "../1", "--code", "T", file}, {"test-event", "--dataset", "1", "--code", "T", "/nowhere"}} {
		_, _, code := r.run(wrong...)
		require.Equal(t, 2, code, wrong)
	}
}

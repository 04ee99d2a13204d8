package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// So they do over what the decoder's fuzz tests begin with and have left, and over
// the samples of Meta's documents with something wrong with them. What validate
// says of warnings, repairs, removed members and secrets is what a worker counts.
func TestTheVerbsAndTheWorkerAgreeOverTheFuzzCorpus(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Config){
		"as it is": same,
		"in the clear": func(c *config.Config) {
			c.Graph.HashPersonalData, c.Graph.MessagingExtras = false, event.Refuse
		},
		"filling in": func(c *config.Config) {
			c.Graph.FillAccounts, c.Graph.DefaultActionSource = true, event.Website
			c.Assets.WhatsAppAccounts = map[string]dispatcher.WhatsAppAccount{"102": {Dataset: dataset}}
			c.Assets.Instagram = map[string]dispatcher.Asset{"17": {Dataset: "999"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := setupAgreement(t, change)
			late := message{dataset, eventOf("1061", "", time.Now().Add(-2*time.Hour))}
			messages := slices.Concat(seeds(t), corpus(t), changedSamples(60), []message{late})
			kinds := make(map[string]int)
			for _, did := range a.requireAgreement(messages) {
				kinds[did.what]++
			}
			t.Log(kinds)
			require.Greater(t, kinds["sent"], 20)
			require.Greater(t, kinds["invalid"], 20)
			foretold, counted := a.foretold(messages), a.counted()
			t.Log(counted)
			require.Equal(t, foretold, counted)
			require.Greater(t, len(counted), 15, "kinds of warnings and changes")
		})
	}
}

// ofNow lets an event happen now, and not when Meta's documents were written.
func ofNow(text string) string {
	now := time.Now()
	return strings.NewReplacer("1675999999", strconv.FormatInt(now.Unix(), 10), "2023-02-10T04:33:19.5+01:00", now.Format("2006-01-02T15:04:05.5Z07:00")).Replace(text)
}

// seeds are what fuzzing the decoder begins with, but for arrays, which are several
// messages for the verbs and none for a worker.
func seeds(t *testing.T) (messages []message) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "graph", "event", "testdata", "messages.ndjson"))
	require.NoError(t, err)
	for line := range strings.Lines(ofNow(string(text))) {
		if !strings.HasPrefix(line, "[") {
			messages = append(messages, message{dataset, strings.TrimSuffix(line, "\n")})
		}
	}
	return messages
}

// corpus is what fuzzing the decoder and the normalising of personal data has left.
func corpus(t *testing.T) (messages []message) {
	t.Helper()
	within := filepath.Join("..", "..", "graph", "event")
	for _, values := range left(t, filepath.Join(within, "testdata", "fuzz", "*", "*")) {
		messages = append(messages, message{dataset, strings.TrimSpace(values[0])})
	}
	for i, values := range left(t, filepath.Join(within, "customer", "testdata", "fuzz", "*", "*")) {
		index, err := strconv.Atoi(values[0])
		require.NoError(t, err)
		fields := customer.Fields()
		field := string(fields[uint(index)%uint(len(fields))])
		text, err := json.Marshal(map[string]any{
			"event_name": "Contact", "event_time": time.Now().Unix(), "event_id": fmt.Sprint("left-", i), "action_source": "other",
			"user_data": map[string]string{"external_id": "7", field: values[1], "country": values[2]},
		})
		require.NoError(t, err)
		messages = append(messages, message{dataset, string(text)})
	}
	return messages
}

// left are the values in files of a fuzz test.
func left(t *testing.T, pattern string) (all [][]string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var values []string
		for _, value := range regexp.MustCompile(`(?m)^(?:\[\]byte|string|int)\((.*)\)$`).FindAllStringSubmatch(string(text), -1) {
			if unquoted, err := strconv.Unquote(value[1]); err == nil {
				value[1] = unquoted
			}
			values = append(values, value[1])
		}
		all = append(all, values)
	}
	return all
}

// changedSamples are events of Meta's documents of which one member is another
// value, each with an id of its own.
func changedSamples(n int) (messages []message) {
	random := rand.New(rand.NewPCG(13, 7))
	samples := graphtest.Samples(time.Now())
	for i := range n {
		var made map[string]any
		_ = json.Unmarshal(samples[i%len(samples)].Event, &made)
		within := made
		if user, ok := made["user_data"].(map[string]any); ok && random.IntN(2) == 0 {
			within = user
		}
		names := make([]string, 0, len(within))
		for name := range within {
			names = append(names, name)
		}
		slices.Sort(names)
		values := []any{nil, "", "x", "7", 7, 1.5, true, []any{}, map[string]any{}, time.Now().Unix(), "<PAGE_ID>", within[names[0]]}
		if i%4 != 0 {
			within[names[random.IntN(len(names))]] = values[random.IntN(len(values))]
		}
		made["event_id"] = fmt.Sprint("changed-", i)
		text, _ := json.Marshal(made)
		messages = append(messages, message{dataset, string(text)})
	}
	return messages
}

// foretold is what validate says of messages beside faults: how many warnings and
// changes of each kind.
func (a *agreement) foretold(messages []message) map[string]int {
	a.t.Helper()
	kinds := make(map[string]int)
	for _, m := range messages {
		found, summary, _ := a.verb(same, m.body, "validate", "--json", "--dataset", m.to)
		for line := range strings.Lines(found) {
			var f foundFault
			require.NoError(a.t, json.Unmarshal([]byte(line), &f))
			switch f.Level {
			case warning:
				kinds["warned "+string(f.Code)]++
			case note:
				kinds[string(f.Code)+" "+f.Pointer]++
			}
		}
		for kind, sentence := range map[string]string{"removed": `(\d+) secrets? would`, "removed /undocumented": `(\d+) members? beside`} {
			if said := regexp.MustCompile(sentence).FindStringSubmatch(summary); said != nil {
				n, _ := strconv.Atoi(said[1])
				kinds[kind] += n
			}
		}
	}
	return kinds
}

// counted is what the worker has counted of the same; "removed" alone is secrets.
func (a *agreement) counted() map[string]int {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, "http://"+a.admin+"/metrics", nil)
	require.NoError(a.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(a.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	kinds, label := make(map[string]int), regexp.MustCompile(`(?:code|member)="([^"]*)"`)
	series := regexp.MustCompile(`(?m)^capi_(events_warned|members_repaired|members_removed|accounts_filled|accounts_foreign|secrets_removed)_total\{(.*)\} (\d+)$`)
	for _, s := range series.FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(s[3])
		_, kind, _ := strings.Cut(s[1], "_")
		switch named := label.FindStringSubmatch(s[2]); {
		case named != nil:
			kind += " " + named[1]
		case kind == "foreign":
			kind = "warned foreign_account"
		}
		kinds[kind] += n
	}
	return kinds
}

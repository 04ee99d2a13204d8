package event_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func compiled(t *testing.T, rules event.Rules, filled ...event.Channel) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(event.JSONSchema(rules, filled...))
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("message.json", document))
	schema, err := compiler.Compile("message.json")
	require.NoError(t, err)
	return schema
}

func judge(t *testing.T, schema *jsonschema.Schema, text string) error {
	t.Helper()
	message, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	return schema.Validate(message)
}

// settings are those that change what is taken, with the accounts that are filled
// in.
type settings struct {
	rules    event.Rules
	accounts event.Assets
	filled   []event.Channel
}

func with(change func(*event.Rules)) settings {
	rules := event.DefaultRules()
	change(&rules)
	return settings{rules: rules}
}

func allSettings() map[string]settings {
	asItIs := func(*event.Rules) {}
	refuse := func(r *event.Rules) { r.MessagingExtras, r.UnusablePersonalData = event.Refuse, event.Refuse }
	all := map[string]settings{
		"as it is": with(asItIs), "refusing": with(refuse),
		"hashing":  with(func(r *event.Rules) { r.HashPersonalData = true }),
		"strictly": with(func(r *event.Rules) { r.HashPersonalData = true; refuse(r) }),
	}
	for _, source := range []event.ActionSource{event.Website, event.App, event.BusinessMessaging, event.Other} {
		all["from "+string(source)] = with(func(r *event.Rules) { r.DefaultActionSource = source })
	}
	one, every := with(asItIs), all["from business_messaging"]
	one.accounts, one.filled = event.Assets{Page: "1061"}, []event.Channel{event.Messenger}
	every.accounts, every.filled = event.Assets{Page: "1061", WhatsApp: "102", Instagram: "17"}, event.Channels()
	all["filling a page in"], all["filling all in"] = one, every
	return all
}

// incomplete is a mutated event without some of what may be filled in.
func incomplete(random *rand.Rand) object {
	made := mutated(random)
	for path := range strings.FieldsSeq("action_source user_data.page_id user_data.whatsapp_business_account_id user_data.ig_account_id") {
		if random.IntN(4) == 0 {
			made = safely(made, path, pick(random, []any{absent{}, absent{}, absent{}, nil}))
		}
	}
	return made
}

// The schema refuses no event that the decoder takes with the same settings, and
// most of those that it refuses. SCHEMA_LONG=1 goes through a million.
func TestTheSchemaRefusesNothingThatTheDecoderTakes(t *testing.T) {
	t.Parallel()
	events := 10_000
	if os.Getenv("SCHEMA_LONG") != "" {
		events = 1_000_000
	}
	all := allSettings()
	for name, with := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema, d, random := compiled(t, with.rules, with.filled...), event.NewDecoder(with.rules), rand.New(rand.NewPCG(12, 7))
			d.Fill(with.accounts)
			var taken, refused, caught int
			for range events / len(all) {
				made := incomplete(random).String()
				got, err := d.Decode([]byte(made))
				require.NoError(t, err)
				fault := judge(t, schema, made)
				if len(got.Events[0].Faults) == 0 {
					taken++
					require.NoError(t, fault, made)
					continue
				}
				if refused++; fault != nil {
					caught++
				}
			}
			t.Logf("%d events taken; of %d others, the schema refuses %d", taken, refused, caught)
			require.Greater(t, taken, events/len(all)/5)
			require.Greater(t, caught, refused*9/10)
		})
	}
}

// It refuses no good case of a rule, no sample of Meta's documents, and no body.
func TestTheSchemaTakesWhatIsSound(t *testing.T) {
	t.Parallel()
	schema, d := compiled(t, event.DefaultRules()), event.NewDecoder(event.DefaultRules())
	for rule, cases := range rules() {
		for _, tc := range cases {
			got, err := d.Decode([]byte(tc.event.String()))
			require.NoError(t, err)
			if len(got.Events[0].Faults) == 0 {
				require.NoError(t, judge(t, schema, tc.event.String()), "%s: %s", rule, tc.event)
			}
		}
	}
	for _, sample := range graphtest.Samples(time.Now()) {
		require.NoError(t, judge(t, schema, string(sample.Body)), sample.Name)
		require.NoError(t, judge(t, schema, string(sample.Event)), sample.Name)
	}
	for body, sound := range map[string]bool{
		`{"data":[` + messenger + `],"partner_agent":null,"upload_tag":"x","other":1}`: true,
		`{"data":[` + messenger + `],"partner_agent":7}`:                               false,
		`{"data":[]}`:  false,
		`{"data":[7]}`: false,
		`[]`:           false,
		`{"data":[{` + strings.Repeat("},{", 1000) + `}]}`: false,
		strings.Replace(messenger, "{", `{"data":{},`, 1):  true, // an event with a member of its own
	} {
		_, err := d.Decode([]byte(body))
		fault := judge(t, schema, body)
		require.Equal(t, sound, fault == nil, "%.200s: %v, %v", body, fault, err)
	}
}

package event_test

import (
	"strings"
	"testing"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
)

// BenchmarkDecode reads and checks one event at a time, and bodies of 100
// events; bytes per second and allocations are what to compare.
func BenchmarkDecode(b *testing.B) {
	hash := event.DefaultRules()
	hash.HashPersonalData = true
	person := other().with("user_data", object{"em": "jane@example.com", "ph": "+44 20 7946 0958", "fn": "Jane", "ct": "London", "country": "gb"})
	for _, bench := range []struct {
		name, body string
		rules      event.Rules
	}{
		{"event", messenger, event.DefaultRules()},
		{"body of 100", `{"data":[` + messenger + strings.Repeat(","+messenger, 99) + `]}`, event.DefaultRules()},
		{"app event", app().String(), event.DefaultRules()},
		{"members removed", messengerChat().with("user_data.fbp", "x").with("event_source_url", "x").String(), event.DefaultRules()},
		{"id renamed", instagram, event.DefaultRules()},
		{"personal data in the clear", person.String(), event.DefaultRules()},
		{"personal data hashed here", person.String(), hash},
		{"faulty", `{"event_name":1,"event_time":"x"}`, event.DefaultRules()},
		{"not for us", `{"hello":"world"}`, event.DefaultRules()},
		{"cut off", `{"user_data":{"em":`, event.DefaultRules()},
		{"malformed end", messenger + "}", event.DefaultRules()},
	} {
		b.Run(bench.name, func(b *testing.B) {
			d := event.NewDecoder(bench.rules)
			raw := []byte(bench.body)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = d.Decode(raw)
			}
		})
	}
}

// BenchmarkNormalize brings one value of each kind into its form.
func BenchmarkNormalize(b *testing.B) {
	for field, text := range map[customer.Field]string{
		customer.Email: "Jane@Example.com", customer.Phone: "+44 20 7946 0958", customer.FirstName: "Jane", customer.Country: "gb",
	} {
		b.Run(string(field), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				normalized, _ := customer.Normalize(field, text, "")
				customer.Hash(normalized)
			}
		})
	}
}

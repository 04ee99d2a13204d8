package event_test

import (
	"strings"
	"testing"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// BenchmarkDecode reads one event at a time, and bodies of 100 events; bytes
// per second and allocations are what to compare.
func BenchmarkDecode(b *testing.B) {
	for name, body := range map[string]string{
		"event":         messenger,
		"body of 100":   `{"data":[` + messenger + strings.Repeat(","+messenger, 99) + `]}`,
		"faulty":        `{"event_name":1,"event_time":"x"}`,
		"not for us":    `{"hello":"world"}`,
		"malformed end": messenger + "}",
	} {
		b.Run(name, func(b *testing.B) {
			d := event.NewDecoder(event.DefaultRules())
			raw := []byte(body)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = d.Decode(raw)
			}
		})
	}
}

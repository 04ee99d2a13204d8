package dedupe_test

import (
	"testing"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
)

// BenchmarkClaimAndConfirm settles batches of 1000 fresh events on a real
// redis-server over loopback; keys/s is what to compare.
func BenchmarkClaimAndConfirm(b *testing.B) {
	const batch = 1000
	store := dedupe.New(dedupe.DefaultConfig(), time.Minute, dedupetest.Start(b).Client())
	claims := make([]dedupe.Claim, batch)
	var sequence uint64
	b.ReportAllocs()
	for b.Loop() {
		for i := range claims {
			sequence++
			claims[i] = dedupe.Claim{Key: dedupe.NewKey("bench", string(rune(sequence))), Owner: dedupe.NewOwner(1, sequence), Holder: dedupe.NewHolder()}
		}
		store.Claim(b.Context(), claims)
		if _, err := store.Confirm(b.Context(), claims); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "keys/s")
}

// BenchmarkNewKey hashes a typical identity.
func BenchmarkNewKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		dedupe.NewKey("capi-dispatcher", "1234567890123456", "Purchase", "0f8fad5b-d9cb-469f-a165-70867728950e")
	}
}

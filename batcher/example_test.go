package batcher_test

import (
	"fmt"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
)

// What is added together for one lane is sent in as few batches as it fits into.
func Example() {
	b := batcher.New(batcher.Options[string, string]{
		Config:         batcher.Config{MaxEvents: 2, MaxBytes: 10_000, Linger: time.Second},
		Senders:        4,
		SendersPerLane: 1, // the batches of a lane follow each other
		MaxWaiting:     1000,
		MaxWait:        time.Minute,
		Overhead:       func(string) int { return 0 },
		Send: func(batch *batcher.Batch[string, string]) {
			fmt.Println(batch.Lane, batch.Items)
		},
		Overflow: func(lane string, items []string) {
			fmt.Println(lane, "does not keep up, set aside:", items)
		},
	})
	b.Add(
		batcher.Item[string, string]{Lane: "shop", Value: "first", Size: 100},
		batcher.Item[string, string]{Lane: "shop", Value: "second", Size: 100},
		batcher.Item[string, string]{Lane: "shop", Value: "third", Size: 100},
	)
	b.Drain() // sends what is left, and waits until it is sent

	// Output:
	// shop [first second]
	// shop [third]
}

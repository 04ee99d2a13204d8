package dedupe_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/memredis"
)

// Two messages carry the same event. The first may send it; the second has to
// wait until it is known what became of that, and is then a duplicate.
func ExampleStore() {
	server, err := memredis.Start() // or a Redis of yours, 7.0 or newer
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	defer client.Close()

	const lease = 25 * time.Second // how long a request may take, and its confirmation
	store := dedupe.New(dedupe.DefaultConfig(), lease, client)

	event := dedupe.NewKey("1234567890", "Purchase", "order-4711")
	stream := dedupe.NewEpoch("CAPI", 1_800_000_000)
	first := dedupe.Claim{Key: event, Owner: dedupe.NewOwner(stream, 1), Holder: dedupe.NewHolder()}
	second := dedupe.Claim{Key: event, Owner: dedupe.NewOwner(stream, 2), Holder: dedupe.NewHolder()}

	ctx := context.Background()
	for _, result := range store.Claim(ctx, []dedupe.Claim{first, second}) {
		fmt.Println(result.State)
	}
	// The request was accepted.
	if _, err := store.Confirm(ctx, []dedupe.Claim{first}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(store.Claim(ctx, []dedupe.Claim{second})[0].State)

	// Output:
	// fresh
	// held
	// sent
}

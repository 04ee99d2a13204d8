package dispatcher_test

import (
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// Forty datasets never answer, more than there are senders, and their events are
// the first. The others' wait for two seconds, and not for the end of a request.
func TestHangingDatasetsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	const hanging, each, bound = 40, 5, 9 * time.Second
	watch := &stopwatch{}
	server := httptest.NewServer(watch)
	t.Cleanup(server.Close)
	b := setup(t, func(o *options) {
		o.graph.URL, o.graph.Timeout = server.URL, 20*time.Second
		o.cfg.Delivery.DrainTimeout = 0
	})
	watch.Handler = b.API
	for i := range crowd {
		b.AddDataset(member(i), token)
	}
	for i := range hanging {
		ill := strconv.Itoa(8000 + i)
		b.AddDataset(ill, token)
		b.Always(ill, graphtest.Fault{Delay: time.Hour, Drop: true})
		b.publishMany(ill, "ill", each)
	}
	b.await("requests hang", func() bool { return b.books("capi.senders.busy") >= 8 })
	b.steadyLoad(50, 100*time.Millisecond, false)
	b.await("the others' events are accepted", func() bool { return len(watch.sorted()) == (crowd-1)*50 })
	times := watch.sorted()
	t.Logf("p50 %s, p99 %s, most %s", times[len(times)/2], times[len(times)*99/100], times[len(times)-1])
	require.Less(t, times[len(times)-1], bound)
	require.Less(t, times[len(times)/2], time.Second)
}

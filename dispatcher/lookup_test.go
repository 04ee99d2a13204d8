package dispatcher_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// asking has the dispatcher ask Meta for datasets, and a real Redis remember
// them.
func asking(t *testing.T) func(*options) {
	t.Helper()
	return func(o *options) {
		o.resolve = true
		o.redis = dedupetest.Start(t).Client()
	}
}

// ofPage is a sound event of a page's.
func ofPage(page, id string) string { return ofPageAt(page, id, time.Now()) }

func ofPageAt(page, id string, at time.Time) string {
	return fmt.Sprintf(`{"event_name":"LeadSubmitted","event_id":%q,"event_time":%d,"action_source":"business_messaging",`+
		`"messaging_channel":"messenger","user_data":{"page_id":%q,"page_scoped_user_id":"1"}}`, id, at.Unix(), page)
}

func (b *harness) addPage(id, dataset string) {
	b.AddAsset(graphtest.Asset{ID: id, Kind: graphtest.Page, Dataset: dataset, Tokens: []string{token}, Listed: true})
}

func TestMetaTellsTheDataset(t *testing.T) {
	t.Parallel()
	b := setup(t, asking(t), func(o *options) {
		o.cfg.PartnerAgent = "partner of all"
		o.cfg.Datasets = map[string]admission.Dataset{dataset: {}, other: {PartnerAgent: "partner of one"}}
	})
	b.addPage("11", dataset)
	b.addPage("12", other)
	var all []string
	for i := range 100 {
		all = append(all, ofPage("11", fmt.Sprintf("e%d", i)))
	}
	b.publish("auto", all...)
	b.publish("auto", ofPage("12", "another"), body(ofPage("12", "body 1"), ofPage("11", "body 2")), all[0])
	b.awaitAccepted(103)
	b.awaitQuiet()
	b.requireBalance()
	for e, times := range b.Ledger().Counts() {
		require.Equal(t, 1, times, e)
	}
	for _, entry := range b.Ledger().Entries() {
		want := map[string]string{dataset: "partner of all", other: "partner of one"}[entry.Dataset]
		require.Equal(t, want, entry.PartnerAgent)
	}
	require.EqualValues(t, 2, b.books("capi.events.received", attribute.String("dataset", other)), "the books are kept by dataset")
	require.Zero(t, b.books("capi.events.received", attribute.String("dataset", "other")))

	b.stop(b.running)
	b.running = b.start()
	b.publish("auto", ofPage("11", "later"))
	b.awaitAccepted(104)
	require.Equal(t, 1, b.AssetRequests("11"), "asked once, by all workers together")
	require.Equal(t, 1, b.AssetRequests("12"))
}

func TestMetaTellsThatThereIsNoDataset(t *testing.T) {
	t.Parallel()
	b := setup(t, asking(t))
	b.addPage("11", "")
	b.publish("auto", ofPage("11", "a"))
	b.awaitLetters(1)
	b.publish("auto", ofPage("11", "b"), ofPage("../11", "c"), `{"event_name":"Purchase","user_data":{"page_id":"12"}}`)
	letters := b.awaitLetters(4)
	sortByOrigin(letters)
	for _, letter := range letters[:3] {
		require.Equal(t, deadletter.NoDataset, letter.Reason)
	}
	require.Contains(t, letters[0].Faults[0].Message, "no dataset is configured for page 11, and Meta says that it has none: create one with")
	require.Equal(t, letters[0].Faults, letters[1].Faults)
	require.Equal(t, 1, b.AssetRequests("11"))
	b.awaitQuiet()
	b.requireBalance()
}

func TestEventsWaitUntilMetaTellsTheDataset(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]graphtest.Fault{
		"away":       {Error: graphtest.Unavailable(), Status: http.StatusServiceUnavailable},
		"throttled":  {Error: graphtest.Throttled()},
		"dead token": {Error: graphtest.TokenExpired()},
		"permission": {Error: graphtest.PermissionMissing()},
		"cut off":    {Cut: true, Status: http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, asking(t))
			b.addPage("11", dataset)
			b.Always("11", trouble)
			b.publish("auto", ofPage("11", "a"))
			b.await("the event is parked", func() bool { return b.streamSize("CAPI_PARKED") == 1 })
			b.publish(dataset, event("b"))
			b.awaitAccepted(1)
			b.Clear("11")
			b.awaitAccepted(2)
			b.awaitQuiet()
			b.requireOnce("a", "b")
			b.requireBalance()
			require.Zero(t, b.streamSize("CAPI_DLQ"))
		})
	}
}

func TestASlowAccountHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	const inFlight = 20
	b := setup(t, asking(t), func(o *options) {
		o.graph.Timeout = 40 * time.Second
		o.cfg.Delivery.MaxInFlight = inFlight
		o.cfg.Streams.AckWait = 90 * time.Second
	})
	b.addPage("11", dataset)
	b.addPage("12", dataset)
	b.Script("11", graphtest.Fault{Delay: 15 * time.Second})
	for i := range 3 * inFlight {
		b.publish("auto", ofPage("11", fmt.Sprintf("slow %d", i)))
	}
	b.publish("auto", ofPage("12", "quick"))
	b.publish(dataset, event("plain"))
	b.awaitAccepted(2)
	distinct, _ := b.Ledger().Distinct()
	require.Equal(t, 2, distinct, "three times what may be in flight waited before them")
	b.awaitAccepted(3*inFlight + 2)
	require.Equal(t, 1, b.AssetRequests("11"), "the question went on when nobody waited for it")
	b.awaitQuiet()
	b.requireBalance()
}

func TestAStoppingWorkerGivesBackWhatItAsksFor(t *testing.T) {
	t.Parallel()
	b := setup(t, asking(t))
	b.addPage("11", dataset)
	b.Script("11", graphtest.Fault{Delay: time.Second})
	b.publish("auto", ofPage("11", "a"))
	b.await("Meta is asked", func() bool { return b.AssetRequests("11") == 1 })
	b.stop(b.running)
	require.Zero(t, b.streamSize("CAPI_PARKED"))
	b.running = b.start()
	b.awaitAccepted(1)
	b.requireOnce("a")
	b.awaitQuiet()
}

func TestEventsDoNotWaitForADatasetForEver(t *testing.T) {
	t.Parallel()
	b := setup(t, asking(t))
	b.addPage("11", dataset)
	b.Always("11", graphtest.Fault{Error: graphtest.PermissionMissing()})
	old := time.Now().Add(-7*24*time.Hour + 3*time.Second)
	b.publish("auto", ofPageAt("11", "a", old))
	letters := b.awaitLetters(1)
	require.Equal(t, deadletter.Expired, letters[0].Reason)
	require.Len(t, letters[0].Faults, 1)
	b.awaitQuiet()
	b.requireBalance()
}

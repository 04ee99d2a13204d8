package main_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

const (
	producerSpan = "00f067aa0ba902b7"

	process       = "process CAPI"
	processParked = "process CAPI_PARKED"
	settle        = "settle CAPI"
	settleParked  = "settle CAPI_PARKED"
	post          = "POST /v26.0/{dataset}/events"
	publish       = "publish CAPI"
	replay        = "publish CAPI_PARKED"
)

// event is a sound event.
func event(id string) string {
	return fmt.Sprintf(`{"event_name":"LeadSubmitted","event_id":%q,"event_time":%d,"action_source":"business_messaging",`+
		`"messaging_channel":"whatsapp","user_data":{"whatsapp_business_account_id":"102","ctwa_clid":"clid"}}`, id, time.Now().Unix())
}

// poison is an event that only Meta finds fault with.
func poison(id string) string { return strings.Replace(event(id), `"clid"`, `"invalid"`, 1) }

func ofPage(page, id string) string {
	return fmt.Sprintf(`{"event_name":"LeadSubmitted","event_id":%q,"event_time":%d,"action_source":"business_messaging",`+
		`"messaging_channel":"messenger","user_data":{"page_id":%q,"page_scoped_user_id":"1"}}`, id, time.Now().Unix(), page)
}

// fate is one way that an event can take.
type fate struct {
	// play has an event of a dataset go its way, in a trace.
	play func(r *rig, dataset, trace string)
	// spans are the names of all spans that there have to be. Where an event waits, it
	// may be tried more than once: of those names that are there, there may be more.
	spans []string
	waits bool
	// outcomes are those of the event's spans; of one that waits, the first and the
	// last.
	outcomes []string
	// happened is what has to have happened to it.
	happened []string
	check    func(t *testing.T, spans trace)
}

func fates() map[string]fate {
	tried := []string{process, post, settle}
	parkedThenTried := []string{process, post, settle, processParked, post, settleParked}
	return map[string]fate{
		"accepted": {
			play: func(r *rig, dataset, trace string) {
				r.run(event("accepted"), []string{"TRACEPARENT=00-" + trace + "-" + producerSpan + "-01"},
					"publish", "--dataset", dataset, "-")
			},
			spans: append(tried, publish), outcomes: []string{"accepted"}, happened: []string{"capi.claim"},
			check: func(t *testing.T, spans trace) {
				t.Helper()
				require.Equal(t, spans.named(publish)[0].GetSpanId(), spans.named(process)[0].GetParentSpanId())
				require.Equal(t, "fresh", spans.named(process)[0].eventText("capi.claim", "capi.claim.state"))
			},
		},
		"duplicate": {
			play: func(r *rig, dataset, trace string) {
				const other = "0000000000000000000000000000d0b1"
				r.publish(dataset, other, event("duplicate"))
				r.await("the first is accepted", func() bool { return slices.Contains(r.backend.of(other).outcomes(), "accepted") })
				r.publish(dataset, trace, event("duplicate"))
			},
			spans: []string{process, settle}, outcomes: []string{"duplicate"}, happened: []string{"capi.claim"},
			check: func(t *testing.T, spans trace) {
				t.Helper()
				require.Equal(t, "sent", spans.named(process)[0].eventText("capi.claim", "capi.claim.state"))
			},
		},
		"held": {
			play: func(r *rig, dataset, trace string) {
				e := event("held")
				r.publish(dataset, trace, `{"data":[`+e+`,`+e+`]}`)
			},
			spans: append(tried, process), outcomes: []string{"accepted", "duplicate"},
			happened: []string{"capi.claim", "capi.hold"},
		},
		"repaired": {
			play: func(r *rig, dataset, trace string) {
				quoted := fmt.Sprintf(`"event_time":"%d"`, time.Now().Unix())
				plain := strings.ReplaceAll(quoted, `:"`, ":")
				e := strings.Replace(event("repaired"), strings.TrimSuffix(plain, `"`), quoted, 1)
				r.publish(dataset, trace, e)
			},
			spans: tried, outcomes: []string{"accepted"}, happened: []string{"capi.repair", "capi.claim"},
		},
		"invalid": {
			play: func(r *rig, dataset, trace string) {
				r.publish(dataset, trace, strings.Replace(event("invalid"), `"event_time"`, `"event_tame"`, 1))
			},
			spans: []string{process, settle}, outcomes: []string{"dead_lettered"}, happened: []string{"capi.dead_letter"},
			check: func(t *testing.T, spans trace) {
				t.Helper()
				require.Equal(t, "invalid", spans.named(process)[0].text("error.type"))
			},
		},
		"refused and bisected": {
			play: func(r *rig, dataset, trace string) {
				r.publish(dataset, trace, `{"data":[`+event("r1")+`,`+event("r2")+`,`+poison("r3")+`,`+event("r4")+`]}`)
			},
			spans:    []string{process, process, process, process, post, post, post, post, settle},
			outcomes: []string{"accepted", "accepted", "accepted", "dead_lettered"},
			happened: []string{"capi.claim", "capi.dead_letter"},
			check: func(t *testing.T, spans trace) {
				t.Helper()
				posts := spans.named(post)
				require.Equal(t, "refused", posts[0].text("capi.verdict"))
				for _, half := range posts[1:] {
					require.Equal(t, posts[0].GetSpanId(), half.GetParentSpanId())
					require.Positive(t, half.value("capi.bisect.depth").GetIntValue())
				}
			},
		},
		"throttled, parked and woken": {
			play: func(r *rig, dataset, trace string) {
				r.Always(dataset, graphtest.Fault{Error: graphtest.Throttled()})
				r.publish(dataset, trace, event("throttled"))
				r.await("it is parked", func() bool { return slices.Contains(r.backend.of(trace).outcomes(), "parked") })
				r.Clear(dataset)
			},
			spans: parkedThenTried, waits: true, outcomes: []string{"parked", "accepted"},
			happened: []string{"capi.claim", "capi.park", "capi.wake"},
			check: func(t *testing.T, spans trace) {
				t.Helper()
				require.Equal(t, "throttled", spans.named(process)[0].eventText("capi.park", "capi.reason"))
			},
		},
		"token dead and replaced": {
			play: func(r *rig, dataset, trace string) {
				r.AddDataset(dataset, "token-anew")
				r.publish(dataset, trace, event("token"))
				r.await("it is parked", func() bool { return slices.Contains(r.backend.of(trace).outcomes(), "parked") })
				r.writeToken(dataset, "token-anew")
			},
			spans: parkedThenTried, waits: true, outcomes: []string{"parked", "accepted"},
			happened: []string{"capi.claim", "capi.park", "capi.wake"},
			check: func(t *testing.T, spans trace) {
				t.Helper()
				require.Equal(t, "paused", spans.named(process)[0].eventText("capi.park", "capi.reason"))
				require.Equal(t, "called_back", spans[len(spans)-1].orParent(spans, processParked).eventText("capi.wake", "capi.wake.how"))
			},
		},
		"found through auto": {
			play: func(r *rig, dataset, trace string) {
				r.AddAsset(graphtest.Asset{ID: "11", Kind: graphtest.Page, Dataset: dataset, Tokens: []string{token}, Listed: true})
				r.publish("auto", trace, ofPage("11", "auto"))
			},
			spans: tried, outcomes: []string{"accepted"}, happened: []string{"capi.lookup", "capi.claim"},
			check: func(t *testing.T, spans trace) {
				t.Helper()
				require.Equal(t, "found", spans.named(process)[0].eventText("capi.lookup", "capi.lookup.result"))
				require.Equal(t, spans.named(post)[0].text("capi.dataset"), spans.named(process)[0].text("capi.dataset"))
			},
		},
		"dead-lettered and replayed": {
			play: func(r *rig, dataset, trace string) {
				r.Script(dataset, graphtest.Fault{Error: &graphtest.Error{Code: 100, Subcode: 2804087}})
				r.publish(dataset, trace, event("replayed"))
				number, _ := r.letter(dataset)
				r.run("", nil, "dlq", "replay", strconv.FormatUint(number, 10))
			},
			spans:    []string{process, post, settle, replay, processParked, post, settleParked},
			outcomes: []string{"dead_lettered", "accepted"}, happened: []string{"capi.claim", "capi.dead_letter"},
			check: func(t *testing.T, spans trace) {
				t.Helper()
				require.Equal(t, spans.named(process)[0].GetSpanId(), spans.named(replay)[0].GetParentSpanId())
				require.Equal(t, spans.named(replay)[0].GetSpanId(), spans.named(processParked)[0].GetParentSpanId())
			},
		},
		"dead-lettered, edited and published": {
			play: func(r *rig, dataset, trace string) {
				r.publish(dataset, trace, poison("edited"))
				_, parent := r.letter(dataset)
				r.run(event("edited"), []string{"TRACEPARENT=" + parent}, "publish", "--dataset", dataset, "-")
			},
			spans:    []string{process, post, settle, publish, process, post, settle},
			outcomes: []string{"dead_lettered", "accepted"}, happened: []string{"capi.claim", "capi.dead_letter"},
		},
	}
}

// letter is the number and the trace of a dataset's dead letter, once there is one.
func (r *rig) letter(dataset string) (number uint64, traceparent string) {
	r.t.Helper()
	r.await("there is a dead letter", func() bool {
		stream, err := r.js.Stream(r.t.Context(), "CAPI_DLQ")
		if err != nil {
			return false
		}
		msg, err := stream.GetLastMsgForSubject(r.t.Context(), "capi.dead."+dataset+".refused")
		if err != nil {
			return false
		}
		require.Equal(r.t, "shop=7", msg.Header.Get("baggage"), "it goes on, too")
		number, traceparent = msg.Sequence, msg.Header.Get("traceparent")
		return true
	})
	return number, traceparent
}

// orParent is the span, or the one above it, that has a name.
func (s *span) orParent(all trace, name string) *span {
	for by := all.by(); s != nil && s.GetName() != name; s = by[string(s.GetParentSpanId())] {
	}
	return s
}

// Whatever becomes of an event is in one trace, and nothing of it is missing: as the
// Collector exports it.
func TestEachFateIsInOneTrace(t *testing.T) {
	r := setup(t)
	numbers := make(map[string]int)
	for name := range fates() {
		n := len(numbers) + 1
		numbers[name] = n
		r.AddDataset(datasetOf(n), token, tokenOf(n))
		r.writeToken(datasetOf(n), tokenOf(n)) // an app of its own, for what concerns the app
	}
	r.startWorker()
	t.Run("fates", func(t *testing.T) {
		for name, f := range fates() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f.requireTrace(t, r.in(t), numbers[name])
			})
		}
	})
	r.worker.stop(t)
	requireConventions(t, r.backend.all())
	r.await("metrics have come, too", func() bool { return r.backend.metricsReceived() > 0 })
}

func datasetOf(n int) string { return strconv.Itoa(1000000000 + n) }

func tokenOf(n int) string { return fmt.Sprint("EAAB-token-", n) }

func (f *fate) requireTrace(t *testing.T, r *rig, n int) {
	t.Helper()
	id := fmt.Sprintf("%032x", n)
	f.play(r, datasetOf(n), id)
	r.await("everything of it has come: "+fmt.Sprint(f.spans), func() bool {
		spans := r.backend.of(id)
		missing := slices.Clone(f.spans)
		for _, name := range spans.names() {
			if at := slices.Index(missing, name); at >= 0 {
				missing = slices.Delete(missing, at, at+1)
			}
		}
		outcomes := spans.outcomes()
		return len(missing) == 0 && len(outcomes) > 0 && (!f.waits || outcomes[len(outcomes)-1] == f.outcomes[len(f.outcomes)-1])
	})
	spans := r.backend.of(id)
	outcomes := spans.outcomes()
	if f.waits {
		require.Subset(t, f.spans, spans.names())
		require.Equal(t, f.outcomes[0], outcomes[0])
		require.Equal(t, f.outcomes[1], outcomes[len(outcomes)-1])
	} else {
		require.ElementsMatch(t, f.spans, spans.names())
		require.ElementsMatch(t, f.outcomes, outcomes)
	}
	require.Subset(t, spans.happened(), f.happened)
	requireConnected(t, spans)
	if f.check != nil {
		f.check(t, spans)
	}
	t.Logf("%s\n%s", t.Name(), spans.tree())
	if !f.waits { // how often it is tried is up to the machine
		requireDocumented(t, spans)
	}
}

// requireConnected makes sure that every span can be reached from the producer's,
// and that links lead there and back.
func requireConnected(t *testing.T, spans trace) {
	t.Helper()
	by := spans.by()
	for _, s := range spans {
		parent := s.GetParentSpanId()
		require.True(t, hex.EncodeToString(parent) == producerSpan || by[string(parent)] != nil,
			"%s has no parent in the trace", s.GetName())
		for _, link := range s.GetLinks() {
			to := by[string(link.GetSpanId())]
			require.NotNil(t, to, "%s links to nothing", s.GetName())
			if s.GetName() == post || to.GetName() == post {
				require.True(t, slices.ContainsFunc(to.GetLinks(), func(back *tracepb.Span_Link) bool {
					return string(back.GetSpanId()) == string(s.GetSpanId())
				}), "%s links to %s, and that not back", s.GetName(), to.GetName())
			}
		}
		if s.GetName() == post {
			require.NotEmpty(t, s.GetLinks())
		}
	}
}

package graph_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// Whose fault each code is, and that nobody's event dies of what is not its own
// fault: only an event's own fault, and what is unclear, are refusals.
func TestWhoseFaultEachCodeIs(t *testing.T) {
	t.Parallel()
	blames := map[graph.Blame]map[int][]int{
		graph.BlameMeta: {1: {0, 99}, 2: {0}, 960: {0}, 5000: {0}, 21009: {0}},
		graph.BlameApp:  {3: {0}, 4: {0, 1504022, 1504039}, 10: {0}, 101: {0}, 341: {0}, 368: {0}},
		graph.BlameCaller: {
			5: {0}, 102: {0}, 104: {0}, 2635: {0},
			190: {0, 452, 456, 457, 458, 459, 460, 461, 462, 463, 464, 465, 466, 467, 468, 492},
		},
		graph.BlameDataset: {
			17: {0, 2446079}, 32: {0}, 33: {0}, 100: {33}, 613: {0, 1487742}, 803: {0}, 2500: {0},
			80000: {0}, 80001: {0}, 80002: {0}, 80003: {0}, 80004: {0, 2446079}, 80005: {0}, 80006: {0}, 80008: {0}, 80009: {0}, 80014: {0},
		},
		graph.BlameAccount: {100: {2804131, 2804132, 2804133}},
		graph.BlameUnclear: {100: {0}},
		graph.BlameEvent: {100: {
			2804001, 2804003, 2804004, 2804007, 2804008, 2804009, 2804010, 2804011, 2804016, 2804017, 2804019, 2804030, 2804036, 2804043,
			2804048, 2804050, 2804063, 2804064, 2804066, 2804069, 2804071, 2804072, 2804075, 2804079, 2804081, 2804087, 2804116,
		}},
	}
	listed := make(map[graph.ErrorCode]graph.Blame)
	for blame, codes := range blames {
		for code, subcodes := range codes {
			for _, subcode := range subcodes {
				listed[graph.ErrorCode{Code: code, Subcode: subcode}] = blame
			}
		}
	}
	require.Len(t, graph.ErrorCodes(), len(listed), "each code is listed here")
	for _, code := range graph.ErrorCodes() {
		meaning, known := graph.Explain(code.Code, code.Subcode)
		require.True(t, known, code)
		require.Equal(t, listed[code], meaning.Blame, code)
		mayDie := meaning.Blame == graph.BlameEvent || meaning.Blame == graph.BlameUnclear
		require.Equal(t, mayDie, meaning.Verdict == graph.Refused, "%s: %s", code, meaning.Verdict)
	}
}

// What lies outside the table: ranges that Meta documents, the family of the
// subcodes of events, and all that nobody has written down.
func TestWhichRefusalsAreDoubtful(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body     map[string]any
		doubtful bool
	}{
		"a known subcode of an event":   {map[string]any{"code": 100, "error_subcode": 2804087}, false},
		"an unknown one of its family":  {map[string]any{"code": 100, "error_subcode": 2804055}, false},
		"the last of the family":        {map[string]any{"code": 100, "error_subcode": 2804199}, false},
		"beyond the family":             {map[string]any{"code": 100, "error_subcode": 2804200}, true},
		"an invalid parameter":          {map[string]any{"code": 100}, true},
		"a missing permission":          {map[string]any{"code": 100, "message": "(#100) Missing Permission"}, true},
		"a parameter of a named event":  {map[string]any{"code": 100, "message": "(#100) data[0].value must be a number"}, false},
		"an unknown subcode":            {map[string]any{"code": 100, "error_subcode": 12}, true},
		"an unknown code":               {map[string]any{"code": 424242}, true},
		"a restricted region":           {map[string]any{"code": 100, "error_user_title": "Messaging Event Within Messaging Restrictive Region"}, false},
		"a deleted app: that pauses":    {map[string]any{"code": 101}, false},
		"a dead token: that pauses":     {map[string]any{"code": 190}, false},
		"an account: that is set apart": {map[string]any{"code": 100, "error_subcode": 2804132}, false},
	} {
		body, err := json.Marshal(map[string]any{"error": tc.body})
		require.NoError(t, err)
		answer := graph.Judge(http.StatusBadRequest, nil, body, 1)
		require.Equal(t, tc.doubtful, answer.Doubtful(), name)
	}
	tooLarge := graph.Judge(http.StatusRequestEntityTooLarge, nil, nil, 1)
	require.False(t, tooLarge.Doubtful(), "that is the event's size")
}

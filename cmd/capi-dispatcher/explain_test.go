package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/command"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/explain"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

const body2804003 = `{"error":{"message":"Invalid parameter","type":"OAuthException","code":100,"error_subcode":2804003,"is_transient":false,` +
	`"error_user_title":"Event Timestamp Too Old","error_user_msg":"The timestamp for this event is too far in the past.","fbtrace_id":"A6UyEgg"}}`

// Whatever people have at hand of an error is understood.
func TestPastedErrorsAreExplained(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"subcode alone":             {"2804066", "100/2804066: event name not allowed"},
		"code and subcode":          {" 100/2804066\n", "100/2804066: event name not allowed"},
		"unknown subcode of events": {"2804999", "100/2804999: invalid parameter (subcode 2804999 is not known; this is code 100)"},
		"subcode of a token":        {"463", "190/463: access token expired"},
		"subcode of several":        {"2446079", "17/2446079: too many calls for the ad account"},
		"code":                      {"190", "190: access token expired, revoked or invalid"},
		"code that is a subcode":    {"33", "33: dataset unknown"},
		"code of many":              {"217", "217: permission missing"},
		"unknown code":              {"4711", "4711: not known to this version"},
		"body":                      {body2804003, "100/2804003: event timestamp too old"},
		"body in a log line":        {"HTTP 400, body={x} " + body2804003 + " after 3 s", "100/2804003: event timestamp too old"},
		"what Meta said":            {body2804003, "Meta said: Event Timestamp Too Old: The timestamp for this event is too far in the past."},
		"error without its body":    {`{"message":"Invalid parameter","code":100,"error_subcode":2804050}`, "100/2804050: not enough customer information"},
		"body within JSON":          {`{"status":400,"answer":` + body2804003 + `}`, "100/2804003: event timestamp too old"},
		"message":                   {"(#100) Missing Permission", "100: "},
		"message in a sentence":     {"FacebookApiException: (#80004) There have been too many calls", "80004: too many calls: ads management"},
		"our log":                   {`{"level":"warn","msg":"events not accepted","code":100,"subcode":2804087}`, "100/2804087: ctwa_clid is not of a real click"},
		"our reason":                {"graph error 100/2804087: ctwa_clid is not of a real click", "100/2804087: ctwa_clid"},
		"headers of a letter":       {"Capi-Graph-Code: 190\nCapi-Graph-Subcode: 460", "190/460: the user's password has changed"},
		"Python SDK":                {"  Status:  400\n  Code:    100\n  Subcode: 2804009\n", "100/2804009: purchase without a value"},
		"proof":                     {"(#100) Invalid appsecret_proof provided in the API argument", "You: let graph.app_secret_file hold the secret"},
		"region":                    {`{"error":{"code":100,"message":"x","error_user_title":"Messaging Event Within Messaging Restrictive Region"}}`, "dead-letters the event as restricted_region"},
		"transient":                 {`{"error":{"code":4711,"message":"x","is_transient":true}}`, "The dispatcher tries the request again"},
	} {
		found, err := explain.Read(tc.text)
		require.NoError(t, err, name)
		var out bytes.Buffer
		require.NoError(t, show(&out, found, false))
		require.Contains(t, out.String(), tc.want, name)
		require.Contains(t, out.String(), "\nYou: ", name)
	}
	found, err := explain.Read("2446079")
	require.NoError(t, err)
	require.Len(t, found, 2, "it belongs to two codes")
	for _, text := range []string{"", "x", "10/x", "{}", `{"error":{}}`, `{"error":"x"}`, "(#) x", "12345678901", strings.Repeat("{", 1000)} {
		_, err := explain.Read(text)
		require.Error(t, err, text)
	}
}

func TestAnErrorIsReadFromTheStandardInput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	root := newRoot()
	root.SetIn(strings.NewReader(body2804003))
	root.SetOut(&out)
	root.SetArgs([]string{"explain", "-", "--json"})
	require.Zero(t, command.ExitCode(root.ExecuteContext(t.Context())))
	require.Contains(t, out.String(), `{"code":100,"subcode":2804003,"known":true,`)
	require.Contains(t, out.String(), `"said":"Event Timestamp Too Old: `)
}

// docs/errors.md says what explain says of every code. UPDATE_DOCS=1 writes it
// anew.
func TestEveryErrorIsDocumented(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "docs", "errors.md")
	if os.Getenv("UPDATE_DOCS") != "" {
		require.NoError(t, os.WriteFile(file, []byte(errorsPage()), 0o644))
	}
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, errorsPage(), string(written), "make it anew: UPDATE_DOCS=1 go test ./cmd/capi-dispatcher -run TestEveryErrorIsDocumented")
}

func errorsPage() string {
	var page strings.Builder
	page.WriteString(`# Errors of Meta's

- You have an error of Meta's → look it up in [Codes](#codes), or run explain with it
- You ask what happens to the events meanwhile → [What the dispatcher does](#what-the-dispatcher-does)

This page is made from the table that the dispatcher itself uses ([graph/meaning.go](../graph/meaning.go)), which names
the sources. A test keeps them the same.

` + "```console" + `
$ capi-dispatcher explain 2804066                          # or 100/2804066, or 190
$ capi-dispatcher explain '(#100) Missing Permission'
$ curl … | capi-dispatcher explain -                       # an answer of Meta's, with whatever is around it
` + "```" + `

## What the dispatcher does

| verdict | the dispatcher |
|---|---|
`)
	for _, kind := range []struct {
		name    string
		meaning graph.Meaning
	}{
		{"retry", graph.Meaning{Verdict: graph.Retry}},
		{"throttled", graph.Meaning{Verdict: graph.Throttled}},
		{"paused", graph.Meaning{Verdict: graph.Paused}},
		{"paused, per account", graph.Meaning{Verdict: graph.Paused, PerAsset: true}},
		{"refused", graph.Meaning{Verdict: graph.Refused}},
	} {
		fmt.Fprintf(&page, "| %s | %s |\n", kind.name, explain.Reaction(kind.meaning))
	}
	page.WriteString(`
An error of unknown code: the dispatcher ` + explain.ByStatus + `.
` +
		"An unknown subcode is taken for its code. `is_transient` makes a refusal a retry.\n" + `
## Codes

| code | what is wrong | verdict | what to do |
|---|---|---|---|
`)
	for _, code := range graph.ErrorCodes() {
		writeCode(&page, code.String(), explain.Of(code))
	}
	writeCode(&page, "200 to 299", explain.Of(graph.ErrorCode{Code: 200}))
	writeCode(&page, "80000 to 80014, others", explain.Of(graph.ErrorCode{Code: 80007}))
	return page.String()
}

func writeCode(page *strings.Builder, code string, e explain.Explanation) {
	verdict := e.Verdict
	if e.PerAsset {
		verdict += ", per account"
	}
	fmt.Fprintf(page, "| %s | %s | %s | %s |\n", code, e.Title, verdict, e.Advice)
}

// FuzzReadPasted reads whatever may be pasted: no panic, and what is called an
// error can be explained.
func FuzzReadPasted(f *testing.F) {
	for _, seed := range []string{body2804003, "(#100) x", "100/2804066", "2446079", `{"error":{"code":-1,"message":"x"}}`, "code: 1 subcode: 2", "(#000)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found, err := explain.Read(text)
		require.Equal(t, err == nil, len(found) > 0)
		for _, p := range found {
			require.NotEmpty(t, p.Explain().Title)
			require.NotEmpty(t, p.Explain().Advice)
		}
	})
}

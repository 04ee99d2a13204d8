package e2e_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func TestDatasetsFromTheShell(t *testing.T) {
	t.Parallel()
	r := setup(t)
	require.NoError(t, os.WriteFile(filepath.Join(r.config.Graph.TokenDir, "17"), []byte("the-account's-own"), 0o600))
	r.AddAsset(graphtest.Asset{ID: "11", Kind: graphtest.Page, Dataset: "77", Tokens: []string{token}})
	r.AddAsset(graphtest.Asset{ID: "102", Kind: graphtest.WhatsApp, Tokens: []string{token}})
	r.AddAsset(graphtest.Asset{ID: "17", Kind: graphtest.Instagram, Dataset: "78", Tokens: []string{"the-account's-own"}, Listed: true})
	r.AddAsset(graphtest.Asset{ID: "12", Kind: graphtest.Page, Dataset: "77", Barred: []string{token}})

	for name, tc := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string // regular expressions
	}{
		"page":               {[]string{"get", "--page", "11"}, 0, `^77\n$`, `^$`},
		"instagram, as JSON": {[]string{"get", "--instagram", "17", "--json"}, 0, `^{"dataset":"78","id":"17","kind":"instagram_account"}\n$`, `^$`},
		"there already":      {[]string{"create", "--page", "11"}, 0, `^77\n$`, `^$`},
		"no permission":      {[]string{"get", "--page", "12"}, 1, `^$`, `page_events`},
		"not known":          {[]string{"get", "--waba", "13"}, 1, `^$`, `graph error 100/33: WhatsApp Business Account unknown, or the token has no access to it; check the id`},
		"none":               {[]string{"get"}, 2, `^$`, `name one account`},
		"two":                {[]string{"get", "--page", "11", "--waba", "12"}, 2, `^$`, `name one account`},
		"no id":              {[]string{"get", "--page", "../11"}, 2, `^$`, `is not an account id`},
	} {
		stdout, stderr, code := r.run(append([]string{"dataset"}, tc.args...)...)
		require.Equal(t, tc.code, code, "%s: %s", name, stderr)
		require.Regexp(t, tc.stdout, stdout, name)
		require.Regexp(t, tc.stderr, stderr, name)
		require.NotContains(t, stdout+stderr, token, name)
	}

	_, stderr, code := r.run("dataset", "get", "--waba", "102")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "WhatsApp Business Account 102 has no dataset; to create one: capi-dispatcher dataset create --waba 102")
	created, stderr, code := r.run("dataset", "create", "--waba", "102", "--name", "shop")
	require.Zero(t, code, stderr)
	read, _, _ := r.run("dataset", "get", "--waba", "102")
	require.Equal(t, created, read)
}

func TestMetaTellsTheWorkerADataset(t *testing.T) {
	t.Parallel()
	r := setup(t, func(cfg *config.Config) { cfg.Graph.ResolveDatasets = true })
	r.addDatasets(1)
	r.AddAsset(graphtest.Asset{ID: "102290129340398", Kind: graphtest.WhatsApp, Dataset: datasetID(0), Tokens: []string{token}})
	r.start()
	r.publishAll([]jetstreamMessage{{"capi.events.auto", event("a", "x")}})
	r.await("it is accepted", func() bool { return r.Ledger().Totals(datasetID(0)).Events == 1 })
}

func TestErrorCodesAreExplained(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for name, tc := range map[string]struct {
		args   []string
		code   int
		stdout string // a regular expression
	}{
		"bad event":       {[]string{"100/2804066"}, 0, `^100/2804066: event name not allowed[^(]*\n\nThe dispatcher halves the batch .*\nYou: use one of`},
		"dead token":      {[]string{"190"}, 0, `^190: access token .*\n\nThe dispatcher pauses the dataset`},
		"throttle":        {[]string{"80007"}, 0, `^80007: too many calls.*\n\nThe dispatcher waits`},
		"bad link":        {[]string{"100/2804131"}, 0, `The dispatcher sets the events of this account apart`},
		"temporary":       {[]string{"2"}, 0, `The dispatcher tries the request again`},
		"unknown subcode": {[]string{"190/7"}, 0, `^190/7: access token .* \(subcode 7 is not known; this is code 190\)\n`},
		"unknown code":    {[]string{"4711"}, 0, `^4711: not known to this version\n\nThe dispatcher goes by .* 429: it waits`},
		"no title":        {[]string{"100/2804048"}, 0, `Meta's title for it is not known`},
		"JSON":            {[]string{"10", "--json"}, 0, `^{"code":10,"known":true,"known_subcode":true,"verdict":"paused","title":"permission missing",`},
		"all":             {nil, 0, `^CODE +VERDICT +MEANING\n1 +retry +(.*\n)+100/2804133 +paused +no Instagram`},
		"all, as JSON":    {[]string{"--json"}, 0, `^{"code":1,.*\n{"code":1,"subcode":99`},
		"no code":         {[]string{"10/x"}, 2, `^$`},
		"two":             {[]string{"10", "20"}, 2, `^$`},
	} {
		stdout, stderr, code := r.run(append([]string{"explain"}, tc.args...)...)
		require.Equal(t, tc.code, code, "%s: %s", name, stderr)
		require.Regexp(t, tc.stdout, stdout, name)
	}
}

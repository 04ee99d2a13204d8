package graph_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func page(id string) graph.Asset { return graph.Asset{Kind: graph.Page, ID: id} }

func TestTheDatasetOfAnAccount(t *testing.T) {
	t.Parallel()
	r := setup(t, func(cfg *graph.Config) {
		writeFile(t, cfg.TokenDir, "5", "the-account's-own")
		writeFile(t, cfg.TokenDir, "default", token)
	})
	r.AddAsset(graphtest.Asset{ID: "1", Kind: graphtest.Page, Dataset: "77", Tokens: []string{token}})
	r.AddAsset(graphtest.Asset{ID: "2", Kind: graphtest.Page, Dataset: "78", Tokens: []string{token}, Listed: true})
	r.AddAsset(graphtest.Asset{ID: "3", Kind: graphtest.Page, Tokens: []string{token}})
	r.AddAsset(graphtest.Asset{ID: "5", Kind: graphtest.Page, Dataset: "79", Tokens: []string{"the-account's-own"}})
	for account, want := range map[string]string{"1": "77", "2": "78", "5": "79"} {
		id, err := r.Dataset(t.Context(), page(account))
		require.NoError(t, err)
		require.Equal(t, want, id)
	}
	_, err := r.Dataset(t.Context(), page("3"))
	require.ErrorIs(t, err, graph.ErrNoDataset)
	require.EqualError(t, err, "page 3 has no dataset")

	created, err := r.CreateDataset(t.Context(), page("3"), "shop")
	require.NoError(t, err)
	read, err := r.Dataset(t.Context(), page("3"))
	require.NoError(t, err)
	require.Equal(t, created, read)
	again, err := r.CreateDataset(t.Context(), page("3"), "")
	require.NoError(t, err)
	require.Equal(t, created, again)
}

func TestWhyADatasetIsNotFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind      graph.Kind
		fault     graphtest.Fault
		temporary bool
		says      string
	}{
		"page permission": {graph.Page, graphtest.Fault{Error: &graphtest.Error{Code: 10, Message: "(#10) No"}}, false, "give the token's app and system user page_events, "},
		"whatsapp permission": {
			graph.WhatsAppAccount,
			graphtest.Fault{Error: &graphtest.Error{Code: 200, Message: "(#200) No"}},
			false,
			"the dataset of WhatsApp Business Account 1: graph error 200: permission missing; " +
				"give the token's app and system user whatsapp_business_management and whatsapp_business_manage_events, ",
		},
		"instagram permission": {graph.InstagramUser, graphtest.Fault{Error: &graphtest.Error{Code: 3}}, false, "instagram_manage_events, "},
		"permission 299":       {graph.Page, graphtest.Fault{Error: &graphtest.Error{Code: 299}}, false, "page_events, "},
		"dead token":           {graph.Page, graphtest.Fault{Error: graphtest.TokenExpired()}, false, "put a valid access token into the file named for the account"},
		"unknown":              {graph.Page, graphtest.Fault{Error: &graphtest.Error{Code: 100, Subcode: 33}}, false, "check the id"},
		"refused":              {graph.Page, graphtest.Fault{Error: &graphtest.Error{Code: 100}}, false, "has to be mended"},
		"throttled":            {graph.Page, graphtest.Fault{Error: graphtest.Throttled()}, true, "try again later"},
		"away":                 {graph.Page, graphtest.Fault{Error: graphtest.Unavailable(), Status: 503}, true, "try again later"},
		"HTML":                 {graph.Page, graphtest.Fault{Status: 500, Body: "<html>"}, true, "the body is HTML"},
		"HTML that is fine":    {graph.Page, graphtest.Fault{Status: 200, Body: "<html>"}, true, "without a dataset id"},
		"cut off":              {graph.Page, graphtest.Fault{Cut: true, Status: 200}, true, "try again later"},
		"no id":                {graph.Page, graphtest.Fault{Status: 200, Body: `{"id":"../me"}`}, true, "without a dataset id"},
		"nothing of the kind":  {graph.Page, graphtest.Fault{Status: 200, Body: `{}`}, true, "without a dataset id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, func(cfg *graph.Config) { writeFile(t, cfg.TokenDir, "1", token) })
			r.Script("1", tc.fault)
			_, err := r.Dataset(t.Context(), graph.Asset{Kind: tc.kind, ID: "1"})
			var failed *graph.DatasetError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, tc.temporary, failed.Temporary(), err)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), token)
			require.NotEqual(t, graph.Refused, failed.Answer.Verdict)
		})
	}
}

func TestAnAccountsIDIsDigits(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	for _, id := range []string{"", "../me", "12a", "１", "123456789012345678901234567890123"} {
		_, err := r.Dataset(t.Context(), page(id))
		require.ErrorIs(t, err, graph.ErrAssetID, id)
	}
	_, err := r.Dataset(t.Context(), page("1"))
	require.ErrorIs(t, err, graph.ErrNoToken)
	var failed *graph.DatasetError
	require.ErrorAs(t, err, &failed)
	require.False(t, failed.Temporary())
}

func TestTheTokenIsInNoURL(t *testing.T) {
	t.Parallel()
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, r.Method+" "+r.URL.String()+" "+string(body)+" "+r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"id":"77"}`)
	}))
	t.Cleanup(server.Close)
	cfg := graph.DefaultConfig()
	cfg.URL, cfg.TokenDir = server.URL, t.TempDir()
	writeFile(t, cfg.TokenDir, "default", token)
	cfg.AppSecretFile = writeFile(t, t.TempDir(), "secret", "app-secret")
	client := newClient(t, cfg)
	_, err := client.Dataset(t.Context(), page("1"))
	require.NoError(t, err)
	_, err = client.CreateDataset(t.Context(), page("1"), "shop")
	require.NoError(t, err)
	require.Len(t, seen, 2)
	require.Regexp(t, `^GET /v26.0/1/dataset\?appsecret_proof=[0-9a-f]{64}  Bearer `+token+`$`, seen[0])
	require.Regexp(t, `^POST /v26.0/1/dataset {"appsecret_proof":"[0-9a-f]{64}","dataset_name":"shop"} Bearer `+token+`$`, seen[1])
}

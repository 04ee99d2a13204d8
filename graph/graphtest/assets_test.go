package graphtest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func TestTheDatasetOfAnAccount(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		asset  graphtest.Asset
		method string
		status int
		body   string // a regular expression
	}{
		"read":               {graphtest.Asset{Dataset: "77", Tokens: []string{token}}, http.MethodGet, 200, `^{"id":"77"}$`},
		"read, as a list":    {graphtest.Asset{Dataset: "77", Tokens: []string{token}, Listed: true}, http.MethodGet, 200, `^{"data":\[{"id":"77"}\]}$`},
		"has none":           {graphtest.Asset{Tokens: []string{token}}, http.MethodGet, 200, `^{"data":\[\]}$`},
		"created":            {graphtest.Asset{Tokens: []string{token}}, http.MethodPost, 200, `^{"id":"9\d{15}"}$`},
		"there already":      {graphtest.Asset{Dataset: "77", Tokens: []string{token}, Listed: true}, http.MethodPost, 200, `^{"id":"77"}$`},
		"permission missing": {graphtest.Asset{Dataset: "77", Barred: []string{token}}, http.MethodGet, 400, `"code":10,`},
		"token unknown":      {graphtest.Asset{Dataset: "77"}, http.MethodGet, 401, `"code":190,`},
		"account unknown":    {graphtest.Asset{ID: "2"}, http.MethodGet, 400, `Unsupported get request. Object with ID '1' does.*"error_subcode":33`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			if tc.asset.ID == "" {
				tc.asset.ID = "1"
			}
			r.AddAsset(tc.asset)
			status, body := r.do(tc.method, "/v26.0/1/dataset", "")
			require.Equal(t, tc.status, status)
			require.Regexp(t, tc.body, body)
		})
	}
}

func TestACreatedDatasetTakesEvents(t *testing.T) {
	t.Parallel()
	r := setup(t)
	status, _ := r.do(http.MethodPut, "/_control/assets/1", `{"kind":"page","tokens":["`+token+`"]}`)
	require.Equal(t, http.StatusOK, status)
	_, created := r.do(http.MethodPost, "/v26.0/1/dataset", `{"dataset_name":"shop"}`)
	_, read := r.do(http.MethodGet, "/v26.0/1/dataset", "")
	require.Equal(t, 2, r.AssetRequests("1"))
	require.Equal(t, created, read)
	id := created[len(`{"id":"`) : len(created)-len(`"}`)]
	status, body := r.do(http.MethodPost, "/v26.0/"+id+"/events", `{"data":[`+edit(t, nil)+`]}`)
	require.Equal(t, http.StatusOK, status, body)
}

func TestAnAccountsFaults(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.AddAsset(graphtest.Asset{ID: "1", Dataset: "77", Tokens: []string{token}})
	r.Script("1", graphtest.Fault{Error: graphtest.Throttled()}, graphtest.Fault{Status: 500})
	for _, want := range []int{http.StatusBadRequest, http.StatusInternalServerError, http.StatusOK} {
		status, _ := r.do(http.MethodGet, "/v26.0/1/dataset", "")
		require.Equal(t, want, status)
	}
}

package graphtest_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// The app secret, and the proof that goes with the token: the hex digits of an
// HMAC with SHA-256, computed by another program.
const (
	appSecret  = "app-secret"
	tokenABC   = "token-abc"
	proofOfABC = "64ad4b31c7b1a1447bd689c4c0b82425f01d8a3da1ce7a8eb468cc17c0e9d787"
)

func post(t *testing.T, api http.Handler, target, contentType, body string) (int, http.Header, string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(body))
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response := httptest.NewRecorder()
	api.ServeHTTP(response, request)
	return response.Code, response.Header(), response.Body.String()
}

// What Meta's SDKs and curl send is taken as it is, whatever its form.
func TestRequestsOfMetasSDKsAreAccepted(t *testing.T) {
	t.Parallel()
	recordings := graphtest.Recordings(tokenABC, proofOfABC, time.Now())
	require.Len(t, recordings, 12)
	for _, r := range recordings {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			api := graphtest.New(graphtest.Config{AppSecret: appSecret, KeepEvents: true})
			api.AddDataset(dataset, tokenABC)
			target := "/v26.0/" + dataset + "/events?" + r.Query
			status, _, body := post(t, api, target, r.ContentType, string(r.Body))
			require.Equal(t, http.StatusOK, status, body)
			require.Contains(t, body, fmt.Sprintf(`"events_received":%d`, r.Events))
			for _, e := range api.Ledger().Entries() {
				require.Equal(t, byte('{'), e.Raw[0], "an event is an object")
				if bytes.Contains(r.Body, []byte("TEST12345")) {
					require.Equal(t, "acme/TEST12345", e.PartnerAgent+"/"+e.TestEventCode)
				}
			}
			broken := bytes.Replace(r.Body, []byte("event_name"), []byte("event_nome"), 1)
			status, _, body = post(t, api, target, r.ContentType, string(broken))
			require.Equal(t, http.StatusBadRequest, status)
			require.Contains(t, body, `$['data'][0]['event_name'] is required`)
		})
	}
}

// The token is looked at before the data, and so is the proof that it is the
// app's.
func TestTheTokenComesBeforeTheData(t *testing.T) {
	t.Parallel()
	api := graphtest.New(graphtest.Config{AppSecret: appSecret})
	api.AddDataset(dataset, tokenABC)
	url := "/v26.0/" + dataset + "/events"
	for name, tc := range map[string]struct{ target, body, want string }{
		"no token, no JSON":      {url, `{`, `"code":104`},
		"no token, no data":      {url, `{}`, `"code":104`},
		"bad token, no data":     {url, `{"access_token":"x"}`, `"code":190`},
		"no proof":               {url + "?access_token=" + tokenABC, `{`, `API calls from the server require an appsecret_proof argument`},
		"bad proof":              {url, `{"access_token":"` + tokenABC + `","appsecret_proof":"x"}`, `Invalid appsecret_proof provided in the API argument`},
		"good proof, no data":    {url, `{"access_token":"` + tokenABC + `","appsecret_proof":"` + proofOfABC + `"}`, `The parameter data is required`},
		"good proof, wrong data": {url + "?appsecret_proof=" + proofOfABC, `{"access_token":"` + tokenABC + `","data":{}}`, `param data must be an array.`},
		"dataset of an account":  {"/v26.0/1061/dataset?access_token=" + tokenABC, ``, `"code":100,"error_subcode":33`},
	} {
		status, _, body := post(t, api, tc.target, "", tc.body)
		require.GreaterOrEqual(t, status, 400, name)
		require.Contains(t, body, tc.want, name)
	}
	api.AddAsset(graphtest.Asset{ID: "1061", Tokens: []string{tokenABC}})
	_, _, body := post(t, api, "/v26.0/1061/dataset?access_token="+tokenABC, "", "")
	require.Contains(t, body, "require an appsecret_proof")
	_, _, body = post(t, api, "/v26.0/1061/dataset", "application/x-www-form-urlencoded", "access_token="+tokenABC+"&appsecret_proof="+proofOfABC+"&dataset_name=shop")
	require.Regexp(t, `^{"id":"\d+"}$`, body)
}

// The live API names the culprit of some errors, and how many events come
// before it.
func TestTheCulpritIsNamed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	good, bad := edit(t, nil), edit(t, map[string]any{"custom_data/contents": "[]"})
	_, body := r.post(bad)
	require.Contains(t, body, `"error_subcode":2804019`)
	require.Contains(t, body, `"error_user_title":"Server Side Api Parameter Error","error_user_msg":"$['data'][0]['custom_data']['contents'] must be an array"`)
	_, body = r.post(good, good, bad)
	require.Contains(t, body, `$['data'][2]['custom_data']['contents'] must be an array`)
}

// Every answer tells how near the limits are, unless a fault says otherwise.
func TestUsageIsReported(t *testing.T) {
	t.Parallel()
	api := graphtest.New(graphtest.Config{AnyDataset: true})
	target := "/v26.0/" + dataset + "/events?access_token=x"
	for _, body := range []string{`{"data":[` + edit(t, nil) + `]}`, `{}`} {
		_, header, _ := post(t, api, target, "", body)
		require.JSONEq(t, `{"call_count":1,"total_cputime":1,"total_time":1}`, header.Get("X-App-Usage"))
		require.Contains(t, header.Get("X-Business-Use-Case-Usage"), `{"`+dataset+`":[{"type":"ads_management","call_count":1,`)
	}
	api.Script(dataset, graphtest.Fault{Status: 429, Header: map[string]string{"X-App-Usage": `{"call_count":100}`}})
	_, header, _ := post(t, api, target, "", `{}`)
	require.Equal(t, []string{`{"call_count":100}`}, header["X-App-Usage"])
}

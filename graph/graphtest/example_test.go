package graphtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// A program that sends events to Meta meets a throttle, tries again, and is
// asked what has been accepted.
func Example() {
	now := time.Unix(1_800_000_000, 0)
	api := graphtest.New(graphtest.Config{Now: func() time.Time { return now }})
	api.AddDataset("1234567890", "a-token")
	api.Script("1234567890", graphtest.Fault{Error: graphtest.Throttled()})
	server := httptest.NewServer(api)
	defer server.Close()

	// The program under test would be given server.URL for https://graph.facebook.com.
	body := `{"data": [{"event_name": "LeadSubmitted", "event_id": "lead-1", "event_time": 1800000000,
		"action_source": "business_messaging", "messaging_channel": "messenger",
		"user_data": {"page_id": "1061", "page_scoped_user_id": "7012345678901234"}}]}`
	for range 2 {
		url := server.URL + "/v26.0/1234567890/events?access_token=a-token"
		response, err := server.Client().Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = response.Body.Close()
		fmt.Println(http.StatusText(response.StatusCode))
	}
	for event, times := range api.Ledger().Counts() {
		fmt.Println(event.Name, event.ID, "accepted:", times)
	}

	// Output:
	// Bad Request
	// OK
	// LeadSubmitted lead-1 accepted: 1
}

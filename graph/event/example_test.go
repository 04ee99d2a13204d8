package event_test

import (
	"fmt"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// A request body is read, and each of its events is checked. The first would be
// accepted; the second has two faults, which are found at once.
func ExampleDecoder() {
	decoder := event.NewDecoder(event.DefaultRules())
	request, err := decoder.Decode([]byte(`{"data": [
		{"event_name": "LeadSubmitted", "event_id": "lead-1", "event_time": 1800000000,
			"action_source": "business_messaging", "messaging_channel": "messenger",
			"user_data": {"page_id": "1061", "page_scoped_user_id": "7012345678901234"}},
		{"event_name": "Purchase", "event_id": "order-1", "event_time": 1800000000,
			"action_source": "website", "event_source_url": "https://shop.example/",
			"user_data": {"client_user_agent": "Mozilla/5.0", "external_id": "4711"},
			"custom_data": {"value": "a lot"}}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range request.Events {
		e := &request.Events[i]
		fmt.Println(e.Name, e.ID, len(e.Faults) == 0)
		for _, fault := range e.Faults {
			fmt.Println("  ", fault.Pointer, fault.Code)
		}
	}

	// Output:
	// LeadSubmitted lead-1 true
	// Purchase order-1 false
	//    /custom_data/value wrong_type
	//    /custom_data/currency missing
}

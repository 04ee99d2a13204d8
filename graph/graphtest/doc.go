// Package graphtest is a simulated Graph API for tests and demonstrations: the
// Conversions API's events edge with Meta's rules, the datasets of accounts,
// answers in Meta's exact shapes, faults on command, and a ledger of what was
// accepted, how often.
//
//	api := graphtest.New(graphtest.Config{})
//	api.AddDataset("1234567890", "a-token")
//	server := httptest.NewServer(api)
//	defer server.Close()
//	// … send to server.URL …
//	for event, times := range api.Ledger().Counts() { … }
//
// Its rules are read from Meta's documents and from published answers of the
// live API, and written without a look at how this project's own client reads
// them: one misreading should not confirm another. Requests are all or nothing,
// events are not deduplicated, tokens are checked (before the data, and with
// [Config.AppSecret] together with their appsecret_proof), and the 7-day rule
// holds. Requests may be JSON or forms, as Meta's documents and SDKs send them. The
// rules are those of docs/events.md, and the API always behaves like the live
// one, where that contradicts the documents.
//
// Faults are scripted per dataset with [API.Script] and [API.Always]: error
// codes, delays, connections cut before or after the events were accepted,
// answers cut in half, HTML, and wrong counts.
//
// Programs in other languages can drive it over HTTP: see [ControlRoutes].
package graphtest

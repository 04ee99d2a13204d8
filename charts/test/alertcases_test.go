package test_test

import "fmt"

// alertCase is what workers report, and when an alert is to fire.
type alertCase struct {
	alert    string // without CapiDispatcher
	series   string
	until    int // minutes
	from, to int // the minutes between which it fires for the first time; 0 is never
}

// last is the time of an event's end, which moves on by a minute a minute from some
// minute on, and stands still after another: before that there is no series.
func last(labels string, from, to, until int) string {
	return fmt.Sprintf("capi_events_last_settled_seconds{%s} %s%d+60x%d%s", labels, absent(from), 60*from, to-from, still(60*to, until-to))
}

func absent(minutes int) string {
	if minutes == 0 {
		return ""
	}
	return fmt.Sprintf("_x%d ", minutes)
}

func still(value, minutes int) string {
	if minutes <= 0 {
		return ""
	}
	return fmt.Sprintf(" %dx%d", value, minutes-1)
}

func alertCases() map[string]alertCase {
	const (
		parked   = `dataset="1",outcome="parked",reason="retry"`
		accepted = `dataset="1",outcome="accepted",reason=""`
		other    = `dataset="2",outcome="accepted",reason=""`
		nobodys  = `dataset="other",outcome="parked",reason="paused"`
		refused  = `dataset="1",outcome="dead_lettered",reason="refused"`
		dead     = `capi_dataset_paused{dataset="1",known="true",reason="paused"}`
		books    = `capi_events_received_total{dataset="1"} %s
			capi_events_settled_total{dataset="1",outcome="accepted",reason=""} %s
			capi_events_in_flight{dataset="1"} %s
			capi_messages_in_flight %s`
		requests = `capi_request_duration_seconds_count{verdict="accepted"} 0+%dx60
			capi_request_duration_seconds_count{verdict="refused"} 0+%dx60`
	)
	outcomes := func(values string) string { return `capi_outcomes_total{outcome="accepted",reason=""} ` + values }
	return map[string]alertCase{
		"workers report":                 {"Absent", `capi_condition{condition="nats"} 1x20`, 20, 0, 0},
		"nobody reports":                 {"Absent", `up 1x20`, 20, 5, 6},
		"nobody reports for a while":     {"Absent", `capi_condition{condition="nats"} 1x10 _x7 1x10`, 27, 0, 0},
		"all is well":                    {"NotReady", `capi_condition{condition="redis"} 1x20`, 20, 0, 0},
		"Redis is away":                  {"NotReady", `capi_condition{condition="redis"} 1x10 0x20`, 30, 13, 17},
		"Redis comes and goes":           {"NotReady", `capi_condition{condition="redis"} 1x10 0x2 1 0x2 1 0x2 1 0x2 1 0x2 1`, 26, 13, 22},
		"Redis was away for a moment":    {"NotReady", `capi_condition{condition="redis"} 1x10 0 1x20`, 30, 0, 0},
		"NATS away, and not scraped":     {"NotReady", `capi_condition{condition="nats"} 1x10 _x10 1x10`, 30, 0, 0},
		"a worker begins":                {"NotReady", `capi_condition{condition="redis"} 0 1x20`, 20, 0, 0},
		"all datasets wait":              {"NothingAccepted", last(parked, 0, 60, 60) + "\n" + last(accepted, 0, 20, 60), 60, 30, 37},
		"they wait and are accepted":     {"NothingAccepted", last(parked, 0, 60, 60) + "\n" + last(other, 0, 60, 60), 60, 0, 0},
		"a worker that has accepted one": {"NothingAccepted", last(parked, 0, 60, 60) + "\n" + outcomes("0+1x60"), 60, 0, 0},
		"parked now and then":            {"NothingAccepted", "capi_events_last_settled_seconds{" + parked + "} 0x16 1020x16 2040x16 3060x16", 66, 10, 12},
		"nothing is pulled":              {"NothingAccepted", `capi_backlog_oldest_seconds{store="events"} 0+60x60`, 60, 14, 17},
		"none waits, and none comes":     {"NothingAccepted", `capi_backlog_oldest_seconds{store="events"} 0x60` + "\n" + outcomes("5x60"), 60, 0, 0},
		"only made-up datasets wait":     {"NothingAccepted", last(nobodys, 0, 60, 60), 60, 0, 0},
		"only bad events come":           {"NothingAccepted", last(refused, 0, 60, 60) + "\n" + outcomes("0x60"), 60, 0, 0},
		"all that comes is bad":          {"InVain", `capi_store_published_total{store="events"} 100+5x60` + "\n" + outcomes("7x60"), 60, 5, 7},
		"some that comes is good":        {"InVain", `capi_store_published_total{store="events"} 100+5x60` + "\n" + outcomes("0+1x60"), 60, 0, 0},
		"nothing comes":                  {"InVain", `capi_store_published_total{store="events"} 100x60` + "\n" + outcomes("7x60"), 60, 0, 0},
		"old publications after a gap":   {"InVain", `capi_store_published_total{store="events"} 100x20 _x20 100x60` + "\n" + outcomes("7x20 _x20 7x60"), 100, 0, 0},
		"ever more wait":                 {"BacklogGrowing", `capi_backlog_messages{store="events",state="pending"} 0+100x60`, 60, 20, 31},
		"many wait":                      {"BacklogGrowing", `capi_backlog_messages{store="events",state="pending"} 100000x60`, 60, 0, 0},
		"a wave":                         {"BacklogGrowing", `capi_backlog_messages{store="events",state="pending"} 0x30 0+1000x5 5000-1000x5 0x30`, 60, 0, 0},
		"many wait, after a gap":         {"BacklogGrowing", `capi_backlog_messages{store="events",state="pending"} 0x20 _x30 5000x40`, 90, 0, 0},
		"Meta refuses one of ten":        {"ErrorShare", fmt.Sprintf(requests, 9, 1), 60, 20, 40},
		"Meta refuses one of fifty":      {"ErrorShare", fmt.Sprintf(requests, 49, 1), 60, 0, 0},
		"one of three requests at all":   {"ErrorShare", "capi_request_duration_seconds_count{verdict=\"accepted\"} 0+1x2 2x60\ncapi_request_duration_seconds_count{verdict=\"refused\"} 0 1x60", 60, 0, 0},
		"a look-up is refused":           {"LookupsRefused", `capi_lookups_total{result="refused"} 0x10 1x20`, 30, 10, 12},
		"look-ups were refused before":   {"LookupsRefused", `capi_lookups_total{result="refused"} 5x10 _x20 5x30`, 60, 0, 0},
		"look-ups are answered":          {"LookupsRefused", "capi_lookups_total{result=\"refused\"} 0x30\ncapi_lookups_total{result=\"found\"} 0+1x30", 30, 0, 0},
		"a batch in doubt":               {"MaybeSent", `capi_maybe_sent_total 0x10 1000x10`, 20, 10, 12},
		"an event in doubt":              {"MaybeSent", `capi_maybe_sent_total 0x10 1x10`, 20, 0, 0},
		"doubts of before, after a gap":  {"MaybeSent", `capi_maybe_sent_total 1000x10 _x30 1000x60`, 100, 0, 0},
		"Redis does not know":            {"Unconfirmed", `capi_confirms_pending 5x20`, 20, 5, 6},
		"Redis knows a little later":     {"Unconfirmed", `capi_confirms_pending 0 5 0 5 0 5 0 5 0 5 0 5 0 5 0 5 0 5 0`, 18, 0, 0},
		"nothing leaves":                 {"Stuck", "capi_messages_in_flight 7x30\n" + outcomes("100x30"), 30, 5, 16},
		"much leaves":                    {"Stuck", "capi_messages_in_flight 7x30\n" + outcomes("0+100x30"), 30, 0, 0},
		"nothing to do":                  {"Stuck", "capi_messages_in_flight 0 1 0x10 1 0x30\n" + outcomes("100x30"), 30, 0, 0},

		"one dataset answers 503":        {"DatasetStalled", last(parked, 20, 90, 90) + "\n" + last(other, 0, 90, 90), 90, 30, 31},
		"and was well before":            {"DatasetStalled", last(parked, 20, 90, 90) + "\n" + last(accepted, 0, 20, 90), 90, 30, 37},
		"and is tried every 17 minutes":  {"DatasetStalled", "capi_events_last_settled_seconds{" + parked + "} 0x16 1020x16 2040x16 3060x16", 66, 10, 12},
		"some are accepted in between":   {"DatasetStalled", last(parked, 20, 90, 90) + "\n" + last(accepted, 0, 90, 90), 90, 0, 0},
		"parked once, accepted later":    {"DatasetStalled", last(parked, 20, 20, 90) + "\n" + last(accepted, 24, 24, 90), 90, 0, 0},
		"parked long ago":                {"DatasetStalled", "capi_events_last_settled_seconds{" + parked + "} _x60 0x30", 90, 0, 0},
		"a dead token":                   {"Paused", dead + ` _x9 1x30`, 40, 11, 13},
		"a dead token, tried in between": {"Paused", dead + ` _x9 1x2 _x2 1x2 _x2 1x2`, 22, 11, 15},
		"a token that was dead before":   {"Paused", dead + ` 1 _x40`, 40, 0, 0 + 0},
		"a dead token of nobody":         {"Paused", `capi_dataset_paused{dataset="1",known="false",reason="paused"} 1x30`, 30, 0, 0},
		"another trouble":                {"Paused", `capi_dataset_paused{dataset="1",known="true",reason="failing"} 1x30`, 30, 0, 0},
		"a made-up dataset":              {"UnknownDataset", `capi_dataset_paused{dataset="1",known="false",reason="paused"} 1x30`, 30, 10, 11},
		"a dataset that is known":        {"UnknownDataset", dead + ` 1x30`, 30, 0, 0},
		"everything is refused":          {"Refused", `capi_dataset_paused{dataset="1",known="true",reason="refused"} 1x30`, 30, 15, 16},
		"a dead token refuses nothing":   {"Refused", dead + ` 1x30`, 30, 0, 0},
		"requests fail":                  {"Failing", `capi_dataset_paused{dataset="1",known="true",reason="failing"} 1x3 _x12 1x3 _x12 1x3 _x12`, 45, 20, 21},
		"requests failed for a moment":   {"Failing", `capi_dataset_paused{dataset="1",known="true",reason="failing"} 1 _x60`, 60, 0, 0},
		"no request fails":               {"Failing", dead + ` 1x30`, 30, 0, 0},
		"an account is not linked":       {"Unlinked", `capi_dataset_paused{dataset="1",known="true",reason="unlinked"} 1x90`, 90, 60, 62},
		"an account was not linked":      {"Unlinked", `capi_dataset_paused{dataset="1",known="true",reason="unlinked"} 1x30 _x60`, 90, 0, 0},
		"throttled":                      {"Throttled", `capi_dataset_paused{dataset="1",known="true",reason="throttled"} 1x60`, 60, 30, 32},
		"throttled, with drop-outs":      {"Throttled", `capi_dataset_paused{dataset="1",known="true",reason="throttled"} 1x10 _x15 1x3 _x15 1x3 _x15`, 60, 30, 32},
		"throttled before":               {"Throttled", `capi_dataset_paused{dataset="1",known="true",reason="throttled"} 1x5 _x60`, 60, 0, 0},
		"a first dead letter":            {"DeadLetters", last(refused, 20, 20, 60), 60, 20, 20},
		"a dead letter of before":        {"DeadLetters", "capi_events_last_settled_seconds{" + refused + "} 60x3 _x60 60x60", 120, 0, 3},
		"dead letters after a gap":       {"DeadLetters", "capi_events_last_settled_seconds{" + refused + "} _x60 60x60", 120, 0, 0},

		"an event is near its end":        {"NearExpiry", `capi_parked_time_to_expiry_seconds{known="true",reason="paused"} 90000-600x60`, 60, 10, 20},
		"an event has days":               {"NearExpiry", `capi_parked_time_to_expiry_seconds{known="true",reason="paused"} 300000-60x60`, 60, 0, 0},
		"a made-up dataset's is":          {"NearExpiry", `capi_parked_time_to_expiry_seconds{known="false",reason="paused"} 100x60`, 60, 0, 0},
		"nothing was pulled for six days": {"NearExpiry", `capi_backlog_oldest_seconds{store="events"} 518000+60x60`, 60, 8, 20},
		"a first lost event":              {"Expired", `capi_events_lost_total{reason="expired"} 0x10 1x10`, 20, 10, 11},
		"lost long ago":                   {"Expired", `capi_events_lost_total{reason="expired"} 5x20 _x20 5x60`, 100, 0, 0},
		"another is lost":                 {"Expired", `capi_events_lost_total{reason="expired"} 5x20 6x60`, 80, 20, 22},
		"published too late":              {"Expired", last(`dataset="1",outcome="dead_lettered",reason="expired"`, 0, 30, 30) + "\ncapi_events_lost_total{reason=\"expired\"} 0x30", 30, 0, 0},
		"dead letters have room":          {"StoreFilling", "capi_store_used_bytes{store=\"dead_letters\"} 790x20\ncapi_store_limit_bytes{store=\"dead_letters\"} 1000x20", 20, 0, 0},
		"dead letters run full":           {"StoreFilling", "capi_store_used_bytes{store=\"dead_letters\"} 810x20\ncapi_store_limit_bytes{store=\"dead_letters\"} 1000x20", 20, 2, 3},
		"events have no limit":            {"StoreFilling", "capi_store_used_bytes{store=\"events\"} 810x20\ncapi_store_limit_bytes{store=\"dead_letters\"} 1000x20", 20, 0, 0},
		"a token of 54 days":              {"TokenOld", `capi_token_age_seconds{dataset="default"} 4700000x20`, 20, 0, 0},
		"a token of 56 days":              {"TokenOld", `capi_token_age_seconds{dataset="default"} 4800000x20`, 20, 0 + 0, 1},
		"the books balance":               {"Books", fmt.Sprintf(books, "0+100x30 3000x30", "0+100x29 3000x31", "100x29 0x31", "1x29 0x31"), 60, 0, 0},
		"read while it counts":            {"Books", fmt.Sprintf(books, "0+100x60", "3+100x60", "4x60", "1x60"), 60, 0, 0},
		"one event is missing":            {"Books", fmt.Sprintf(books, "0+100x30 3000x30", "0+100x30 2999x30", "0x60", "0x60"), 60, 35, 47},
		"settled twice":                   {"Books", fmt.Sprintf(books, "0+100x60", "1+100x60", "-1x60", "1x60"), 60, 10, 11},
		"in flight in no message":         {"Books", fmt.Sprintf(books, "10x60", "9x60", "1x60", "0x60"), 60, 10, 16},
		"a series too many":               {"Overflow", `capi_requests_total{otel_metric_overflow="true"} 1x20`, 20, 0, 1},
		"no series too many":              {"Overflow", `capi_requests_total{dataset="1"} 1x20`, 20, 0, 0},
	}
}

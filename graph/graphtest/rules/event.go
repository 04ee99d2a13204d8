package rules

import (
	"encoding/json"
	"strings"
	"time"
)

func checkName(event object) *Error {
	if name, ok := event["event_name"].(string); !ok || name == "" {
		return required("event_name")
	}
	return nil
}

func checkSource(event object) *Error {
	sources := oneOf(strings.Fields("email website app phone_call chat physical_store system_generated business_messaging other")...)
	switch source := event["action_source"]; {
	case source == nil:
		return required("action_source")
	case !sources.fits(source):
		return misshapen("action_source", sources.words)
	}
	return nil
}

// The window for event_time.
const (
	window      = 7 * 24 * time.Hour
	storeWindow = 62 * 24 * time.Hour // for physical_store
)

func (r Rules) checkTime(event object) *Error {
	if !anInteger().fits(event["event_time"]) {
		return required("event_time")
	}
	seconds, err := event["event_time"].(json.Number).Int64()
	if err != nil { // of more digits than any clock shows
		if strings.HasPrefix(event.text("event_time"), "-") {
			return tooOld()
		}
		return inFuture()
	}
	oldest := r.Now.Add(-window)
	if event["action_source"] == "physical_store" {
		oldest = r.Now.Add(-storeWindow)
	}
	switch at := time.Unix(seconds, 0); {
	case at.After(r.Now): // milliseconds are in the far future, too
		return inFuture()
	case at.Before(oldest):
		return tooOld()
	}
	return nil
}

func checkUserData(event object) *Error {
	if !anObject().fits(event["user_data"]) {
		return required("user_data")
	}
	return nil
}

// checkMembers is for members that only need to be of the right type, and for
// the address that a website's event needs.
func checkMembers(event object) *Error {
	if event["action_source"] == "website" && (!event.has("event_source_url") || event["event_source_url"] == "") {
		return required("event_source_url")
	}
	name, words, found := event.misfit(
		members{anID(), "event_id"},
		members{aText(), "event_source_url referrer_url advanced_measurement_table"},
		members{aBoolean(), "opt_out"},
		members{anObject(), "custom_data original_event_data attribution_data app_data"},
	)
	if found {
		return misshapen(name, words)
	}
	return nil
}

func checkOriginalEvent(event object) *Error {
	name, words, found := event.object("original_event_data").misfit(
		members{aText(), "event_name"},
		members{anInteger(), "event_time"},
		members{anID(), "order_id event_id"},
	)
	if found {
		return misshapen("original_event_data["+name+"]", words)
	}
	return nil
}

func checkAttribution(event object) *Error {
	data := event.object("attribution_data")
	name, words, found := data.misfit(
		members{aText(), "scope attribution_model attribution_source attribution_method touchpoint_type decline_reason"},
		members{aText(), "auditing_token linkage_key partner_client_id"},
		members{anID(), "ad_id adset_id campaign_id touchpoint_id"},
		members{anInteger(), "visit_time attr_window touchpoint_ts"},
		members{aNumber(), "attribution_share attribution_value total_credit"},
		members{anObject(), "attribution_setting"},
	)
	if found {
		return misshapen("attribution_data["+name+"]", words)
	}
	setting := members{anInteger(), "inactivity_window_hours reattribution_window_hours"}
	if name, words, found = data.object("attribution_setting").misfit(setting); found {
		return misshapen("attribution_data[attribution_setting]["+name+"]", words)
	}
	return nil
}

// checkProcessing is for limited data use: an event that asks for it says where
// the person is, or how to find out.
func checkProcessing(event object) *Error {
	name, words, found := event.misfit(
		members{aListOf(oneOf("LDU")), "data_processing_options"},
		members{oneOf(json.Number("0"), json.Number("1")), "data_processing_options_country"},
		members{oneOf(json.Number("0"), json.Number("1000")), "data_processing_options_state"},
	)
	if found {
		return misshapen(name, words)
	}
	options, _ := event["data_processing_options"].([]any)
	if isEmpty(options) {
		return nil
	}
	located := event.object("user_data").text("client_ip_address") != "" && !isMessaging(event)
	if !event.has("data_processing_options_country") || !located && !event.has("data_processing_options_state") {
		return badEvent(2804030, "Limited Data Use Selection Required",
			"Enter a country and state in data_processing_options_country and data_processing_options_state.")
	}
	return nil
}

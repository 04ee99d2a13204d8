package event_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

var (
	notText   = list(1, true, list(), object{})
	notID     = list(1.5, -1, true, list(), object{})
	notObject = list(1, "x", true, list())
	notFlag   = list(2, "true", list(), object{})
	notWhole  = list(1.5, "x", true, list(), object{})
	notNumber = list("x", " 1", "1e", true, list(), object{})
	notList   = list(1, "x", true, object{})
)

// rules has every rule of docs/events.md, and what shows it.
func rules() map[string][]ruleCase { //nolint:maintidx // it is a table
	return map[string][]ruleCase{
		"event-object":   nil,                           // TestFaults, for it cannot be made out of an object
		"event-time-age": nil, "event-time-future": nil, // TestCheckTime
		"personal-data-in-the-clear": nil, // TestPersonalDataIsHashed
		"secrets":                    nil, // TestSecretsAreTakenOut
		"beside-data":                nil, // TestOnlyDocumentedMembersGoBesideTheEvents

		"test-event-code": join(fine(other().with("test_event_code", "TEST1")), members(other(), "", 0, list(7, ""), notID, "test_event_code")),

		"event-name": join(fine(other()), faulty(other().with("event_name", absent{}), "/event_name missing 2804019"),
			faulty(other().with("event_name", nil), "/event_name missing 2804019"), faulty(other().with("event_name", ""), "/event_name empty 2804019"),
			wrongTypes(other(), "event_name", 0, notText...)),
		"event-time": join(faulty(other().with("event_time", absent{}), "/event_time missing 2804019"),
			wrongTypes(other(), "event_time", 0, -1, "2023-02-10T04:33:19", "soon", true, list(), object{})),
		"event-time-unit": join(fine(other().with("event_time", 99_999_999_999)),
			faulty(other().with("event_time", 100_000_000_000), "/event_time not_seconds 2804004"),
			faulty(other().with("event_time", at*1000), "/event_time not_seconds 2804004")),
		"user-data": join(faulty(other().with("user_data", absent{}), "/user_data missing 2804019"), wrongTypes(other(), "user_data", 0, notObject...),
			faulty(messengerChat().with("user_data", absent{}), "/user_data missing 2804019")),
		"action-source": join(fine(sources()...), faulty(other().with("action_source", absent{}), "/action_source missing 2804019"),
			faulty(other().with("action_source", "web"), "/action_source unknown_value"),
			faulty(other().with("action_source", ""), "/action_source unknown_value"), wrongTypes(other(), "action_source", 0, notText...)),
		"event-id": join(fine(other().with("event_id", "o-1"), other().with("event_id", 12), other().with("event_id", "")),
			wrongTypes(other(), "event_id", 0, notID...)),
		"custom-data": join(fine(other().with("custom_data", object{"mine": list(1)})), wrongTypes(other(), "custom_data", 0, notObject...),
			wrongTypes(purchase(), "custom_data", 0, 1)),
		"event-source-url": join(fine(website()), faulty(website().with("event_source_url", absent{}), "/event_source_url missing 2804019"),
			faulty(website().with("event_source_url", ""), "/event_source_url empty 2804019"), wrongTypes(website(), "event_source_url", 0, notText...)),
		"opt-out":                    members(other(), "", 0, list(true, false, nil, "true"), list(1, "yes", list()), "opt_out"),
		"referrer-url":               members(other(), "", 0, list("https://a"), notText, "referrer_url"),
		"advanced-measurement-table": members(other(), "", 0, list("t"), notText, "advanced_measurement_table"),
		"original-event-data": join(wrongTypes(other(), "original_event_data", 0, notObject...),
			members(other(), "original_event_data.", 0, list("Lead"), notText, "event_name"),
			members(other(), "original_event_data.", 0, list(at), list("x", true, list(), object{}), "event_time"),
			members(other(), "original_event_data.", 0, list("o", 1), notID, "order_id", "event_id")),
		"attribution-data": join(wrongTypes(other(), "attribution_data", 0, notObject...),
			members(other(), "attribution_data.", 0, list("a"), notText, "scope", "attribution_model", "attribution_source", "attribution_method",
				"touchpoint_type", "decline_reason", "auditing_token", "linkage_key", "partner_client_id"),
			members(other(), "attribution_data.", 0, list("a", 1), notID, "ad_id", "adset_id", "campaign_id", "touchpoint_id"),
			members(other(), "attribution_data.", 0, list(7, -7), notWhole, "visit_time", "attr_window", "touchpoint_ts"),
			members(other(), "attribution_data.", 0, list(0.5, "0.5"), notNumber, "attribution_share", "attribution_value", "total_credit"),
			wrongTypes(other(), "attribution_data.attribution_setting", 0, notObject...),
			members(other(), "attribution_data.attribution_setting.", 0, list(24), notWhole, "inactivity_window_hours", "reattribution_window_hours")),

		"processing-options": join(fine(limited(), other().with("data_processing_options", list())),
			wrongTypes(other(), "data_processing_options", 0, notList...),
			faulty(limited().with("data_processing_options", list("ldu")), "/data_processing_options/0 unknown_value"),
			faulty(limited().with("data_processing_options", list("LDU", 1)), "/data_processing_options/1 wrong_type")),
		"processing-country": join(fine(limited().with("data_processing_options_country", 0)),
			faulty(limited().with("data_processing_options_country", absent{}), "/data_processing_options_country missing 2804030"),
			faulty(limited().with("data_processing_options_country", 2), "/data_processing_options_country unknown_value"),
			wrongTypes(limited(), "data_processing_options_country", 0, "US", 0.5, true, list())),
		"processing-state": join(fine(limited().with("data_processing_options_state", 0),
			limited().with("data_processing_options_state", absent{}).with("user_data.client_ip_address", "192.0.2.1")),
			faulty(limited().with("data_processing_options_state", absent{}), "/data_processing_options_state missing 2804030"),
			faulty(messengerChat().with("user_data.client_ip_address", "192.0.2.1").with("data_processing_options", list("LDU")).
				with("data_processing_options_country", 0), "/data_processing_options_state missing 2804030"),
			faulty(limited().with("data_processing_options_state", 1), "/data_processing_options_state unknown_value"),
			wrongTypes(limited(), "data_processing_options_state", 0, "CA", 0.5, true, list())),

		"app-data": join(fine(app(), other().with("app_data", object{})), faulty(app().with("app_data", absent{}), "/app_data missing 2804019"),
			wrongTypes(app(), "app_data", 0, notObject...)),
		"app-data-members": join(
			members(app(), "app_data.", 0, list(true, false, 0, 1), notFlag, "application_tracking_enabled", "advertiser_tracking_enabled",
				"consider_views", "include_dwell_data", "include_video_data"),
			members(app(), "app_data.", 0, list("a"), notText, "campaign_ids", "install_referrer", "installer_package", "receipt_data", "windows_attribution_id"),
			members(app(), "app_data.", 0, list(list(), list("a")), notList, "url_schemes"),
			faulty(app().with("app_data.url_schemes", list("a", 1)), "/app_data/url_schemes/1 wrong_type")),
		"extinfo": join(fine(other().with("app_data", object{"extinfo": extinfo()})),
			faulty(app().with("app_data.extinfo", absent{}), "/app_data/extinfo missing 2804019"),
			faulty(app().with("app_data.extinfo", extinfo()[:15]), "/app_data/extinfo wrong_length"),
			faulty(app().with("app_data.extinfo", append(extinfo(), "")), "/app_data/extinfo wrong_length"),
			wrongTypes(app(), "app_data.extinfo", 0, notList...)),
		"extinfo-version": join(fine(app().with("app_data.extinfo", slotOf(0, "a2"))),
			faulty(app().with("app_data.extinfo", slotOf(0, "a1")), "/app_data/extinfo/0 unknown_value"),
			faulty(app().with("app_data.extinfo", slotOf(0, "")), "/app_data/extinfo/0 unknown_value"),
			faulty(app().with("app_data.extinfo", slotOf(0, 2)), "/app_data/extinfo/0 wrong_type")),
		"extinfo-os-version": join(faulty(app().with("app_data.extinfo", slotOf(4, "")), "/app_data/extinfo/4 empty 2804043"),
			fine(app().with("app_data.extinfo", slotOf(4, 13))),
			faulty(app().with("app_data.extinfo", slotOf(4, true)), "/app_data/extinfo/4 wrong_type 2804043")),
		"extinfo-slots": extinfoSlots(),

		"value": members(other(), "custom_data.", 2804016, list(0, -1, 1.25, "1.25", ""), notNumber, "value", "net_revenue", "predicted_ltv"),
		"currency": join(fine(other().with("custom_data.currency", "eur"), other().with("custom_data.currency", "")),
			faulty(other().with("custom_data.currency", "EURO"), "/custom_data/currency unknown_value 2804016"),
			faulty(other().with("custom_data.currency", "QQQ"), "/custom_data/currency unknown_value 2804016"),
			wrongTypes(other(), "custom_data.currency", 2804016, notText...)),
		"purchase-value": join(fine(purchase().with("custom_data.value", 0)),
			faulty(purchase().with("custom_data.value", absent{}), "/custom_data/value missing 2804009"),
			faulty(purchase().with("custom_data.value", ""), "/custom_data/value missing 2804009")),
		"purchase-currency": join(fine(other().with("custom_data.currency", "MRU")),
			faulty(purchase().with("custom_data.currency", absent{}), "/custom_data/currency missing 2804010"),
			faulty(purchase().with("custom_data.currency", ""), "/custom_data/currency missing 2804010"),
			faulty(purchase().with("custom_data", absent{}), "/custom_data/value missing 2804009", "/custom_data/currency missing 2804010"),
			faulty(purchase().with("custom_data.currency", "MRU"), "/custom_data/currency unknown_value 2804011"),
			faulty(purchase().with("custom_data.currency", "Mru"), "/custom_data/currency unknown_value 2804011")),
		"content-ids": join(members(other(), "custom_data.", 2804016, list(list(), list("a", 1)), notList, "content_ids"),
			faulty(other().with("custom_data.content_ids", list("a", 1.5)), "/custom_data/content_ids/1 wrong_type 2804016")),
		"contents": join(members(other(), "custom_data.", 2804019, list(list(), list(object{"id": "a", "quantity": 2, "item_price": 1.5})), notList, "contents"),
			faulty(other().with("custom_data.contents", list(object{}, "a")), "/custom_data/contents/1 wrong_type 2804008"),
			faulty(other().with("custom_data.contents", list(object{"id": true, "quantity": 1.5, "item_price": "x", "title": 1, "description": 1, "brand": 1, "category": 1})),
				"/custom_data/contents/0/brand wrong_type 2804016", "/custom_data/contents/0/category wrong_type 2804016",
				"/custom_data/contents/0/description wrong_type 2804016", "/custom_data/contents/0/id wrong_type 2804016",
				"/custom_data/contents/0/item_price wrong_type 2804016", "/custom_data/contents/0/quantity wrong_type 2804016",
				"/custom_data/contents/0/title wrong_type 2804016")),
		"delivery-category": join(members(other(), "custom_data.", 2804016, list("in_store", "curbside", "home_delivery"), notText, "delivery_category"),
			faulty(other().with("custom_data.delivery_category", "post"), "/custom_data/delivery_category unknown_value 2804016"),
			faulty(other().with("custom_data.contents", list(object{"delivery_category": "post"})), "/custom_data/contents/0/delivery_category unknown_value 2804016")),
		"num-items": members(other(), "custom_data.", 2804016, list(3, "3"), notWhole, "num_items"),
		"custom-texts": join(
			members(other(), "custom_data.", 2804016, list("a", ""), notText, "content_name", "content_category", "content_type", "search_string",
				"item_number", "event_source", "lead_event_source"),
			members(other(), "custom_data.", 2804016, list("a", 1), notID, "order_id"),
			members(other(), "custom_data.", 2804016, list("a", true), list(1, list(), object{}), "status")),

		"personal-data": join(members(other(), "user_data.", 0, list("a", 1, list("a", 1), list()), list(1.5, true, object{}),
			"em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country", "f5first", "f5last", "fi", "dobd", "dobm", "doby"),
			members(other().with("user_data.em", "a"), "user_data.", 0, list("a", list(1)), list(1.5, true, object{}), "external_id"),
			faulty(other().with("user_data.em", list("a", true)), "/user_data/em/1 wrong_type")),
		"user-texts": join(
			members(other(), "user_data.", 0, list("a"), notText, "client_ip_address", "client_user_agent", "fbc", "fbp", "subscription_id",
				"anon_id", "madid", "partner_name", "ctwa_clid"),
			members(other(), "user_data.", 0, list("a", 1), notID, "fb_login_id", "partner_id", "page_id", "page_scoped_user_id",
				"whatsapp_business_account_id", "ig_account_id", "instagram_business_account_id", "ig_sid")),
		"lead-id": join(members(other(), "user_data.", 2804036, list("123456789012345", int64(12345678901234567)), notID, "lead_id"),
			faulty(other().with("user_data.lead_id", "12345678901234"), "/user_data/lead_id bad_format 2804036"),
			faulty(other().with("user_data.lead_id", "123456789012345678"), "/user_data/lead_id bad_format 2804036"),
			faulty(other().with("user_data.lead_id", "l:123456789012345"), "/user_data/lead_id bad_format 2804036")),
		"customer-information": customerInformation(),

		"messaging-event": join(faulty(messengerChat().with("event_name", "Lead"), "/event_name unknown_value 2804066"), fine(messagingEvents()...)),
		"messaging-channel": join(fine(other().with("messaging_channel", 7)),
			faulty(messengerChat().with("messaging_channel", absent{}), "/messaging_channel missing 2804063"),
			faulty(messengerChat().with("messaging_channel", "telegram"), "/messaging_channel unknown_value 2804063"),
			faulty(messengerChat().with("messaging_channel", ""), "/messaging_channel unknown_value 2804063"),
			wrongTypes(messengerChat(), "messaging_channel", 2804063, notText...)),
		"messaging-not-allowed": fine(messengerChat().with("event_source_url", "https://a").with("user_data.client_ip_address", 1),
			messengerChat().with("user_data.client_user_agent", "").with("user_data.fbc", "x").with("user_data.fbp", "x")),
		"messenger-page": join(fine(messengerChat()),
			faulty(chat("messenger", object{}), "/user_data/page_id missing 2804069", "/user_data/page_scoped_user_id missing 2804019"),
			faulty(messengerChat().with("user_data.page_id", absent{}), "/user_data/page_id missing 2804069"),
			faulty(messengerChat().with("user_data.page_id", ""), "/user_data/page_id empty 2804069"), wrongTypes(messengerChat(), "user_data.page_id", 0, notID...)),
		"messenger-user": join(faulty(messengerChat().with("user_data.page_scoped_user_id", absent{}), "/user_data/page_scoped_user_id missing 2804019"),
			faulty(messengerChat().with("user_data.page_scoped_user_id", ""), "/user_data/page_scoped_user_id empty 2804019"),
			wrongTypes(messengerChat(), "user_data.page_scoped_user_id", 0, notID...)),
		"whatsapp-account": join(fine(whatsAppChat(), whatsAppChat().with("user_data.whatsapp_business_account_id", absent{}).with("user_data.page_id", 1),
			whatsAppChat().with("user_data.whatsapp_business_account_id", "").with("user_data.page_id", 1)),
			faulty(whatsAppChat().with("user_data.whatsapp_business_account_id", absent{}), "/user_data/whatsapp_business_account_id missing 2804116"),
			faulty(whatsAppChat().with("user_data.whatsapp_business_account_id", ""), "/user_data/whatsapp_business_account_id empty 2804116"),
			wrongTypes(whatsAppChat(), "user_data.whatsapp_business_account_id", 0, notID...)),
		"whatsapp-click": join(faulty(whatsAppChat().with("user_data.ctwa_clid", absent{}), "/user_data/ctwa_clid missing 2804071"),
			faulty(whatsAppChat().with("user_data.ctwa_clid", ""), "/user_data/ctwa_clid empty 2804071"), wrongTypes(whatsAppChat(), "user_data.ctwa_clid", 0, notText...)),
		"instagram-account": join(fine(instagramChat(), instagramChat().with("user_data.ig_account_id", absent{}).with("user_data.instagram_business_account_id", 17)),
			faulty(instagramChat().with("user_data.ig_account_id", absent{}), "/user_data/ig_account_id missing 2804079"),
			faulty(instagramChat().with("user_data.ig_account_id", ""), "/user_data/ig_account_id empty 2804079"),
			wrongTypes(instagramChat(), "user_data.ig_account_id", 0, notID...)),
		"instagram-user": join(faulty(instagramChat().with("user_data.ig_sid", absent{}), "/user_data/ig_sid missing 2804075"),
			faulty(instagramChat().with("user_data.ig_sid", ""), "/user_data/ig_sid empty 2804075"), wrongTypes(instagramChat(), "user_data.ig_sid", 0, notID...)),
		"order-currency": join(fine(messengerChat().with("event_name", "OrderCreated").with("custom_data.currency", "USD"), other().with("event_name", "OrderCreated")),
			faulty(messengerChat().with("event_name", "OrderCreated"), "/custom_data/currency missing 2804081"),
			faulty(messengerChat().with("event_name", "OrderCreated").with("custom_data.currency", ""), "/custom_data/currency missing 2804081")),
	}
}

func sources() (events []object) {
	for _, source := range event.ActionSources() {
		switch source {
		case event.BusinessMessaging:
			events = append(events, messengerChat())
		case event.Website:
			events = append(events, website())
		case event.App:
			events = append(events, app())
		default:
			events = append(events, other().with("action_source", string(source)))
		}
	}
	return events
}

func messagingEvents() (events []object) {
	for _, name := range event.DefaultRules().MessagingEvents {
		events = append(events, purchase().with("event_name", name))
	}
	return events
}

func extinfoSlots() (cases []ruleCase) {
	put := func(index int, value any, want ...string) {
		for i := range want {
			want[i] = fmt.Sprintf("/app_data/extinfo/%d %s", index, want[i])
		}
		cases = append(cases, ruleCase{app().with("app_data.extinfo", slotOf(index, value)), want})
	}
	for _, index := range []int{9, 10, 12, 13, 14} {
		put(index, 5)
		put(index, "5")
		put(index, "")
		put(index, "x", "wrong_type")
		put(index, 1.5, "wrong_type")
	}
	for _, index := range []int{1, 3, 5, 6, 7, 8, 11, 15} {
		put(index, "")
		put(index, 5)
		put(index, true, "wrong_type")
		put(index, nil)
	}
	put(0, nil, "wrong_type")
	put(4, nil, "wrong_type 2804043")
	put(2, 7)
	put(2, 1.5)
	put(2, list(), "wrong_type")
	return cases
}

func customerInformation() (cases []ruleCase) {
	for _, few := range []string{"", "ct", "country st zp", "ct country st zp ge client_user_agent", "db client_user_agent", "fn ge", "ln ge", "client_user_agent"} {
		user := object{"em": "", "ph": nil, "external_id": list()}
		for name := range strings.FieldsSeq(few) {
			user[name] = "x"
		}
		cases = append(cases, ruleCase{other().with("user_data", user), []string{"/user_data insufficient 2804050"}})
	}
	for _, enough := range []string{"em", "ph", "client_ip_address", "fn ln", "fn ct", "db ge", "fn client_user_agent", "fbp", "mine", "lead_id"} {
		user := object{}
		for name := range strings.FieldsSeq(enough) {
			user[name] = "123456789012345"
		}
		cases = append(cases, ruleCase{event: other().with("user_data", user)})
	}
	return append(cases, ruleCase{event: messengerChat()})
}

// found lists an event's faults as "pointer code", or "pointer code subcode".
func found(t *testing.T, body string) []string {
	t.Helper()
	d := event.NewDecoder(event.DefaultRules())
	got, err := d.Decode([]byte(body))
	require.NoError(t, err)
	require.Len(t, got.Events, 1)
	var faults []string
	for _, f := range got.Events[0].Faults {
		require.NotEmpty(t, f.Message)
		text := f.Pointer + " " + string(f.Code)
		if f.Subcode != 0 {
			text += fmt.Sprint(" ", f.Subcode)
		}
		faults = append(faults, text)
	}
	return faults
}

func TestRules(t *testing.T) {
	t.Parallel()
	for name, cases := range rules() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tc := range cases {
				require.Equal(t, tc.want, found(t, tc.event.String()), tc.event)
			}
		})
	}
}

// Every rule in the documentation has a test of its name, and no test a rule
// that is not written down.
func TestEveryRuleIsTested(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/events.md")
	require.NoError(t, err)
	documented := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|.*\\| `(Test\\w+)(?:/([a-z-]+))?` \\|$").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = true
		if row[2] == "TestRules" {
			require.Equal(t, row[1], row[3])
			require.NotEmpty(t, rules()[row[1]], "%s has no test", row[1])
		} else {
			require.True(t, testExists(t, row[2]), "%s: there is no %s", row[1], row[2])
		}
	}
	require.Len(t, documented, len(rules()), "rules without a test, or tests without a rule")
	for name := range rules() {
		require.True(t, documented[name], "%s is not documented", name)
	}
}

func testExists(t *testing.T, name string) bool {
	t.Helper()
	for _, file := range []string{"validate_test.go", "personal_test.go", "secrets_test.go"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T) {") {
			return true
		}
	}
	return false
}

package event

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
)

// field says what a member of an object has to be: a value of a kind, or an
// object, or a list. Exactly one of kind, members, elements and read is set.
type field struct {
	name string
	// slot is where the parser keeps the member, for rules about more than
	// one; most members have none.
	slot slot
	// subcode is what Meta answers to a value of the wrong kind.
	subcode int

	// required: as an element of a list, null will not do.
	required bool
	// personal: it says something of the customer, and Meta wants it hashed.
	personal bool

	kind     kind
	members  schema // of an object
	elements *field // of a list
	read     func(*parser, *field) error
}

// schema is what is known of the members of an object. Members that it does
// not know pass through.
type schema map[string]*field

// newSchema makes a schema out of fields, looked up by name.
func newSchema(groups ...[]*field) schema {
	s := make(schema)
	for _, group := range groups {
		for _, f := range group {
			s[f.name] = f
		}
	}
	return s
}

// each gives several names the same kind.
func each(k kind, names ...string) []*field { return eachWith(0, k, names...) }

func eachWith(subcode int, k kind, names ...string) []*field {
	fields := make([]*field, len(names))
	for i, name := range names {
		fields[i] = &field{name: name, kind: k, subcode: subcode}
	}
	return fields
}

// kinds are the kinds that many members share.
type kinds struct {
	text, id, account, boolean, flag, whole, count, seconds, wholeText, number, amount, textOrBoolean kind
}

func newKinds() kinds {
	return kinds{
		text:          of("a string", isText),
		id:            of("a string or a whole number", isID),
		account:       of("a string or a whole number", isTrimmedID).repairedBy(trimmed),
		boolean:       of("true or false", isBoolean).repairedBy(asBoolean).mendedBy(yesOrNo),
		flag:          of("true, false, 0 or 1", isFlag).mendedBy(yesOrNo),
		whole:         of("a whole number", isWhole).mendedBy(wholeNumber),
		count:         of("a whole number", isWhole).repairedBy(asWhole).mendedBy(wholeNumber),
		seconds:       of("a whole number", isWhole).repairedBy(asSeconds).mendedBy(secondsOf),
		wholeText:     of("a whole number", isWholeText).mendedBy(wholeNumber),
		number:        of("a number", isNumber).mendedBy(plainNumber),
		amount:        of("a number", isAmount).mendedBy(plainNumber),
		textOrBoolean: of("a string, true or false", func(v jsontext.Value) bool { return isText(v) || isBoolean(v) }),
	}
}

// eventSchema is a server event. Sources: Meta, server event parameters, app
// data, customer information and custom data parameters (2026).
func eventSchema() schema {
	k := newKinds()
	return newSchema([]*field{
		{name: "event_name", slot: slotName, kind: k.text},
		{name: "event_id", slot: slotID, kind: k.id},
		{name: "event_time", slot: slotTime, read: (*parser).eventTime},
		{name: "test_event_code", slot: slotTestCode, kind: k.id},
		{name: "action_source", slot: slotSource, kind: oneOf(ActionSources()...)},
		{name: "messaging_channel", slot: slotChannel, read: (*parser).anything},
		{name: "event_source_url", slot: slotURL, kind: k.text},
		{name: "user_data", slot: slotUser, members: userSchema(k)},
		{name: "custom_data", slot: slotCustom, members: customSchema(k)},
		{name: "app_data", slot: slotApp, members: appSchema(k)},
		{name: "data_processing_options", slot: slotOptions, elements: &field{kind: oneOf(limitedDataUse)}},
		{name: "data_processing_options_country", slot: slotOptionsCountry, kind: oneNumberOf("0", "1")},
		{name: "data_processing_options_state", slot: slotOptionsState, kind: oneNumberOf("0", "1000")},
		{name: "original_event_data", members: newSchema(
			each(k.text, "event_name"), each(k.seconds, "event_time"), each(k.id, "order_id", "event_id"))},
		{name: "attribution_data", members: attributionSchema(k)},
		{name: "opt_out", kind: k.boolean},
	}, each(k.text, "referrer_url", "advanced_measurement_table"))
}

func attributionSchema(k kinds) schema {
	return newSchema(
		each(k.text, "scope", "attribution_model", "attribution_source", "attribution_method", "touchpoint_type",
			"decline_reason", "auditing_token", "linkage_key", "partner_client_id"),
		each(k.id, "ad_id", "adset_id", "campaign_id", "touchpoint_id"),
		each(k.whole, "visit_time", "attr_window", "touchpoint_ts"),
		each(k.number, "attribution_share", "attribution_value", "total_credit"),
		[]*field{{
			name:    "attribution_setting",
			members: newSchema(each(k.whole, "inactivity_window_hours", "reattribution_window_hours")),
		}},
	)
}

func appSchema(k kinds) schema {
	return newSchema(
		each(k.flag, "application_tracking_enabled", "consider_views", "include_dwell_data", "include_video_data"),
		each(k.text, "campaign_ids", "install_referrer", "installer_package", "receipt_data", "windows_attribution_id"),
		[]*field{
			{name: "advertiser_tracking_enabled", slot: slotTracking, kind: k.flag},
			{name: "url_schemes", elements: &field{kind: k.text}},
			{name: "extinfo", slot: slotExtinfo, read: extinfoReader(k)},
		},
	)
}

func userSchema(k kinds) schema {
	s := newSchema([]*field{
		{name: "client_ip_address", slot: slotIP, kind: k.text},
		{name: "client_user_agent", slot: slotUserAgent, kind: k.text},
		{name: "fbc", slot: slotFBC, kind: k.text},
		{name: "fbp", slot: slotFBP, kind: k.text},
		{name: "lead_id", kind: leadID(), subcode: 2804036},
		{name: "page_id", slot: slotPage, kind: k.account},
		{name: "page_scoped_user_id", slot: slotPageUser, kind: k.account},
		{name: "whatsapp_business_account_id", slot: slotWhatsApp, kind: k.account},
		{name: "ctwa_clid", slot: slotClick, kind: k.text},
		{name: "ig_account_id", slot: slotInstagram, kind: k.account},
		{name: "instagram_business_account_id", slot: slotInstagramBusiness, kind: k.account},
		{name: "ig_sid", slot: slotInstagramUser, kind: k.account},
	}, each(k.text, "subscription_id", "anon_id", "madid", "partner_name"), each(k.id, "fb_login_id", "partner_id"))
	for _, name := range customer.Fields() {
		s[string(name)] = &field{name: string(name), personal: true, read: (*parser).personal}
	}
	s[string(customer.Country)].slot = slotCountry
	return s
}

// customFault is Meta's subcode for a member of custom_data that is not what it
// should be.
const customFault = 2804016

func customSchema(k kinds) schema {
	contents := newSchema(
		eachWith(customFault, k.id, "id"), eachWith(customFault, k.count, "quantity"),
		eachWith(customFault, k.number, "item_price"),
		eachWith(customFault, k.text, "title", "description", "brand", "category"),
		eachWith(customFault, deliveryCategory(), "delivery_category"),
		[]*field{{name: "name", read: (*parser).contentName}},
	)
	return newSchema([]*field{
		{name: "value", slot: slotValue, kind: k.amount, subcode: customFault},
		{name: "currency", slot: slotCurrency, kind: currency(), subcode: customFault},
		{name: "content_ids", subcode: customFault, elements: &field{kind: k.id, subcode: customFault}},
		{name: "contents", subcode: missingField, elements: &field{members: contents, subcode: 2804008}},
	},
		eachWith(customFault, k.amount, "net_revenue", "predicted_ltv"),
		eachWith(customFault, k.wholeText, "num_items"),
		eachWith(customFault, k.textOrBoolean, "status"),
		eachWith(customFault, k.id, "order_id"),
		eachWith(customFault, deliveryCategory(), "delivery_category"),
		eachWith(customFault, k.text, "content_name", "content_category", "content_type", "search_string", "item_number",
			"event_source", "lead_event_source"),
	)
}

func deliveryCategory() kind { return oneOf("in_store", "curbside", "home_delivery") }
